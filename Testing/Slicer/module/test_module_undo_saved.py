"""Undo after the scene was saved and loaded, or the module loaded anew: still exact, or refused."""

import numpy as np
import pytest


def voxels(node):
    import slicer

    return slicer.util.arrayFromVolume(node)


def segment_ids(node):
    return list(node.GetSegmentation().GetSegmentIDs())


@pytest.fixture
def stages(panel, add_seeds, insert, places):
    """Insert four nodules; return the output's voxels before each, and after the last."""
    made = []
    for place in [places[0], places[3], places[12], places[7]]:
        output = panel.p.outputVolume
        made.append(voxels(panel.p.inputVolume if output is None else output).copy())
        add_seeds([place], attenuation="part-solid")
        insert()
    return [*made, voxels(panel.p.outputVolume).copy()]


def taken(panel):
    from lungsynth_slicer import segments

    return [place.box for place in segments.takenBy(panel.p.segmentation)]


def test_loaded_scene_undoes_to_the_voxel_and_puts_back(
    panel, stages, mrb, tmp_path, slicer_app, phantom
):
    boxes = taken(panel)
    before = segment_ids(panel.p.segmentation)

    mrb.round_trip(tmp_path / "scene.mrb")
    slicer_app.processEvents()

    assert segment_ids(panel.p.segmentation) == before
    np.testing.assert_array_equal(voxels(panel.p.outputVolume), stages[4])
    for left in (3, 2, 1, 0):
        assert panel.ui.undoButton.enabled, panel.ui.undoButton.toolTip
        panel.ui.undoButton.click()
        slicer_app.processEvents()
        np.testing.assert_array_equal(voxels(panel.p.outputVolume), stages[left])
        assert segment_ids(panel.p.segmentation) == before[:left]
        assert panel.p.table.GetNumberOfRows() == left
        states = [point.state for point in panel.seedsPanel.points()]
        assert states == ["inserted"] * left + ["new"] * (4 - left)
    np.testing.assert_array_equal(voxels(panel.p.outputVolume), phantom.voxels)
    assert panel.ui.undoButton.toolTip == "Nothing to undo."

    for back in (1, 2, 3, 4):
        panel.ui.redoButton.click()
        slicer_app.processEvents()
        np.testing.assert_array_equal(voxels(panel.p.outputVolume), stages[back])
    assert taken(panel) == boxes


def test_masks_are_back_where_they_were_after_loading_undo_and_redo(
    panel, stages, mrb, tmp_path, slicer_app
):
    import slicer

    def mask():
        array = slicer.util.arrayFromSegmentBinaryLabelmap
        return array(
            panel.p.segmentation, segment_ids(panel.p.segmentation)[-1], panel.p.inputVolume
        )

    first = mask()
    assert first.any()
    mrb.round_trip(tmp_path / "scene.mrb")
    slicer_app.processEvents()
    panel.ui.undoButton.click()
    slicer_app.processEvents()
    panel.ui.redoButton.click()
    assert len(segment_ids(panel.p.segmentation)) == 4

    np.testing.assert_array_equal(mask(), first)


def test_nodules_inserted_after_loading_are_undone_before_the_earlier_ones(
    panel, stages, add_seeds, insert, places, mrb, tmp_path, slicer_app
):
    mrb.round_trip(tmp_path / "scene.mrb")
    slicer_app.processEvents()
    add_seeds([places[9]])
    insert()
    assert segment_ids(panel.p.segmentation)[-1] == "Nodule_5"
    for left in (4, 3):
        panel.ui.undoButton.click()
        slicer_app.processEvents()
        np.testing.assert_array_equal(voxels(panel.p.outputVolume), stages[left])


def test_new_logic_takes_over_where_the_old_one_ended(panel, stages):
    """As after a reload of the module: nothing is left but the scene."""
    from NoduleSynth import NoduleSynthLogic

    logic = NoduleSynthLogic()
    panel.ui.undoButton.click()
    logic.undo(panel.p)
    np.testing.assert_array_equal(voxels(panel.p.outputVolume), stages[2])
    panel.logic.undo(panel.p)
    np.testing.assert_array_equal(voxels(panel.p.outputVolume), stages[1])
    logic.cleanup()


def change_output(p):
    from lungsynth_slicer.segments import takenBy

    k, j, i = takenBy(p.segmentation)[-1].box[0]
    voxels(p.outputVolume)[k + 1, j + 2, i + 3] += 1


def change_input(p):
    from lungsynth_slicer.segments import takenBy

    k, j, i = takenBy(p.segmentation)[-1].box[1]
    voxels(p.inputVolume)[k - 1, j - 2, i - 3] -= 1


def remove_segment(p):
    p.segmentation.RemoveSegment(segment_ids(p.segmentation)[-1])


def remove_segmentation(p):
    p.segmentation.GetScene().RemoveNode(p.segmentation)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (change_output, "voxels of the CT or of the output were changed since"),
        (change_input, "voxels of the CT or of the output were changed since"),
        (remove_segment, "its segment is gone"),
        (remove_segmentation, "the segmentation of the nodules is gone"),
    ],
)
def test_what_cannot_be_undone_exactly_says_why(
    panel, add_seeds, insert, places, mrb, tmp_path, slicer_app, change, said
):
    add_seeds(places[:2])
    insert()
    mrb.round_trip(tmp_path / "scene.mrb")
    change(panel.p)
    slicer_app.processEvents()
    panel.refresh()
    output = voxels(panel.p.outputVolume).copy()

    assert not panel.ui.undoButton.enabled
    assert said in panel.ui.undoButton.toolTip
    with pytest.raises(Exception, match=said):
        panel.logic.undo(panel.p)
    np.testing.assert_array_equal(voxels(panel.p.outputVolume), output)


def test_undo_in_the_session_keeps_what_was_edited_since_and_says_why(panel, stages, slicer_app):
    """A voxel of the last nodule's box was painted over; taken back, all goes on as before."""
    k, j, i = taken(panel)[-1][0]
    output = voxels(panel.p.outputVolume)
    voxel = (k + 1, j + 2, i + 3)
    output[voxel] += 7
    edited = output.copy()
    panel.ui.undoButton.click()  # nothing tells the panel of an edit: the button is still enabled
    slicer_app.processEvents()

    assert "voxels of the output were edited there since" in panel.ui.statusLabel.text
    np.testing.assert_array_equal(voxels(panel.p.outputVolume), edited)
    assert len(segment_ids(panel.p.segmentation)) == 4
    assert panel.p.table.GetNumberOfRows() == 4
    panel.refresh()
    assert not panel.ui.undoButton.enabled
    assert panel.ui.undoButton.toolTip.endswith("a new one is made.")

    voxels(panel.p.outputVolume)[voxel] -= 7
    panel.refresh()
    for left in (3, 2):
        panel.ui.undoButton.click()
        slicer_app.processEvents()
        np.testing.assert_array_equal(voxels(panel.p.outputVolume), stages[left])


def test_edits_outside_the_last_box_and_before_a_redo_are_no_hindrance(panel, stages, slicer_app):
    (k, j, i), _ = taken(panel)[-1]
    output = voxels(panel.p.outputVolume)
    output[k - 1, j, i] += 5
    panel.ui.undoButton.click()
    slicer_app.processEvents()
    expected = stages[3].copy()
    expected[k - 1, j, i] += 5
    np.testing.assert_array_equal(voxels(panel.p.outputVolume), expected)

    voxels(panel.p.outputVolume)[k + 1, j + 2, i + 3] += 9
    panel.ui.redoButton.click()
    slicer_app.processEvents()
    panel.ui.undoButton.click()
    slicer_app.processEvents()
    expected[k + 1, j + 2, i + 3] += 9
    np.testing.assert_array_equal(voxels(panel.p.outputVolume), expected)


def test_edit_after_a_redo_is_kept_too(panel, stages, slicer_app):
    panel.ui.undoButton.click()
    panel.ui.redoButton.click()
    slicer_app.processEvents()
    k, j, i = taken(panel)[-1][0]
    voxels(panel.p.outputVolume)[k + 1, j + 2, i + 3] -= 3

    assert "edited there since" in panel.logic.whyNotUndo(panel.p)
