"""Slicer's own slicer.util runs over the stand-ins."""

import sys
from pathlib import Path

import pytest

SAMPLE = Path(__file__).parent / "sample"


def test_modules_and_widgets_are_found_by_name(open_module):
    import slicer

    widget = open_module("HarnessSample", SAMPLE)

    assert slicer.util.getModuleWidget("HarnessSample") is widget
    assert slicer.util.getModuleLogic("HarnessSample") is widget.logic
    assert "HarnessSample" in slicer.util.moduleNames()
    assert slicer.util.findChild(widget.parent, "applyButton") is widget.ui.applyButton
    with pytest.raises(RuntimeError, match="does not exist"):
        slicer.util.findChild(widget.parent, "aplyButton")


def test_logics_of_slicers_modules_belong_to_the_scene(scene):
    import slicer

    for name in ("Volumes", "Markups", "Segmentations", "Tables"):
        assert slicer.util.getModuleLogic(name).GetMRMLScene() is scene


def test_layers_of_the_slice_views_are_set(slice_view, oblique_volume):
    import slicer

    volume = oblique_volume()
    view = slice_view()
    assert view.render().max() < 40

    slicer.util.setSliceViewerLayers(background=volume, fit=True)

    assert view.logic.GetBackgroundLayer().GetVolumeNode() is volume
    assert slicer.app.layoutManager().sliceWidget("Red") is view
    assert view.render().max() > 100


def test_an_error_is_shown_and_raised(scene, dialogs):
    import qt
    import slicer

    dialogs.answer(qt.QMessageBox.Ok)
    with pytest.raises(ValueError, match="no volume"), slicer.util.tryWithErrorDisplay("Failed."):
        raise ValueError("no volume")  # noqa: EM101

    assert dialogs.texts == ["Failed.\n\nno volume"]


def test_a_console_process_runs_without_blocking(scene, wait_until):
    import slicer

    lines, codes = [], []
    slicer.util.launchConsoleProcess(
        [sys.executable, "-c", "print(3); raise SystemExit(4)"],
        useStartupEnvironment=False,
        blocking=False,
        logCallback=lines.append,
        completedCallback=codes.append,
    )
    wait_until(lambda: codes)

    assert [line.strip() for line in lines] == ["3"]
    assert codes == [4]


def test_small_things_work(scene):
    import slicer

    assert slicer.util.mainWindow().name == "qSlicerMainWindow"
    assert Path(slicer.util.tempDirectory()).is_dir()
    progress = slicer.util.createProgressDialog(labelText="working", maximum=9)
    progress.value = 5
    assert progress.value == 5
    progress.close()
    with slicer.util.RenderBlocker():
        assert slicer.app.isRenderPaused()
    assert not slicer.app.isRenderPaused()
    with slicer.util.WaitCursor():
        assert slicer.app.overrideCursor() is not None
    assert slicer.app.overrideCursor() is None
