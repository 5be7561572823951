"""The search of latent vectors, against losses by hand and optima in closed form."""

import numpy as np
import pytest
import torch

from lungsynth.core.errors import LungSynthError
from lungsynth.detectors.anogan import AnoGAN
from lungsynth.detectors.inversion import InversionConfig, draw_starts, invert, residual_loss

SIDE, LATENTS = 8, 5


class LinearGenerator:
    """Images that are linear in the latents, so that the best latents are known."""

    latent_size, image_size = LATENTS, SIDE

    def __init__(self, seed: int = 3) -> None:
        rng = np.random.default_rng(seed)
        self.matrix = torch.from_numpy(rng.normal(size=(LATENTS, SIDE * SIDE))).float() * 0.3
        self.offset = torch.from_numpy(rng.normal(size=SIDE * SIDE)).float() * 0.2
        self.calls = 0

    def __call__(self, latents: torch.Tensor) -> torch.Tensor:
        self.calls += len(latents)
        return (latents @ self.matrix + self.offset).reshape(-1, 1, SIDE, SIDE)

    def optimum(self, image: np.ndarray, weight: np.ndarray) -> np.ndarray:
        """Weighted least squares with a free offset, which the pairwise loss allows."""
        design = np.concatenate([self.matrix.numpy().T, np.ones((SIDE * SIDE, 1))], axis=1)
        root = np.sqrt(weight.ravel())[:, None]
        target = image.ravel() - self.offset.numpy()
        found, *_ = np.linalg.lstsq(design * root, target * root[:, 0], rcond=None)
        return found[:-1]


def images_and_weight(count: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(11)
    images = rng.normal(size=(count, SIDE, SIDE)).astype(np.float32)
    weight = np.ones_like(images)
    weight[:, 5] = 0.5
    weight[:, :, :3] = 0
    return images, weight


def test_loss_is_the_mean_over_pairs_by_hand():
    """d = 1, 2, 4: ((1-2)^2 + (1-4)^2 + (2-4)^2) / 3 = 14 / 3."""
    first = torch.tensor([1.0, 2.0, 4.0]).reshape(1, 1, 1, 3)

    found = residual_loss(first, torch.zeros_like(first), torch.ones_like(first))

    torch.testing.assert_close(found, torch.tensor([14 / 3]))


def test_loss_weights_each_pair_by_both_of_its_pixels():
    rng = np.random.default_rng(0)
    d, w = rng.normal(size=12), rng.random(12)
    pairs = [(i, j) for i in range(12) for j in range(12) if i != j]
    expected = sum(w[i] * w[j] * (d[i] - d[j]) ** 2 for i, j in pairs) / sum(
        w[i] * w[j] for i, j in pairs
    )
    shape = (1, 1, 3, 4)

    found = residual_loss(
        torch.from_numpy(d).reshape(shape),
        torch.zeros(shape, dtype=torch.float64),
        torch.from_numpy(w).reshape(shape),
    )

    assert float(found) == pytest.approx(expected, rel=1e-9)


def test_loss_ignores_overall_brightness_and_what_has_no_weight():
    images, weight = map(torch.from_numpy, images_and_weight(2))
    other = images + 0.7
    other[:, :, :3] = 100

    found = residual_loss(images[:, None], other[:, None], weight[:, None])

    torch.testing.assert_close(found, torch.zeros(2), atol=1e-4, rtol=0)


@pytest.mark.parametrize("restarts", [1, 3])
def test_the_search_finds_the_known_optimum_of_a_linear_generator(restarts):
    generator = LinearGenerator()
    images, weight = images_and_weight(3)
    config = InversionConfig(
        steps=800, restarts=restarts, learning_rate=0.1, patience=800, tolerance=1e-6
    )

    found = AnoGAN(generator, config=config, batch_size=2).search(images, weight)[0]

    for latents, image, w in zip(found, images, weight, strict=True):
        np.testing.assert_allclose(latents, generator.optimum(image, w), atol=2e-3)


def test_an_image_is_searched_by_itself():
    generator = LinearGenerator()
    images, weight = images_and_weight(4)
    config = InversionConfig(steps=30, restarts=2)
    together = AnoGAN(generator, config=config, batch_size=4).search(images, weight)[0]
    alone = AnoGAN(generator, config=config).search(images[2:3], weight[2:3])[0]

    np.testing.assert_allclose(together[2], alone[0], rtol=1e-4, atol=1e-5)


def test_a_search_at_its_optimum_stops_and_costs_nothing_more():
    generator = LinearGenerator()
    images, weight = images_and_weight(2)
    best = np.stack([generator.optimum(i, w) for i, w in zip(images, weight, strict=True)])
    starts = torch.from_numpy(best[None]).float()
    starts[0, 1] += 3  # the second one has somewhere to go
    config = InversionConfig(steps=300, restarts=1, patience=20)
    x, w = torch.from_numpy(images)[:, None], torch.from_numpy(weight)[:, None]

    found = invert(generator, x, w, starts, config)

    assert found.steps[0] == 20
    assert 20 < found.steps[1] < 300
    # one call for the starts, one for the result, and one for each step that was taken
    assert generator.calls == 4 + int(found.steps.sum())


def test_curve_never_rises_begins_at_the_start_and_ends_at_the_residual():
    generator = LinearGenerator()
    images, weight = images_and_weight(3)
    x, w = torch.from_numpy(images)[:, None], torch.from_numpy(weight)[:, None]
    starts = draw_starts(LATENTS, 2, [1, 2, 3])
    first = torch.stack([residual_loss(generator(s), x, w) for s in starts]).amin(0).mean()

    found = invert(generator, x, w, starts, InversionConfig(steps=25))

    assert found.curve[0] == pytest.approx(float(first), rel=1e-5)
    assert found.curve[-1] == pytest.approx(float(found.residual.mean()), rel=1e-5)
    assert (np.diff(found.curve) <= 1e-9).all()
    assert (np.diff(found.seconds) > 0).all()
    assert len(found.curve) == 26
    torch.testing.assert_close(residual_loss(found.images, x, w), found.residual)


def test_an_encoder_that_inverts_needs_no_step():
    generator = LinearGenerator()
    latents = torch.from_numpy(np.random.default_rng(5).normal(size=(2, LATENTS))).float()
    images = generator(latents)[:, 0].numpy()

    class Encoder(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            pseudo = torch.linalg.pinv(generator.matrix)
            return (x.flatten(1) - generator.offset) @ pseudo

    config = InversionConfig(steps=1, restarts=1)
    found = AnoGAN(generator, encoder=Encoder(), config=config).search_batch(
        images, np.ones_like(images)
    )

    assert found.curve[0] < 1e-8
    np.testing.assert_allclose(found.latents.numpy(), latents.numpy(), atol=1e-3)


def test_feature_loss_pulls_towards_the_features():
    """With a feature that is one pixel, and a heavy weight, that pixel is met."""
    generator = LinearGenerator()
    images, weight = images_and_weight(1)
    x, w = torch.from_numpy(images)[:, None], torch.from_numpy(weight)[:, None]
    starts = draw_starts(LATENTS, 1, [4])
    config = InversionConfig(
        steps=400, restarts=1, feature_weight=100.0, patience=400, learning_rate=0.1
    )

    without = invert(generator, x, w, starts, config)
    missed = (without.images - x).abs().flatten()
    worst = int((missed * w.flatten()).argmax())
    found = invert(
        generator, x, w, starts, config, features=lambda batch: batch.flatten(1)[:, [worst]]
    )

    assert missed[worst] > 0.5
    assert (found.images - x).abs().flatten()[worst] < 0.02
    assert found.residual > without.residual


def test_feature_loss_without_an_encoder_is_refused():
    with pytest.raises(LungSynthError, match="encoder's features"):
        AnoGAN(LinearGenerator(), config=InversionConfig(feature_weight=1.0))


def test_starts_of_an_image_follow_from_its_seed_alone():
    both, alone = draw_starts(7, 3, [5, 9]), draw_starts(7, 3, [9])

    torch.testing.assert_close(both[:, 1], alone[:, 0])
    assert not torch.equal(both[:, 0], both[:, 1])
    assert both.shape == (3, 2, 7)
