"""Nodules as segments and as rows, and the way back."""

import time

import numpy as np
import pytest

from lungsynth.core.insertion import Insertion, Measurement
from lungsynth.core.nodule import NoduleSpec, Seed
from lungsynth.io.segments import COLORS, TERMINOLOGY

SHAPE = (60, 90, 120)


def insertion_at(corner, size=(5, 6, 7), number=1, full=False, **values):
    """Return an insertion whose mask is not symmetric in any axis."""
    mask = np.ones(size, bool)
    if not full:
        mask[0] = mask[:, -1] = mask[:, :, 0] = mask[1:, 1:3, -1] = False
        mask[2, 2, 2] = False
    box = (tuple(corner), tuple(int(low + side) for low, side in zip(corner, size, strict=True)))
    spec = NoduleSpec(12.5, "part-solid", "benign", number)
    seed = Seed((1.25 + number, -20.5, 3.0), spec, f"N-{number}")
    fields = {
        "measured": Measurement(12.34, -301.26, 901.23),
        "before": np.zeros(size, np.int16),
        "within_tolerance": True,
        **values,
    }
    return Insertion(seed=seed, box=box, mask=mask, **fields)


@pytest.fixture
def volume(oblique_volume):
    return oblique_volume(shape=SHAPE)


@pytest.fixture
def node(scene):
    return scene.AddNewNodeByClass("vtkMRMLSegmentationNode", "Nodules")


def voxels_of(node, segment_id, volume):
    """Return a segment on the grid of the volume, brought there by Slicer's own resampling."""
    import slicer
    import vtk
    from vtk.util.numpy_support import vtk_to_numpy

    own = slicer.vtkOrientedImageData()
    assert node.GetBinaryLabelmapRepresentation(segment_id, own)
    grid = slicer.vtkOrientedImageData()
    k, j, i = volume.GetImageData().GetDimensions()[::-1]
    grid.SetExtent(0, i - 1, 0, j - 1, 0, k - 1)
    grid.AllocateScalars(vtk.VTK_UNSIGNED_CHAR, 1)
    matrix = vtk.vtkMatrix4x4()
    volume.GetIJKToRASMatrix(matrix)
    grid.SetGeometryFromImageToWorldMatrix(matrix)
    out = slicer.vtkOrientedImageData()
    resample = slicer.vtkOrientedImageDataResample
    assert resample.ResampleOrientedImageToReferenceOrientedImage(own, grid, out)
    assert out.GetExtent() == grid.GetExtent()
    return vtk_to_numpy(out.GetPointData().GetScalars()).reshape(k, j, i) > 0


def expected(insertion, shape=SHAPE):
    voxels = np.zeros(shape, bool)
    voxels[insertion.slices] = insertion.mask
    return voxels


def tag(node, segment_id, key):
    import vtk

    value = vtk.reference("")
    assert node.GetSegmentation().GetSegment(segment_id).GetTag(key, value)
    return str(value)


CORNERS = [(3, 10, 20), (40, 70, 100), (55, 84, 113), (0, 0, 0), (20, 40, 60)]


@pytest.fixture
def filled(node, volume):
    """Five nodules, two of them at corners of the volume; return their ids."""
    from lungsynth_slicer.segments import addNodule

    made = [insertion_at(corner, number=n) for n, corner in enumerate(CORNERS, start=1)]
    return {addNodule(node, volume, one, n): one for n, one in enumerate(made, start=1)}


def test_each_segment_is_its_nodule_to_the_voxel(node, volume, filled):
    assert list(filled) == [f"Nodule_{n}" for n in range(1, 6)]
    for segment_id, insertion in filled.items():
        np.testing.assert_array_equal(
            voxels_of(node, segment_id, volume), expected(insertion), segment_id
        )


def test_a_segment_is_named_coloured_and_coded_as_nodule(node, filled):
    segment = node.GetSegmentation().GetSegment("Nodule_2")

    assert segment.GetName() == "N-2 (12.5 mm part-solid)"
    assert segment.GetColor() == pytest.approx(COLORS[1])
    assert tag(node, "Nodule_2", "TerminologyEntry") == TERMINOLOGY
    assert "27925004^Nodule" in TERMINOLOGY
    assert tag(node, "Nodule_2", "lungsynth.synthetic") == "true"
    assert len(filled) == node.GetSegmentation().GetNumberOfSegments()


def test_a_removed_segment_leaves_no_voxel_and_the_others_as_they_were(node, volume, filled):
    from lungsynth_slicer.segments import addNodule, removeNodule

    for segment_id in ("Nodule_2", "Nodule_5"):
        removeNodule(node, segment_id)
        removeNodule(node, segment_id)  # gone already: nothing happens
        del filled[segment_id]
    again = insertion_at((10, 60, 5), number=6)
    # Gets the last one's value in the label map, and must not get what was drawn with it
    filled[addNodule(node, volume, again, 5)] = again

    assert list(filled) == ["Nodule_1", "Nodule_3", "Nodule_4", "Nodule_5"]
    assert node.GetSegmentation().GetNumberOfSegments() == 4
    for segment_id, insertion in filled.items():
        np.testing.assert_array_equal(
            voxels_of(node, segment_id, volume), expected(insertion), segment_id
        )


def test_all_nodules_share_a_label_map_unless_they_overlap(node, volume, filled):
    from lungsynth_slicer.segments import addNodule

    segmentation = node.GetSegmentation()
    assert segmentation.GetNumberOfLayers() == 1
    over = insertion_at((4, 11, 21), number=6, full=True)
    filled[addNodule(node, volume, over, 6)] = over

    assert segmentation.GetNumberOfLayers() == 2
    for segment_id, insertion in filled.items():
        np.testing.assert_array_equal(voxels_of(node, segment_id, volume), expected(insertion))


def test_segments_survive_a_scene_bundle_and_more_can_be_added(
    node, volume, filled, mrb, scene, tmp_path
):
    from lungsynth_slicer.segments import addNodule, removeNodule, takenBy

    names = {key: node.GetSegmentation().GetSegment(key).GetName() for key in filled}
    mrb.round_trip(tmp_path / "case.mrb")
    node, volume = scene.GetFirstNodeByName("Nodules"), scene.GetFirstNodeByName("CT")
    removeNodule(node, "Nodule_4")
    del filled["Nodule_4"], names["Nodule_4"]
    new = insertion_at((30, 5, 80), number=6)
    filled[addNodule(node, volume, new, 6)] = new

    assert [(t.seed, t.box) for t in takenBy(node)] == [(i.seed, i.box) for i in filled.values()]
    for segment_id, name in names.items():
        assert node.GetSegmentation().GetSegment(segment_id).GetName() == name
        assert tag(node, segment_id, "TerminologyEntry") == TERMINOLOGY
    for segment_id, insertion in filled.items():
        np.testing.assert_array_equal(voxels_of(node, segment_id, volume), expected(insertion))


def test_segments_of_others_are_no_nodules_and_stay_as_they_are(node, volume):
    from lungsynth_slicer.segments import addNodule, takenBy

    lung = node.GetSegmentation().AddEmptySegment("lung", "Lung")
    one = insertion_at((3, 10, 20))
    made = addNodule(node, volume, one, 1)

    assert [taken.box for taken in takenBy(node)] == [one.box]
    assert takenBy(None) == []
    assert node.GetSegmentation().GetSegment(lung).GetName() == "Lung"
    np.testing.assert_array_equal(voxels_of(node, made, volume), expected(one))


def test_more_than_255_nodules_have_room(node, volume):
    from lungsynth_slicer.segments import addNodule

    made = {}
    for n in range(260):
        corner = (9 * (n // 100), 9 * (n // 10 % 10), 11 * (n % 10))
        insertion = insertion_at(corner, number=n)
        made[addNodule(node, volume, insertion, n + 1)] = insertion

    assert node.GetSegmentation().GetNumberOfLayers() == 2
    for n in (1, 100, 255, 256, 257, 260):
        got = voxels_of(node, f"Nodule_{n}", volume)
        np.testing.assert_array_equal(got, expected(made[f"Nodule_{n}"]))


def test_the_hundredth_segment_is_added_and_removed_quickly(
    node, scene, oblique_volume, slice_view
):
    from lungsynth_slicer.segments import addNodule, removeNodule

    large = oblique_volume(voxels=np.zeros((200, 320, 320), np.int16))
    view = slice_view(large)
    seconds = []  # of this thread's own work, whatever else the machine does
    for n in range(100):
        corner = (18 * (n // 10), 28 * (n % 10) + 2 * (n // 10), 2 * n)
        insertion = insertion_at(corner, size=(16, 22, 26), number=n)
        started = time.thread_time()
        addNodule(node, large, insertion, n + 1)
        seconds.append(time.thread_time() - started)
        if n % 20 == 0:
            view.render()
    started = time.thread_time()
    removeNodule(node, "Nodule_100")
    seconds.append(time.thread_time() - started)

    assert max(seconds) < 0.1


def test_a_row_holds_what_was_asked_and_what_was_measured(scene):
    from lungsynth_slicer.table import COLUMNS, addRow, removeRow

    table = scene.AddNewNodeByClass("vtkMRMLTableNode", "Nodules")
    assert addRow(table, insertion_at((0, 0, 0), number=1)) == 0
    nothing = Measurement(0.0, float("nan"), 0.0)
    missed = {"measured": nothing, "within_tolerance": False, "note": "no nodule came out"}
    assert addRow(table, insertion_at((0, 0, 0), number=2, **missed)) == 1

    def row(n):
        return [table.GetCellText(n, column) for column in range(table.GetNumberOfColumns())]

    assert [table.GetColumnName(n) for n in range(len(COLUMNS))] == list(COLUMNS)
    assert row(0) == [
        "N-1", "2.25", "-20.5", "3", "12.5", "12.34", "part-solid", "-301.3", "901.2", "yes", "",
    ]  # fmt: skip
    assert row(1)[-2:] == ["no", "no nodule came out"]
    assert np.isnan(table.GetTable().GetColumnByName("mean (HU)").GetValue(1))
    removeRow(table)
    removeRow(table, 5)
    assert table.GetNumberOfRows() == 1
    assert row(0)[0] == "N-1"
    removeRow(table, 0)
    removeRow(table)
    assert table.GetNumberOfRows() == 0
    assert addRow(table, insertion_at((0, 0, 0), number=3)) == 0


def test_rows_survive_a_scene_bundle_and_more_can_be_added(scene, mrb, tmp_path):
    from lungsynth_slicer.table import addRow

    addRow(scene.AddNewNodeByClass("vtkMRMLTableNode", "Nodules"), insertion_at((0, 0, 0)))
    mrb.round_trip(tmp_path / "case.mrb")
    table = scene.GetFirstNodeByName("Nodules")
    addRow(table, insertion_at((0, 0, 0), number=2))

    assert table.GetNumberOfRows() == 2
    for row, name in enumerate(("N-1", "N-2")):
        assert table.GetCellText(row, 0) == name
        assert float(table.GetCellText(row, 5)) == pytest.approx(12.34)


def test_history_goes_back_and_forth_in_order():
    from lungsynth_slicer.history import History, Step

    history = History()
    steps = [Step(None, None, f"p{n}", f"s{n}", n) for n in range(3)]
    assert not history.canUndo
    for step in steps:
        history.push(step)
    assert history.undo() is steps[2]
    assert history.undo() is steps[1]
    assert history.redo() is steps[1]
    history.replaceLast(steps[0])
    assert history.done == [steps[0], steps[0]]
    assert history.canRedo
    history.push(steps[2])
    assert not history.canRedo
    history.clear()
    assert not history.canUndo
    with pytest.raises(IndexError):
        history.undo()
