"""Latent axes, on a "generator" and a "classifier" whose axes are known."""

import numpy as np
import pytest
from sklearn.linear_model import Ridge

from lungsynth.core.errors import LungSynthError
from lungsynth.detectors.latent_axes import (
    AxesConfig,
    find_axes,
    monotone,
    moved_latents,
    orthogonalised,
    regress,
    single_patterns,
)

SIZE = 16
NAMES = ("Effusion", "Mass", "Hernia")
TRUE = np.linalg.qr(np.random.default_rng(8).normal(size=(SIZE, 2)))[0].T


def draw(latents: np.ndarray) -> np.ndarray:
    return latents.reshape(-1, 4, 4)


def read(images: np.ndarray) -> np.ndarray:
    """Two findings that follow from two directions, and one that never shows."""
    along = images.reshape(len(images), -1) @ TRUE.T
    likely = 1 / (1 + np.exp(-(9 * along - 12)))
    return np.concatenate([likely, np.full((len(images), 1), 0.01)], axis=1)


def test_single_patterns_by_hand():
    likelihoods = np.array(
        [[0.95, 0.05, 0.1], [0.95, 0.2, 0.0], [0.1, 0.02, 0.0], [0.5, 0.0, 0.0], [0.0, 0.0, 0.9]]
    )

    assert single_patterns(likelihoods, AxesConfig()).tolist() == [0, -2, -1, -2, 2]


def test_regression_is_the_weighted_ridge_of_scikit_learn():
    rng = np.random.default_rng(0)
    latents, outputs = rng.normal(size=(60, 5)), rng.normal(size=(60, 2))
    pattern = np.array([-1] * 40 + [0] * 15 + [1] * 5)
    weight = np.array([0.5] * 40 + [60 / 45] * 15 + [4.0] * 5)  # 60 / (3 classes x their number)

    found = regress(latents, outputs, pattern, 0.1)

    known = Ridge(alpha=0.1 * weight.sum()).fit(latents, outputs, sample_weight=weight)
    np.testing.assert_allclose(found, known.coef_, rtol=1e-6)


def test_known_axes_are_found_and_the_missing_one_is_said_to_be():
    config = AxesConfig(drawings=4000)

    axes = find_axes(draw, read, NAMES, SIZE, config)

    assert axes.names == ("Effusion", "Mass")
    for direction, true in zip(axes.directions, TRUE, strict=True):
        assert direction @ true > 0.97
        assert np.linalg.norm(direction) == pytest.approx(1)
    assert axes.missing == {"Hernia": "0 drawings show it alone; 10 are needed"}
    assert axes.counts["normal"] > axes.counts["Effusion"] > 10
    for name in axes.names:
        walks = axes.walks[name]
        assert walks.shape == (20, 9)
        assert monotone(walks).all()
        assert walks[:, 0].max() <= 0.1
        assert walks[:, -1].min() > 0.8
        assert (axes.any_walks[name] >= walks - 1e-12).all()


def test_a_finding_that_does_not_grow_along_its_slope_is_not_found():
    """One that depends on a square: single patterns there are, a direction there is not."""

    def even(images: np.ndarray) -> np.ndarray:
        along = images.reshape(len(images), -1) @ TRUE[0]
        return (1 / (1 + np.exp(-(6 * along**2 - 14))))[:, None]

    axes = find_axes(draw, even, NAMES[:1], SIZE, AxesConfig(drawings=3000, reach=1.0))

    assert axes.names == ()
    assert "raises its likelihood by" in axes.missing["Effusion"]


def test_no_normal_drawing_leaves_every_axis_unfound():
    axes = find_axes(
        draw, lambda x: np.full((len(x), 2), 0.5), NAMES[:2], SIZE, AxesConfig(drawings=200)
    )

    assert axes.names == ()
    assert set(axes.missing) == {"Effusion", "Mass"}


def test_orthogonalised_axes_leave_the_others_as_they_are():
    rng = np.random.default_rng(1)
    directions = rng.normal(size=(3, SIZE))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)

    found = orthogonalised(directions)

    on_others = found @ directions.T
    np.testing.assert_allclose(on_others - np.diag(np.diag(on_others)), 0, atol=1e-12)
    assert (np.diag(on_others) > 0).all()
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1)
    with pytest.raises(LungSynthError, match="not independent"):
        orthogonalised(np.array([[1.0, 0], [1.0, 0]]))


def test_latents_move_straight_along_the_axis():
    start, direction = np.ones(SIZE, np.float32), TRUE[0]

    found = moved_latents(start, direction, np.array([0.0, 2.0]))

    np.testing.assert_allclose(found[0], start)
    np.testing.assert_allclose(found[1] - start, 2 * direction, rtol=1e-5)  # sqrt(16) / 4 = 1


def test_monotone_allows_a_little():
    walks = np.array([[0.1, 0.5, 0.9], [0.1, 0.5, 0.49], [0.1, 0.5, 0.4]])

    assert monotone(walks).tolist() == [True, True, False]


def test_limits_that_make_no_single_pattern_are_refused():
    with pytest.raises(LungSynthError, match=r"likely 0\.1, unlikely 0\.9"):
        AxesConfig(likely=0.1, unlikely=0.9)
