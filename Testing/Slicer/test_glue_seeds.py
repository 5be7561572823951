"""Points that carry their specs, through everything that Slicer does to a list of points."""

import numpy as np
import pytest

from lungsynth.core.errors import LungSynthError
from lungsynth.core.nodule import NoduleSpec
from lungsynth.core.radiograph import CxrNoduleSpec

SPECS = [
    NoduleSpec(12.345678901234567, "part-solid", "malignant", 51),
    NoduleSpec(6.0, "ground-glass", None, 2**63 - 1),
    NoduleSpec(30.1, "solid", "benign", 0),
]
PLACES = [(-62.25, 18.5, -140.75), (1.5, -2.5, 33.0), (70.0, 4.25, -8.5)]


@pytest.fixture
def seeds(scene):
    from lungsynth_slicer.seeds import SeedList

    node = scene.AddNewNodeByClass("vtkMRMLMarkupsFiducialNode", "Seeds")
    node.CreateDefaultDisplayNodes()
    return SeedList(node)


@pytest.fixture
def filled(seeds):
    """Three points, the second of them inserted."""
    ids = [
        seeds.add(place, spec, f"N-{number}")
        for number, (place, spec) in enumerate(zip(PLACES, SPECS, strict=True), start=1)
    ]
    seeds.setState(ids[1], "inserted")
    return seeds


def what(seeds):
    return [(p.label, p.spec, p.state, p.specified) for p in seeds.points()]


EXPECTED = [
    ("N-1", SPECS[0], "new", True),
    ("N-2", SPECS[1], "inserted", True),
    ("N-3", SPECS[2], "new", True),
]


def test_a_spec_is_written_as_words_and_read_back_exactly(scene):
    from lungsynth_slicer.seeds import specIn, wordsOf

    assert wordsOf(SPECS[2], "inserted") == "30.1 mm, solid, benign, latent seed 0, inserted"
    rng = np.random.default_rng(3)
    kinds = ["solid", "part-solid", "ground-glass"]
    for _ in range(200):
        spec = NoduleSpec(
            float(rng.uniform(3, 40)),
            str(rng.choice(kinds)),
            rng.choice([None, "benign", "malignant"]),
            int(rng.integers(2**63 - 1)),
        )
        for state in ("new", "inserted"):
            assert specIn(wordsOf(spec, state)) == (spec, state)


@pytest.mark.parametrize(
    "text",
    ["", "ask Bob", "12 mm", "12 mm, wooden, latent seed 3", "99 mm, solid, latent seed 3"],
)
def test_a_description_without_a_spec_that_can_be_made_gives_the_default(filled, text):
    filled.node.SetNthControlPointDescription(0, text)

    point = filled.points()[0]

    assert (point.spec, point.state, point.specified) == (filled.defaultSpec, "new", False)


def test_a_nodule_of_a_radiograph_is_written_as_words_and_read_back_exactly(seeds):
    from lungsynth_slicer.seeds import SeedList, specIn, wordsOf

    specs = [
        CxrNoduleSpec(12.345678901234567, None, 0.08, 51),
        CxrNoduleSpec(None, 61.5, None, 2**63 - 1),
        CxrNoduleSpec(None, 300.0, 0.6, 0),
    ]
    assert wordsOf(specs[0]).startswith("12.345678901234567 mm in a radiograph, contrast 0.08, ")
    assert wordsOf(specs[1], "inserted").endswith(f"latent seed {2**63 - 1}, inserted")
    for spec in specs:
        for state in ("new", "inserted"):
            assert specIn(wordsOf(spec, state)) == (spec, state)
    assert specIn("900 mm in a radiograph, latent seed 3") is None, "more than may be asked"

    other = seeds.add(PLACES[0], SPECS[0])
    seeds.node.SetNthControlPointDescription(
        0, f"mine; {seeds.node.GetNthControlPointDescription(0)}; keep"
    )
    of_film = SeedList(seeds.node, CxrNoduleSpec(diameter_px=40.0, latent_seed=9))
    assert of_film.specifyAll() == [other], "what it says is of a CT"
    assert seeds.node.GetNthControlPointDescription(0) == (
        "mine; 40 px in a radiograph, latent seed 9; keep"
    )
    assert of_film.specifyAll() == []


def test_what_a_person_noted_in_the_description_stays(filled):
    filled.node.SetNthControlPointDescription(0, "ask Bob")
    first = filled.points()[0].id
    filled.setSpec(first, SPECS[1])
    filled.setState(first, "inserted")
    filled.setSpec(first, SPECS[0])

    assert filled.node.GetNthControlPointDescription(0) == (
        "ask Bob; 12.345678901234567 mm, part-solid, malignant, latent seed 51, inserted"
    )


def test_points_survive_a_scene_bundle(filled, mrb, tmp_path, scene):
    from lungsynth_slicer.seeds import SeedList

    before = filled.points()
    mrb.round_trip(tmp_path / "case.mrb")
    node = scene.GetFirstNodeByName("Seeds")
    after = SeedList(node)

    assert node is not filled.node
    assert what(after) == EXPECTED
    assert [p.id for p in after.points()] == [p.id for p in before]
    for one, other in zip(before, after.points(), strict=True):
        np.testing.assert_allclose(one.position_ras_mm, other.position_ras_mm, atol=1e-6)
    assert node.GetNthControlPointLocked(1)
    assert not node.GetNthControlPointLocked(0)
    # and what is added after loading has an id of its own
    new = after.add((5, 6, 7), SPECS[0])
    assert new not in {p.id for p in before}


@pytest.mark.parametrize("suffix", [".mrk.json", ".fcsv"])
def test_points_survive_a_file_of_their_own(filled, scene, tmp_path, suffix):
    from lungsynth_slicer.seeds import SeedList

    storage = scene.AddNewNodeByClass(
        "vtkMRMLMarkupsJsonStorageNode"
        if suffix == ".mrk.json"
        else "vtkMRMLMarkupsFiducialStorageNode"
    )
    storage.SetFileName(str(tmp_path / f"seeds{suffix}"))
    assert storage.WriteData(filled.node)
    loaded = scene.AddNewNodeByClass("vtkMRMLMarkupsFiducialNode", "loaded")
    assert storage.ReadData(loaded)

    assert what(SeedList(loaded)) == EXPECTED


def test_points_survive_deletion_reordering_renaming_and_copying(filled, scene):
    from lungsynth_slicer.seeds import SeedList

    ids = [point.id for point in filled.points()]
    filled.node.SwapControlPoints(0, 2)
    assert what(filled) == EXPECTED[::-1]
    filled.setLabel(ids[0], "renamed")
    filled.node.SetName("Other name")
    filled.remove(ids[2])
    expected = [EXPECTED[1], ("renamed", *EXPECTED[0][1:])]
    assert what(filled) == expected

    copy = scene.AddNewNodeByClass("vtkMRMLMarkupsFiducialNode", "copy")
    copy.Copy(filled.node)
    assert what(SeedList(copy)) == expected


def test_a_point_is_found_by_its_id_and_one_that_is_gone_is_said_to_be(filled):
    first, second, _ = (point.id for point in filled.points())
    filled.remove(first)

    assert filled.point(second).label == "N-2"
    with pytest.raises(LungSynthError, match=f"Seeds: there is no point with the id '{first}'"):
        filled.setSpec(first, SPECS[0])


def test_states_lock_and_unlock_a_point_and_leave_its_spec(filled):
    first = filled.points()[0].id
    filled.setState(first, "inserted")
    assert filled.node.GetNthControlPointLocked(0)
    assert filled.point(first).spec == SPECS[0]
    filled.setSpec(first, SPECS[2])
    assert filled.point(first).state == "inserted"
    filled.setState(first, "new")
    assert not filled.node.GetNthControlPointLocked(0)
    assert filled.point(first).spec == SPECS[2]


def test_positions_are_those_in_the_world_under_a_transform(seeds, scene):
    import vtk

    transform = scene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
    matrix = vtk.vtkMatrix4x4()
    matrix.SetElement(0, 3, 100.0)
    matrix.SetElement(1, 3, -7.0)
    transform.SetMatrixTransformToParent(matrix)
    seeds.node.SetAndObserveTransformNodeID(transform.GetID())
    seeds.add((1, 2, 3), SPECS[0])

    (point,) = seeds.points()

    assert point.position_ras_mm == pytest.approx((1, 2, 3))
    assert point.seed.name == point.label
    assert list(seeds.node.GetNthControlPointPosition(0)) == pytest.approx([-99, 9, 3])


def test_a_point_that_is_still_being_placed_is_no_seed(seeds):
    import vtk

    seeds.add((1, 2, 3), SPECS[0])
    seeds.node.AddControlPoint(vtk.vtkVector3d(4, 5, 6))
    for status in ("PositionPreview", "PositionUndefined", "PositionMissing"):
        seeds.node.SetNthControlPointPosition(1, 4, 5, 6, getattr(seeds.node, status))
        assert [point.spec for point in seeds.points()] == [SPECS[0]]


def test_points_placed_by_hand_get_specs_with_latent_seeds_of_their_own(seeds):
    import vtk

    from lungsynth_slicer.seeds import SeedList

    seeds = SeedList(seeds.node, NoduleSpec(9.0, "solid", None, 50))
    seeds.add((0, 0, 0), SPECS[0])  # has 51
    for x in (10, 20):
        seeds.node.AddControlPoint(vtk.vtkVector3d(x, 0, 0))

    changed = seeds.specifyAll()

    points = seeds.points()
    assert changed == [points[1].id, points[2].id]
    assert [point.spec.latent_seed for point in points] == [51, 50, 52]
    assert all(point.spec.diameter_mm == 9.0 for point in points[1:])
    assert all(point.specified for point in points)
    assert seeds.specifyAll() == []


def test_writing_what_is_there_already_tells_no_observer(filled):
    import vtk

    calls = []
    tag = filled.node.AddObserver(vtk.vtkCommand.AnyEvent, lambda *_: calls.append(1))
    first = filled.points()[0].id
    filled.setSpec(first, SPECS[0])
    filled.node.RemoveObserver(tag)

    assert calls == []
