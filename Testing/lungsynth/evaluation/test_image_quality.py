"""Image quality: values by hand, SSIM against an independent implementation, files to files."""

import json
from dataclasses import replace

import numpy as np
import pytest

from lungsynth.core.errors import LungSynthError
from lungsynth.evaluation import frechet, realism
from lungsynth.evaluation.frechet import FeatureConfig
from lungsynth.evaluation.image_quality import (
    RANGE_HU,
    QualityConfig,
    compare,
    measure_pairs,
    nodule_sphere,
    regions,
    run_image_quality,
    ssim_map,
)
from lungsynth.evaluation.pairs import make_pairs

QUICK = QualityConfig(
    features=FeatureConfig(epochs=1, batch_size=4, width=4, features=2, seeds=(0, 1)),
    resamples=20,
    device="cpu",
)


def test_ssim_agrees_with_scikit_image():
    metrics = pytest.importorskip("skimage.metrics")
    rng = np.random.default_rng(1)
    first = rng.normal(-600, 200, (20, 24, 28))
    second = first + rng.normal(20, 120, first.shape)

    mean, expected = metrics.structural_similarity(
        first,
        second,
        data_range=RANGE_HU,
        gaussian_weights=True,
        sigma=1.5,
        use_sample_covariance=False,
        full=True,
    )

    found = ssim_map(first, second)
    np.testing.assert_allclose(found, expected, atol=1e-10)
    inner = (slice(5, -5),) * 3
    assert found[inner].mean() == pytest.approx(mean)


def test_ssim_of_constants_is_its_luminance_term():
    first, second = np.full((12, 12, 12), 200.0), np.full((12, 12, 12), 100.0)
    c1 = (0.01 * 2040) ** 2

    expected = (2 * 200 * 100 + c1) / (200**2 + 100**2 + c1)

    np.testing.assert_allclose(ssim_map(first, second), expected)


def test_errors_by_hand_in_each_region():
    real = np.full((16, 16, 16), -800, np.int16)
    generated = real.copy()
    generated[4, 4, 4:8] += np.array([8, -16, 24, 0], np.int16)
    part = np.zeros(real.shape, bool)
    part[4, 4, 4:8] = True

    found = compare(real, generated, {"voi": np.ones_like(part), "masked": part})

    assert found["masked"]["mae_hu"] == 12
    assert found["masked"]["psnr_db"] == pytest.approx(10 * np.log10(2040**2 / 224))
    assert found["voi"]["mae_hu"] == pytest.approx(48 / 4096)
    assert found["voi"]["ssim"] > found["masked"]["ssim"]


def test_equal_volumes_are_perfect_and_finite():
    real = np.random.default_rng(0).integers(-1000, 0, (12, 12, 12)).astype(np.int16)

    found = compare(real, real, {"voi": np.ones(real.shape, bool)})["voi"]

    assert (found["mae_hu"], found["ssim"]) == (0, pytest.approx(1))
    assert found["psnr_db"] == pytest.approx(20 * np.log10(2040))


def test_the_masked_region_is_the_ball_of_the_nodules_diameter():
    ball = nodule_sphere((48, 48, 48), np.array([20.0, 24.0, 28.0]), 10.0)

    assert ball.sum() == pytest.approx(np.pi / 6 * 1000, rel=0.03)
    np.testing.assert_allclose(np.argwhere(ball).mean(axis=0), [20, 24, 28])
    assert nodule_sphere((9, 9, 9), np.array([4.0, 4.0, 4.0]), 0.1).sum() == 7


def test_regions_lie_within_each_other_and_where_the_pair_differs(nine_cubes, ball):
    pairs = make_pairs(nine_cubes, "test", ball())

    for n in range(len(pairs)):
        where = regions(pairs, n)
        assert where["voi"].all()
        assert not (where["masked"] & ~where["box"]).any()
        assert not ((pairs.real[n] != pairs.generated[n]) & ~where["box"]).any()
        assert where["box"].sum() == np.prod(np.diff(pairs.box[n], axis=0))


def test_means_are_of_all_pairs_and_a_worse_synthesizer_has_worse_ones(nine_cubes, ball):
    good = make_pairs(nine_cubes, "test", ball())
    dense = replace(good, generated=(good.generated + 80 * (good.real > -700)).astype(np.int16))

    each, means = measure_pairs(good, resamples=50, random_seed=0)
    _, worse = measure_pairs(dense, resamples=50, random_seed=0)

    values = [one["masked"]["mae_hu"] for one in each]
    assert means["masked"]["mae_hu"].value == pytest.approx(np.mean(values))
    assert means["masked"]["mae_hu"].low < np.mean(values) < means["masked"]["mae_hu"].high
    assert worse["masked"]["mae_hu"].value > means["masked"]["mae_hu"].value + 20
    assert worse["masked"]["psnr_db"].value < means["masked"]["psnr_db"].value


@pytest.fixture
def two_balls(monkeypatch, ball):
    def load(name, **_):
        made = ball(0.8 if name == "small" else 1.0)
        made.name = name
        return made

    monkeypatch.setattr(realism, "load_synthesizer", load)
    return ["ball", "small"]


def test_from_files_to_files(nodule_data, two_balls, monkeypatch):
    trained = []
    real_training = frechet.train_features

    def counted(*arguments, **options):
        trained.append(arguments[2])
        return real_training(*arguments, **options)

    monkeypatch.setattr(frechet, "train_features", counted)
    config = replace(QUICK, cache=nodule_data / "kept", max_nodules=4)
    json_path, picture = nodule_data / "q.json", nodule_data / "q.png"

    values = run_image_quality(
        nodule_data,
        "test",
        two_balls,
        json_path=json_path,
        report_path=picture,
        config=config,
    )
    again = run_image_quality(nodule_data, "test", two_balls, config=config)

    assert json.loads(json_path.read_text(encoding="utf-8")) == json.loads(json.dumps(values))
    assert picture.read_bytes()[:4] == b"\x89PNG"
    assert trained == [0, 1]  # the second run found the networks that the first one kept
    assert again["synthesizers"] == values["synthesizers"]
    for found in values["synthesizers"].values():
        assert found["nodules"] == len(found["each"]) == 4
        low, high = found["regions"]["masked"]["ssim"]["interval_95"]
        assert low <= found["regions"]["masked"]["ssim"]["value"] <= high <= 1
        assert found["frechet"]["mean"] > 0
    assert [row[:2] for row in values["table"]["rows"][:4]] == [
        ["ball", "voi"],
        ["ball", "box"],
        ["ball", "masked"],
        ["small", "voi"],
    ]


def test_a_picture_of_another_kind_is_refused_before_anything_is_done(nodule_data, two_balls):
    with pytest.raises(LungSynthError, match=r"q\.html: the picture of a study must end in \.png"):
        run_image_quality(
            nodule_data, "test", two_balls, report_path=nodule_data / "q.html", config=QUICK
        )
