"""Diversity: distances by hand, pairs by their rules, files to files."""

import json
from dataclasses import replace

import numpy as np
import pytest

from lungsynth.core.errors import LungSynthError
from lungsynth.evaluation import realism
from lungsynth.evaluation.diversity import DiversityConfig, run_diversity
from lungsynth.evaluation.frechet import FeatureConfig
from lungsynth.evaluation.nodule_distances import (
    Measured,
    draw_real_pairs,
    noise_pairs,
    rms_in_ball,
    site_pairs,
)

QUICK = DiversityConfig(
    noises=3,
    pairs_per_site=2,
    features=FeatureConfig(epochs=1, batch_size=4, width=4, features=2, seeds=(0,)),
    resamples=40,
    device="cpu",
)


def test_only_what_lies_in_the_ball_counts():
    first = np.zeros((32, 32, 32))
    second = first.copy()
    second[16, 16, 16 + 6] = 1000  # just outside the ball of 5 mm radius
    assert rms_in_ball(first, second, 8.0) == 0

    second[16, 16, 16 + 5] = 70
    inside = (np.square(np.indices(first.shape) - 16).sum(axis=0) <= 25).sum()
    assert rms_in_ball(first, second, 8.0) == pytest.approx(70 / np.sqrt(inside))


def test_distances_of_pairs():
    crops = np.stack([np.full((32, 32, 32), v) for v in (-100.0, -40.0, 50.0)])
    features = np.array([[0.0, 0.0], [3.0, 4.0], [0.0, 1.0]])

    found = Measured(crops, features, np.array([4.0, 6.0, 5.0])).distances([(0, 1), (2, 0)])

    assert found["rms_hu"].tolist() == [60, 150]
    assert found["features"].tolist() == [5, 1]


def test_real_pairs_are_alike_and_of_different_patients(nine_cubes):
    chosen = np.array([0, 1, 3, 4, 6, 7, 8])
    sizes = nine_cubes.diameter_mm
    table = [
        {**row, "patient": "same" if n in {0, 3} else str(n)}
        for n, row in enumerate(nine_cubes.table)
    ]
    cubes = replace(nine_cubes, table=table)

    pairs = draw_real_pairs(cubes, chosen, 9, np.random.default_rng(0))

    expected = {
        (a, b)
        for a in range(7)
        for b in range(a + 1, 7)
        if cubes.attenuation[chosen[a]] is cubes.attenuation[chosen[b]]
        and {int(chosen[a]), int(chosen[b])} != {0, 3}
        and max(sizes[chosen[[a, b]]]) <= 1.15 * min(sizes[chosen[[a, b]]])
    }
    assert set(pairs) == expected
    assert len(pairs) == len(set(pairs))


def test_pairs_of_one_context_and_of_several():
    index = np.array([5, 5, 5, 2, 9, 9])
    assert noise_pairs(index) == [(0, 1), (0, 2), (1, 2), (4, 5)]

    chosen = np.array([2, 5, 7, 9])  # nothing could be made at 7
    assert site_pairs(index, chosen, [(0, 1), (1, 2), (1, 3)]) == [(3, 0), (0, 4)]


class NoisyBall:
    """A ball whose density follows its latent seed, or does not."""

    def __init__(self, ball, name):
        self.inner = ball()
        self.name, self.weights_sha256, self.device = name, "c" * 64, "cpu"
        self.box_mm = self.inner.box_mm

    def inpaint(self, context_hu, specs, box_mm):
        filled = self.inner.inpaint(context_hu, specs, box_mm)
        if self.name == "noisy":
            for n, spec in enumerate(specs):
                shift = np.random.default_rng(spec.latent_seed).normal(0, 40)
                filled.hu[n] += filled.mask[n] * np.float32(shift)
        return filled


@pytest.fixture
def two(monkeypatch, ball):
    monkeypatch.setattr(realism, "load_synthesizer", lambda name, **_: NoisyBall(ball, name))
    return ["noisy", "still"]


def test_from_files_to_files(nodule_data, two):
    json_path, picture = nodule_data / "d.json", nodule_data / "d.png"

    values = run_diversity(
        nodule_data, "train", two, json_path=json_path, report_path=picture, config=QUICK
    )

    assert json.loads(json_path.read_text(encoding="utf-8")) == json.loads(json.dumps(values))
    assert picture.read_bytes()[:4] == b"\x89PNG"
    noisy, still = (values["synthesizers"][name] for name in two)
    # the difference of two normals of deviation 40 is 45 on average; HU of the surroundings alike
    assert 20 < noisy["same_context"]["rms_hu"]["value"] < 80
    assert still["same_context"]["rms_hu"]["value"] == 0
    assert still["same_context"]["features"]["of_real"]["value"] == 0
    assert noisy["same_context"]["pairs"] == 3 * values["sites"]
    assert still["other_contexts"]["pairs"] == values["real"]["pairs"]
    ratio = noisy["same_context"]["rms_hu"]["of_real"]
    mean = noisy["same_context"]["rms_hu"]["value"]
    assert ratio["value"] == pytest.approx(mean / values["real"]["rms_hu"]["value"])
    assert ratio["interval_95"][0] <= ratio["value"] <= ratio["interval_95"][1]
    assert values["table"]["rows"][2][0] == "noisy, other contexts"


def test_without_like_nodules_it_says_so(nodule_data, two):
    with pytest.raises(LungSynthError, match="no two of the 1 real nodules of test are alike"):
        run_diversity(nodule_data, "test", two, config=replace(QUICK, max_nodules=1))
    with pytest.raises(LungSynthError, match="two nodules at a site at least; got noises = 1"):
        DiversityConfig(noises=1)
