"""CT nodules projected onto radiographs: size, contrast, turn, and where they come from."""

import csv

import numpy as np
import pytest

from lungsynth.core.errors import LungSynthError
from lungsynth.core.radiograph import CxrNoduleSpec, CxrSeed, Radiograph, image_plane_matrix
from lungsynth.imaging.ellipse import ellipse_axes, ellipse_diameter
from lungsynth.imaging.projection import VIEWS, added_brightness, draw_rotation
from lungsynth.imaging.radiograph_insertion import insert_into_radiograph
from lungsynth.synthesizers import load_cxr_synthesizer
from lungsynth.synthesizers.ct_projection import CtNodule, CtProjection, project_at_diameter


@pytest.fixture
def lung():
    """A patch of middle grey with some noise."""
    return np.random.default_rng(0).normal(0, 0.02, (1, 256, 256)).astype(np.float32)


def spec(**asked):
    return CxrNoduleSpec(diameter_px=20, **asked)


def paint(synthesizer, patch, diameter_px=30.0, **asked):
    made = synthesizer.paint(patch, [spec(**asked)], [diameter_px])
    return made.values[0] - patch[0], made.mask[0]


@pytest.mark.parametrize("asked", [8.0, 25.0, 70.0])
@pytest.mark.parametrize("with_bank", [False, True])
def test_the_shadow_has_the_asked_diameter(cubes_folder, lung, with_bank, asked):
    synthesizer = load_cxr_synthesizer("ct-projection", bank=cubes_folder if with_bank else None)
    for latent_seed in range(3):
        change, mask = paint(synthesizer, lung, asked, latent_seed=latent_seed)

        assert ellipse_diameter(mask > 0.5) == pytest.approx(asked, rel=0.05, abs=0.7)
        rows, columns = np.indices(mask.shape)
        for index in (rows, columns):
            assert (index * mask).sum() / mask.sum() == pytest.approx(127.5, abs=0.08 * asked)
        assert change.min() == 0
        far = np.hypot(rows - 127.5, columns - 127.5) > 1.5 * asked + 8
        assert np.abs(change[far]).max() == 0


def test_a_solid_nodule_of_10_mm_has_about_the_contrast_of_water(lung):
    """By hand: two thirds of 10 mm of 700 HU over lung, 0.093, over an attenuation of 3."""
    contrast = [
        paint(CtProjection(), lung, 25.0, latent_seed=n)[0][116:140, 116:140] for n in range(12)
    ]

    assert np.mean([c[c > 0.5 * c.max()].mean() / 2 for c in contrast]) == pytest.approx(
        0.031, rel=0.3
    )


def test_strength_multiplies_and_an_asked_contrast_is_reached_exactly(cubes_folder, lung):
    plain = paint(CtProjection.load(weights=None, device="cpu", bank=cubes_folder), lung)[0]
    bank = CtProjection.load(weights=None, device="cpu", bank=cubes_folder).bank
    strong = paint(CtProjection(bank, strength=2.5), lung)[0]
    asked, mask = paint(CtProjection(bank), lung, contrast=0.11)

    np.testing.assert_allclose(strong, 2.5 * plain, rtol=1e-4, atol=1e-6)
    assert asked[mask > 0.5].mean() / 2 == pytest.approx(0.11, rel=1e-4)


@pytest.mark.filterwarnings("error")
def test_a_nodule_of_less_than_a_pixel_is_nothing_but_numbers(cubes_folder, lung):
    """3 pixels of a radiograph of 3,000 are 1 of the grid: each of four has a quarter of it."""
    bank = CtProjection.load(weights=None, device="cpu", bank=cubes_folder).bank
    change, mask = paint(CtProjection(bank), lung, 1.0, contrast=0.11)

    assert mask.max() <= 0.5
    assert np.isfinite(change).all()
    image = Radiograph(
        np.random.default_rng(1).integers(900, 1100, (64, 3000)).astype(np.uint16),
        image_plane_matrix(),
    )
    position = tuple(image.pixel_to_ras_mm([32.0, 1500.0]))
    seed = CxrSeed(position, CxrNoduleSpec(diameter_px=3.0, contrast=0.3))
    made = insert_into_radiograph(image, [seed], CtProjection(bank)).insertions[0]

    assert made.measured.contrast > 0
    assert not made.within_tolerance, "the grid knows no nodule of 3 of these pixels"
    assert "5.8 px where 3.0" in made.note


def test_film_shows_most_at_middle_grey_and_little_where_it_is_white():
    """Slope 4 v (1 - v): 1 at v = 0.5, 0.36 at 0.9, and never less than 0.15."""
    attenuation = np.full((64, 64), 0.3, np.float32)
    rise = [
        float(added_brightness(attenuation, np.full((64, 64), 2 * v - 1, np.float32))[32, 32])
        for v in (0.5, 0.9, 0.1, 1.0)
    ]

    assert rise == pytest.approx([0.2, 0.072, 0.072, 0.03], rel=1e-4)


def test_the_turn_is_controlled():
    """A rod of 20 mm along y: a point from the front, a rod from the side."""
    cube = np.full((48, 48, 48), -850.0, np.float32)
    mask = np.zeros(cube.shape, bool)
    mask[22:26, 14:34, 22:26] = True
    cube[mask] = 0
    rod = CtNodule(cube, mask, 1.0, float(np.cbrt(6 * mask.sum() / np.pi)), {})

    front = ellipse_axes(project_at_diameter(rod, VIEWS["frontal"], 20.0).mask)
    side = ellipse_axes(project_at_diameter(rod, VIEWS["lateral"], 20.0).mask)

    assert front[0] / front[1] == pytest.approx(1.0, abs=0.1)
    assert side[0] / side[1] == pytest.approx(5.0, rel=0.15)


def test_turns_by_name(cubes_folder):
    bank = CtProjection.load(weights=None, device="cpu", bank=cubes_folder).bank
    for turn in ("frontal", "lateral"):
        np.testing.assert_array_equal(
            CtProjection(bank, turn=turn).draw_source(3, 9.0)[1], VIEWS[turn]
        )
    np.testing.assert_array_equal(
        CtProjection(bank).draw_source(3, 9.0)[1], draw_rotation(np.random.default_rng(3))
    )
    with pytest.raises(LungSynthError, match="turn is one of random, frontal, lateral"):
        CtProjection(turn="upside-down")


def test_an_item_does_not_depend_on_its_batch_but_on_its_latent_seed(cubes_folder, lung):
    synthesizer = load_cxr_synthesizer("ct-projection", bank=cubes_folder)
    patches = np.concatenate([lung, lung + 0.1])
    both = synthesizer.paint(patches, [spec(latent_seed=5), spec(latent_seed=6)], [20.0, 33.0])
    alone = synthesizer.paint(patches[1:], [spec(latent_seed=6)], [33.0])
    other = synthesizer.paint(patches[1:], [spec(latent_seed=7)], [33.0])

    np.testing.assert_array_equal(both.values[1], alone.values[0])
    assert np.abs(alone.values[0] - other.values[0]).max() > 0.005


def test_a_slightly_larger_nodule_is_the_same_nodule(cubes_folder):
    """Or calibration would chase another nodule each time."""
    synthesizer = load_cxr_synthesizer("ct-projection", bank=cubes_folder)
    same = [
        synthesizer.draw_source(n, 8.0)[0].details == synthesizer.draw_source(n, 8.2)[0].details
        for n in range(20)
    ]

    assert sum(same) >= 18


def test_where_a_nodule_comes_from_is_recorded(cubes_folder, lung):
    synthesizer = load_cxr_synthesizer("ct-projection", bank=cubes_folder)
    [details] = synthesizer.paint(lung, [spec(latent_seed=2)], [20.0]).details
    with (cubes_folder / "train.csv").open(newline="") as lines:
        rows = list(csv.DictReader(lines))
    row = rows[int(details["source"].split()[-1])]

    assert details["source"].startswith(f"{cubes_folder.name}/train row ")
    assert details["source_patient"] == row["patient"]
    assert CtProjection().paint(lung, [spec()], [20.0]).details == [{"source": "procedural"}]


def test_it_is_inserted_as_asked_whatever_the_spacing_and_the_sign_of_the_film():
    """0.7 mm pixels, 12 bit, white is air: 14 mm are 20 pixels, contrast 0.08."""
    rng = np.random.default_rng(4)
    pixels = (3000 - 1200 * np.linspace(0, 1, 300)[:, None] + rng.normal(0, 8, (300, 280))).astype(
        np.uint16
    )
    image = Radiograph(pixels, image_plane_matrix((0.7, 0.7)), (0.7, 0.7), "MONOCHROME1")
    seed = CxrSeed(
        tuple(image.pixel_to_ras_mm((150, 130)).tolist()),
        CxrNoduleSpec(diameter_mm=14.0, contrast=0.08, latent_seed=1),
    )
    [done] = insert_into_radiograph(image, [seed], CtProjection()).insertions

    assert done.within_tolerance, done.note
    assert done.measured.diameter_mm == pytest.approx(14.0, rel=0.05)
    assert done.measured.contrast == pytest.approx(0.08, rel=0.1)


def test_what_cannot_work_is_refused_in_one_line(tmp_path, lung):
    with pytest.raises(LungSynthError, match="bank of CT nodules"):
        load_cxr_synthesizer("ct-projection", weights=tmp_path / "w.safetensors")
    with pytest.raises(LungSynthError, match=r"train\.npz"):
        load_cxr_synthesizer("ct-projection", bank=tmp_path)
    with pytest.raises(LungSynthError, match="strength positive"):
        CtProjection(strength=0)
    with pytest.raises(LungSynthError, match="does not fit into the patch of 256"):
        paint(CtProjection(), lung, 280.0)
