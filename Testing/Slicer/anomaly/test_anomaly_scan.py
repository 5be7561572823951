"""Scans in a real process, with tiny networks: against the command itself, cancelled, refused."""

import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import SimpleITK as sitk

LONG_S = 300  # a process imports torch on a busy machine


def said(panel):
    return panel.ui.statusLabel.text.replace("\u200b", "")


def press_scan(panel, wait_until, slicer_app):
    slicer_app.processEvents()
    assert panel.ui.scanButton.enabled, panel.ui.scanButton.toolTip
    panel.ui.scanButton.click()
    assert panel.logic.running, said(panel)
    wait_until(lambda: not panel.logic.running, LONG_S)
    slicer_app.processEvents()


def gone(process_id):
    try:
        os.kill(process_id, 0)
    except ProcessLookupError:
        return True
    return False


def test_a_scan_finds_what_the_command_finds(
    panel, film, weights, module_tree, wait_until, loop_watch, slicer_app, tmp_path
):
    """The same pixels by another way: from a file that SimpleITK wrote."""
    import slicer

    from AnomalyScanLib.Outputs import outputsOf

    with loop_watch() as watch:
        press_scan(panel, wait_until, slicer_app)
    assert said(panel).startswith("'Film' was scanned in ")
    outputs = outputsOf(film)

    image = sitk.GetImageFromArray(slicer.util.arrayFromVolume(film))
    image.SetSpacing(film.GetSpacing())
    image.SetOrigin((-61.0, -84.0, 5.0))
    sitk.WriteImage(image, str(tmp_path / "film.nrrd"))
    command = ["scan", "--input", tmp_path / "film.nrrd", "--output", tmp_path / "out"]
    command += ["--calibration", weights.calibration, "--weights", weights.generator]
    command += ["--encoder", weights.encoder, "--device", "cpu"]
    subprocess.run(
        [sys.executable, "-m", "lungsynth", *map(str, command)],
        env={**os.environ, "PYTHONPATH": str(module_tree), "OMP_NUM_THREADS": "1"},
        check=True,
        capture_output=True,
    )
    values = json.loads((tmp_path / "out" / "scan.json").read_text(encoding="utf-8"))
    one = values["files"][0]
    assert outputs.result.score == pytest.approx(one["score"], rel=1e-3)
    assert outputs.result.pValue == pytest.approx(one["p_value"], rel=1e-2)
    assert outputs.result.reference == tuple(values["reference_scores"])
    assert len(outputs.result.regions) == len(one["regions"])
    for region, expected in zip(outputs.result.regions, one["regions"], strict=True):
        assert region.ras_mm == pytest.approx(expected["ras_mm"], abs=0.02)
        assert region.areaMm2 == pytest.approx(expected["area_mm2"], rel=1e-2)
    for kind, node in (("heatmap", outputs.heatmap), ("normal", outputs.normal)):
        path = tmp_path / "out" / one["volumes"][kind]
        expected = sitk.GetArrayFromImage(sitk.ReadImage(str(path)))
        expected = np.abs(expected) if kind == "heatmap" else expected
        found = slicer.util.arrayFromVolume(node)
        assert np.abs(found - expected).max() <= 0.02 * np.abs(expected).max(), kind
    assert panel.p.threshold == pytest.approx(outputs.result.regionThreshold, abs=0.051)
    assert panel.ui.regionsTable.rowCount == len(one["regions"])
    assert watch.longest_gap_s < 0.5  # on a busy machine; test_the_event_loop... is stricter

    press_scan(panel, wait_until, slicer_app)  # again: the nodes of before are replaced
    count = film.GetScene().GetNumberOfNodesByClass("vtkMRMLScalarVolumeNode")
    assert count == 4
    assert outputsOf(film).result.score == pytest.approx(outputs.result.score, rel=1e-6)


@pytest.mark.slow
def test_the_event_loop_is_never_blocked_long(panel, make_film, wait_until, loop_watch, slicer_app):
    """With as many pixels as a detector has; best of three, as other work holds it up, too."""
    small = make_film().GetImageData().GetDimensions()
    pixels = np.kron(
        np.arange(small[1] * small[0], dtype=np.uint16).reshape(140, 128) % 4096,
        np.ones((20, 20), np.uint16),
    )
    panel.p.inputVolume = make_film("Large", pixels)
    gaps = []
    for _ in range(3):
        slicer_app.processEvents()
        with loop_watch() as watch:
            press_scan(panel, wait_until, slicer_app)
        assert said(panel).startswith("'Large' was scanned"), said(panel)
        gaps.append(watch.longest_gap_s)
        if gaps[-1] < 0.2:
            return
    pytest.fail(f"blocked for {gaps} s")


def test_cancel_at_once_says_so_and_a_scan_can_be_started_again(
    panel, film, wait_until, slicer_app
):
    panel.ui.scanButton.click()
    wait_until(lambda: panel.logic.processId, 20)
    process_id = panel.logic.processId
    panel.ui.cancelButton.click()
    slicer_app.processEvents()

    assert said(panel) == "The scan was stopped."
    assert not panel.logic.running
    assert panel.ui.scanButton.enabled
    wait_until(lambda: gone(process_id), 10)


@pytest.mark.slow
def test_cancel_at_random_moments_leaves_the_scene_as_it_was(
    panel, film, node_ids, wait_until, slicer_app
):
    slicer_app.processEvents()
    before = node_ids()
    for delay_s in (0, *np.random.default_rng(11).uniform(0.05, 6, 5)):
        panel.ui.scanButton.click()
        moment = time.monotonic() + delay_s
        wait_until(
            lambda: time.monotonic() > moment or not panel.logic.running,  # noqa: B023
            LONG_S,
        )
        process_id = panel.logic.processId
        if not panel.logic.running:
            break
        panel.ui.cancelButton.click()
        slicer_app.processEvents()
        assert said(panel) == "The scan was stopped."
        assert not panel.logic.running
        assert node_ids() == before
        assert panel.ui.scanButton.enabled
        assert not panel.ui.cancelButton.enabled
        if process_id:
            wait_until(lambda: gone(process_id), 10)  # noqa: B023
    press_scan(panel, wait_until, slicer_app)
    assert said(panel).startswith("'Film' was scanned in ")


def test_a_kill_from_outside_and_a_removed_radiograph_are_said(
    panel, film, scene, wait_until, slicer_app
):
    panel.ui.scanButton.click()
    wait_until(lambda: panel.logic.processId, 20)
    os.kill(panel.logic.processId, signal.SIGKILL)
    wait_until(lambda: not panel.logic.running, 20)
    assert said(panel).startswith("the scan was killed, perhaps because memory ran out")

    slicer_app.processEvents()
    panel.ui.scanButton.click()
    wait_until(lambda: panel.logic.processId, 20)
    process_id = panel.logic.processId
    scene.RemoveNode(film)
    slicer_app.processEvents()
    assert said(panel) == "The radiograph was removed from the scene; the scan was stopped."
    assert not panel.logic.running
    wait_until(lambda: gone(process_id), 10)
    assert scene.GetNumberOfNodesByClass("vtkMRMLScalarVolumeNode") == 0


def test_foreign_weights_are_refused_in_one_line_that_names_no_temporary_file(
    panel, weights, wait_until, slicer_app, node_ids
):
    panel.ui.calibrationPath.currentPath = weights.generator
    slicer_app.processEvents()
    before = node_ids()
    press_scan(panel, wait_until, slicer_app)

    assert "weights of 'pggan'" in said(panel)
    assert "\n" not in said(panel)
    assert "session" not in said(panel)
    assert node_ids() == before
    assert panel.ui.scanButton.enabled
