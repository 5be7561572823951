"""The three-step study and the nearness of drawings, where the truth is known."""

import dataclasses

import numpy as np
import pytest

from lungsynth.core.errors import LungSynthError
from lungsynth.detectors.classifier import PRESETS
from lungsynth.evaluation.drawn_radiographs import FeatureSpace, nearest_real, run_drawn
from lungsynth.evaluation.fidelity import (
    LabelledImages,
    compared,
    draw_labelled,
    measured,
    pseudo_labels,
    run_fidelity,
    split_labelled,
    table,
)
from lungsynth.evaluation.statistics import hanley_mcneil_error

CONFIG = dataclasses.replace(PRESETS["tiny"], total_steps=60, learning_rate=5e-3)


def radiographs(count: int, seed: int, part: float = 0.5) -> LabelledImages:
    """Noise on a gradient; the abnormal part has a bright square somewhere below."""
    rng = np.random.default_rng(seed)
    rows = np.linspace(-0.3, 0.3, 32, dtype=np.float32)[:, None]
    images = (rows + rng.normal(0, 0.1, (count, 32, 32))).astype(np.float32)
    abnormal = np.arange(count) < round(part * count)
    for n in np.flatnonzero(abnormal):
        left = int(rng.integers(4, 16))
        images[n, 18:28, left : left + 10] += 0.7
    return LabelledImages(images, abnormal)


def draw(seed: int, count: int) -> np.ndarray:
    return radiographs(count, seed + 1000, part=0.4).images


def test_pseudo_labels_by_hand():
    likely = np.array([0.69, 0.7, 0.31, 0.3, 1.0, 0.0])

    assert pseudo_labels(likely).tolist() == [-1, 1, -1, 0, 1, 0]


def test_a_step_is_measured_by_hand():
    scores = np.array([0.9, 0.6, 0.2, 0.1, 0.55, 0.4])
    abnormal = np.array([True, True, True, False, False, False])

    found = measured(scores, abnormal)

    assert found["auroc"]["value"] == pytest.approx(7 / 9)
    assert found["sensitivity"] == pytest.approx(2 / 3)
    assert found["specificity"] == pytest.approx(2 / 3)
    assert found["abnormal_called_normal"] == 1
    assert found["normal_called_abnormal"] == 1


def test_classifiers_are_compared_by_both_tests():
    rng = np.random.default_rng(0)
    abnormal = np.arange(80) < 30
    good = abnormal + rng.normal(0, 0.4, 80)
    poor = abnormal + rng.normal(0, 3.0, 80)

    found = compared(good, poor, abnormal)

    assert found["delong"]["value"] == pytest.approx(found["hanley_mcneil"]["value"])
    assert found["delong"]["value"] < -0.1
    assert found["delong"]["p_value"] < 0.01
    areas = [measured(s, abnormal)["auroc"]["value"] for s in (good, poor)]
    errors = [hanley_mcneil_error(a, 30, 50) for a in areas]
    half = 1.959964 * np.hypot(*errors)
    low, high = found["hanley_mcneil"]["interval_95"]
    assert high - low == pytest.approx(2 * half, rel=1e-4)


def test_labelled_images_are_split_with_their_numbers():
    drawn = LabelledImages(np.arange(10, dtype=np.float32)[:, None, None], np.arange(10) < 4)

    first, rest = split_labelled(drawn, (3, 4))

    assert first.images[:, 0, 0].tolist() == [0, 1, 2, 4, 5, 6, 7]
    assert first.abnormal.tolist() == [True] * 3 + [False] * 4
    assert rest.images[:, 0, 0].tolist() == [3, 8, 9]


class Known:
    """A classifier that reads the mean of the square's rows."""

    def likelihoods(self, images: np.ndarray) -> np.ndarray:
        excess = images[:, 18:28].mean(axis=(1, 2)) - images[:, :14].mean(axis=(1, 2))
        return np.clip((excess - 0.41) / 0.2 + 0.5, 0, 1)[:, None]

    def any_finding(self, likely: np.ndarray) -> np.ndarray:
        return likely[:, 0]


def test_drawing_goes_on_until_there_are_enough_of_both():
    found, counts = draw_labelled(draw, Known(), (30, 50), 4)

    assert len(found.images) == 80
    assert found.abnormal.sum() == 30
    likely = Known().likelihoods(found.images)[:, 0]
    assert (pseudo_labels(likely) == found.abnormal).all()
    assert counts["drawn"] % 64 == 0
    assert counts["drawn"] == counts["abnormal"] + counts["normal"] + counts["unsure"]


def test_a_generator_of_normals_alone_is_refused():
    def normals(seed: int, count: int) -> np.ndarray:
        return radiographs(count, seed, part=0.0).images

    with pytest.raises(LungSynthError, match="a generator that was trained on both"):
        draw_labelled(normals, Known(), (3, 3), 0)


def test_the_whole_study_of_a_perfect_generator_finds_no_difference():
    train, test = radiographs(60, 1), radiographs(60, 2)

    found = run_fidelity(train, test, draw, CONFIG, seed=3, device="cpu")

    steps = found.values["steps"]
    assert steps["real_on_real"]["auroc"]["value"] > 0.95
    assert steps["synthetic_on_real"]["auroc"]["value"] > 0.9
    assert steps["synthetic_on_synthetic"]["auroc"]["value"] > 0.9
    low, high = found.values["difference"]["delong"]["interval_95"]
    assert low <= 0.02
    assert high >= -0.02
    assert len(found.drawn.images) == 60
    assert found.drawn.abnormal.sum() == 30
    lines = table(found.values).text().splitlines()
    assert len(lines) == 7
    assert "0.881" in lines[4]


def test_sets_of_one_kind_are_refused():
    with pytest.raises(LungSynthError, match="test images: 8 normal and 0 abnormal"):
        run_fidelity(radiographs(8, 1), radiographs(8, 2, part=0), draw, CONFIG, device="cpu")


class Flat:
    """Features that are eight means of an image's parts."""

    def features(self, images: np.ndarray) -> np.ndarray:
        return images.reshape(len(images), 8, -1).mean(axis=2).astype(np.float64)


def test_feature_space_makes_the_training_images_a_standard_normal():
    features = np.random.default_rng(0).normal(size=(200, 30)) @ np.diag(np.arange(1.0, 31))

    found = FeatureSpace.fit(features, 5).project(features)

    np.testing.assert_allclose(np.cov(found.T), np.eye(5), atol=1e-9)
    with pytest.raises(LungSynthError, match="needs 32 training radiographs"):
        FeatureSpace.fit(features[:31])


def test_a_moved_copy_is_the_nearest_and_is_suspected():
    rng = np.random.default_rng(0)
    smooth = np.kron(rng.normal(size=(60, 8, 8)), np.ones((1, 6, 6))).astype(np.float32)
    train, held = smooth[:40], smooth[40:]
    drawn = np.concatenate([np.roll(train[7:8], (1, -1), (1, 2)) * 0.5 + 0.1, held[:3] + 0.01])

    nearest, apart = nearest_real(drawn, train)

    assert nearest[0] == 7
    assert apart[0] < 1e-6
    assert apart[1:].min() > 0.3


def test_the_same_distribution_is_as_near_as_halves_and_another_is_not():
    train, held, drawn = (radiographs(80, s, part=0).images for s in (1, 2, 3))
    patients = np.array([f"p{n}" for n in range(80)])

    same = run_drawn(Flat(), train, held, patients, drawn)
    brighter = drawn.copy()
    brighter[:, :4] += 0.05
    other = run_drawn(Flat(), train, held, patients, brighter)

    assert same["ratio"] < 2
    assert other["ratio"] > 3 * same["ratio"]
    assert same["suspected_copies"] == 0
    assert same["drawn"] == 80
    copied = run_drawn(Flat(), train, held, patients, np.concatenate([train[:3], drawn]))
    assert copied["suspected_copies"] == 3
