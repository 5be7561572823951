"""The panel with results that are in the scene already: overlay, table, plot, saved scenes."""

import numpy as np
import pytest


def composites(scene):
    kind = "vtkMRMLSliceCompositeNode"
    return [scene.GetNthNodeByClass(n, kind) for n in range(scene.GetNumberOfNodesByClass(kind))]


def said(panel):
    return panel.ui.problemLabel.text.replace("\u200b", "")


def test_what_is_missing_is_said_at_the_button(
    open_scan, make_film, oblique_volume, slicer_app, tmp_path
):
    panel = open_scan()
    assert not panel.ui.scanButton.enabled
    assert said(panel) == panel.ui.scanButton.toolTip == "Choose a chest radiograph first."

    panel.p.inputVolume = oblique_volume(name="Thorax")
    slicer_app.processEvents()
    assert said(panel) == "'Thorax' is no radiograph: a volume of one slice is needed."

    panel.p.inputVolume = make_film(pixels=np.full((140, 128), 7, np.int16), name="Blank")
    slicer_app.processEvents()
    assert said(panel).startswith("volume 'Blank'")
    assert not panel.ui.scanButton.enabled

    panel.p.inputVolume = make_film()
    slicer_app.processEvents()
    panel.ui.calibrationPath.currentPath = "/nowhere/scan.safetensors"
    slicer_app.processEvents()
    expected = (
        "There is no file '/nowhere/scan.safetensors'; choose the calibration under Advanced."
    )
    assert said(panel) == expected
    weights = tmp_path / "scan.safetensors"
    weights.write_bytes(b"any")
    panel.ui.calibrationPath.currentPath = str(weights)
    slicer_app.processEvents()
    assert panel.p.calibration == str(weights)
    assert said(panel) == ""
    assert panel.ui.scanButton.enabled
    assert "140" in panel.ui.inputInfoLabel.text
    assert "1.3 x 1.1 mm" in panel.ui.inputInfoLabel.text


def test_without_weights_that_ship_one_line_says_what_to_choose(
    open_scan, film, slicer_app, monkeypatch
):
    import AnomalyScanLib.Weights as weights

    monkeypatch.setattr(weights, "shipped_file", lambda _name: None)
    panel = open_scan()
    panel.refresh()
    assert said(panel).startswith("No weights for scanning ship with this version: choose")
    assert panel.ui.batchStartButton.toolTip == "Choose a folder of radiographs first."

    monkeypatch.setattr(weights, "shipped_file", lambda name: name)
    panel.refresh()
    assert said(panel) == ""
    assert panel.ui.scanButton.enabled


def test_what_is_scanned_says_how_its_values_are_to_be_read(
    open_scan, film, wait_until, slicer_app, tmp_path, monkeypatch
):
    import slicer

    import AnomalyScanLib.Scanning as scanning
    from lungsynth.io.radiograph_reading import lateral_view, read_radiograph
    from lungsynth_slicer.sharing import VolumeSharer

    panel = open_scan()
    slicer_app.processEvents()
    panel.ui.invertedCheckBox.click()
    tags = {"0018,5101": "LL", "0018,0015": "CHEST"}
    monkeypatch.setattr(scanning, "dicomValue", lambda _node, tag: tags.get(tag, ""))
    shared = []
    sharer = VolumeSharer(tmp_path, ".nrrd", scanning.radiographHeader)
    sharer.share(film, lambda path, _new: shared.append(path), pytest.fail)
    wait_until(lambda: shared)

    image = read_radiograph(shared[0])
    assert image.photometric == "MONOCHROME1"
    assert image.pixel_spacing_mm == pytest.approx((1.3, 1.1))
    assert lateral_view(image) == "ViewPosition LL"
    assert image.header["DICOM_BodyPartExamined"] == "CHEST"
    assert (image.pixels == slicer.util.arrayFromVolume(film)[0]).all()


def test_threshold_and_opacity_move_the_overlay(open_scan, film, scanned, slice_view, slicer_app):
    view = slice_view(film, size=(280, 280))
    view.fit()
    panel = open_scan()
    display = scanned.heatmap.GetDisplayNode()
    assert panel.p.inputVolume is film  # the maps are no radiographs to be scanned

    panel.ui.thresholdSlider.value = 3.0
    panel.ui.opacitySlider.value = 100
    panel.ui.regionsCheckBox.checked = False
    slicer_app.processEvents()
    composite = composites(film.GetScene())[0]
    assert composite.GetBackgroundVolumeID() == film.GetID()
    assert composite.GetForegroundVolumeID() == scanned.heatmap.GetID()
    assert composite.GetForegroundOpacity() == 1.0
    assert display.GetApplyThreshold()
    assert display.GetLowerThreshold() == 3.0
    picture = view.render().astype(int)
    coloured = (picture.max(axis=2) - picture.min(axis=2)) > 40
    both = coloured.sum()

    panel.ui.thresholdSlider.value = 6.0  # above the second region's 5, below the first's 7.5
    slicer_app.processEvents()
    assert display.GetLowerThreshold() == 6.0
    picture = view.render().astype(int)
    one = ((picture.max(axis=2) - picture.min(axis=2)) > 40).sum()
    assert one / both == pytest.approx(900 / (900 + 1250), abs=0.1)

    panel.ui.opacitySlider.value = 0
    slicer_app.processEvents()
    assert composite.GetForegroundOpacity() == 0
    picture = view.render().astype(int)
    assert ((picture.max(axis=2) - picture.min(axis=2)) > 40).sum() == 0


def test_the_other_maps_can_be_shown_and_another_radiograph_hides_them(
    open_scan, film, scanned, slice_view, make_film, slicer_app
):
    slice_view(film)
    panel = open_scan()
    slicer_app.processEvents()
    composite = composites(film.GetScene())[0]
    for layer in ("normal", "difference", "heatmap"):
        panel.p.layer = layer
        slicer_app.processEvents()
        assert composite.GetForegroundVolumeID() == getattr(scanned, layer).GetID()
    assert scanned.segmentation.GetDisplayNode().GetVisibility()

    panel.p.inputVolume = make_film("Other")
    slicer_app.processEvents()
    assert composite.GetForegroundVolumeID() is None
    assert not scanned.segmentation.GetDisplayNode().GetVisibility()
    assert panel.ui.resultWidget.isHidden()

    panel.p.inputVolume = film
    slicer_app.processEvents()
    assert composite.GetForegroundVolumeID() == scanned.heatmap.GetID()
    assert not panel.ui.resultWidget.isHidden()


def test_a_row_jumps_to_its_region_and_columns_sort_as_numbers(
    open_scan, film, scanned, slice_view, slicer_app
):
    import qt

    slice_view(film, name="Red")
    panel = open_scan()
    slicer_app.processEvents()
    table = panel.ui.regionsTable

    def cells():
        rows = range(table.rowCount)
        return [[table.item(row, column).text() for column in range(4)] for row in rows]

    assert [row[:3] for row in cells()] == [["1", "7.5", "denser"], ["2", "5", "less dense"]]
    assert [int(row[3]) for row in cells()] == [round(900 * 1.43), round(1250 * 1.43)]
    table.sortByColumn(1, qt.Qt.AscendingOrder)
    assert [row[0] for row in cells()] == ["2", "1"]
    table.sortByColumn(3, qt.Qt.DescendingOrder)
    assert [row[0] for row in cells()] == ["2", "1"]

    node = film.GetScene().GetFirstNodeByClass("vtkMRMLSliceNode")
    for row, (label, column, line) in ((0, (2, 97, 44.5)), (1, (1, 44.5, 94.5))):
        table.selectRow(row)
        slicer_app.processEvents()
        matrix = node.GetSliceToRAS()
        middle = [matrix.GetElement(axis, 3) for axis in range(3)]
        expected = (61.0 - 1.1 * column, 84.0 - 1.3 * line, 5.0)
        assert middle == pytest.approx(expected, abs=0.01), label
        display = scanned.segmentation.GetDisplayNode()
        strong = [display.GetSegmentOpacity2DOutline(f"Region_{n}") for n in (1, 2)]
        assert strong == ([1.0, 0.5] if label == 1 else [0.5, 1.0])


def test_nodes_lie_on_the_radiograph_and_hold_what_was_found(film, scanned):
    import slicer

    heat = slicer.util.arrayFromVolume(scanned.heatmap)
    assert heat[0, 90, 40] == 7.5
    assert heat[0, 40, 90] == 5.0  # without its sign
    assert slicer.util.arrayFromVolume(scanned.difference)[0, 40, 90] == 300
    assert slicer.util.arrayFromVolume(scanned.normal)[0, 0, 0] == 1234
    assert scanned.normal.GetDisplayNode().GetWindow() == 3000
    assert "SYNTHETIC" in scanned.normal.GetDescription()
    for node in (scanned.heatmap, scanned.normal, scanned.difference):
        assert node.GetSpacing() == film.GetSpacing()
        assert node.GetOrigin() == film.GetOrigin()
        assert not node.GetDisplayNode().GetAutoWindowLevel()
    segments = scanned.segmentation.GetSegmentation()
    names = [segments.GetNthSegment(n).GetName() for n in range(2)]
    assert names == ["Region 1 (denser)", "Region 2 (less dense)"]
    mask = slicer.util.arrayFromSegmentBinaryLabelmap(scanned.segmentation, "Region_2", film)
    assert mask.shape == (1, 140, 128)
    assert np.argwhere(mask[0]).min(axis=0).tolist() == [20, 85]
    assert mask.sum() == 50 * 25
    table = scanned.table.GetTable()
    assert table.GetNumberOfRows() == 2
    assert table.GetColumnByName("peak (SD)").GetValue(1) == -5.0
    assert table.GetColumnByName("R (mm)").GetValue(0) == pytest.approx(61 - 1.1 * 44.5)


def test_the_plot_shows_the_score_among_the_normals(open_scan, film, scanned, scene, slicer_app):
    panel = open_scan()
    slicer_app.processEvents()
    chart = panel.scanPanel.plot.chart
    assert chart.GetTitle() == "Score 2.50, p = 0.012"
    assert panel.ui.resultLabel.text == (
        "Score 2.50, p = 0.012: above the threshold 1.90 that 5 % of normals exceed."
    )
    names, points = [], {}
    for n in range(chart.GetNumberOfPlotSeriesNodes()):
        series = chart.GetNthPlotSeriesNode(n)
        columns = [
            series.GetTableNode().GetTable().GetColumnByName(name)
            for name in (series.GetXColumnName(), series.GetYColumnName())
        ]
        values = [[c.GetValue(k) for k in range(c.GetNumberOfValues())] for c in columns]
        names.append(series.GetName())
        points[series.GetName()] = values
    assert names == ["normals", "this radiograph", "threshold"]
    scores, shares = points["normals"]
    assert scores == pytest.approx(np.linspace(0.8, 1.8, 12))
    assert shares[0] == 100
    assert shares[-1] == pytest.approx(100 / 12)
    assert points["this radiograph"] == [[2.5, 2.5], [0, 100]]
    assert points["threshold"] == [[1.9, 1.9], [0, 100]]
    view = scene.GetFirstNodeByClass("vtkMRMLPlotViewNode")
    assert view.GetPlotChartNode() is chart

    import slicer

    slicer.mrmlScene.RemoveNode(scanned.heatmap)  # its parts go with it
    slicer_app.processEvents()
    for kind in ("PlotChart", "PlotSeries", "Table", "Segmentation"):
        assert scene.GetNumberOfNodesByClass(f"vtkMRML{kind}Node") == 0, kind
    assert scene.GetNumberOfNodesByClass("vtkMRMLScalarVolumeNode") == 1
    assert panel.ui.resultWidget.isHidden()


def test_results_and_settings_survive_a_saved_scene(
    open_scan, film, scanned, mrb, scene, slice_view, slicer_app, tmp_path
):
    slice_view(film)
    panel = open_scan()
    panel.p.threshold, panel.p.opacityPercent = 4.5, 35.0
    panel.p.falsePositivePercent, panel.p.calibration = 2.5, "/some/where ž/a;b.safetensors"
    slicer_app.processEvents()
    before = scanned.result

    mrb.round_trip(tmp_path / "scan.mrb")
    slicer_app.processEvents()

    from AnomalyScanLib.Outputs import outputsOf

    assert panel.p.inputVolume.GetName() == "Film"
    assert (panel.p.threshold, panel.p.opacityPercent) == (4.5, 35.0)
    assert panel.p.falsePositivePercent == 2.5
    assert panel.ui.calibrationPath.currentPath == "/some/where ž/a;b.safetensors"
    loaded = outputsOf(panel.p.inputVolume)
    assert loaded.result == before
    for part in ("heatmap", "normal", "difference", "segmentation", "table"):
        assert getattr(loaded, part) is not None, part
    assert loaded.heatmap.GetDisplayNode().GetLowerThreshold() == 4.5
    assert loaded.segmentation.GetSegmentation().GetNumberOfSegments() == 2
    assert panel.ui.regionsTable.rowCount == 2
    assert panel.scanPanel.plot.chart.GetTitle() == "Score 2.50, p = 0.012"
    assert scene.GetNumberOfNodesByClass("vtkMRMLPlotChartNode") == 1
    composite = composites(scene)[0]
    assert composite.GetForegroundVolumeID() == loaded.heatmap.GetID()
    assert composite.GetForegroundOpacity() == pytest.approx(0.35)


def test_both_modules_work_in_one_scene(open_scan, open_module, film, scanned, slicer_app):
    panel = open_scan()
    slicer_app.processEvents()
    other = open_module("NoduleSynth")
    slicer_app.processEvents()
    other.p.inputVolume = film
    slicer_app.processEvents()
    assert panel.p.inputVolume is film
    assert panel.p.parameterNode is not other.p.parameterNode
    assert panel.ui.regionsTable.rowCount == 2

    panel.exit()
    other.exit()
    panel.enter()
    slicer_app.processEvents()
    assert panel.ui.resultLabel.text.startswith("Score 2.50")


def test_a_closed_scene_leaves_an_empty_panel(open_scan, film, scanned, scene, slicer_app):
    panel = open_scan()
    slicer_app.processEvents()
    scene.Clear(0)
    slicer_app.processEvents()
    assert panel.p is not None
    assert panel.p.inputVolume is None
    assert panel.ui.resultWidget.isHidden()
    assert scene.GetNumberOfNodesByClass("vtkMRMLPlotChartNode") == 0


@pytest.mark.parametrize("width", [320, 420])
@pytest.mark.parametrize("colours", ["light", "dark"])
def test_the_panel_fits_its_column(
    open_scan, film, scanned, screenshot, palette, slicer_app, tmp_path, width, colours
):
    import os

    palette(colours)
    panel = open_scan()
    slicer_app.processEvents()
    panel.ui.advancedCollapsibleButton.collapsed = False
    root = panel.parent
    for tab in range(panel.ui.tabWidget.count):
        panel.ui.tabWidget.currentIndex = tab
        folder = os.environ.get("ANOMALYSCAN_PICTURES", str(tmp_path))
        screenshot(root, f"{folder}/{width}-{colours}-{tab}.png", width)

        assert root.width <= width
