"""The tab Batch: a folder with bad files among the good ones, through a real process."""

import csv
import json
import shutil

import pytest

LONG_S = 300


def said(panel):
    return panel.ui.batchStatusLabel.text.replace("\u200b", "")


@pytest.fixture
def folder(weights, tmp_path):
    """Four radiographs, one that is none, and one that is cut off."""
    images = tmp_path / "in ž"
    images.mkdir()
    for name in ("test0.png", "test1.png", "test12.png", "test13.png"):
        shutil.copy(weights.images / name, images)
    (images / "bad.png").write_bytes(b"no picture")
    whole = (images / "test1.png").read_bytes()
    (images / "cut.png").write_bytes(whole[: len(whole) // 2])
    return images


def rows(table):
    return [
        [table.item(row, column).text() for column in range(4)] for row in range(table.rowCount)
    ]


def test_a_folder_is_scanned_and_the_bad_files_are_said(
    panel, folder, wait_until, loop_watch, slicer_app, tmp_path, monkeypatch
):
    import qt

    ui, out = panel.ui, tmp_path / "out"
    ui.batchInputPath.currentPath = str(tmp_path / "nowhere")
    slicer_app.processEvents()
    assert ui.batchStartButton.toolTip.startswith("There is no folder ")
    ui.batchInputPath.currentPath = str(folder)
    slicer_app.processEvents()
    assert ui.batchStartButton.toolTip == "Choose an output folder first."
    ui.batchOutputPath.currentPath = str(out)
    slicer_app.processEvents()
    assert ui.batchStartButton.enabled

    ui.batchStartButton.click()
    slicer_app.processEvents()
    assert not ui.batchStartButton.enabled
    assert ui.batchCancelButton.enabled
    wait_until(lambda: not panel.batchPanel.running, LONG_S)
    slicer_app.processEvents()

    assert said(panel).startswith("4 radiographs scanned. 2 could not be: the table says why.")
    values = json.loads((out / "scan.json").read_text(encoding="utf-8"))
    expected = {
        entry["file"].rsplit("/", 1)[-1]: entry["status"] == "scanned" for entry in values["files"]
    }
    assert {name: score != "" for name, score, *_ in rows(ui.batchTable)} == expected
    assert [name for name, good in sorted(expected.items()) if not good] == ["bad.png", "cut.png"]
    failed = next(row for row in rows(ui.batchTable) if row[0] == "bad.png")
    assert failed[3].startswith("not scanned: ")
    with (out / "scan.csv").open(encoding="utf-8") as lines:
        scores = {row["file"].rsplit("/", 1)[-1]: row["score"] for row in csv.DictReader(lines)}
    for name, score, *_ in rows(ui.batchTable):
        if score:
            assert float(score) == pytest.approx(float(scores[name]), abs=6e-4)
    assert (out / "index.html").is_file()
    ui.batchTable.sortByColumn(1, qt.Qt.AscendingOrder)
    shown = [float(row[1]) for row in rows(ui.batchTable) if row[1]]
    assert shown == sorted(shown)
    opened = []
    monkeypatch.setattr(
        qt.QDesktopServices, "openUrl", lambda url: opened.append(url.toLocalFile())
    )
    ui.batchOpenButton.click()
    assert opened == [str(out / "index.html")]


def test_a_batch_is_cancelled_and_begun_again(panel, folder, wait_until, slicer_app, tmp_path):
    ui = panel.ui
    ui.batchInputPath.currentPath = str(folder)
    ui.batchOutputPath.currentPath = str(tmp_path / "out")
    slicer_app.processEvents()
    ui.batchStartButton.click()
    slicer_app.processEvents()
    ui.batchCancelButton.click()
    slicer_app.processEvents()
    assert said(panel).startswith("Stopped after 0;")
    assert ui.batchStartButton.enabled
    assert not ui.batchCancelButton.enabled
    assert not (tmp_path / "out" / "scan.csv").exists()

    ui.calibrationPath.currentPath = str(folder / "bad.png")
    slicer_app.processEvents()
    ui.batchStartButton.click()
    wait_until(lambda: not panel.batchPanel.running, LONG_S)
    assert "bad.png" in said(panel)
    assert "\n" not in said(panel)
