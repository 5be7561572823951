"""Where a nodule may go: each refusal names its seed."""

import numpy as np
import pytest

from lungsynth.core.errors import LungSynthError
from lungsynth.core.nodule import NoduleSpec, Seed
from lungsynth.core.volume import Volume
from lungsynth.imaging.insertion import insert
from lungsynth.imaging.placement import check_seeds, place_note

AXIAL = np.diag([-1.0, -1.0, 1.0, 1.0])


def body_voxels():
    """A body of 90 mm in air, a lung of 70 mm in it, and a trachea through the whole height."""
    y, x = np.indices((110, 110)) - 54.5
    radius = np.hypot(x, y)
    plane = np.select([radius < 35, radius < 45], [-850, 40], -1000)
    tube = np.hypot(x - 15, y)
    plane = np.select([tube < 6, tube < 8], [-1000, 30], plane)
    return np.repeat(plane[None].astype(np.int16), 60, axis=0)


def body(permuted=False):
    voxels = body_voxels()
    if not permuted:
        return Volume(voxels, AXIAL)
    # the same body with S along the fastest axis: (K, J, I) = (P, L, S)
    matrix = np.array([[0, -1.0, 0, 0], [0, 0, -1.0, 0], [1.0, 0, 0, 0], [0, 0, 0, 1]])
    return Volume(np.ascontiguousarray(voxels.transpose(1, 2, 0)), matrix)


def at(x, y, z, diameter_mm=6.0, name="apex"):
    return Seed((-float(x), -float(y), float(z)), NoduleSpec(diameter_mm), name)


@pytest.mark.parametrize("permuted", [False, True])
def test_both_ways_to_store_the_body_are_the_same_body(permuted):
    volume = body(permuted)
    i, j, k = np.rint(volume.ras_to_ijk((-70.0, -54.0, 30.0))).astype(int)

    assert volume.voxels[k, j, i] == -1000  # the trachea
    assert volume.voxels.shape[::-1] == ((60, 110, 110) if permuted else (110, 110, 60))


@pytest.mark.parametrize("permuted", [False, True])
@pytest.mark.parametrize(
    ("seed", "message"),
    [
        (at(-3, 50, 30), "seed apex at RAS .* lies outside the volume, 2.5 mm beyond its edge"),
        (at(50, 50, 61), r"seed apex at RAS .* outside the volume, 1.5 mm .* S 0 to 60 mm"),
        (at(2, 50, 30), r"seed apex .* too near the volume's edge: 2.5 mm .* needs 5.0 mm"),
        (at(50, 50, 56), r"seed apex .* too near the volume's edge: 3.5 mm"),
        (at(8, 8, 30), "seed apex .* air outside the body"),
        (at(55, 6, 30), "seed apex .* air outside the body"),
    ],
)
def test_a_place_that_cannot_be_is_refused(make_balls, seed, message, permuted):
    good = at(40, 54, 30, name="good")
    with pytest.raises(LungSynthError, match=message):
        check_seeds(body(permuted), [good, seed], make_balls())


@pytest.mark.parametrize("permuted", [False, True])
@pytest.mark.parametrize(
    "seed",
    [
        at(40, 54, 30),  # lung
        at(70, 54, 30),  # air in the trachea: walled in across S, open at both ends along it
        at(54, 94, 30),  # chest wall
        at(54, 54, 5),  # just far enough from the edge: 5.5 mm for 5
    ],
)
def test_a_place_in_the_body_is_accepted(make_balls, seed, permuted):
    check_seeds(body(permuted), [seed], make_balls())


def test_thick_slices_count_in_millimetres(make_balls):
    volume = Volume(body_voxels()[::5], np.diag([-1.0, -1.0, 5.0, 1.0]))
    check_seeds(volume, [at(40, 54, 5)], make_balls())
    with pytest.raises(LungSynthError, match=r"edge: 3.5 mm"):
        check_seeds(volume, [at(40, 54, 1)], make_balls())


def test_a_seed_in_the_box_of_an_earlier_one_is_refused(make_balls):
    first, second = at(35, 54, 30, name="A"), at(46, 54, 30, name="B")
    with pytest.raises(
        LungSynthError,
        match=r"seed B .* overlaps .*\(seed A\): it is 11.0 mm .* side to side, where "
        r"nodules of 6 and 6 mm need 12.6 mm along one axis; move it 1.6 mm further$",
    ):
        check_seeds(body(), [first, second], make_balls())

    check_seeds(body(), [first, at(48, 54, 30, name="B")], make_balls())  # 13 mm


@pytest.mark.parametrize("permuted", [False, True])
@pytest.mark.parametrize(
    ("place", "said"),
    [
        ((42, 57, 36), "it is 6.0 mm from it from head to foot, .* move it 6.6 mm"),
        ((42, 62, 33), "it is 8.0 mm from it from front to back, .* move it 4.6 mm"),
    ],
)
def test_an_overlap_names_the_direction_in_which_least_is_missing(
    make_balls, place, said, permuted
):
    """In the patient's words, whichever array axis it is."""
    with pytest.raises(LungSynthError, match=said):
        check_seeds(body(permuted), [at(40, 54, 30, name="A"), at(*place, name="B")], make_balls())


def test_a_seed_of_no_name_is_called_by_its_place(make_balls):
    with pytest.raises(LungSynthError, match=r"nodule \(seed at RAS \(-40.0, -54.0, 30.0\)\)"):
        check_seeds(body(), [at(40, 54, 30, name=""), at(42, 54, 30, name="B")], make_balls())


def test_a_seed_beyond_a_corner_is_as_far_as_the_corner_is():
    volume = Volume(np.zeros((10, 20, 30), np.int16), np.diag([2.0, 3.0, 4.0, 1.0]))
    seed = Seed((59 + 3.0, 58.5 + 4.0, 9.0), NoduleSpec(4.0))  # 3 mm and 4 mm from the faces
    with pytest.raises(LungSynthError, match=r"5.0 mm .* spans R -1 to 59, A -2 to 58, S -2 to 38"):
        check_seeds(volume, [seed], None)


@pytest.mark.parametrize("permuted", [False, True])
@pytest.mark.parametrize(
    ("seed", "note"),
    [
        (at(40, 54, 30), ""),  # lung
        (at(54, 94, 30), "seed apex at RAS (-54.0, -94.0, 30.0) lies in soft tissue (40 HU), "),
        (at(54, 87, 30, 20.0), ""),  # on the pleura, the better half in the lung
        (at(54, 92, 30, 10.0), "seed apex at RAS (-54.0, -92.0, 30.0) lies in soft tissue"),
        (at(70, 54, 30), ""),  # an airway
    ],
)
def test_a_seed_in_the_chest_wall_is_noted(seed, note, permuted):
    said = place_note(body(permuted), seed)

    assert said.startswith(note)
    assert bool(said) == bool(note)


def test_boxes_may_pass_each_other_along_any_one_axis(make_balls):
    check_seeds(body(), [at(40, 54, 15), at(40, 54, 28)], make_balls())
    check_seeds(body(), [at(40, 40, 30), at(40, 54, 30)], make_balls())


def test_a_nodule_that_the_volume_holds_already_counts(make_balls):
    done = insert(body(), [at(40, 54, 30, name="old")], make_balls())
    with pytest.raises(LungSynthError, match=r"seed new .* overlaps .*seed old"):
        check_seeds(
            done.volume, [at(46, 50, 33, name="new")], make_balls(), earlier=done.insertions
        )
    with pytest.raises(LungSynthError, match=r"seed new .* overlaps .*seed old"):
        insert(done.volume, [at(46, 50, 33, name="new")], make_balls(), earlier=done.insertions)

    check_seeds(done.volume, [at(46, 70, 33)], make_balls(), earlier=done.insertions)


def test_no_seed_at_all_is_refused(make_balls):
    with pytest.raises(LungSynthError, match=r"no seed given"):
        check_seeds(body(), [], make_balls())


def test_a_nodule_that_would_fall_between_thick_slices_is_refused(make_balls):
    thick = Volume(body_voxels()[::12], np.diag([-1.0, -1.0, 12.0, 1.0]))

    with pytest.raises(LungSynthError, match=r"seed apex .*4 mm can fall between .* 12 mm apart"):
        check_seeds(thick, [at(40, 54, 18, 4.0)], make_balls())
