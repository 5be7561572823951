"""Contextual attention against a naive loop over places and patches."""

from itertools import product

import numpy as np
import pytest
import torch

from lungsynth.nn.contextual_attention import ContextualAttention, spread_scores

SIZE = (3, 4, 5)


def window(features, place, patch):
    """The patch (C, p, p, p) around a place, zeros beyond the border."""
    margin = patch // 2
    found = np.zeros((len(features), patch, patch, patch))
    for offset in product(range(patch), repeat=3):
        at = [p + o - margin for p, o in zip(place, offset, strict=True)]
        if all(0 <= a < n for a, n in zip(at, features.shape[1:], strict=True)):
            found[(slice(None), *offset)] = features[(slice(None), *at)]
    return found


def naive_scores(features, patch, spread):
    """Cosine from each place to each patch, then the sums along z, y and x."""
    places = list(product(*map(range, features.shape[1:])))
    patches = [window(features, place, patch).ravel() for place in places]
    scores = {
        (a, b): patches[i] @ patches[j] / np.linalg.norm(patches[i]) / np.linalg.norm(patches[j])
        for (i, a), (j, b) in product(enumerate(places), repeat=2)
    }
    for axis in range(3):
        scores = {
            (a, b): sum(
                scores.get((moved(a, axis, step), moved(b, axis, step)), 0.0)
                for step in range(-spread, spread + 1)
            )
            for a, b in scores
        }
    return places, scores


def moved(place, axis, step):
    return tuple(p + step * (n == axis) for n, p in enumerate(place))


def naive_attention(features, hole, patch, spread, sharpness):
    places, scores = naive_scores(features, patch, spread)
    known = [b for b in places if not window(hole, b, patch).any()]
    total = np.zeros(features.shape)
    count = np.zeros(features.shape[1:])
    for a in places:
        weights = np.exp([sharpness * scores[a, b] for b in known])
        weights /= weights.sum()
        borrowed = sum(w * window(features, b, patch) for w, b in zip(weights, known, strict=True))
        for offset in product(range(patch), repeat=3):
            at = tuple(p + o - patch // 2 for p, o in zip(a, offset, strict=True))
            if all(0 <= x < n for x, n in zip(at, count.shape, strict=True)):
                total[(slice(None), *at)] += borrowed[(slice(None), *offset)]
                count[at] += 1
    return total / count


@pytest.mark.parametrize(("patch", "spread"), [(1, 0), (3, 0), (1, 1), (3, 1), (1, 2)])
def test_it_is_what_a_loop_finds(patch, spread):
    rng = np.random.default_rng(0)
    features = rng.normal(size=(2, 2, *SIZE))
    hole = np.zeros((2, 1, *SIZE))
    hole[0, 0, 0, 0, 1] = 1  # another hole in each item
    hole[1, 0, 2, 3, 3:] = 0.3
    attention = ContextualAttention(patch, spread, sharpness=3.0).double()
    found = attention(torch.from_numpy(features), torch.from_numpy(hole))

    for n in range(2):
        expected = naive_attention(features[n], hole[n], patch, spread, 3.0)
        np.testing.assert_allclose(found[n], expected, rtol=1e-5, atol=1e-6)


def test_a_hole_is_filled_from_what_is_like_it():
    """A place that looks like just one known place becomes that one, whatever its length."""
    torch.manual_seed(0)
    features = torch.randn(1, 8, *SIZE)
    features[0, :, 1, 1, 1] = 2 * features[0, :, 2, 3, 4]
    hole = torch.zeros(1, 1, *SIZE)
    hole[0, 0, 1, 1, 1] = 1
    found = ContextualAttention(patch=1, spread=0, sharpness=1000.0)(features, hole)

    torch.testing.assert_close(found[0, :, 1, 1, 1], features[0, :, 2, 3, 4])


def test_nothing_is_borrowed_from_the_hole():
    torch.manual_seed(0)
    features, hole = torch.randn(1, 2, *SIZE), torch.zeros(1, 1, *SIZE)
    hole[0, 0, 1, 2, 2] = 1
    features[0, :, 1, 2, 2] = 1e4
    found = ContextualAttention(patch=1, spread=0)(features, hole)

    known = features[0].clone()
    known[:, 1, 2, 2] = 0
    assert found.abs().max() <= known.abs().max()


def test_where_all_is_hole_the_result_is_still_a_number():
    features = torch.randn(1, 2, *SIZE)
    found = ContextualAttention()(features, torch.ones(1, 1, *SIZE))

    assert torch.isfinite(found).all()


def test_its_gradient_is_that_of_finite_differences():
    torch.manual_seed(0)
    hole = torch.zeros(1, 1, 2, 3, 3, dtype=torch.float64)
    hole[0, 0, 0, 0, 0] = 1
    features = torch.randn(1, 2, 2, 3, 3, dtype=torch.float64, requires_grad=True)
    attention = ContextualAttention(patch=1, spread=1, sharpness=2.0)
    weights = torch.randn(1, 2, 2, 3, 3, dtype=torch.float64)
    (gradient,) = torch.autograd.grad((weights * attention(features, hole)).sum(), features)

    step = 1e-2  # cosines are float32 inside
    for place in ((0, 0, 0, 0, 0), (0, 1, 1, 2, 0)):
        values = []
        for sign in (1, -1):
            changed = features.detach().clone()
            changed[place] += sign * step
            values.append((weights * attention(changed, hole)).sum())
        expected = (values[0] - values[1]) / (2 * step)
        torch.testing.assert_close(gradient[place], expected, rtol=1e-2, atol=1e-3)


def test_scores_spread_to_neighbours_that_move_alike():
    """One score at (place 0, patch 1) of a line of four goes to (1, 2) alone; not to (0, 2)."""
    scores = torch.zeros(1, 4, 4)
    scores[0, 0, 1] = 1
    found = spread_scores(scores, (1, 1, 4), 1)

    expected = torch.zeros(4, 4)
    expected[0, 1] = expected[1, 2] = 1
    torch.testing.assert_close(found[0], expected)


@pytest.mark.parametrize(
    ("values", "message"), [((2, 0), "patch must be odd"), ((3, -1), "spread must not be negative")]
)
def test_what_makes_no_sense_is_refused(values, message):
    with pytest.raises(ValueError, match=message):
        ContextualAttention(*values)
