"""What must not leak from one case, or one choice, to the next."""

import os
import time

import numpy as np
import pytest


def voxels(node):
    import slicer

    return slicer.util.arrayFromVolume(node)


def test_next_patient_after_a_closed_scene_has_a_history_of_its_own(
    panel, add_seeds, insert, places, phantom, scene, slicer_app
):
    """Nodes of the new scene get the ids of the old one's."""
    import slicer

    add_seeds(places[:1])
    insert()
    old_id = panel.p.outputVolume.GetID()
    scene.Clear(0)
    slicer_app.processEvents()
    other = phantom.voxels + np.int16(50)
    panel.p.inputVolume = slicer.util.addVolumeFromArray(other, phantom.ijk_to_ras, "Second")
    slicer_app.processEvents()
    add_seeds(places[1:2])
    insert()

    assert panel.p.outputVolume.GetID() == old_id
    assert panel.p.segmentation.GetSegmentation().GetNthSegmentID(0) == "Nodule_1"
    panel.ui.undoButton.click()
    slicer_app.processEvents()
    np.testing.assert_array_equal(voxels(panel.p.outputVolume), other)
    assert not panel.ui.undoButton.enabled


def test_synthesizer_that_was_loaded_before_bad_weights_is_loaded_again(
    panel, add_seeds, insert, places, wait_until, slicer_app, tmp_path
):
    add_seeds(places[:1])
    insert()
    bad = tmp_path / "broken.safetensors"
    bad.write_bytes(b"not weights at all")
    add_seeds(places[1:2])
    panel.p.synthesizer = "mcgan"
    panel.ui.weightsPathLineEdit.currentPath = str(bad)
    assert "broken.safetensors" in insert()

    panel.ui.weightsPathLineEdit.currentPath = ""
    panel.p.synthesizer = "procedural"
    assert "1 nodule inserted" in insert()


def test_settings_that_were_let_go_hear_no_widget_any_more(panel, slicer_app):
    """Slicer's connectGui gives no tag, so that what it binds stays bound."""
    old = panel.p
    panel.setParameterNode(None)
    panel.ui.proposeCountSpinBox.value = 17
    slicer_app.processEvents()

    assert old.proposeCount == 3


def test_coming_back_a_hundred_times_binds_the_panel_once(panel, slicer_app):
    import harness_checks

    before = len(harness_checks.observers(panel.p.parameterNode))
    for _ in range(100):
        panel.exit()
        panel.enter()
    slicer_app.processEvents()

    assert len(harness_checks.observers(panel.p.parameterNode)) == before
    assert panel.p.inputVolume is not None


def test_proposal_for_a_ct_goes_to_no_other_that_was_chosen_meanwhile(
    panel, ct, phantom, wait_until, slicer_app
):
    import slicer

    other = slicer.util.addVolumeFromArray(phantom.voxels.copy(), phantom.ijk_to_ras, "Other")
    panel.ui.proposeButton.click()
    panel.ui.inputSelector.setCurrentNode(other)
    wait_until(lambda: not panel.seedsPanel.proposing, 60)
    slicer_app.processEvents()

    assert panel.seedsPanel.points() == []
    assert "'Chest' got no seeds" in panel.ui.statusLabel.text
    assert panel.ui.proposeButton.enabled


def test_volume_put_under_a_transform_during_a_run_stops_it_with_a_reason(
    panel, ct, add_seeds, places, scene, wait_until, slicer_app, node_ids
):
    add_seeds(places[:2])
    transform = scene.AddNewNodeByClass("vtkMRMLLinearTransformNode", "Moved")
    before = node_ids()
    panel.ui.insertButton.click()
    ct.SetAndObserveTransformNodeID(transform.GetID())
    wait_until(lambda: not panel.logic.running, 60)

    assert "under the transform 'Moved'" in panel.ui.statusLabel.text
    assert node_ids() == before
    ct.SetAndObserveTransformNodeID(None)


def test_volume_put_under_a_transform_during_a_proposal_ends_it_with_a_reason(
    panel, ct, add_seeds, places, scene, wait_until, slicer_app
):
    add_seeds(places[:1])
    transform = scene.AddNewNodeByClass("vtkMRMLLinearTransformNode", "Moved")
    panel.ui.proposeButton.click()
    ct.SetAndObserveTransformNodeID(transform.GetID())
    wait_until(lambda: not panel.seedsPanel.proposing, 60)

    assert "under the transform 'Moved'" in panel.ui.statusLabel.text
    ct.SetAndObserveTransformNodeID(None)


@pytest.mark.parametrize(
    ("stored", "guess"),
    [
        (lambda hu: (hu.astype(int) + 1024).clip(0).astype(np.uint16), "offset of 1024"),
        (lambda hu: ((hu + 1000.0) / 8).clip(0, 255).astype(np.uint8), "8-bit grey levels"),
    ],
)
def test_volume_that_is_no_ct_in_hu_is_refused_when_it_is_chosen(
    panel, ct, phantom, slicer_app, stored, guess
):
    """In the words of the command line, and until it is one."""
    import slicer

    node = slicer.util.addVolumeFromArray(stored(phantom.voxels), phantom.ijk_to_ras, "Stored 肺")
    panel.p.inputVolume = node
    slicer_app.processEvents()

    said = panel.ui.inputInfoLabel.text
    assert "volume 'Stored 肺': not a chest CT in HU" in said
    assert guess in said
    assert "\n" not in said
    for button in (panel.ui.placeButton, panel.ui.proposeButton, panel.ui.insertButton):
        assert not button.enabled
        assert button.toolTip == said
    assert not panel.logic.session.worker.running, "nothing had to be started to find out"

    slicer.util.updateVolumeFromArray(node, phantom.voxels.copy())
    panel.refreshSoon()
    slicer_app.processEvents()
    assert panel.ui.placeButton.enabled
    assert panel.ui.inputInfoLabel.text.endswith(" mm")


def test_script_with_a_volume_that_is_no_ct_is_refused_by_the_worker(
    panel, phantom, places, node_ids, wait_until
):
    import slicer

    from lungsynth.core.errors import LungSynthError

    stored = ((phantom.voxels + 1000.0) / 8).clip(0, 255).astype(np.uint8)
    node = slicer.util.addVolumeFromArray(stored, phantom.ijk_to_ras, "Stored")
    seeds = panel.logic.seedsFor(node)
    seeds.add(places[0])
    before = set(node_ids())
    with pytest.raises(LungSynthError, match=r"volume 'Stored': not a chest CT in HU"):
        panel.logic.insertNow(node, seeds, synthesizer="procedural")

    added = set(node_ids()) - before
    assert not any("Volume" in name or "Segmentation" in name for name in added)


def test_what_was_said_of_a_ct_goes_when_another_is_chosen(
    panel, ct, add_seeds, insert, places, phantom, slicer_app
):
    import slicer

    add_seeds(places[:1])
    insert()
    assert "N-1: " in panel.ui.resultLabel.text
    other = slicer.util.addVolumeFromArray(phantom.voxels.copy(), phantom.ijk_to_ras, "Other")
    panel.ui.inputSelector.setCurrentNode(other)
    slicer_app.processEvents()

    assert panel.ui.resultLabel.text == ""
    assert not panel.ui.resultLabel.visible
    assert panel.ui.statusLabel.text == ""
    assert not panel.ui.previewLabel.visible


def test_result_for_a_ct_that_is_chosen_no_more_names_it(
    panel, ct, add_seeds, places, phantom, wait_until, slicer_app
):
    import slicer

    other = slicer.util.addVolumeFromArray(phantom.voxels.copy(), phantom.ijk_to_ras, "Other")
    add_seeds(places[:1])
    panel.ui.insertButton.click()
    panel.ui.inputSelector.setCurrentNode(other)
    wait_until(lambda: not panel.logic.running, 60)
    slicer_app.processEvents()

    assert panel.ui.statusLabel.text.startswith("'Chest': 1 nodule inserted")
    assert panel.ui.resultLabel.text == ""


def test_masks_and_table_go_with_their_output_and_come_back_alike(
    panel, ct, add_seeds, insert, places, scene, slicer_app
):
    import slicer

    def kinds():
        kinds = ("vtkMRMLSegmentationNode", "vtkMRMLTableNode")
        return [scene.GetNumberOfNodesByClass(kind) for kind in kinds]

    add_seeds(places[:2])
    mine = scene.AddNewNodeByClass("vtkMRMLTableNode", "The user's own")
    insert()
    made = voxels(panel.p.outputVolume).copy()
    assert kinds() == [1, 2]

    scene.RemoveNode(panel.p.outputVolume)
    slicer_app.processEvents()

    assert kinds() == [0, 1]
    assert mine.GetScene() is scene
    assert panel.p.segmentation is None
    assert panel.p.table is None
    assert "with it 'Chest with synthetic nodules masks', 'Chest" in panel.ui.statusLabel.text
    assert [p.state for p in panel.seedsPanel.points()] == ["new", "new"]
    assert panel.ui.resultLabel.text == ""

    insert()
    assert panel.p.segmentation.GetSegmentation().GetNumberOfSegments() == 2
    assert panel.p.table.GetNumberOfRows() == 2
    np.testing.assert_array_equal(slicer.util.arrayFromVolume(panel.p.outputVolume), made)


def test_another_ct_that_is_removed_takes_nothing_with_it(
    panel, ct, add_seeds, insert, places, phantom, scene, slicer_app
):
    import slicer

    other = slicer.util.addVolumeFromArray(phantom.voxels.copy(), phantom.ijk_to_ras, "Other")
    add_seeds(places[:1])
    insert()
    scene.RemoveNode(other)
    slicer_app.processEvents()

    assert panel.p.segmentation.GetScene() is scene
    assert panel.p.table.GetScene() is scene
    assert "1 nodule inserted" in panel.ui.statusLabel.text


def test_list_of_seeds_that_was_chosen_first_stays_when_its_ct_is_chosen(
    panel, ct, places, scene, slicer_app
):
    """As when seeds come from a file: the list, then the CT."""
    loaded = scene.AddNewNodeByClass("vtkMRMLMarkupsFiducialNode", "From a file")
    loaded.AddControlPointWorld(*places[0])
    panel.ui.inputSelector.setCurrentNode(None)
    panel.ui.seedsSelector.setCurrentNode(loaded)
    panel.ui.inputSelector.setCurrentNode(ct)
    slicer_app.processEvents()

    assert panel.p.seeds is loaded
    assert panel.ui.insertButton.enabled


def test_nothing_of_the_worker_is_left_after_cleanup(panel, add_seeds, insert, places):
    """Neither process nor file: Windows removes no file that a process still has mapped."""
    add_seeds(places[:1])
    insert()
    folder, process = panel.logic.session.folder, panel.logic.session.worker.processId
    assert list(folder.glob("volume-*.npy"))
    panel.exit()
    panel.cleanup()

    assert not folder.exists()
    with pytest.raises(ProcessLookupError):
        os.kill(process, 0)


def test_redo_that_is_refused_leaves_the_history_as_it_was(
    panel, ct, add_seeds, insert, places, scene, slicer_app
):
    add_seeds(places[:2])
    insert()
    both = voxels(panel.p.outputVolume).copy()
    panel.ui.undoButton.click()
    slicer_app.processEvents()
    transform = scene.AddNewNodeByClass("vtkMRMLLinearTransformNode", "Moved")
    ct.SetAndObserveTransformNodeID(transform.GetID())
    slicer_app.processEvents()
    panel.ui.redoButton.click()
    slicer_app.processEvents()
    assert "under the transform 'Moved'" in panel.ui.statusLabel.text
    assert panel.p.table.GetNumberOfRows() == 1

    ct.SetAndObserveTransformNodeID(None)
    panel.ui.redoButton.click()
    slicer_app.processEvents()
    np.testing.assert_array_equal(voxels(panel.p.outputVolume), both)
    assert panel.p.table.GetNumberOfRows() == 2


@pytest.mark.parametrize("broken", ["segments.addNodule", "table.addRow", "settle"])
def test_defect_while_more_nodules_are_put_in_leaves_the_output_as_it_was(
    panel, add_seeds, insert, places, slicer_app, monkeypatch, broken
):
    import NoduleSynthLib.Insertion as insertion

    add_seeds(places[:1])
    insert()
    output = panel.p.outputVolume
    before = voxels(output).copy()
    add_seeds(places[1:4])
    owner, _, name = broken.rpartition(".")
    target = getattr(insertion, owner) if owner else insertion
    original, calls = getattr(target, name), []

    def fails_the_second_time(*args):
        calls.append(args)
        if len(calls) == 2:
            raise KeyError("column")  # noqa: EM101
        return original(*args)

    with monkeypatch.context() as patch:
        patch.setattr(target, name, fails_the_second_time)
        said = insert()

    assert "a defect in NoduleSynth" in said
    np.testing.assert_array_equal(voxels(output), before)
    assert panel.p.segmentation.GetSegmentation().GetNumberOfSegments() == 1
    assert panel.p.table.GetNumberOfRows() == 1
    states = [point.state for point in panel.seedsPanel.points()]
    assert states == ["inserted", "new", "new", "new"]
    assert "3 nodules inserted" in insert()


def test_output_that_is_chosen_again_brings_back_which_seeds_are_in_it(
    panel, add_seeds, insert, places, slicer_app
):
    add_seeds(places[:2])
    insert()
    add_seeds(places[2:3])
    output = panel.p.outputVolume
    panel.ui.outputSelector.setCurrentNode(None)
    slicer_app.processEvents()
    assert [point.state for point in panel.seedsPanel.points()] == ["new"] * 3
    panel.ui.outputSelector.setCurrentNode(output)
    slicer_app.processEvents()

    assert [point.state for point in panel.seedsPanel.points()] == ["inserted"] * 2 + ["new"]
    assert panel.ui.insertButton.enabled, panel.ui.insertButton.toolTip
    assert panel.ui.undoButton.enabled


def test_hundred_seeds_do_not_slow_the_panel_down(panel, ct, phantom, slicer_app):
    """In CPU time, so that what else runs on the machine does not count."""
    from lungsynth.core.nodule import NoduleSpec
    from lungsynth_slicer.seeds import SeedList
    from NoduleSynthLib.Outputs import makeSeedList

    panel.p.seeds = makeSeedList(ct.GetScene(), ct)
    seeds = SeedList(panel.p.seeds)
    lung = np.argwhere((phantom.voxels > -900) & (phantom.voxels < -700))
    chosen = np.random.default_rng(0).permutation(lung)[:100]
    for k, j, i in chosen:
        seeds.add(tuple(phantom.ijk_to_ras_mm((i, j, k))), NoduleSpec(5.0))
    panel.refresh()
    took = []
    for n in range(3):
        panel.p.seeds.SetNthControlPointPosition(3, 1.0, 2.0, 3.0 + n)
        started = time.process_time()
        panel.refresh()
        took.append(time.process_time() - started)

    assert panel.ui.seedsTable.item(3, 0).toolTip().startswith("R 1.0, A 2.0, S 5.0")
    assert min(took) < 0.1, took


def test_name_that_was_emptied_comes_back(panel, add_seeds, places, slicer_app):
    add_seeds(places[:1])
    panel.ui.seedsTable.item(0, 0).setText(" ")
    slicer_app.processEvents()

    assert panel.ui.seedsTable.item(0, 0).text() == "N-1"


def states(node):
    from lungsynth_slicer.seeds import SeedList

    return [point.state for point in SeedList(node).points()]


@pytest.mark.parametrize("loaded", [False, True])
def test_output_keeps_the_earlier_list_when_seeds_of_another_are_inserted(
    panel, add_seeds, insert, places, mrb, tmp_path, slicer_app, loaded
):
    add_seeds(places[:2])
    panel.p.seeds.SetName("first")
    insert()
    panel.ui.seedsSelector.addNode().SetName("second")
    slicer_app.processEvents()
    add_seeds(places[3:4])
    insert()
    if loaded:
        mrb.round_trip(tmp_path / "scene.mrb")
        slicer_app.processEvents()

    from NoduleSynthLib.Outputs import seedListsOf

    second, first = seedListsOf(panel.p.outputVolume)
    assert [second.GetName(), first.GetName()] == ["second", "first"]
    assert panel.p.seeds is second
    for left in (2, 1):
        panel.ui.undoButton.click()
        slicer_app.processEvents()
        assert panel.p.segmentation.GetSegmentation().GetNumberOfSegments() == left
    assert (states(first), states(second)) == (["inserted", "new"], ["new"])
    panel.ui.redoButton.click()
    slicer_app.processEvents()
    assert (states(first), states(second)) == (["inserted", "inserted"], ["new"])


def test_output_that_is_chosen_again_brings_the_list_that_was_used_last(
    panel, add_seeds, insert, places, slicer_app
):
    add_seeds(places[:1])
    first = panel.p.seeds
    insert()
    second = panel.ui.seedsSelector.addNode()
    slicer_app.processEvents()
    add_seeds(places[3:4])
    insert()
    panel.p.seeds = first
    slicer_app.processEvents()
    add_seeds(places[5:6])
    insert()
    output = panel.p.outputVolume
    panel.p.outputVolume = None
    slicer_app.processEvents()
    panel.p.seeds = second
    panel.p.outputVolume = output
    slicer_app.processEvents()

    assert panel.p.seeds is first
    assert states(first) == ["inserted", "inserted"]
    assert output.GetNumberOfNodeReferences("NoduleSynth.Seeds") == 2
