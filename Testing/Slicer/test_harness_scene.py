"""The harness's scene, files, processes, dialogs and event loop behave as Slicer's do."""

import sys
import time
from pathlib import Path

import numpy as np
import pytest

SAMPLE = Path(__file__).parent / "sample"


def test_a_bundle_brings_back_nodes_and_the_parameters_of_a_module(
    open_module, oblique_volume, mrb, tmp_path
):
    import slicer

    voxels = np.random.default_rng(3).integers(-1000, 400, (6, 7, 8)).astype(np.int16)
    panel = open_module("HarnessSample", SAMPLE)
    volume = oblique_volume(name="CT žluté", voxels=voxels)
    seeds = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLMarkupsFiducialNode", "Seeds")
    seeds.AddControlPoint(8.3, 21.7, -35.0, "N-1")
    panel.parameters.inputVolume = volume
    panel.parameters.seeds = seeds
    panel.parameters.diameterMm = 17.5
    panel.parameters.live = False
    ijk_to_ras = _ijk_to_ras(volume)

    mrb.save(tmp_path / "scene.mrb")
    mrb.clear()
    assert slicer.util.getNodes("CT*") == {}
    mrb.load(tmp_path / "scene.mrb")

    loaded = panel.logic.getParameterNode()
    assert loaded.diameterMm == 17.5
    assert loaded.live is False
    assert loaded.kind == "part-solid"
    assert loaded.inputVolume.GetName() == "CT žluté"
    np.testing.assert_array_equal(slicer.util.arrayFromVolume(loaded.inputVolume), voxels)
    np.testing.assert_allclose(_ijk_to_ras(loaded.inputVolume), ijk_to_ras, atol=1e-6)
    point = np.array(loaded.seeds.GetNthControlPointPositionWorld(0))
    np.testing.assert_allclose(point, (8.3, 21.7, -35.0), atol=1e-4)


def test_closing_the_scene_empties_the_combos(open_module, oblique_volume, mrb):
    panel = open_module("HarnessSample", SAMPLE)
    panel.ui.inputSelector.setCurrentNode(oblique_volume())

    mrb.clear()

    assert panel.ui.inputSelector.nodeCount() == 0
    assert panel.ui.inputSelector.currentNode() is None


@pytest.mark.parametrize("ending", [".nrrd", ".nii.gz"])
def test_a_saved_volume_loads_as_it_was(oblique_volume, tmp_path, ending):
    import slicer

    volume = oblique_volume()
    path = tmp_path / f"out{ending}"

    assert slicer.util.saveNode(volume, str(path))
    loaded = slicer.util.loadVolume(str(path))

    assert loaded is not volume
    np.testing.assert_array_equal(
        slicer.util.arrayFromVolume(loaded), slicer.util.arrayFromVolume(volume)
    )
    np.testing.assert_allclose(_ijk_to_ras(loaded), _ijk_to_ras(volume), atol=1e-4)


def test_a_saved_segmentation_loads_as_it_was(scene, oblique_volume, tmp_path):
    import slicer

    volume = oblique_volume()
    node = scene.AddNewNodeByClass("vtkMRMLSegmentationNode", "Nodules")
    node.SetReferenceImageGeometryParameterFromVolumeNode(volume)
    segment = node.GetSegmentation().AddEmptySegment("n", "N-1")
    mask = np.zeros((20, 30, 40), np.uint8)
    mask[8:13, 18:26, 4:12] = 1
    slicer.util.updateSegmentBinaryLabelmapFromArray(mask, node, segment, volume)
    path = tmp_path / "out.seg.nrrd"

    assert slicer.util.saveNode(node, str(path))
    loaded = slicer.util.loadSegmentation(str(path))

    name = loaded.GetSegmentation().GetNthSegmentID(0)
    assert loaded.GetSegmentation().GetSegment(name).GetName() == "N-1"
    found = slicer.util.arrayFromSegmentBinaryLabelmap(loaded, name, volume)
    np.testing.assert_array_equal(found, mask)


def test_a_file_that_is_not_there_fails_to_load(scene, tmp_path):
    import slicer

    with pytest.raises(RuntimeError, match="Failed to load node"):
        slicer.util.loadVolume(str(tmp_path / "none.nrrd"))


def test_a_process_runs_beside_the_event_loop(slicer_app, wait_until):
    import qt

    process = qt.QProcess()
    seen, codes = [], []
    process.readyReadStandardOutput.connect(
        lambda: seen.append(process.readAllStandardOutput().data())
    )
    process.finished.connect(lambda code, _status: codes.append(code))
    assert process.state() == qt.QProcess.NotRunning

    process.start(sys.executable, ["-c", "print(input() * 2); raise SystemExit(3)"])
    process.write(b"ab\n")
    wait_until(lambda: codes)

    assert b"".join(seen).split() == [b"abab"]
    assert codes == [3]
    assert process.state() == qt.QProcess.NotRunning


def test_a_timer_shot_once_is_a_function_and_a_property(slicer_app, wait_until):
    import qt

    fired = []
    timer = qt.QTimer()
    timer.singleShot = True
    qt.QTimer.singleShot(0, lambda: fired.append(1))

    wait_until(lambda: fired)
    assert timer.singleShot is True


def test_the_watch_measures_how_long_the_loop_was_blocked(slicer_app, loop_watch, wait_until):
    import qt

    done = []

    def block():
        time.sleep(0.3)
        done.append(1)

    with loop_watch() as blocked:
        qt.QTimer.singleShot(30, block)
        wait_until(lambda: done)
    start = time.monotonic()
    with loop_watch() as free:
        wait_until(lambda: time.monotonic() - start > 0.3)

    assert blocked.longest_gap_s > 0.28
    assert free.longest_gap_s < 0.2


def test_waiting_ends_with_an_error_when_nothing_happens(wait_until):
    with pytest.raises(AssertionError, match=r"not within 0\.05 s"):
        wait_until(lambda: False, 0.05)


def test_dialogs_are_recorded_and_answered(slicer_app, dialogs):
    import qt
    import slicer

    dialogs.answer(qt.QMessageBox.Ok, qt.QMessageBox.Cancel, qt.QMessageBox.No, "/a/b.json")

    slicer.util.errorDisplay("the disk is full")
    assert slicer.util.confirmOkCancelDisplay("download 200 MB?") is False
    assert qt.QMessageBox.question(None, "title", "sure?") == qt.QMessageBox.No
    assert qt.QFileDialog.getOpenFileName(None, "a file") == "/a/b.json"
    assert dialogs.texts == ["the disk is full", "download 200 MB?", "sure?", "a file"]


def test_in_testing_mode_no_dialog_opens(slicer_app, caplog):
    """Slicer's documentation promises True; its code compares True with the button and says no."""
    import slicer

    assert slicer.util.confirmOkCancelDisplay("download 200 MB?") is False
    slicer.util.errorDisplay("the disk is full")
    assert "the disk is full" in caplog.messages


def test_settings_end_with_the_session(slicer_app):
    import qt
    import slicer

    qt.QSettings().setValue("NoduleSynth/Sample", "kept")

    assert qt.QSettings().fileName().startswith(slicer.app.temporaryPath)
    assert slicer.util.settingsValue("NoduleSynth/Sample", "") == "kept"


def test_missing_packages_are_asked_for_and_recorded(slicer_app, dialogs, tmp_path):
    import qt
    import slicer

    file = tmp_path / "requirements.txt"
    file.write_text("# comment\nnumpy>=1.20\nno-such-package-at-all>=2\n")
    requirements = slicer.packaging.load_requirements(file)
    slicer.packaging.installed.clear()
    dialogs.answer(qt.QMessageBox.Cancel, qt.QMessageBox.Ok)

    with pytest.raises(RuntimeError, match="declined"):
        slicer.packaging.pip_ensure(requirements, requester="Sample")
    slicer.packaging.pip_ensure(requirements, requester="Sample")

    assert slicer.packaging.installed == ["no-such-package-at-all>=2"]
    slicer.packaging.installed.clear()


def test_a_dark_palette_darkens_the_picture(open_module, screenshot, palette, tmp_path):
    import qt

    panel = open_module("HarnessSample", SAMPLE).parent
    brightness = {}
    for name in ("light", "dark"):
        palette(name)
        screenshot(panel, tmp_path / f"{name}.png", width=420)
        image = qt.QImage(str(tmp_path / f"{name}.png"))
        brightness[name] = image.pixelColor(2, 2).lightness()
        assert image.width() == 420

    assert brightness["light"] > 200
    assert brightness["dark"] < 100


def test_the_place_button_drives_the_interaction_node(open_module, scene, slice_view):
    import slicer

    place = open_module("HarnessSample", SAMPLE).ui.placeWidget
    interaction = slicer.app.applicationLogic().GetInteractionNode()
    changes = []
    place.activeMarkupsPlaceModeChanged.connect(changes.append)
    assert not place.placeButton().enabled
    seeds = scene.AddNewNodeByClass("vtkMRMLMarkupsFiducialNode", "Seeds")
    seeds.CreateDefaultDisplayNodes()
    place.setCurrentNode(seeds)

    place.placeButton().click()
    assert interaction.GetCurrentInteractionMode() == interaction.Place
    assert place.placeModeEnabled
    slice_view().click((3.0, -8.0, 0.0))

    assert seeds.GetNumberOfControlPoints() == 1
    assert not place.placeModeEnabled
    assert not place.placeButton().checked
    assert changes == [True, False]


def test_each_test_has_a_scene_of_its_own(scene):
    import slicer

    assert slicer.mrmlScene is scene
    assert slicer.app.applicationLogic().GetMRMLScene() is scene
    assert slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode") == []
    assert slicer.modules.markups.logic().GetMRMLScene() is scene


def _ijk_to_ras(volume):
    import slicer
    import vtk

    matrix = vtk.vtkMatrix4x4()
    volume.GetIJKToRASMatrix(matrix)
    return slicer.util.arrayFromVTKMatrix(matrix)
