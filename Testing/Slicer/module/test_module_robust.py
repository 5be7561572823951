"""What users do at the wrong moment: the scene closed, the input deleted, the worker killed ..."""

import os
import signal
import sys

import numpy as np
import pytest


def voxels(node):
    import slicer

    return slicer.util.arrayFromVolume(node)


def start(panel):
    panel.ui.insertButton.click()
    assert panel.logic.running


def run_and_read(panel, wait_until, slicer_app, timeout_s=60):
    """Press Insert, wait for its end, return what the panel says."""
    panel.ui.insertButton.click()
    wait_until(lambda: not panel.logic.running, timeout_s)
    slicer_app.processEvents()
    return panel.ui.statusLabel.text


def test_scene_saved_closed_and_loaded_brings_everything_back(
    panel, add_seeds, insert, places, mrb, tmp_path, slicer_app, phantom
):
    add_seeds(places[:2], attenuation="part-solid", malignancy="malignant", latent_seed=41)
    insert()
    add_seeds(places[3:5], diameter_mm=9.5, attenuation="ground-glass")
    panel.ui.diameterSlider.value = 17.5
    panel.p.afterPercent = 30
    panel.p.proposeSite = "juxta-pleural"
    slicer_app.processEvents()
    table = [
        [panel.ui.seedsTable.item(r, c).text() for c in range(5)]
        for r in range(panel.ui.seedsTable.rowCount)
    ]
    output = voxels(panel.p.outputVolume).copy()

    mrb.round_trip(tmp_path / "Žlutý kůň.mrb")
    slicer_app.processEvents()

    again = [
        [panel.ui.seedsTable.item(r, c).text() for c in range(5)]
        for r in range(panel.ui.seedsTable.rowCount)
    ]
    assert again == table
    assert again[0][0] == "\u2713 N-1"
    p = panel.p
    assert (p.afterPercent, p.proposeSite, p.synthesizer) == (30, "juxta-pleural", "procedural")
    assert panel.ui.diameterSlider.value == 17.5
    np.testing.assert_array_equal(voxels(p.inputVolume), phantom.voxels)
    np.testing.assert_array_equal(voxels(p.outputVolume), output)
    assert p.segmentation.GetSegmentation().GetNumberOfSegments() == 2
    assert p.table.GetNumberOfRows() == 2
    assert panel.ui.insertButton.text == "Insert 2 nodules"
    assert panel.ui.insertButton.enabled
    said = insert()
    assert "2 nodules inserted" in said
    assert p.segmentation.GetSegmentation().GetNumberOfSegments() == 4
    assert (voxels(p.outputVolume) != output).any()


def test_saved_scene_holds_no_helper_nodes(panel, add_seeds, places, mrb, tmp_path, slicer_app):
    import slicer

    add_seeds(places[:1])
    slicer_app.processEvents()
    assert panel.spheres.node is not None
    panel.exit()
    mrb.round_trip(tmp_path / "scene.mrb")

    names = [
        slicer.mrmlScene.GetNthNode(n).GetName() for n in range(slicer.mrmlScene.GetNumberOfNodes())
    ]
    assert "NoduleSynth size rings" not in names
    assert "NoduleSynth live preview" not in names


def test_scene_closed_during_a_run(panel, add_seeds, places, scene, slicer_app, wait_until):
    add_seeds(places[:12])
    start(panel)
    wait_until(lambda: panel.logic.session.worker.busy, 30)

    scene.Clear(0)
    slicer_app.processEvents()

    assert not panel.logic.running
    assert panel.p.inputVolume is None
    assert panel.ui.seedsTable.rowCount == 0
    assert panel.ui.insertButton.toolTip == "Choose a CT volume first."
    assert scene.GetNumberOfNodesByClass("vtkMRMLScalarVolumeNode") == 0
    assert not panel.logic.session.worker.running


def test_input_deleted_while_running(
    panel, ct, add_seeds, places, scene, slicer_app, wait_until, node_ids
):
    add_seeds(places[:12])
    start(panel)
    wait_until(lambda: panel.logic.session.worker.busy, 30)

    scene.RemoveNode(ct)
    slicer_app.processEvents()

    assert not panel.logic.running
    assert "CT was removed" in panel.ui.statusLabel.text
    assert panel.ui.insertButton.toolTip == "Choose a CT volume first."
    assert scene.GetNumberOfNodesByClass("vtkMRMLScalarVolumeNode") == 0
    assert scene.GetNumberOfNodesByClass("vtkMRMLSegmentationNode") == 0


def test_output_deleted_while_more_nodules_are_made(
    panel, add_seeds, insert, places, scene, slicer_app, wait_until
):
    add_seeds(places[:1])
    insert()
    add_seeds(places[1:9])
    start(panel)
    scene.RemoveNode(panel.p.outputVolume)
    wait_until(lambda: not panel.logic.running, 60)
    slicer_app.processEvents()

    assert "output was removed" in panel.ui.statusLabel.text
    assert panel.p.outputVolume is None
    assert [point.state for point in panel.seedsPanel.points()] == ["new"] * 9
    assert "9 nodules inserted" in insert()


def test_output_deleted_afterwards_frees_its_seeds(
    panel, add_seeds, insert, places, scene, slicer_app, phantom
):
    add_seeds(places[:2])
    insert()
    expected = voxels(panel.p.outputVolume).copy()
    scene.RemoveNode(panel.p.outputVolume)
    slicer_app.processEvents()

    assert not panel.ui.undoButton.enabled
    assert [point.state for point in panel.seedsPanel.points()] == ["new", "new"]
    insert()
    np.testing.assert_array_equal(voxels(panel.p.outputVolume), expected)


def test_segmentation_deleted_by_the_user_is_made_again(
    panel, add_seeds, insert, places, scene, slicer_app
):
    add_seeds(places[:1])
    insert()
    scene.RemoveNode(panel.p.segmentation)
    add_seeds(places[1:2])
    insert()

    assert panel.p.segmentation.GetSegmentation().GetNumberOfSegments() == 1
    panel.ui.undoButton.click()
    panel.ui.undoButton.click()
    slicer_app.processEvents()
    assert panel.p.segmentation.GetSegmentation().GetNumberOfSegments() == 0


def test_seeds_moved_or_removed_during_a_run_are_put_where_their_nodules_are(
    panel, add_seeds, places, wait_until, slicer_app
):
    add_seeds(places[:4])
    start(panel)
    panel.p.seeds.SetNthControlPointPositionWorld(1, *places[9])
    panel.p.seeds.RemoveNthControlPoint(3)
    wait_until(lambda: not panel.logic.running, 60)
    slicer_app.processEvents()

    points = panel.seedsPanel.points()
    assert len(points) == 3
    assert points[1].position_ras_mm == pytest.approx(places[1])
    assert panel.p.segmentation.GetSegmentation().GetNumberOfSegments() == 4


def test_worker_killed_from_outside_gives_one_line_and_the_next_insert_works(
    panel, add_seeds, insert, places, wait_until, slicer_app, node_ids
):
    add_seeds(places[:16])
    before = node_ids()
    start(panel)
    wait_until(lambda: panel.insertPanel._progress[2] == "inserting", 30)
    os.kill(panel.logic.session.worker.processId, signal.SIGKILL)
    wait_until(lambda: not panel.logic.running, 30)
    slicer_app.processEvents()

    said = panel.ui.statusLabel.text
    assert "was killed" in said
    assert "started again" in said
    assert "\n" not in said
    assert node_ids() == before
    assert "16 nodules inserted" in insert()


def test_worker_killed_between_two_inserts_is_not_even_noticed(
    panel, add_seeds, insert, places, wait_until
):
    add_seeds(places[:1])
    insert()
    os.kill(panel.logic.session.worker.processId, signal.SIGKILL)
    wait_until(lambda: not panel.logic.session.worker.running, 30)
    add_seeds(places[1:2])

    assert "1 nodule inserted" in insert()


def test_unreadable_weights_are_named(
    panel, add_seeds, places, wait_until, slicer_app, tmp_path, node_ids
):
    bad = tmp_path / "broken.safetensors"
    bad.write_bytes(b"not weights at all")
    add_seeds(places[:1])
    panel.p.synthesizer = "mcgan"
    panel.ui.weightsPathLineEdit.currentPath = str(bad)
    before = node_ids()

    said = run_and_read(panel, wait_until, slicer_app)

    assert "broken.safetensors" in said
    assert node_ids() == before
    panel.ui.weightsPathLineEdit.currentPath = ""
    panel.p.synthesizer = "procedural"
    assert "1 nodule inserted" in run_and_read(panel, wait_until, slicer_app)


def test_missing_torch_says_what_to_do(
    panel, add_seeds, places, wait_until, slicer_app, tmp_path, monkeypatch, node_ids
):
    """A package of that name that can't be imported stands for none at all."""
    (tmp_path / "torch.py").write_text(
        "raise ModuleNotFoundError(\"No module named 'torch'\", name='torch')\n"
    )
    import lungsynth_slicer.worker as glue

    original = glue.workerEnvironment

    def first(*_):
        values = original()
        values["PYTHONPATH"] = str(tmp_path) + os.pathsep + values["PYTHONPATH"]
        return values

    monkeypatch.setattr(glue, "workerEnvironment", first)
    add_seeds(places[:1])
    panel.p.synthesizer = "mcgan"
    before = node_ids()

    said = run_and_read(panel, wait_until, slicer_app)

    assert "PyTorch is not installed" in said
    assert node_ids() == before
    panel.p.synthesizer = "procedural"
    assert "1 nodule inserted" in run_and_read(panel, wait_until, slicer_app)


def test_packages_are_asked_for_on_insert_and_no_is_respected(
    panel, add_seeds, places, dialogs, monkeypatch, node_ids, insert, slicer_app
):
    import qt

    from lungsynth_slicer import dependencies

    installed = []
    monkeypatch.setattr(dependencies, "missingRequirements", lambda **_: ["safetensors>=0.4.3"])
    monkeypatch.setattr(dependencies, "_installRequirements", installed.append)
    panel.packages.forget()
    add_seeds(places[:1])
    before = node_ids()
    dialogs.answer(qt.QMessageBox.Cancel)
    panel.ui.insertButton.click()
    slicer_app.processEvents()

    assert "reads weights; 1 MB" in dialogs.texts[0]
    assert installed == []
    assert not panel.logic.running
    assert "nothing was installed" in panel.ui.statusLabel.text
    assert node_ids() == before
    dialogs.answer(qt.QMessageBox.Ok)
    assert "1 nodule inserted" in insert()
    assert installed == [["safetensors>=0.4.3"]]


def test_preview_never_asks_for_packages(
    panel, add_seeds, places, dialogs, monkeypatch, slicer_app
):
    from lungsynth_slicer import dependencies

    monkeypatch.setattr(dependencies, "missingRequirements", lambda **_: ["safetensors>=0.4.3"])
    panel.packages.forget()
    add_seeds(places[:1])
    panel.p.livePreview = True
    slicer_app.processEvents()

    assert dialogs.shown == []
    assert not panel.logic.session.worker.running


def test_unwritable_temporary_folder_gives_one_line(
    panel, add_seeds, places, wait_until, slicer_app, monkeypatch, node_ids
):
    import tempfile

    def full(*_args, **_kwargs):
        raise OSError(28, "No space left on device")

    add_seeds(places[:1])
    before = node_ids()
    with monkeypatch.context() as patch:
        patch.setattr(tempfile, "TemporaryDirectory", full)
        said = run_and_read(panel, wait_until, slicer_app)

    assert "No space left on device" in said
    assert "temporary folder" in said
    assert node_ids() == before
    assert "1 nodule inserted" in run_and_read(panel, wait_until, slicer_app)


def test_full_disk_while_the_volume_is_written_gives_one_line(
    panel, add_seeds, places, wait_until, slicer_app, node_ids, monkeypatch
):
    """Whatever is written to /dev/full fails as on a full disk."""
    from pathlib import Path

    original = Path.open

    def on_a_full_disk(path, *args, **kwargs):
        return original(Path("/dev/full") if path.suffix == ".npy" else path, *args, **kwargs)

    add_seeds(places[:1])
    before = node_ids()
    with monkeypatch.context() as patch:
        patch.setattr(Path, "open", on_a_full_disk)
        said = run_and_read(panel, wait_until, slicer_app)

    assert "No space left on device" in said
    assert "\n" not in said
    assert node_ids() == before
    assert "1 nodule inserted" in run_and_read(panel, wait_until, slicer_app)


def test_reloaded_module_works_and_the_old_one_lets_go(
    panel, add_seeds, places, insert, wait_until, monkeypatch
):
    """What Reload in the developer's section does."""
    import slicer

    add_seeds(places[:1])
    insert()
    old_process = panel.logic.session.worker.processId

    def press_reload(widget):
        slicer.util.reloadScriptedModule(widget.moduleName)

    def reload(host):
        host._python = sys.modules["NoduleSynth"].NoduleSynthWidget(host)
        slicer.modules.NoduleSynthWidget = host._python
        host._python.setup()

    base = slicer.ScriptedLoadableModule.ScriptedLoadableModuleWidget
    monkeypatch.setattr(base, "onReload", press_reload, raising=False)  # the stand-ins have none
    monkeypatch.setattr(type(panel.parent), "reload", reload, raising=False)
    panel.onReload()
    again = slicer.modules.NoduleSynthWidget
    again.enter()
    wait_until(lambda: again.ui.seedsTable.rowCount == 1)

    assert again is not panel
    assert type(again) is not type(panel), "the code itself is new"
    assert type(again.logic) is not type(panel.logic)
    assert again.ui.seedsTable.item(0, 0).text() == "\u2713 N-1"
    assert list(panel.Observations) == []
    assert not panel.logic.session.worker.running
    assert old_process


def test_observers_are_gone_after_cleanup(panel, add_seeds, places, slicer_app, insert):
    import slicer

    add_seeds(places[:2])
    insert()
    seeds = panel.p.seeds
    assert len(panel.Observations) > 10
    panel.exit()
    panel.cleanup()
    slicer_app.processEvents()

    assert list(panel.Observations) == []
    seeds.AddControlPointWorld(1.0, 2.0, 3.0)
    slicer_app.processEvents()
    assert seeds.GetNthControlPointDescription(2) == "", "nobody listens any more"
    assert slicer.mrmlScene.GetFirstNodeByName("NoduleSynth size rings") is None
    assert not panel.logic.session.worker.running


def test_leaving_the_module_takes_its_helpers_out_and_coming_back_brings_them(
    panel, add_seeds, places, slicer_app
):
    add_seeds(places[:1])
    slicer_app.processEvents()
    assert panel.spheres.node is not None
    panel.exit()
    slicer_app.processEvents()
    assert panel.spheres.node is None
    panel.enter()
    slicer_app.processEvents()
    assert panel.spheres.node is not None


def test_two_volumes_keep_their_own_seeds_and_outputs(
    panel, ct, add_seeds, insert, places, phantom, slicer_app
):
    import slicer

    add_seeds(places[:1])
    insert()
    first_output = panel.p.outputVolume
    second = slicer.util.addVolumeFromArray(phantom.voxels.copy(), phantom.ijk_to_ras, "Second")
    panel.ui.inputSelector.setCurrentNode(second)
    slicer_app.processEvents()
    assert panel.p.outputVolume is None
    assert panel.ui.seedsTable.rowCount == 0
    add_seeds(places[4:6])
    insert()
    assert panel.p.outputVolume.GetName() == "Second with synthetic nodules"

    panel.ui.inputSelector.setCurrentNode(ct)
    slicer_app.processEvents()
    assert panel.p.outputVolume is first_output
    assert panel.ui.seedsTable.rowCount == 1
    assert panel.ui.undoButton.enabled
