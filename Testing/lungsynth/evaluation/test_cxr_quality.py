"""Image quality of radiograph patches, the pairs behind it, and the judge of them."""

from dataclasses import replace

import numpy as np
import pytest

from lungsynth.core.contracts import Painting
from lungsynth.core.errors import LungSynthError
from lungsynth.data.cxr_patches import CxrPatchSampler
from lungsynth.evaluation.cxr_image_quality import (
    CXR_QUALITY_PRESETS,
    PAPER,
    VARIANTS,
    compare_patches,
    quality_table,
    run_cxr_quality,
)
from lungsynth.evaluation.cxr_judge import CXR_JUDGE_PRESETS, judge_cxr, run_cxr_judge
from lungsynth.evaluation.cxr_pairs import CxrPairs, draw_known, reconstructed, replaced
from lungsynth.evaluation.cxr_patch_net import CROP_PIXELS, crops_of
from lungsynth.imaging.ellipse import ellipse_diameter
from lungsynth.synthesizers.ct_projection import CtProjection


class Copy:
    """Draws what is there already: as good as can be."""

    def fill(self, patches, _masks, *, seen, **_):
        assert not any(seen)
        return patches.copy()


class Brighter:
    """Draws the nodule brighter by a tenth of the range."""

    def fill(self, patches, masks, **_):
        return patches + 0.2 * (np.stack(masks) > 0.5).astype(np.float32)


@pytest.fixture(scope="module")
def sampler(patches_folder):
    return CxrPatchSampler.load(patches_folder, "train", drr_part=0.3)


@pytest.fixture(scope="module")
def known(sampler):
    return draw_known(sampler, 10, np.random.default_rng(5))


def disc(radius, side=256):
    rows, columns = np.indices((side, side)) - (side - 1) / 2
    return (np.hypot(rows, columns) <= radius).astype(np.float32)


def test_figures_by_hand():
    """A nodule off by 0.1 of the range: 20 dB in the mask; spread over the patch by its part."""
    mask = disc(20)
    real = np.zeros((256, 256), np.float32)
    found = compare_patches(real, real + 0.2 * mask, mask)
    part = mask.mean()

    assert found["masked"]["mae"] == pytest.approx(0.1)
    assert found["masked"]["psnr_db"] == pytest.approx(20)
    assert found["full"]["mae"] == pytest.approx(0.1 * part)
    assert found["full"]["psnr_db"] == pytest.approx(20 - 10 * np.log10(part))
    assert found["masked"]["ssim"] < found["full"]["ssim"] < 1


def test_equal_patches_are_equal():
    real = np.random.default_rng(0).uniform(-1, 1, (256, 256)).astype(np.float32)
    for region in compare_patches(real, real, disc(9)).values():
        assert region == {"mae": 0, "psnr_db": 100, "ssim": pytest.approx(1)}


def test_the_similarity_is_that_of_scikit_image():
    metrics = pytest.importorskip("skimage.metrics", reason="scikit-image is not installed")
    rng = np.random.default_rng(1)
    real = rng.uniform(-1, 1, (256, 256)).astype(np.float32)
    made = (0.8 * real + 0.2 * rng.uniform(-1, 1, real.shape)).astype(np.float32)
    _, theirs = metrics.structural_similarity(
        (real + 1) / 2,
        (made + 1) / 2,
        data_range=1.0,
        gaussian_weights=True,
        use_sample_covariance=False,
        full=True,
    )

    found = compare_patches(real, made, disc(60))["masked"]["ssim"]
    assert found == pytest.approx(theirs[disc(60) > 0.5].mean(), abs=1e-4)


def test_known_nodules_are_drawn_by_the_seed_and_large_enough_to_measure(sampler, known):
    pairs, names = known
    again, same = draw_known(sampler, 10, np.random.default_rng(5))

    assert names == same
    assert {name.split("-")[0] for name in names} == {"projected", "drr"}
    for one, other in zip(pairs, again, strict=True):
        np.testing.assert_array_equal(one.after, other.after)
        assert ellipse_diameter(one.mask > 0.5) >= 6


def test_another_nodule_has_the_contrast_and_only_the_nodule_differs(known):
    pairs = replaced(known, CtProjection(), np.random.default_rng(2))
    for real, made, mask, pair in zip(
        pairs.real, pairs.generated, pairs.mask, known[0], strict=True
    ):
        np.testing.assert_array_equal(real, pair.after)
        far = ellipse_diameter(mask > 0.5) * 1.5 + 16
        rows, columns = np.indices(mask.shape) - 127.5
        outside = np.hypot(rows, columns) > far
        np.testing.assert_array_equal(made[outside], real[outside])
        if pair.source == "projected":
            assert np.abs(made - pair.before).max() > 0.005


def test_a_painting_without_a_nodule_changes_nothing(known):
    class Nothing:
        name, weights_sha256, device = "nothing", None, "cpu"

        def paint(self, context, _specs, _diameter_px):
            return Painting(context + 1, np.zeros_like(context))

    made = replaced(known, Nothing(), np.random.default_rng(0)).generated
    for pair, patch in zip(known[0], made, strict=True):
        if pair.source == "projected":
            np.testing.assert_array_equal(patch, pair.before)


def test_the_study_ranks_and_puts_the_papers_figures_beside(patches_folder):
    values = run_cxr_quality(
        patches_folder,
        {"two-stage-shape": Copy(), "mine": Brighter()},
        CXR_QUALITY_PRESETS["tiny"],
        split="train",
        device="cpu",
    )
    best, worse = values["models"]["two-stage-shape"], values["models"]["mine"]

    assert best["full"]["mae"]["value"] == 0
    assert best["frechet"] == pytest.approx(0, abs=1e-6)
    assert worse["masked"]["psnr_db"]["value"] == pytest.approx(20, abs=0.5)
    table = quality_table(values)
    assert [row[0] for row in table.rows] == ["two-stage-shape", "two-stage-shape (paper)", "mine"]
    assert table.rows[1][1:] == [
        "0.0007",
        "47.0932",
        "0.9903",
        "2.1268",
        "0.0296",
        "28.9815",
        "0.7555",
    ]
    assert set(PAPER) == set(VARIANTS)


def test_crops_are_of_the_middle_and_move():
    patches = np.arange(256 * 256, dtype=np.float32).reshape(1, 256, 256) / 65536
    shift = np.array([[3, -2]])

    assert crops_of(patches).shape == (1, 2, CROP_PIXELS, CROP_PIXELS)
    np.testing.assert_array_equal(crops_of(patches)[0, 0], patches[0, 64:192, 64:192])
    np.testing.assert_array_equal(crops_of(patches, shift)[0, 0], patches[0, 67:195, 62:190])


def pairs_of(count, seed, offset):
    """Noise; the generated version has a disc that is brighter by ``offset``."""
    rng = np.random.default_rng(seed)
    real = rng.normal(0, 0.1, (count, 256, 256)).astype(np.float32)
    return CxrPairs(
        real,
        real + offset * disc(12),
        np.repeat(disc(12)[None], count, axis=0),
        np.array([f"{seed}-{n}" for n in range(count)]),
    )


def test_a_judge_sees_what_can_be_seen_and_nothing_where_there_is_nothing():
    config = replace(CXR_JUDGE_PRESETS["tiny"], epochs=8, width=8, learning_rate=4e-3)
    seen = judge_cxr(pairs_of(24, 0, 0.4), pairs_of(10, 1, 0.4), config, device="cpu")
    same = judge_cxr(pairs_of(24, 0, 0.0), pairs_of(10, 1, 0.0), config, device="cpu")

    assert seen.ensemble_auc > 0.9
    assert seen.pair_accuracy == 1
    assert same.ensemble_auc == 0.5
    assert same.pair_accuracy == 0.5


def test_a_judge_is_not_asked_about_what_it_learnt_from(patches_folder):
    with pytest.raises(LungSynthError, match="report on val or test"):
        run_cxr_judge(patches_folder, ["ct-projection"], CXR_JUDGE_PRESETS["tiny"], split="train")


def test_pairs_drawn_again_keep_all_but_the_nodule(known):
    pairs = reconstructed(known, Brighter())
    for real, made, mask in zip(pairs.real, pairs.generated, pairs.mask, strict=True):
        np.testing.assert_array_equal(made[mask <= 0.5], real[mask <= 0.5])
        np.testing.assert_allclose((made - real)[mask > 0.5], 0.2, atol=1e-6)
