"""The panel with a radiograph: against ``lungsynth`` called directly, to the pixel."""

from types import SimpleNamespace

import numpy as np
import pytest

from lungsynth.core.radiograph import CxrNoduleSpec, CxrSeed, Photometric, Radiograph
from lungsynth.imaging.lung_fields import find_lung_fields
from lungsynth.imaging.radiograph_insertion import insert_into_radiograph
from lungsynth.io.radiograph_reading import read_radiograph
from lungsynth.synthesizers import load_cxr_synthesizer

PLACES = [(90, 110), (210, 300), (250, 120)]  # (row, column)
SPACING = (0.9, 0.7)


def pixels_of_a_chest():
    """Return 320 x 400 pixels with two dark fields, of no symmetry."""
    rows, columns = np.indices((320, 400))
    bright = 2200.0 - 2 * rows + columns
    for row, column, height, width in ((150, 120, 110, 70), (170, 290, 120, 80)):
        bright -= 900 * np.exp(-(((rows - row) / height) ** 4) - ((columns - column) / width) ** 4)
    noise = np.random.default_rng(5).normal(0, 15, bright.shape)
    return (bright + noise).astype(np.uint16)


def matrix(spacing=SPACING):
    """Return where Slicer puts a radiograph: columns to L, rows to P; not at the origin."""
    made = np.diag([-spacing[1], -spacing[0], 1.0, 1.0])
    made[:3, 3] = (130.0, 95.0, 3.0)
    return made


def add_volume(spacing=SPACING, pixels=None, name="Film"):
    import slicer

    pixels = pixels_of_a_chest() if pixels is None else pixels
    node = slicer.util.addVolumeFromArray(pixels[None].copy(), matrix(spacing), name)
    node.CreateDefaultDisplayNodes()
    node.GetDisplayNode().SetAutoWindowLevel(False)
    node.GetDisplayNode().SetWindowLevel(2000, 1500)
    return node


@pytest.fixture
def film(scene):
    return add_volume()


@pytest.fixture
def panel(film, open_module, slicer_app):
    """Return the open panel with the radiograph chosen; drawn by formulas, no preview."""
    widget = open_module("NoduleSynth")
    widget.p.cxrSynthesizer = "procedural"
    widget.p.livePreview = False
    slicer_app.processEvents()
    assert widget.p.inputVolume is film
    return widget


def ras_of(place, spacing=SPACING):
    row, column = place
    return tuple(float(x) for x in (matrix(spacing) @ (column, row, 0, 1))[:3])


@pytest.fixture
def add_seeds(panel, slicer_app):
    """``add_seeds(places, **spec)`` puts seeds into the panel's list."""

    def add(places, spacing=SPACING, **values):
        from lungsynth_slicer.seeds import SeedList
        from NoduleSynthLib.Outputs import makeSeedList

        if panel.p.seeds is None:
            panel.p.seeds = makeSeedList(panel.p.inputVolume.GetScene(), panel.p.inputVolume)
        seeds = SeedList(panel.p.seeds)
        values = {"contrast": 0.08} | values
        if "diameter_px" not in values:
            values.setdefault("diameter_mm", 16.0)
        for n, place in enumerate(places):
            seeds.add(ras_of(place, spacing), CxrNoduleSpec(**({"latent_seed": 7 + n} | values)))
        slicer_app.processEvents()

    return add


@pytest.fixture
def insert(panel, wait_until, slicer_app):
    def press():
        slicer_app.processEvents()
        assert panel.ui.insertButton.enabled, panel.ui.insertButton.toolTip
        panel.ui.insertButton.click()
        wait_until(lambda: not panel.logic.running, 120)
        slicer_app.processEvents()
        return panel.ui.statusLabel.text

    return press


def voxels(node):
    import slicer

    return slicer.util.arrayFromVolume(node)


def directly(
    places,
    spacing=SPACING,
    known=SPACING,
    photometric=Photometric.MONOCHROME2,
    synthesizer="procedural",
    **spec,
):
    """Return what the library makes of the seeds that ``add_seeds`` puts into the panel."""
    image = Radiograph(pixels_of_a_chest(), matrix(spacing), known, photometric)
    spec = {"contrast": 0.08} | spec
    if "diameter_px" not in spec:
        spec.setdefault("diameter_mm", 16.0)
    seeds = [
        CxrSeed(
            ras_of(place, spacing), CxrNoduleSpec(**({"latent_seed": 7 + n} | spec)), f"N-{n + 1}"
        )
        for n, place in enumerate(places)
    ]
    return insert_into_radiograph(image, seeds, load_cxr_synthesizer(synthesizer))


def rows(panel):
    table = panel.ui.seedsTable
    shown = [n for n in range(table.columnCount) if not table.isColumnHidden(n)]
    return [[table.item(row, n).text() for n in shown] for row in range(table.rowCount)]


def is_shown(panel, name):
    return getattr(panel.ui, name).isVisibleTo(panel.parent)


@pytest.mark.parametrize("synthesizer", ["procedural", "ct-projection"])
def test_panel_gives_the_pixels_that_the_library_gives(panel, film, add_seeds, insert, synthesizer):
    panel.p.cxrSynthesizer = synthesizer
    add_seeds(PLACES)
    said = insert()

    expected = directly(PLACES, synthesizer=synthesizer)
    output = panel.p.outputVolume
    np.testing.assert_array_equal(voxels(output)[0], expected.image.pixels)
    assert voxels(output).dtype == np.uint16
    np.testing.assert_array_equal(voxels(film)[0], pixels_of_a_chest()), "the input stays"
    assert output.GetName() == "Film with synthetic nodules"
    assert "3 nodules inserted" in said
    table = panel.p.table.GetTable()
    assert table.GetNumberOfRows() == 3
    for n, insertion in enumerate(expected.insertions):
        import slicer

        segment = panel.p.segmentation.GetSegmentation().GetNthSegmentID(n)
        mask = np.zeros((1, 320, 400), bool)
        mask[insertion.slices] = insertion.mask
        found = slicer.util.arrayFromSegmentBinaryLabelmap(panel.p.segmentation, segment, output)
        np.testing.assert_array_equal(found > 0, mask)
        values = {
            table.GetColumnName(c): table.GetValue(n, c).ToString()
            for c in range(table.GetNumberOfColumns())
        }
        assert values["asked"] == "16 mm"
        assert float(values["measured (mm)"]) == pytest.approx(
            insertion.measured.diameter_mm, abs=0.01
        )
        assert float(values["contrast"]) == pytest.approx(insertion.measured.contrast, abs=1e-4)
        assert float(values["R (mm)"]) == pytest.approx(ras_of(PLACES[n])[0], abs=0.01)
        assert "attenuation" not in values
    assert "of 16 asked, contrast 0.08" in panel.ui.resultLabel.text


def test_controls_that_do_not_apply_are_hidden(panel, film, scene, slicer_app):
    import slicer

    only_ct = ("diameterSlider", "attenuationComboBox", "malignancyComboBox", "proposeSiteComboBox")
    only_ct += ("synthesizerComboBox", "weightsPathLineEdit")
    only_film = ("cxrDiameterSlider", "contrastSlider", "behindHeartCheckBox", "invertedCheckBox")
    only_film += ("cxrSynthesizerComboBox",)
    panel.ui.advancedCollapsibleButton.collapsed = False
    slicer_app.processEvents()
    header = panel.ui.seedsTable.horizontalHeaderItem
    hidden = panel.ui.seedsTable.isColumnHidden
    assert panel.ui.inputInfoLabel.text == "Radiograph of 400 x 320 pixels of 0.700 x 0.900 mm"
    for name in (*only_ct, "diameterSliderLabel", "cxrDiameterPxSlider"):
        assert not is_shown(panel, name), name
    for name in (*only_film, "contrastSliderLabel"):
        assert is_shown(panel, name), name
    assert [hidden(n) for n in range(6)] == [False, False, True, True, False, False]
    assert header(1).text() == "mm"

    panel.p.inputVolume = add_volume((1.0, 1.0), name="Picture")
    slicer_app.processEvents()
    assert "size is not known" in panel.ui.inputInfoLabel.text
    assert is_shown(panel, "cxrDiameterPxSlider")
    assert not is_shown(panel, "cxrDiameterSlider")
    assert header(1).text() == "px"

    hu = np.random.default_rng(0).integers(-1000, 100, (9, 10, 11)).astype(np.int16)
    panel.p.inputVolume = slicer.util.addVolumeFromArray(hu, np.eye(4), "Chest")
    slicer_app.processEvents()
    for name in (*only_film, "cxrDiameterPxSlider", "contrastSliderLabel"):
        assert not is_shown(panel, name), name
    for name in only_ct:
        assert is_shown(panel, name), name
    assert [hidden(n) for n in range(6)] == [False] * 5 + [True]


def test_click_makes_a_seed_with_the_nodule_of_the_panel(panel, film, slice_view, slicer_app):
    view = slice_view(film)
    panel.ui.cxrDiameterSlider.value = 21.0
    panel.ui.contrastSlider.value = 0.12
    panel.ui.placeButton.click()
    place = ras_of(PLACES[0])
    view.click(place)
    slicer_app.processEvents()

    (point,) = panel.seedsPanel.points()
    assert point.spec.diameter_mm == 21.0
    assert point.spec.contrast == pytest.approx(0.12)
    assert np.abs(np.subtract(point.position_ras_mm, place))[:2].max() < 2.5
    assert rows(panel)[0][:2] == ["N-1", "21"]
    assert rows(panel)[0][3] == "0.12"
    assert panel.ui.insertButton.enabled

    panel.ui.cxrDiameterSlider.value = 24.0
    panel.ui.contrastSlider.value = 0.0
    slicer_app.processEvents()
    (point,) = panel.seedsPanel.points()
    assert (point.spec.diameter_mm, point.spec.contrast) == (24.0, None)
    assert rows(panel)[0][3] == "any"


def test_cells_change_the_spec_and_refuse_what_cannot_be(panel, add_seeds, slicer_app):
    add_seeds(PLACES[:1])
    table = panel.ui.seedsTable
    table.item(0, 1).setText("19 mm")
    table.item(0, 5).setText("0.2")
    slicer_app.processEvents()
    (point,) = panel.seedsPanel.points()
    assert (point.spec.diameter_mm, point.spec.contrast) == (19.0, 0.2)

    table.item(0, 5).setText("7")
    slicer_app.processEvents()
    assert "contrast of a nodule in a radiograph must be from" in panel.ui.statusLabel.text
    table.item(0, 5).setText("any")
    slicer_app.processEvents()
    assert panel.seedsPanel.points()[0].spec.contrast is None


def test_picture_without_spacing_takes_pixels(panel, add_seeds, insert, slicer_app):
    panel.p.inputVolume = add_volume((1.0, 1.0), name="Picture")
    slicer_app.processEvents()
    add_seeds(PLACES[:1], (1.0, 1.0), diameter_px=30.0)
    assert rows(panel)[0][1] == "30"
    bounds = [0.0] * 6
    panel.spheres.node.GetRASBounds(bounds)
    assert bounds[1] - bounds[0] == pytest.approx(30, abs=0.6)
    insert()

    expected = directly(PLACES[:1], (1.0, 1.0), None, diameter_px=30.0)
    np.testing.assert_array_equal(voxels(panel.p.outputVolume)[0], expected.image.pixels)
    assert " px of 30 asked" in panel.ui.resultLabel.text


def test_dense_tissue_that_is_dark_stays_so(panel, film, add_seeds, insert, slicer_app):
    panel.ui.invertedCheckBox.click()
    slicer_app.processEvents()
    assert panel.ui.invertedCheckBox.checked
    add_seeds(PLACES[:1])
    insert()

    expected = directly(PLACES[:1], photometric=Photometric.MONOCHROME1)
    made = voxels(panel.p.outputVolume)[0]
    np.testing.assert_array_equal(made, expected.image.pixels)
    row, column = PLACES[0]
    assert made[row, column] < pixels_of_a_chest()[row, column]


def test_film_that_is_shown_inverted_is_taken_for_one(panel, film, slicer_app):
    film.GetDisplayNode().SetAndObserveColorNodeID("vtkMRMLColorTableNodeInvertedGrey")
    panel.refreshSoon()
    slicer_app.processEvents()

    assert panel.ui.invertedCheckBox.checked


def test_undo_and_redo_are_exact_and_survive_a_saved_scene(
    panel, film, add_seeds, insert, mrb, tmp_path, slicer_app, scene
):
    add_seeds(PLACES[:2])
    insert()
    both = voxels(panel.p.outputVolume).copy()
    panel.ui.undoButton.click()
    slicer_app.processEvents()
    np.testing.assert_array_equal(
        voxels(panel.p.outputVolume)[0], directly(PLACES[:1]).image.pixels
    )
    assert panel.p.table.GetNumberOfRows() == 1
    panel.ui.redoButton.click()
    slicer_app.processEvents()
    np.testing.assert_array_equal(voxels(panel.p.outputVolume), both)

    mrb.round_trip(tmp_path / "scene.mrb")
    slicer_app.processEvents()
    assert is_shown(panel, "contrastSlider")
    for expected in (directly(PLACES[:1]).image.pixels, pixels_of_a_chest()):
        assert panel.ui.undoButton.enabled, panel.ui.undoButton.toolTip
        panel.ui.undoButton.click()
        slicer_app.processEvents()
        np.testing.assert_array_equal(voxels(panel.p.outputVolume)[0], expected)
    assert [row[0] for row in rows(panel)] == ["N-1", "N-2"]
    panel.ui.redoButton.click()
    slicer_app.processEvents()
    np.testing.assert_array_equal(
        voxels(panel.p.outputVolume)[0], directly(PLACES[:1]).image.pixels
    )


def test_preview_shows_the_nodule_where_it_would_be(panel, film, add_seeds, wait_until, slicer_app):
    add_seeds(PLACES[1:2])
    panel.p.livePreview = True
    panel.ui.seedsTable.selectRow(0)
    wait_until(lambda: panel.preview.node is not None, 60)

    shown = voxels(panel.preview.node)[0].astype(int)
    import vtk

    place = vtk.vtkMatrix4x4()
    panel.preview.node.GetIJKToRASMatrix(place)
    row0 = round((place.GetElement(1, 3) - 95.0) / -SPACING[0])
    column0 = round((place.GetElement(0, 3) - 130.0) / -SPACING[1])
    behind = pixels_of_a_chest()[row0 : row0 + shown.shape[0], column0 : column0 + shown.shape[1]]
    change = shown - behind.astype(int)
    assert change.max() > 60
    row, column = np.unravel_index(np.argmax(change), change.shape)
    assert abs(row0 + row - PLACES[1][0]) < 15
    assert abs(column0 + column - PLACES[1][1]) < 15
    np.testing.assert_array_equal(voxels(film)[0], pixels_of_a_chest())


@pytest.mark.parametrize(
    ("places", "said"),
    [
        ([(90, 110), (92, 112)], "overlaps an earlier nodule"),
        ([(500, 30)], "outside the radiograph"),
        ([(4, 30)], "too near the border"),
    ],
)
def test_seed_that_cannot_work_is_marked_before_insert(panel, add_seeds, places, said):
    add_seeds(places)

    assert rows(panel)[-1][0].startswith("! ")
    assert said in panel.ui.seedsWarningLabel.text
    assert not panel.ui.insertButton.enabled


def test_seeds_at_exchanged_rows_and_columns_have_room(panel, add_seeds):
    """What one takes lies where it is, not where its column is taken for its row."""
    add_seeds([(90, 250), (250, 90)])

    assert [row[0] for row in rows(panel)] == ["N-1", "N-2"]
    assert panel.ui.insertButton.enabled


@pytest.mark.parametrize(
    ("pixels", "said"),
    [
        (np.full((200, 200), 7, np.uint8), "a blank image"),
        (np.arange(100, dtype=np.int16).reshape(10, 10), "a radiograph needs 128"),
        (np.arange(-1000, 39000, dtype=np.int32).reshape(200, 200), "one slice of a CT in HU"),
    ],
)
def test_slice_that_is_no_radiograph_is_refused_when_it_is_chosen(panel, slicer_app, pixels, said):
    panel.p.inputVolume = add_volume(pixels=pixels, name="Other")
    slicer_app.processEvents()

    assert panel.ui.inputInfoLabel.text.startswith("volume 'Other': ")
    assert said in panel.ui.inputInfoLabel.text
    assert not panel.ui.placeButton.enabled


def test_proposed_seeds_lie_in_the_lung_fields(panel, wait_until, slicer_app):
    panel.ui.cxrDiameterSlider.value = 12.0
    panel.ui.contrastSlider.value = 0.1
    panel.ui.proposeButton.click()
    wait_until(lambda: not panel.seedsPanel.proposing, 120)
    slicer_app.processEvents()

    assert "3 seeds proposed" in panel.ui.statusLabel.text
    points = panel.seedsPanel.points()
    assert {(p.spec.diameter_mm, p.spec.contrast) for p in points} == {(12.0, 0.1)}
    assert len({p.spec.latent_seed for p in points}) == 3
    image = Radiograph(pixels_of_a_chest(), matrix(), SPACING)
    fields = find_lung_fields(image).mask(image.pixels.shape)
    for point in points:
        row, column = np.rint(image.ras_to_pixel(point.position_ras_mm)).astype(int)
        assert fields[row, column]
    assert panel.ui.insertButton.enabled


def test_proposal_that_finds_no_lungs_says_so(panel, wait_until, slicer_app):
    noise = np.random.default_rng(0).integers(0, 4000, (300, 300)).astype(np.uint16)
    panel.p.inputVolume = add_volume(pixels=noise, name="Noise")
    slicer_app.processEvents()
    panel.ui.proposeButton.click()
    wait_until(lambda: not panel.seedsPanel.proposing, 120)
    slicer_app.processEvents()

    assert "no pair of lung fields was found" in panel.ui.statusLabel.text
    assert panel.ui.proposeButton.enabled


def test_what_the_dicom_file_says_counts(panel, film, slicer_app, monkeypatch):
    import slicer

    known = {("1.2.3", "0028,0004"): "MONOCHROME1 "}
    database = SimpleNamespace(instanceValue=lambda uid, tag: known[uid, tag])
    monkeypatch.setattr(slicer, "dicomDatabase", database, raising=False)
    film.SetAttribute("DICOM.instanceUIDs", "1.2.3")
    panel.refreshSoon()
    slicer_app.processEvents()
    assert panel.ui.invertedCheckBox.checked

    panel.ui.invertedCheckBox.click()
    slicer_app.processEvents()
    assert not panel.ui.invertedCheckBox.checked, "the user has the last word"


def test_seeds_of_a_ct_become_seeds_of_a_radiograph(panel, scene, slicer_app):
    """A list of the user's own, with points that say another kind of nodule."""
    from lungsynth.core.nodule import NoduleSpec
    from lungsynth_slicer.seeds import SeedList

    node = scene.AddNewNodeByClass("vtkMRMLMarkupsFiducialNode", "Mine")
    SeedList(node).add(ras_of(PLACES[0]), NoduleSpec(12.0), "a")
    panel.p.seeds = node
    slicer_app.processEvents()

    (point,) = panel.seedsPanel.points()
    assert isinstance(point.spec, CxrNoduleSpec)
    assert point.spec.diameter_mm == 15.0
    assert "12 mm, solid" not in node.GetNthControlPointDescription(0)


def test_script_inserts_into_a_radiograph(panel, film, tmp_path):
    from lungsynth.core.errors import LungSynthError

    seeds = panel.logic.seedsFor(film)
    seeds.add(ras_of(PLACES[0]), diameter_mm=16, contrast=0.08, latent_seed=7, name="N-1")
    result = panel.logic.insertNow(film, seeds, synthesizer="procedural")
    result.save(tmp_path / "film.nrrd", mask=tmp_path / "film.seg.nrrd")

    saved = read_radiograph(tmp_path / "film.nrrd")
    np.testing.assert_array_equal(saved.pixels, directly(PLACES[:1]).image.pixels)
    assert saved.pixel_spacing_mm == pytest.approx(SPACING)
    assert (tmp_path / "film.seg.nrrd").is_file()

    np.testing.assert_array_equal(voxels(result.volume)[0], directly(PLACES[:1]).image.pixels)
    with pytest.raises(LungSynthError, match="either in mm or in pixels"):
        seeds.add(ras_of(PLACES[1]), diameter_mm=16, diameter_px=20)


@pytest.mark.parametrize("width", [320, 420])
def test_nothing_is_cut_off(panel, add_seeds, slicer_app, width):
    import qt

    add_seeds([*PLACES, (92, 112)])
    for button in panel.parent.findChildren(qt.QAbstractButton):
        if hasattr(button, "collapsed"):
            button.collapsed = False
    panel.parent.resize(width, 1600)
    slicer_app.processEvents()

    assert panel.parent.width == width, "the panel wants to be wider"
    for widget in panel.parent.findChildren(qt.QWidget):
        if widget.isVisibleTo(panel.parent) and widget.objectName:
            right = widget.mapTo(panel.parent, qt.QPoint(widget.width, 0)).x()
            assert right <= width, f"{widget.objectName} ends at {right}"
