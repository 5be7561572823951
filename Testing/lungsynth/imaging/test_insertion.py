"""The insertion engine: what changes, what does not, and whether promises are kept."""

import tracemalloc
from dataclasses import replace

import numpy as np
import pytest
from scipy import ndimage

from lungsynth.core.contracts import Inpainting
from lungsynth.core.errors import LungSynthError
from lungsynth.core.insertion import Measurement, Taken
from lungsynth.core.nodule import ATTENUATION_HU_RANGE, Attenuation, NoduleSpec, Seed
from lungsynth.core.volume import Volume
from lungsynth.imaging import insertion as engine
from lungsynth.imaging.attempt import Attempt, contrast_hu, measure
from lungsynth.imaging.insertion import insert, make_all, make_nodules, paste, undo


def seed_at(volume, ijk, diameter_mm=9.0, attenuation="solid", latent_seed=0):
    place = tuple(volume.ijk_to_ras_mm(ijk).tolist())
    return Seed(place, NoduleSpec(diameter_mm, Attenuation(attenuation), latent_seed=latent_seed))


def two_seeds(volume):
    """Far apart along j and i, off the middle in every axis."""
    i, j, k = np.array(volume.voxels.shape[::-1]) / 2
    return [
        seed_at(volume, (0.73 * i, 0.7 * j, 1.1 * k), 9.0, "solid", 1),
        seed_at(volume, (1.41 * i, 1.44 * j, 0.9 * k), 11.0, "part-solid", 2),
    ]


def outside_boxes(result):
    outside = np.ones(result.volume.voxels.shape, bool)
    for done in result.insertions:
        outside[done.slices] = False
    return outside


@pytest.mark.parametrize(
    ("dtype", "offset"), [(np.int16, 0), (np.uint16, 2000), (np.float32, 0), (np.float64, 0)]
)
def test_only_the_boxes_change(geometry, lung_volume, make_balls, dtype, offset):
    volume = lung_volume(geometry, dtype, offset)
    before = volume.voxels.copy()
    volume.voxels.setflags(write=False)

    result = insert(volume, two_seeds(volume), make_balls(level_hu=-100.0 + offset))

    np.testing.assert_array_equal(volume.voxels, before)
    outside = outside_boxes(result)
    assert result.volume.voxels[outside].tobytes() == before[outside].tobytes()
    assert result.volume.voxels.dtype == dtype
    np.testing.assert_array_equal(result.volume.ijk_to_ras, volume.ijk_to_ras)
    assert result.volume.header == {"Modality": "CT"}
    for done in result.insertions:
        assert (result.volume.voxels[done.slices] != before[done.slices]).any()
        np.testing.assert_array_equal(done.before, before[done.slices])


def test_the_nodule_lies_at_its_seed_and_has_its_size(geometry, lung_volume, make_balls):
    """Measured by the test itself: millimetres from the mask and the matrix of the volume."""
    volume = lung_volume(geometry)
    seeds = two_seeds(volume)
    result = insert(volume, seeds, make_balls())

    for seed, done in zip(seeds, result.insertions, strict=True):
        k, j, i = (np.argwhere(done.mask) + done.box[0]).T
        ras = np.stack([i, j, k], axis=-1) @ volume.ijk_to_ras[:3, :3].T + volume.ijk_to_ras[:3, 3]
        away = np.abs(volume.ras_to_ijk(ras.mean(axis=0)) - volume.ras_to_ijk(seed.position_ras_mm))
        assert away.max() < 0.6  # voxels
        volume_mm3 = len(ras) * abs(np.linalg.det(volume.ijk_to_ras[:3, :3]))
        diameter_mm = (6 * volume_mm3 / np.pi) ** (1 / 3)
        assert done.measured.volume_mm3 == pytest.approx(volume_mm3)
        assert done.measured.diameter_mm == pytest.approx(diameter_mm)
        assert diameter_mm == pytest.approx(seed.spec.diameter_mm, abs=1.0)
        inside = result.volume.voxels[done.slices][done.mask]
        assert done.measured.mean_hu == pytest.approx(inside.mean())
        assert inside.mean() > -500  # lung is at -840
        assert done.spec == seed.spec


def test_a_nodule_is_the_same_alone_in_company_and_in_any_order(lung_volume, make_balls):
    geometry = (40, 110, 120), np.diag([-0.7, -0.7, 2.0, 1.0])
    volume = lung_volume(geometry)
    places = [(30, 30, 12), (90, 30, 12), (30, 80, 26), (90, 80, 26), (60, 55, 20)]
    seeds = [seed_at(volume, p, 7 + n, latent_seed=n) for n, p in enumerate(places)]
    together = insert(volume, seeds, make_balls())
    backwards = insert(volume, seeds[::-1], make_balls())

    np.testing.assert_array_equal(together.volume.voxels, backwards.volume.voxels)
    for n, seed in enumerate(seeds):
        (alone,) = insert(volume, [seed], make_balls()).insertions
        both = together.insertions[n]
        assert (alone.box, alone.measured) == (both.box, both.measured)
        np.testing.assert_array_equal(alone.mask, both.mask)
        only = insert(volume, [seed], make_balls()).volume.voxels
        np.testing.assert_array_equal(
            only[alone.slices], together.volume.voxels[both.slices], err_msg=str(n)
        )


def test_undo_takes_the_last_nodules_out_exactly(geometry, lung_volume, make_balls):
    volume = lung_volume(geometry)
    seeds = two_seeds(volume)
    result = insert(volume, seeds, make_balls())
    first_only = insert(volume, seeds[:1], make_balls())
    voxels = result.volume.voxels

    undo(voxels, result.insertions[1])
    np.testing.assert_array_equal(voxels, first_only.volume.voxels)
    undo(voxels, result.insertions[0])
    np.testing.assert_array_equal(voxels, volume.voxels)


def test_touching_rims_leave_the_earlier_nodule_and_can_be_undone(lung_volume, make_balls):
    """Two rounds of calibration may make boxes larger than those that were checked."""
    volume = lung_volume(((70, 70, 100), np.diag([-1.0, -1.0, 1.0, 1.0])))
    seeds = [seed_at(volume, (33, 35, 35), 10.0), seed_at(volume, (53, 35, 35), 10.0)]
    result = insert(volume, seeds, make_balls(oversize=0.7))
    first = insert(volume, seeds[:1], make_balls(oversize=0.7))

    one, two = (done.box for done in result.insertions)
    assert one[1][2] > two[0][2]  # they do meet
    changed = first.volume.voxels != volume.voxels
    np.testing.assert_array_equal(result.volume.voxels[changed], first.volume.voxels[changed])
    for done in result.insertions[::-1]:
        undo(result.volume.voxels, done)
    np.testing.assert_array_equal(result.volume.voxels, volume.voxels)


@pytest.mark.parametrize("oversize", [0.75, 1.3])
def test_calibration_mends_a_synthesizer_of_the_wrong_size(lung_volume, make_balls, oversize):
    volume = lung_volume(((80, 80, 80), np.diag([-1.0, -1.0, 1.0, 1.0])))
    maker = make_balls(oversize=oversize)
    (done,) = insert(volume, [seed_at(volume, (38, 41, 40), 14.0)], maker).insertions

    assert len(maker.calls) > 1
    assert done.measured.diameter_mm == pytest.approx(14.0, abs=0.7)
    assert (done.within_tolerance, done.note) == (True, "")


def test_only_nodules_that_missed_are_made_again(lung_volume, make_balls):
    volume = lung_volume(((60, 120, 120), np.diag([-1.0, -1.0, 1.0, 1.0])))
    maker = make_balls(oversize=1.3, only_mm=12.0)
    seeds = [seed_at(volume, (30, 30, 30), 9.0), seed_at(volume, (85, 85, 30), 12.0)]
    insert(volume, seeds, maker)

    assert maker.calls[0] == [9.0, 12.0]
    assert len(maker.calls) > 1
    assert all(call == [12.0] for call in maker.calls[1:])


def test_a_synthesizer_that_never_obeys_is_found_out(lung_volume, make_balls):
    volume = lung_volume(((80, 80, 80), np.diag([-1.0, -1.0, 1.0, 1.0])))
    maker = make_balls(fixed_mm=6.0)
    (done,) = insert(volume, [seed_at(volume, (38, 41, 40), 12.0)], maker).insertions

    assert len(maker.calls) == engine.ROUNDS
    assert done.within_tolerance is False
    assert done.note == f"diameter {done.measured.diameter_mm:.1f} mm where 12 +- 1.2 mm was asked"
    assert done.measured.diameter_mm == pytest.approx(6, abs=0.5)


def test_an_empty_nodule_is_reported_not_hidden(lung_volume, make_balls):
    volume = lung_volume(((60, 60, 60), np.diag([-1.0, -1.0, 1.0, 1.0])))
    (done,) = insert(volume, [seed_at(volume, (30, 30, 30))], make_balls(fixed_mm=-5)).insertions

    assert done.measured.diameter_mm == done.measured.volume_mm3 == 0
    assert np.isnan(done.measured.mean_hu)
    assert done.within_tolerance is False
    assert "0.0 mm where 9" in done.note


@pytest.mark.parametrize(
    ("attenuation", "level_hu"),
    [("ground-glass", -100), ("part-solid", 50), ("solid", 600), ("part-solid", -790)],
)
def test_density_is_brought_into_the_class(lung_volume, make_balls, attenuation, level_hu):
    volume = lung_volume(((70, 70, 70), np.diag([-1.0, -1.0, 1.0, 1.0])))
    seed = seed_at(volume, (33, 36, 34), 14.0, attenuation)
    result = insert(volume, [seed], make_balls(level_hu=level_hu))
    (done,) = result.insertions

    low, high = ATTENUATION_HU_RANGE[Attenuation(attenuation)]
    mean = result.volume.voxels[done.slices][done.mask].mean()
    assert low < mean < high
    assert abs(mean - (low if level_hu < low else high)) < 0.2 * (high - low)
    assert done.within_tolerance is True
    assert np.sign(int(done.details["density_offset_hu"])) == (1 if level_hu < low else -1)


def test_a_density_within_its_class_is_left_alone(lung_volume, make_balls):
    volume = lung_volume(((70, 70, 70), np.diag([-1.0, -1.0, 1.0, 1.0])))
    (done,) = insert(
        volume, [seed_at(volume, (33, 36, 34), 14.0)], make_balls(level_hu=-100)
    ).insertions

    assert "density_offset_hu" not in done.details
    assert done.measured.mean_hu == pytest.approx(-150, abs=60)


@pytest.mark.parametrize(("shape", "dtype"), [((60, 60, 61), np.int16), ((60, 60, 60), np.float32)])
def test_an_output_array_of_another_kind_is_refused(lung_volume, make_balls, shape, dtype):
    volume = lung_volume(((60, 60, 60), np.diag([-1.0, -1.0, 1.0, 1.0])))
    with pytest.raises(LungSynthError, match=r"out must be \(60, 60, 60\) int16"):
        insert(volume, [seed_at(volume, (30, 30, 30))], make_balls(), out=np.zeros(shape, dtype))


def test_an_output_array_is_filled_and_returned(lung_volume, make_balls):
    volume = lung_volume(((60, 60, 60), np.diag([-1.0, -1.0, 1.0, 1.0])))
    seeds, out = [seed_at(volume, (30, 30, 30))], np.full((60, 60, 60), 7, np.int16)
    result = insert(volume, seeds, make_balls(), out=out)

    assert result.volume.voxels is out
    np.testing.assert_array_equal(out, insert(volume, seeds, make_balls()).volume.voxels)


def test_nodules_made_apart_and_pasted_later_are_those_of_one_call(
    geometry, lung_volume, make_balls
):
    volume = lung_volume(geometry)
    seeds = two_seeds(volume)
    whole = insert(volume, seeds, make_balls())

    voxels = volume.voxels.copy()
    volume.voxels.setflags(write=False)
    attempts = make_all(volume, seeds, make_balls())
    done = [paste(voxels, volume, *pair) for pair in zip(seeds, attempts, strict=True)]

    np.testing.assert_array_equal(voxels, whole.volume.voxels)
    for one, other in zip(done, whole.insertions, strict=True):
        assert (one.box, one.measured, one.note) == (other.box, other.measured, other.note)
        np.testing.assert_array_equal(one.mask, other.mask)
        np.testing.assert_array_equal(one.before, volume.voxels[one.slices])
    for insertion in reversed(done):
        undo(voxels, insertion)
    np.testing.assert_array_equal(voxels, volume.voxels)


def test_a_nodule_made_apart_keeps_away_from_places_that_are_taken(lung_volume, make_balls):
    volume = lung_volume(((70, 70, 70), np.diag([-1.0, -1.0, 1.0, 1.0])))
    first, second = seed_at(volume, (30, 30, 30)), seed_at(volume, (36, 33, 31))
    (made,) = make_all(volume, [first], make_balls())

    with pytest.raises(LungSynthError, match=r"overlaps an earlier nodule"):
        make_all(volume, [second], make_balls(), earlier=[Taken(first, made.box)])


def test_rounds_limit_how_often_a_nodule_is_made(lung_volume, make_balls, monkeypatch):
    volume = lung_volume(((70, 70, 70), np.diag([-1.0, -1.0, 1.0, 1.0])))
    maker, calls = make_balls(), []
    right = maker.inpaint

    def never_there(*arguments):
        calls.append(1)
        made = right(*arguments)
        made.mask[:] = 0
        return made

    monkeypatch.setattr(maker, "inpaint", never_there)
    make_all(volume, [seed_at(volume, (35, 35, 35))], maker, rounds=2)
    assert len(calls) == 2
    make_all(volume, [seed_at(volume, (35, 35, 35))], maker)
    assert len(calls) == 2 + engine.ROUNDS


def centre_off_seed_mm(volume, seed, done):
    """From the mask alone: its centre of mass against the seed's position."""
    k, j, i = (np.argwhere(done.mask) + done.box[0]).mean(axis=0)
    return np.linalg.norm(volume.ijk_to_ras[:3] @ [i, j, k, 1] - seed.position_ras_mm)


def test_a_nodule_beside_its_seed_is_brought_onto_it(geometry, lung_volume, make_balls):
    volume = lung_volume(geometry)
    middle = np.array(volume.voxels.shape[::-1]) // 2
    seed = seed_at(volume, tuple(np.add(middle, (1, -2, 1))), 12.0)
    maker = make_balls(beside_mm=(1.5, -1.0, 2.0))
    result = insert(volume, [seed], maker)
    (done,) = result.insertions

    assert len(maker.calls) > 1
    assert centre_off_seed_mm(volume, seed, done) <= 0.8 * 1.2  # of 10 % of 12 mm
    assert done.measured.diameter_mm == pytest.approx(12, abs=0.6)
    assert done.within_tolerance is True


def test_a_box_moves_no_further_than_a_quarter_of_the_diameter(lung_volume, make_balls):
    """The ball lies 4 mm off; a nodule of 8 mm follows for 2 mm of them."""
    volume = lung_volume(((70, 70, 70), np.diag([-1.0, -1.0, 1.0, 1.0])))
    seed = seed_at(volume, (35, 35, 35), 8.0)
    maker = make_balls(beside_mm=(0.0, 0.0, 4.0))
    (done,) = insert(volume, [seed], maker).insertions

    assert centre_off_seed_mm(volume, seed, done) == pytest.approx(2, abs=0.3)
    assert done.within_tolerance is True  # size and density are what is promised


def test_a_size_that_is_kept_counts_before_the_place(lung_volume):
    volume = lung_volume(((70, 70, 70), np.diag([-1.0, -1.0, 1.0, 1.0])))
    seed = seed_at(volume, (35, 35, 35), 20.0)
    here = seed.position_ras_mm

    def attempt(diameter_mm, off_mm):
        measured = Measurement(diameter_mm, -100.0, 1.0)
        place = (here[0] + off_mm, here[1], here[2])
        return Attempt(((0, 0, 0), (1, 1, 1)), None, None, measured, {}, place)

    kept_beside, missed_here = attempt(21.9, 4.0), attempt(22.1, 0.0)
    kept_nearer, empty = attempt(21.9, 3.0), attempt(0.0, np.nan)
    worth = [one.worth(seed) for one in (kept_nearer, kept_beside, missed_here, empty)]
    assert worth == sorted(worth)
    assert worth[0] == (False, False, pytest.approx(1.5))  # 3 mm of 2 mm


@pytest.mark.parametrize(
    ("attenuation", "level_hu", "lung_hu", "least"),
    [("ground-glass", -770, -840, 79), ("part-solid", -600, -780, 201), ("solid", -480, -740, 290)],
)
def test_a_nodule_that_hardly_stands_out_is_drawn_anew_and_said(
    lung_volume, make_balls, attenuation, level_hu, lung_hu, least
):
    volume = lung_volume(((70, 70, 70), np.diag([-1.0, -1.0, 1.0, 1.0])), offset=lung_hu - -840)
    seed = seed_at(volume, (33, 36, 34), 14.0, attenuation)
    maker = make_balls(level_hu=level_hu)
    result = insert(volume, [seed], maker)
    (done,) = result.insertions

    old = volume.voxels[done.slices][done.mask].astype(float)
    contrast = result.volume.voxels[done.slices][done.mask].mean() - old.mean()
    assert contrast < least
    assert len(maker.calls) == 4  # its size and place were right at once: no other box is tried
    said = float(done.note.removeprefix("hardly to be seen: ").split()[0])
    assert said == pytest.approx(contrast, abs=1)
    assert done.note.endswith(f"real {attenuation} ones {least} HU or more")
    assert done.within_tolerance is True  # size and density are what is promised


@pytest.mark.parametrize(
    ("attenuation", "level_hu"), [("ground-glass", -700), ("part-solid", -560), ("solid", -480)]
)
def test_a_nodule_that_stands_out_is_made_once(lung_volume, make_balls, attenuation, level_hu):
    volume = lung_volume(((70, 70, 70), np.diag([-1.0, -1.0, 1.0, 1.0])))
    maker = make_balls(level_hu=level_hu)
    (done,) = insert(volume, [seed_at(volume, (33, 36, 34), 14.0, attenuation)], maker).insertions

    assert (len(maker.calls), done.note) == (1, "")


def test_contrast_is_measured_where_lung_was(lung_volume):
    """Three of five voxels were lung: the change there is 100, 200 and 300 HU."""
    old = np.array([-850, -820, -700, -400, 30], np.int16)
    new = old + np.array([100, 200, 300, 900, 900], np.int16)
    everywhere = np.ones(5, bool)

    assert contrast_hu(old, new, everywhere) == pytest.approx(200)
    assert np.isnan(contrast_hu(old, new, np.array([1, 0, 0, 1, 1], bool)))  # most was not lung
    assert np.isnan(contrast_hu(old, new, np.zeros(5, bool)))
    nodule = np.array([0, 0, 1, 0, 0], bool)  # as thin as lung, but one that goes
    assert np.isnan(contrast_hu(old, new, everywhere, nodule))
    assert contrast_hu(old[:3], new[:3], everywhere[:3], nodule[:3]) == pytest.approx(150)
    seed = seed_at(lung_volume(((9, 9, 9), np.eye(4))), (4, 4, 4), 9.0, "ground-glass")
    made = Attempt(((0, 0, 0), (1, 1, 1)), None, None, Measurement(9.0, -700.0, 1.0), {})
    assert [replace(made, contrast_hu=c).faint(seed) for c in (78.9, 79.0, np.nan, None)] == [
        1,
        0,
        0,
        0,
    ]


def test_a_nodule_that_never_fits_is_drawn_anew(lung_volume, make_balls, monkeypatch):
    volume = lung_volume(((70, 70, 70), np.diag([-1.0, -1.0, 1.0, 1.0])))
    maker, asked = make_balls(), []
    right = maker.inpaint

    def only_another(context_hu, specs, box_mm):
        asked.append((specs[0].latent_seed, box_mm[0]))
        made = right(context_hu, specs, box_mm)
        if specs[0].latent_seed == 5:
            made.mask[:] = 0
        return made

    monkeypatch.setattr(maker, "inpaint", only_another)
    seed = seed_at(volume, (35, 35, 35))
    seed = replace(seed, spec=replace(seed.spec, latent_seed=5))
    (made,) = make_all(volume, [seed], maker)
    again = list(asked)
    (same,) = make_all(volume, [seed], maker)

    assert [latent for latent, _ in again[:5]] == [5] * 5
    assert len(again) == engine.ROUNDS_PER_DRAW + 1
    assert again[5][0] != 5
    assert again[5][1] == again[0][1]  # the new one starts in the box that was asked for
    assert made.miss(seed) < 0.5
    assert made.details["drawn_anew"] == "1"
    assert asked[6:] == again
    np.testing.assert_array_equal(made.voxels, same.voxels)


@pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_nan_near_a_seed_is_refused_by_name(lung_volume, make_balls, value):
    volume = lung_volume(((70, 70, 70), np.diag([-1.0, -1.0, 1.0, 1.0])), np.float32)
    volume.voxels[35, 35, 45] = value
    named = replace(seed_at(volume, (35, 35, 35)), name="N7")
    out = np.full((70, 70, 70), 3, np.float32)
    with pytest.raises(LungSynthError, match=r"seed N7 .*NaN or infinite"):
        insert(volume, [named], make_balls(), out=out)
    assert (out == 3).all()

    far = insert(volume, [seed_at(volume, (18, 18, 18), 5.0)], make_balls())
    assert not np.isfinite(far.volume.voxels[35, 35, 45])


def test_nothing_is_written_when_one_of_many_seeds_cannot_work(lung_volume, make_balls):
    volume = lung_volume(((60, 60, 60), np.diag([-1.0, -1.0, 1.0, 1.0])))
    out = np.full((60, 60, 60), 7, np.int16)
    seeds = [seed_at(volume, (20, 20, 20), 6.0), seed_at(volume, (2, 40, 40), 9.0)]
    with pytest.raises(LungSynthError, match=r"edge"):
        insert(volume, seeds, make_balls(), out=out)

    assert (out == 7).all()


def test_progress_counts_the_seeds(lung_volume, make_balls):
    volume = lung_volume(((60, 120, 120), np.diag([-1.0, -1.0, 1.0, 1.0])))
    seeds = [seed_at(volume, (20 + 22 * n, 25 + 70 * (n % 2), 30), 7.0) for n in range(5)]
    seen = []
    insert(volume, seeds, make_balls(), on_progress=lambda *done: seen.append(done))

    assert seen == [(4, 5), (5, 5)]


def test_voxels_saturate_instead_of_wrapping_round(make_balls):
    """An int16 volume never goes below air or past its type's end."""
    low = Volume(np.full((50, 50, 50), -900, np.int16), np.diag([-1.0, -1.0, 1.0, 1.0]))
    seed = seed_at(low, (25, 25, 25), attenuation="ground-glass")
    (dark,) = make_nodules(low, [seed], make_balls(level_hu=-4000))
    assert dark.voxels.min() >= -1024
    high = Volume(np.full((50, 50, 50), 30000, np.int16), low.ijk_to_ras)
    (bright,) = make_nodules(high, [seed], make_balls(level_hu=60000))
    assert bright.voxels.min() >= -1024


def test_measuring_by_hand():
    voxels = np.array([[[10, 20], [30, 40]]], np.int16)
    mask = np.array([[[True, False], [False, True]]])

    found = measure(voxels, mask, 3.0)
    assert (found.mean_hu, found.volume_mm3) == (25.0, 6.0)
    assert found.diameter_mm == pytest.approx((36 / np.pi) ** (1 / 3))


def test_a_mask_is_one_piece_without_holes(lung_volume, make_balls, monkeypatch):
    volume = lung_volume(((60, 60, 60), np.diag([-1.0, -1.0, 1.0, 1.0])))
    maker = make_balls()
    right = maker.inpaint

    def hollow(*arguments):
        made = right(*arguments)
        made.mask[:, 15:17, 15:17, 15:17] = 0  # a hole
        made.mask[:, 2:4, 2:4, 2:4] = 1  # a crumb
        return made

    monkeypatch.setattr(maker, "inpaint", hollow)
    (done,) = insert(volume, [seed_at(volume, (30, 30, 30), 12.0)], maker).insertions

    assert ndimage.label(done.mask, np.ones((3, 3, 3)))[1] == 1
    centre = tuple(n // 2 for n in done.mask.shape)
    assert done.mask[centre]


def test_no_second_copy_of_the_volume_is_made(make_balls):
    voxels = np.full((150, 512, 512), -850, np.int16)  # 79 MB
    volume = Volume(voxels, np.diag([-0.7, -0.7, 2.0, 1.0]))
    seeds = [seed_at(volume, (100 + 70 * n, 150 + 60 * n, 40 + 20 * n), 15.0) for n in range(4)]
    tracemalloc.start()
    try:
        insert(volume, seeds, make_balls())
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()

    assert peak < voxels.nbytes + 60e6


def test_a_change_fades_out_towards_the_faces_of_its_box(lung_volume, make_balls, monkeypatch):
    """Even where a synthesizer lifts its whole box by 300 HU, no edge is left."""
    volume = lung_volume(((60, 60, 60), np.diag([-1.0, -1.0, 1.0, 1.0])), np.float32)
    maker = make_balls()
    right = maker.inpaint

    def lifted(cubes, *arguments):
        made = right(cubes, *arguments)
        made.hu[:] = cubes[:, 16:48, 16:48, 16:48] + 300
        return made

    monkeypatch.setattr(maker, "inpaint", lifted)
    seed = seed_at(volume, (29.3, 29.6, 29.5), 15.0, "part-solid")  # a box of 27 mm
    (made,) = make_nodules(volume, [seed], maker)

    change = made.voxels - volume.voxels[tuple(map(slice, *made.box))]
    assert set(change.shape) <= {27, 28}
    np.testing.assert_allclose(change[8:-8, 8:-8, 8:-8], change[13, 13, 13], atol=1)
    assert change[13, 13, 13] >= 299
    for axis in range(3):
        for side in (0, -1):
            assert np.abs(np.take(change, side, axis)).max() < 75
        steps = np.abs(np.diff(change, axis=axis))
        assert steps.max() < 150


class WholeBoxMaker:
    """Draws a ball of 8 mm and turns all the rest of the box to -500 HU."""

    name, weights_sha256, device = "whole-box", None, "cpu"

    def box_mm(self, _diameter_mm):
        return 32.0

    def inpaint(self, _context_hu, specs, _box_mm):
        z, y, x = np.indices((32, 32, 32)) - 15.5
        mask = (np.sqrt(z**2 + y**2 + x**2) <= 4.0).astype(np.float32)
        hu = np.where(mask > 0.5, np.float32(0), np.float32(-500))
        return Inpainting(hu=np.stack([hu] * len(specs)), mask=np.stack([mask] * len(specs)))


def walled_lung():
    """Lung of -850 HU with a wall of 40 HU from i = 39 on."""
    voxels = np.full((64, 64, 64), -850, np.int16)
    voxels[:, :, 39:] = 40
    return Volume(voxels, np.diag([-1.0, -1.0, 1.0, 1.0]))


def test_surroundings_stay_but_for_the_nodule_and_its_rim():
    volume = walled_lung()
    seed = Seed((-32.0, -32.0, 32.0), NoduleSpec(8.0))

    result = insert(volume, [seed], WholeBoxMaker())

    new, old = result.volume.voxels, volume.voxels
    assert new[32, 32, 32] == pytest.approx(0, abs=60)  # the nodule
    assert new[32, 32, 26] == pytest.approx(-500, abs=30)  # 2 mm from its surface: its rim
    assert new[32, 32, 22] == old[32, 32, 22]  # 6 mm: lung
    assert abs(new[32, 32, 40] - old[32, 32, 40]) < 5  # 4 mm, a voxel into the wall


def test_a_replaced_nodule_goes_with_its_rim_and_the_wall_beyond_it_stays():
    """The old nodule lies at one side, 7 mm from the new one's surface, and touches the wall."""
    volume = walled_lung()
    old_nodule = np.zeros(volume.voxels.shape, bool)
    old_nodule[30:35, 30:35, 19:22] = True
    volume.voxels[old_nodule] = 40
    volume.voxels[:, :, :19] = 40  # a wall behind it
    seed = Seed((-32.0, -32.0, 32.0), NoduleSpec(8.0))

    kept = insert(volume, [seed], WholeBoxMaker()).volume.voxels
    new = insert(volume, [seed], WholeBoxMaker(), replaced=old_nodule).volume.voxels

    assert kept[32, 32, 20] == 40  # nobody said that it is to go
    assert new[32, 32, 20] == pytest.approx(-500, abs=60)
    assert new[32, 32, 23] == pytest.approx(-500, abs=60)  # 2 mm from it: its rim
    assert new[40, 40, 22] == volume.voxels[40, 40, 22]  # far from both
    assert new[40, 40, 17] == 40  # wall away from it
    assert (new[:, :, 39:] == kept[:, :, 39:]).all()


def test_a_mask_of_another_shape_is_refused_before_anything_is_made():
    volume = walled_lung()
    seed = Seed((-32.0, -32.0, 32.0), NoduleSpec(8.0))
    with pytest.raises(LungSynthError, match=r"replaced must be \(64, 64, 64\) like the input"):
        insert(volume, [seed], WholeBoxMaker(), replaced=np.zeros((64, 64, 60), bool))


def test_a_nodule_in_soft_tissue_is_said_to_be_there(make_balls):
    voxels = np.full((64, 64, 64), 30, np.int16)
    voxels[:, :, :20] = -850
    volume = Volume(voxels, np.diag([-1.0, -1.0, 1.0, 1.0]))

    (done,) = insert(volume, [seed_at(volume, (34, 32, 32))], make_balls()).insertions

    assert "placed in soft tissue (30 HU before), not in the lung" in done.note
