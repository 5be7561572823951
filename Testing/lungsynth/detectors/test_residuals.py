"""Maps, scores, regions and their meaning, by hand and by other implementations."""

import numpy as np
import pytest
from scipy import stats

from lungsynth.core.errors import LungSynthError
from lungsynth.detectors.baselines import MeanImage, PrincipalComponents
from lungsynth.detectors.calibration import Calibration
from lungsynth.detectors.domain import Domain, edge_histograms
from lungsynth.detectors.residuals import (
    ResidualConfig,
    ResidualModel,
    blur,
    difference,
    find_regions,
    peaks,
)

SIDE = 40


def noise(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(count, SIDE, SIDE)).astype(np.float32)


def test_difference_takes_overall_brightness_out_by_hand():
    """Differences 1, 2, 6 with weights 1, 1, 0: their mean 1.5 is taken off, the third is out."""
    images = np.array([[[1.0, 2.0, 6.0]]], np.float32)
    weight = np.array([[[1.0, 1.0, 0.0]]], np.float32)

    found = difference(images, np.zeros_like(images), weight)

    np.testing.assert_allclose(found, [[[-0.5, 0.5, 0.0]]])


def test_maps_of_normals_have_unit_deviation_and_score_as_the_half_normal():
    model = ResidualModel.fit(noise(400), np.ones((400, SIDE, SIDE), np.float32))
    held = noise(100, seed=1)
    weight = np.ones_like(held)

    maps = model.maps(held, weight)

    assert maps.std() == pytest.approx(1.0, abs=0.02)
    everything = ResidualModel(model.mean, model.deviation, ResidualConfig(top_share=1.0))
    expected = np.sqrt(2 / np.pi)  # the mean of |z|
    assert everything.scores(maps, weight).mean() == pytest.approx(expected, abs=0.01)


def test_score_is_the_mean_of_the_largest_share_by_hand():
    """Of eight pixels in the field the largest quarter is 7 and -9."""
    maps = np.array([[[1, 2, 3, 4, 5], [6, 7, -9, 50, 60]]], np.float32)
    weight = np.array([[[1, 1, 1, 1, 1], [1, 1, 1, 0, 0]]], np.float32)
    flat = np.zeros((2, 5), np.float32)
    model = ResidualModel(flat, flat + 1, ResidualConfig(top_share=0.25))

    np.testing.assert_allclose(model.scores(maps, weight), [8.0])


def test_blur_does_not_take_from_outside_the_field():
    values = np.ones((1, SIDE, SIDE), np.float32)
    weight = np.ones_like(values)
    weight[0, :, 20:] = 0
    values[0, :, 20:] = 1000

    found = blur(values, weight, 0.05)

    np.testing.assert_allclose(found[0, :, :20], 1.0, rtol=1e-4)
    assert (found[0, :, 20:] == 0).all()


def test_regions_of_two_planted_squares():
    deviation = np.zeros((30, 40), np.float32)
    deviation[4:8, 10:16] = 6
    deviation[5, 12] = 9
    deviation[20:24, 30:33] = -7
    deviation[15, 5] = 20  # a single pixel
    deviation[26:29, 2:9] = 3.9  # never reaches the threshold

    labels, regions = find_regions(deviation, 5.0, grow=0.7)

    assert [(r.label, r.pixels, r.peak, r.peak_at) for r in regions] == [
        (1, 24, 9.0, (5, 12)),
        (2, 12, -7.0, (20, 30)),
    ]
    assert regions[0].box == (4, 7, 10, 15)
    assert regions[0].centre == (5.5, 12.5)
    assert [r.denser for r in regions] == [True, False]
    assert (labels == 1).sum() == 24
    assert labels[21, 31] == 2
    assert labels.max() == 2


def test_a_region_grows_below_the_threshold_of_its_peak():
    deviation = np.full((9, 9), 3.6, np.float32)
    deviation[4, 4] = 5.5

    _, grown = find_regions(deviation, 5.0, grow=0.7)
    _, not_grown = find_regions(deviation, 5.0, grow=0.8, least_pixels=1)

    assert grown[0].pixels == 81
    assert not_grown[0].pixels == 1


def test_p_value_equals_the_prediction_interval_of_the_textbook():
    scores = np.exp(np.array([0.1, 0.4, -0.3, 0.2, 0.0, 0.6, -0.1, 0.3, 0.2, 0.5]))
    calibration = Calibration(scores)
    log = np.log(scores)
    upper = log.mean() + stats.t.ppf(0.95, 9) * log.std(ddof=1) * np.sqrt(1 + 1 / 10)

    assert calibration.threshold(0.05) == pytest.approx(np.exp(upper))
    np.testing.assert_allclose(calibration.p_value(np.exp([upper])), [0.05])


def test_asked_false_positive_rate_is_kept_on_new_normals():
    """Over many calibrations of 39 normals the mean rate is what was asked, exactly in theory."""
    rng = np.random.default_rng(7)
    rates = []
    for _ in range(300):
        threshold = Calibration(rng.lognormal(0.5, 0.3, size=39)).threshold(0.05)
        rates.append((rng.lognormal(0.5, 0.3, size=400) > threshold).mean())

    assert np.mean(rates) == pytest.approx(0.05, abs=0.005)


def test_conformal_p_value_by_hand():
    """Three of ten normals score 8 or more: (3 + 1) / 11."""
    calibration = Calibration(np.arange(1.0, 11.0))

    np.testing.assert_allclose(
        calibration.conformal_p_value(np.array([8.0, 99.0, 0.5])), [4 / 11, 1 / 11, 1]
    )


@pytest.mark.parametrize("rate", [0.0, 1.0, -0.1])
def test_a_rate_that_is_no_share_is_refused(rate):
    with pytest.raises(LungSynthError, match="above 0 and below 1"):
        Calibration(np.arange(1.0, 20.0)).threshold(rate)


def test_too_few_normals_are_refused():
    with pytest.raises(LungSynthError, match="10 held normal radiographs; got 4"):
        Calibration(np.ones(4))


def test_mean_image_with_residual_model_is_the_pixelwise_mahalanobis_distance():
    normals = noise(50) * np.linspace(0.5, 2, SIDE)[None, None].astype(np.float32)
    weight = np.ones_like(normals)
    config = ResidualConfig(blur=1e-6, floor=0.0, top_share=1.0)
    detector = MeanImage.fit(normals)
    differences = difference(normals, detector.reconstruct(normals, weight), weight)
    model = ResidualModel.fit(differences, weight, config)
    centred = normals - normals.mean(axis=(1, 2), keepdims=True)
    expected = (centred - centred.mean(axis=0)) / centred.std(axis=0, ddof=1)

    np.testing.assert_allclose(model.maps(differences, weight), expected, rtol=1e-3, atol=1e-3)


def test_components_are_those_of_a_singular_value_decomposition():
    normals = noise(30)
    found = PrincipalComponents.fit(normals, variance=0.2)
    centred = (normals - normals.mean(axis=0)).reshape(30, -1)
    rows = np.linalg.svd(centred, full_matrices=False)[2]
    count = len(found.components)
    flat = found.components.reshape(count, -1)

    np.testing.assert_allclose(flat @ flat.T, np.eye(count), atol=1e-4)
    np.testing.assert_allclose(np.abs(flat @ rows[:count].T), np.eye(count), atol=1e-3)


def test_components_see_through_what_the_field_leaves_out():
    """An image of the space itself is found again though a third of it is hidden."""
    rng = np.random.default_rng(2)
    basis = noise(4, seed=9)
    normals = np.tensordot(rng.normal(size=(40, 4)), basis, 1).astype(np.float32)
    detector = PrincipalComponents.fit(normals, variance=0.9999)
    image = np.tensordot([[0.5, -1, 2, 0.3]], basis, 1).astype(np.float32)
    weight = np.ones_like(image)
    weight[:, :, :13] = 0
    hidden = np.where(weight > 0, image, 1e3).astype(np.float32)

    np.testing.assert_allclose(detector.reconstruct(hidden, weight), image, atol=0.05)


def smooth(count: int, seed: int) -> np.ndarray:
    """Pictures of two Gaussians that move a little, with a gradient: "frontal"."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[:64, :64] / 63
    found = []
    for _ in range(count):
        dx, dy, size = rng.normal(0, 0.02), rng.normal(0, 0.02), 0.15 + rng.normal(0, 0.01)
        left = np.exp(-((rows - 0.5 - dy) ** 2 + (columns - 0.3 - dx) ** 2) / size**2)
        right = np.exp(-((rows - 0.5 - dy) ** 2 + (columns - 0.7 - dx) ** 2) / size**2)
        found.append(1 - left - right + rng.normal(0, 0.05, size=(64, 64)))
    return np.array(found, np.float32)


def test_domain_knows_its_own_kind_and_refuses_another():
    domain = Domain.fit(smooth(120, 0), smooth(40, 1))
    own = smooth(200, 2)
    lateral = np.rot90(own[:5], axes=(1, 2)).copy()
    small_child = np.pad(own[:5, ::2, ::2], ((0, 0), (16, 16), (16, 16)), mode="edge")

    assert (domain.p_value(own) < 0.01).mean() <= 0.03
    assert (domain.p_value(lateral) < 0.001).all()
    assert (domain.p_value(small_child) < 0.001).all()
    assert (domain.p_value(-own[:5]) < 0.001).all()


def test_edges_of_a_gradient_run_where_it_rises():
    """A picture that rises to the right has edges of direction 0 alone, rising downwards of 2."""
    right = np.tile(np.linspace(-1, 1, 64, dtype=np.float32), (64, 1))

    found = edge_histograms(np.stack([right, right.T])).reshape(2, 8, 8, 8)

    np.testing.assert_allclose(found[0, ..., 1:], 0, atol=1e-6)
    np.testing.assert_allclose(found[1, ..., 2], 1 / 1.1, rtol=1e-3)


def test_domain_does_not_mind_brightness_and_contrast():
    domain = Domain.fit(smooth(60, 0), smooth(30, 1))
    own = smooth(3, 2)

    np.testing.assert_allclose(domain.p_value(0.5 * own - 0.2), domain.p_value(own), rtol=1e-3)


def test_peaks_are_the_largest_of_either_sign():
    maps = np.array([[[1.0, -5.0]], [[3.0, 2.0]]], np.float32)

    np.testing.assert_allclose(peaks(maps), [5, 3])
