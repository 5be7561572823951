"""Nodules in radiographs: only the nodule changes, it is as large and as dense as asked."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import ndimage

from lungsynth.core.contracts import Painting
from lungsynth.core.errors import LungSynthError
from lungsynth.core.radiograph import CxrNoduleSpec, CxrSeed, Radiograph, image_plane_matrix
from lungsynth.imaging.radiograph_insertion import (
    freedom_around,
    insert_into_radiograph,
    undo_in_radiograph,
)
from lungsynth.imaging.radiograph_patch import locate_patch, working_pixel
from lungsynth.synthesizers.cxr_procedural import CxrProcedural


def noisy(shape=(600, 500), dtype=np.uint16, spacing=None, photometric="MONOCHROME2", top=4095):
    """A smooth image from 0 to ``top`` with noise, not symmetric in anything."""
    rng = np.random.default_rng(3)
    rows, columns = np.mgrid[0 : shape[0], 0 : shape[1]]
    smooth = 0.3 + 0.4 * np.sin(rows / shape[0] * 2) * np.cos(columns / shape[1] * 3 + 0.4) ** 2
    pixels = (smooth + rng.normal(0, 0.01, shape)).clip(0.02, 0.98) * top
    if np.dtype(dtype).kind in "iu":
        pixels = np.rint(pixels)
    return Radiograph(pixels.astype(dtype), image_plane_matrix(spacing), spacing, photometric)


def seed_at(image, row, column, **spec):
    spec = {"latent_seed": 5, **spec}
    return CxrSeed(tuple(image.pixel_to_ras_mm((row, column)).tolist()), CxrNoduleSpec(**spec))


class Disc:
    """Paints a disc of constant height whose mask is too small by a third."""

    name, weights_sha256, device = "disc", None, "cpu"

    def __init__(self, height=0.2, factor=0.67, everywhere=0.0):
        self.height, self.factor, self.everywhere, self.calls = height, factor, everywhere, 0

    def paint(self, context, specs, diameter_px):
        del specs
        self.calls += 1
        line = np.arange(256) - 127.5
        away = np.hypot(line[:, None], line[None, :])
        discs = np.stack([away < self.factor * d / 2 for d in diameter_px]).astype(np.float32)
        values = context + self.everywhere + self.height * discs
        return Painting(values=values.astype(np.float32), mask=discs)


def test_a_working_pixel_is_04_mm_or_a_1024th_of_the_longer_side():
    assert working_pixel(noisy(spacing=(0.2, 0.1))) == pytest.approx((2.0, 4.0))
    assert working_pixel(noisy((512, 2048))) == pytest.approx((2.0, 2.0))


def test_a_patch_lies_where_it_says_and_comes_back_at_native_resolution():
    """Rows and columns ramps: their values are their places."""
    rows, columns = np.mgrid[0:900, 0:700].astype(np.float32)
    spacing = (0.2, 0.1)
    image = Radiograph(rows * 1000 + columns, image_plane_matrix(spacing), spacing)
    low, high = image.robust_range
    patch = locate_patch(image, np.array([420.0, 333.0]))

    values = (patch.extract(image) + 1) / 2 * (high - low) + low
    inner = values[100:156, 100:156]
    grid = np.arange(100, 156) - 127.5
    expected = (420 + 2 * grid[:, None]) * 1000 + 333 + 4 * grid[None, :]
    assert inner == pytest.approx(expected, rel=1e-4)

    back = patch.to_native(np.tile(np.arange(256, dtype=np.float32), (256, 1)))
    assert patch.corner == (164, 0)
    assert back[50, 333 - patch.corner[1]] == pytest.approx(127.5, abs=1e-3)
    assert back[50, 333 + 8 - patch.corner[1]] == pytest.approx(129.5, abs=1e-3)


@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
@pytest.mark.parametrize(("dtype", "top"), [(np.uint8, 255), (np.uint16, 4095), (np.float32, 1)])
def test_only_the_nodule_and_its_rim_change_and_undo_is_exact(photometric, dtype, top):
    image = noisy(dtype=dtype, photometric=photometric, top=top)
    original = image.pixels.copy()
    seed = seed_at(image, 230, 310, diameter_px=40, contrast=0.2)

    result = insert_into_radiograph(image, [seed], CxrProcedural())

    (made,) = result.insertions
    new = result.image.pixels
    assert new.dtype == dtype
    np.testing.assert_array_equal(image.pixels, original)
    mask = np.zeros(image.pixels.shape, bool)
    mask[made.slices[1:]] = made.mask[0]
    away = ndimage.distance_transform_edt(~mask)
    assert (new[away > 0.2 * 40 + 2] == original[away > 0.2 * 40 + 2]).all()
    rise = (new.astype(float) - original)[mask]
    assert np.sign(rise.mean()) == (1 if photometric == "MONOCHROME2" else -1)
    undo_in_radiograph(new, made)
    np.testing.assert_array_equal(new, original)


def test_the_rim_fades_without_a_step():
    soft = np.zeros((256, 256), np.float32)
    soft[108:148, 108:148] = 1

    free = freedom_around(soft)

    assert (free[108:148, 108:148] == 1).all()
    assert np.abs(np.diff(free[128])).max() < 0.3  # 7 pixels to fade over
    assert (free[:, :98] == 0).all()
    assert freedom_around(np.zeros((256, 256), np.float32)).max() == 0


def test_what_a_synthesizer_does_elsewhere_in_the_patch_is_thrown_away():
    """A painter that brightens everything by 0.5 leaves no seam."""
    image = noisy()
    seed = seed_at(image, 300, 250, diameter_px=24)

    result = insert_into_radiograph(image, [seed], Disc(everywhere=0.5))

    changed = np.argwhere(result.image.pixels != image.pixels)
    assert np.abs(changed - (300, 250)).max() <= 12 + 0.2 * 24 + 2


@pytest.mark.parametrize("spacing", [None, (0.175, 0.175), (0.3, 0.2)])
@pytest.mark.parametrize("diameter", [8, 20, 45])
def test_the_diameter_is_within_5_percent_or_a_pixel(spacing, diameter):
    image = noisy((900, 800), spacing=spacing)
    size = {"diameter_px": diameter} if spacing is None else {"diameter_mm": diameter}
    for latent_seed in (1, 2, 3):
        seed = seed_at(image, 420, 390, latent_seed=latent_seed, **size)
        (made,) = insert_into_radiograph(image, [seed], CxrProcedural()).insertions

        rows, columns = np.nonzero(made.mask[0])
        row_mm, column_mm = spacing or (1, 1)
        # independent of the library: axes from the covariance of the mask's pixels
        cov = np.cov(rows * row_mm, columns * column_mm, bias=True)
        measured = 2 * sum(math.sqrt(x) for x in np.linalg.eigvalsh(cov))
        tolerance = max(0.05 * diameter, math.sqrt(row_mm * column_mm))
        assert measured == pytest.approx(diameter, abs=tolerance)
        assert made.within_tolerance


def test_a_painter_that_draws_too_small_is_asked_again_and_a_stubborn_one_is_told_of():
    image = noisy()
    seed = seed_at(image, 300, 250, diameter_px=40)
    disc = Disc()

    (made,) = insert_into_radiograph(image, [seed], disc).insertions
    assert disc.calls > 1
    assert made.measured.diameter_px == pytest.approx(40, abs=2)

    class Stubborn(Disc):
        def paint(self, context, specs, diameter_px):
            return super().paint(context, specs, [20.0] * len(diameter_px))

    (made,) = insert_into_radiograph(image, [seed], Stubborn(factor=1)).insertions
    assert not made.within_tolerance
    assert "where 40.0 +- 2.0 px was asked" in made.note


@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
@pytest.mark.parametrize(
    "synthesizer", [CxrProcedural(), Disc(factor=1), Disc(-0.1, 1), Disc(0, 1)]
)
def test_contrast_is_what_was_asked_and_monotone(synthesizer, photometric):
    """Also where the painter would darken, or does nothing at all."""
    image = noisy(photometric=photometric)
    low, high = np.percentile(image.pixels, (1, 99))
    sign = 1 if photometric == "MONOCHROME2" else -1
    measured = []
    for asked in (0.03, 0.06, 0.12, 0.24):
        seed = seed_at(image, 120, 250, diameter_px=30, contrast=asked)
        result = insert_into_radiograph(image, [seed], synthesizer)
        (made,) = result.insertions
        mask = np.zeros(image.pixels.shape, bool)
        mask[made.slices[1:]] = made.mask[0]
        rise = sign * (result.image.pixels.astype(float) - image.pixels)[mask].mean()
        measured.append(rise / (high - low))
        assert made.measured.contrast == pytest.approx(measured[-1], rel=0.02)
        assert made.within_tolerance
    assert measured == pytest.approx([0.03, 0.06, 0.12, 0.24], rel=0.1)


def test_pixels_stay_within_what_the_file_can_hold():
    image = noisy(top=4095)
    limited = Radiograph(image.pixels, image.ijk_to_ras, limits=(0, 2600))
    brightest = np.unravel_index(
        np.argmax(ndimage.uniform_filter(image.pixels, 41)[60:-60, 60:-60]), (480, 380)
    )
    seed = seed_at(image, brightest[0] + 60, brightest[1] + 60, diameter_px=30, contrast=0.6)

    result = insert_into_radiograph(limited, [seed], CxrProcedural())

    changed = result.image.pixels != image.pixels
    assert result.image.pixels[changed].max() <= 2600
    assert not result.insertions[0].within_tolerance
    assert "contrast" in result.insertions[0].note


def test_a_nodule_is_the_same_in_whatever_company():
    image = noisy()
    seeds = [
        seed_at(image, 100, 120, diameter_px=30, latent_seed=1),
        seed_at(image, 300, 350, diameter_px=22, latent_seed=2),
        seed_at(image, 480, 140, diameter_px=18, latent_seed=3),
    ]

    together = insert_into_radiograph(image, seeds, CxrProcedural()).image.pixels
    alone = insert_into_radiograph(image, seeds[1:2], CxrProcedural())

    box = alone.insertions[0].slices[1:]
    np.testing.assert_array_equal(together[box], alone.image.pixels[box])
    assert (together != image.pixels).sum() > 3 * 200


@pytest.mark.parametrize(
    ("row", "column", "spec", "said"),
    [
        (700, 250, {"diameter_px": 20}, "lies outside the radiograph"),
        (8, 250, {"diameter_px": 20}, "too near the border .* 8 pixels .* 20 px needs 12"),
        (300, 250, {"diameter_px": 120}, r"larger than the patch .* \(at most 94 px\)"),
        (300, 250, {"diameter_mm": 12}, "pixel spacing of this radiograph is not known"),
    ],
)
def test_seeds_that_cannot_work_are_refused(row, column, spec, said):
    image = noisy()
    with pytest.raises(LungSynthError, match=said):
        insert_into_radiograph(image, [seed_at(image, row, column, **spec)], CxrProcedural())


def test_nodules_may_not_overlap_each_other_or_earlier_ones():
    image = noisy()
    first, second = (seed_at(image, 300, c, diameter_px=30) for c in (200, 236))
    said = r"overlaps an earlier nodule .* 36 pixels from it across the image, where 46 pixels"
    with pytest.raises(LungSynthError, match=said):
        insert_into_radiograph(image, [first, second], CxrProcedural())
    done = insert_into_radiograph(image, [first], CxrProcedural())
    with pytest.raises(LungSynthError, match=r"overlaps an earlier nodule"):
        insert_into_radiograph(done.image, [second], CxrProcedural(), earlier=done.insertions)
    beside = seed_at(image, 300, 260, diameter_px=30)
    insert_into_radiograph(done.image, [beside], CxrProcedural(), earlier=done.insertions)


def test_blank_and_infinite_images_are_refused_and_nodules_outside_lung_fields_are_noted():
    blank = Radiograph(np.full((400, 400), 7, np.uint8), image_plane_matrix())
    with pytest.raises(LungSynthError, match="blank"):
        insert_into_radiograph(blank, [seed_at(blank, 200, 200, diameter_px=20)], CxrProcedural())
    image = noisy(dtype=np.float32)
    image.pixels[3, 4] = np.nan
    with pytest.raises(LungSynthError, match="NaN"):
        insert_into_radiograph(image, [seed_at(image, 200, 200, diameter_px=20)], CxrProcedural())
    image = noisy()
    lungs = np.zeros(image.pixels.shape, bool)
    lungs[:, 300:] = True
    seeds = [seed_at(image, 200, 200, diameter_px=20), seed_at(image, 200, 350, diameter_px=20)]
    made = insert_into_radiograph(image, seeds, CxrProcedural(), lung_fields=lungs).insertions
    assert [one.note for one in made] == ["the seed lies outside the lung fields", ""]
    assert all(one.within_tolerance for one in made)
