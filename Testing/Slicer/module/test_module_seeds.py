"""Seeds: clicked into a slice view, edited in the table, proposed, refused before Insert."""

import numpy as np
import pytest


def rows(panel):
    table = panel.ui.seedsTable
    shown = [n for n in range(table.columnCount) if not table.isColumnHidden(n)]
    return [[table.item(row, n).text() for n in shown] for row in range(table.rowCount)]


def specs(panel):
    from lungsynth_slicer.seeds import SeedList

    return [
        (p.spec.diameter_mm, str(p.spec.attenuation), p.spec.malignancy, p.spec.latent_seed)
        for p in SeedList(panel.p.seeds).points()
    ]


def test_click_in_a_slice_view_makes_a_seed_with_the_nodule_of_the_panel(
    panel, ct, places, slice_view, slicer_app
):
    place = np.array(places[2])
    view = slice_view(ct)
    view.jump(place)
    panel.ui.diameterSlider.value = 14.0
    panel.ui.attenuationComboBox.setCurrentText("part-solid")
    panel.ui.placeButton.click()

    view.click(place)
    slicer_app.processEvents()

    assert panel.ui.placeButton.checked, "it stays on for the next seed"
    assert panel.p.seeds.GetNumberOfControlPoints() >= 1
    (point,) = panel.seedsPanel.points()
    # a pixel of the view is about a millimetre
    assert np.abs(np.array(point.position_ras_mm) - place).max() < 2.5
    assert (point.spec.diameter_mm, str(point.spec.attenuation)) == (14.0, "part-solid")
    assert rows(panel)[0][:4] == ["N-1", "14", "part-solid", "any"]
    assert panel.seedsPanel.selectedId == point.id
    assert panel.ui.insertButton.enabled

    panel.ui.placeButton.click()
    view.click(place + np.array((30, 0, 0)))
    slicer_app.processEvents()
    assert len(panel.seedsPanel.points()) == 1, "placing is over"


def test_two_clicks_give_two_different_nodules(panel, ct, places, slice_view, slicer_app):
    view = slice_view(ct)
    panel.ui.placeButton.click()
    for place in places[:2]:
        view.jump(place)
        view.click(place)
        slicer_app.processEvents()

    first, second = specs(panel)
    assert first[:3] == second[:3]
    assert first[3] != second[3]


def test_variant_that_is_typed_goes_to_the_next_seed_and_to_no_other(
    panel, ct, places, slice_view, slicer_app
):
    view = slice_view(ct)
    panel.ui.latentSeedSpinBox.value = 4711
    panel.ui.placeButton.click()
    for place in places[:2]:
        view.jump(place)
        view.click(place)
        slicer_app.processEvents()

    first, second = specs(panel)
    assert first[3] == 4711
    assert panel.ui.latentSeedSpinBox.value == second[3] != 4711
    assert panel.ui.noduleForLabel.text.startswith("N-2; ")
    panel.ui.latentSeedSpinBox.value = 12
    slicer_app.processEvents()
    assert [spec[3] for spec in specs(panel)] == [4711, 12], "typed for the selected seed"
    view.jump(places[2])
    view.click(places[2])
    slicer_app.processEvents()
    assert specs(panel)[2][3] != 12, "two nodules of one variant would be twins"


def test_variant_typed_after_a_seed_was_removed_goes_to_the_next(
    panel, ct, add_seeds, places, slice_view, slicer_app
):
    add_seeds(places[:1])
    panel.ui.seedsTable.selectRow(0)
    slicer_app.processEvents()
    panel.ui.removeSeedButton.click()
    slicer_app.processEvents()
    panel.ui.drawAnotherButton.click()
    wanted = panel.ui.latentSeedSpinBox.value
    assert panel.ui.noduleForLabel.text == "For the next seed that you place:"
    view = slice_view(ct)
    view.jump(places[1])
    panel.ui.placeButton.click()
    view.click(places[1])
    slicer_app.processEvents()

    assert [spec[3] for spec in specs(panel)] == [wanted]


def test_cells_of_the_table_change_the_spec_of_their_seed(panel, add_seeds, places, slicer_app):
    add_seeds(places[:2])
    table = panel.ui.seedsTable

    table.item(1, 1).setText("8.5 mm")
    table.item(1, 4).setText("123")
    slicer_app.processEvents()
    assert specs(panel)[1] == (8.5, "solid", None, 123)
    assert specs(panel)[0] == (12.0, "solid", None, 7)

    for column, words in ((2, "ground-glass"), (3, "malignant")):
        table.cellDoubleClicked.emit(1, column)
        box = table.cellWidget(1, column)
        box.setCurrentText(words)
        box.textActivated.emit(words)
        slicer_app.processEvents()
        assert table.cellWidget(1, column) is None, "the list goes once something is chosen"
    assert specs(panel)[1] == (8.5, "ground-glass", "malignant", 123)
    assert rows(panel)[1][1:] == ["8.5", "ground-glass", "malignant", "123"]


@pytest.mark.parametrize(
    ("column", "text", "said"),
    [
        (1, "50", "diameter_mm must be from 3 to 40 mm; got 50"),
        (1, "big", "'big' is not a diameter in mm"),
        (4, "-3", "latent_seed must be from 0"),
        (4, "1.5", "'1.5' is not a whole number"),
    ],
)
def test_cell_with_what_cannot_be_is_put_back_with_a_reason(
    panel, add_seeds, places, slicer_app, column, text, said
):
    add_seeds(places[:1])
    before = rows(panel)

    panel.ui.seedsTable.item(0, column).setText(text)
    slicer_app.processEvents()

    assert rows(panel) == before
    assert said in panel.ui.statusLabel.text
    assert specs(panel) == [(12.0, "solid", None, 7)]


def test_row_takes_the_views_there_and_shows_its_nodule(
    panel, add_seeds, places, slice_view, ct, slicer_app
):
    view = slice_view(ct)
    add_seeds(places[:1], diameter_mm=9.0)
    add_seeds(places[3:4], diameter_mm=21.0, attenuation="ground-glass")

    for row, place, nodule in (
        (0, places[0], (9.0, "solid")),
        (1, places[3], (21.0, "ground-glass")),
    ):
        panel.ui.seedsTable.selectRow(row)
        slicer_app.processEvents()

        ui = panel.ui
        assert (ui.diameterSlider.value, ui.attenuationComboBox.currentText) == nodule
        to_ras = view.node.GetSliceToRAS()
        assert [to_ras.GetElement(n, 3) for n in range(3)] == pytest.approx(place, abs=0.01)


def test_section_nodule_changes_only_the_selected_seed_and_only_what_was_moved(
    panel, add_seeds, places, slicer_app
):
    add_seeds(places[:2], attenuation="part-solid", latent_seed=41)
    panel.ui.seedsTable.selectRow(0)
    slicer_app.processEvents()

    panel.ui.diameterSlider.value = 16.5
    slicer_app.processEvents()

    assert specs(panel) == [(16.5, "part-solid", None, 41), (12.0, "part-solid", None, 41)]
    assert rows(panel)[0][1] == "16.5"


def test_latent_seed_larger_than_the_spin_box_survives_a_move_of_the_slider(
    panel, add_seeds, places, slicer_app
):
    add_seeds(places[:1], latent_seed=2**40 + 3)
    panel.ui.seedsTable.selectRow(0)
    slicer_app.processEvents()

    panel.ui.diameterSlider.value = 13.0
    slicer_app.processEvents()

    assert specs(panel)[0] == (13.0, "solid", None, 2**40 + 3)


def test_remove_takes_away_the_selected_seed(panel, add_seeds, places, slicer_app):
    assert not panel.ui.removeSeedButton.enabled
    assert "Select" in panel.ui.removeSeedButton.toolTip
    first, second = add_seeds(places[:2])
    panel.ui.seedsTable.selectRow(0)
    slicer_app.processEvents()

    panel.ui.removeSeedButton.click()
    slicer_app.processEvents()

    assert [point.id for point in panel.seedsPanel.points()] == [second]
    assert first != second
    assert panel.ui.seedsTable.rowCount == 1


@pytest.mark.parametrize(
    ("position", "said"),
    [
        ((900.0, 20.0, 0.0), "outside the volume"),
        (None, "overlaps"),
    ],
)
def test_seed_that_cannot_work_is_marked_before_insert(
    panel, add_seeds, places, slicer_app, position, said
):
    add_seeds(places[:1])
    add_seeds([position or places[0]])
    slicer_app.processEvents()

    names = [row[0] for row in rows(panel)]
    assert names == ["N-1", "! N-2"]
    assert said in panel.ui.seedsWarningLabel.text
    assert panel.ui.seedsWarningLabel.visible
    assert said in panel.ui.seedsTable.item(1, 0).toolTip()
    assert not panel.ui.insertButton.enabled
    assert said in panel.ui.insertButton.toolTip


def test_seed_in_soft_tissue_is_told_when_it_is_placed(
    panel, ct, phantom, places, slice_view, slicer_app, insert
):
    """It can be inserted: a nodule at the pleura may well be wanted."""
    wall = wall_place(phantom)
    view = slice_view(ct)
    view.jump(wall)
    panel.ui.diameterSlider.value = 6.0
    panel.ui.placeButton.click()
    view.click(wall)
    slicer_app.processEvents()

    assert [row[0] for row in rows(panel)] == ["? N-1"]
    said = panel.ui.seedsWarningLabel.text
    assert "seed N-1" in said
    assert "in soft tissue" in said
    assert panel.ui.seedsWarningLabel.visible
    assert said in panel.ui.seedsTable.item(0, 0).toolTip()
    assert panel.ui.insertButton.enabled

    panel.ui.seedsTable.item(0, 0).setText("? wall")
    slicer_app.processEvents()
    assert [row[0] for row in rows(panel)] == ["? wall"], "the mark is no part of the name"
    panel.p.seeds.SetNthControlPointPositionWorld(0, *places[1])
    slicer_app.processEvents()
    assert [row[0] for row in rows(panel)] == ["wall"]
    assert not panel.ui.seedsWarningLabel.visible
    panel.p.seeds.SetNthControlPointPositionWorld(0, *wall)
    insert()
    assert "soft tissue" in panel.ui.resultLabel.text
    assert not panel.ui.seedsWarningLabel.visible, "what is done is told in the result"


def wall_place(phantom):
    """Return a place (R, A, S) with 12 mm of soft tissue around it, far from the edges."""
    from scipy import ndimage

    soft = ndimage.uniform_filter((phantom.voxels > -100).astype(np.float32), (4, 8, 8)) > 0.999
    soft[:20] = soft[-20:] = soft[:, :12] = soft[:, -12:] = False
    soft[..., :12] = soft[..., -12:] = False
    k, j, i = np.argwhere(soft)[0]
    return tuple(phantom.ijk_to_ras_mm((i, j, k)))


def test_moving_a_bad_seed_into_the_lung_clears_the_warning(panel, add_seeds, places, slicer_app):
    add_seeds([(900.0, 20.0, 0.0)])
    slicer_app.processEvents()
    assert not panel.ui.insertButton.enabled

    panel.p.seeds.SetNthControlPointPositionWorld(0, *places[1])
    slicer_app.processEvents()

    assert panel.ui.insertButton.enabled
    assert not panel.ui.seedsWarningLabel.visible


def test_spheres_have_the_asked_size_and_follow_the_seed(panel, add_seeds, places, slicer_app):
    add_seeds(places[:1], diameter_mm=14.0)
    node = panel.spheres.node

    def centre_and_size():
        bounds = np.array([0.0] * 6)
        node.GetRASBounds(bounds)
        low, high = bounds[::2], bounds[1::2]
        return (low + high) / 2, high - low

    centre, size = centre_and_size()
    assert centre == pytest.approx(places[0], abs=0.2)
    assert size == pytest.approx([14.0] * 3, abs=0.3)

    panel.p.seeds.SetNthControlPointPositionWorld(0, *places[4])
    panel.ui.seedsTable.selectRow(0)
    slicer_app.processEvents()
    panel.ui.diameterSlider.value = 20.0
    slicer_app.processEvents()
    centre, size = centre_and_size()
    assert centre == pytest.approx(places[4], abs=0.2)
    assert size == pytest.approx([20.0] * 3, abs=0.4)
    assert node.GetHideFromEditors()
    assert not node.GetSaveWithScene()

    panel.ui.spheresCheckBox.click()
    slicer_app.processEvents()
    assert panel.spheres.node is None
    assert node.GetScene() is None


def test_ring_is_seen_in_a_slice_view(panel, add_seeds, places, slice_view, ct):
    view = slice_view(ct)
    view.jump(places[0])
    before = view.render()
    add_seeds(places[:1], diameter_mm=20.0)
    panel.p.seeds.GetDisplayNode().SetVisibility(False)
    panel.refresh()

    yellow = view.render().astype(int) - before.astype(int)
    assert (yellow[..., 0] - yellow[..., 2] > 80).sum() > 20


def test_rings_are_drawn_without_a_complaint_and_red_where_a_seed_cannot_work(
    panel, add_seeds, places, slice_view, ct, slicer_app, node_ids
):
    import vtk

    view = slice_view(ct)
    view.jump(places[0])
    add_seeds([places[0], places[0]], diameter_mm=20.0)
    panel.p.seeds.GetDisplayNode().SetVisibility(False)
    complaints = []
    log = vtk.vtkOutputWindow.GetInstance()
    tag = log.AddObserver("ErrorEvent", lambda *_: complaints.append(1))
    panel.refresh()
    drawn = view.render().astype(int)
    log.RemoveObserver(tag)

    assert complaints == []
    assert ((drawn[..., 0] - drawn[..., 1] > 120) & (drawn[..., 0] > 200)).sum() > 20
    panel.ui.spheresCheckBox.click()
    slicer_app.processEvents()
    assert not [name for name in node_ids() if name.startswith("vtkMRMLColorTableNode1")]


def test_proposed_seeds_lie_in_the_lungs_and_are_ready(panel, wait_until, phantom):
    panel.ui.proposeCountSpinBox.value = 4
    panel.ui.diameterSlider.value = 9.0

    panel.ui.proposeButton.click()
    assert not panel.ui.proposeButton.enabled or panel.seedsPanel.proposing
    wait_until(lambda: not panel.seedsPanel.proposing, 60)
    panel.refresh()

    points = panel.seedsPanel.points()
    assert len(points) == 4
    assert len({point.spec.latent_seed for point in points}) == 4
    assert {point.spec.diameter_mm for point in points} == {9.0}
    for point in points:
        i, j, k = np.rint(phantom.ras_to_ijk(point.position_ras_mm)).astype(int)
        assert phantom.voxels[k, j, i] < -300
    assert panel.ui.insertButton.enabled
    assert panel.ui.insertButton.text == "Insert 4 nodules"
    assert "4 seeds proposed" in panel.ui.statusLabel.text


def test_list_that_the_selector_makes_is_one_for_the_ct(panel, ct, phantom, slicer_app):
    """It is gone from the panel with its CT, and comes back with it."""
    import slicer

    made = panel.ui.seedsSelector.addNode()
    slicer_app.processEvents()
    assert panel.p.seeds is made
    assert made.GetNodeReferenceID("NoduleSynth.Input") == ct.GetID()
    assert made.GetControlPointLabelFormat() == "N-%d"
    other = slicer.util.addVolumeFromArray(phantom.voxels.copy(), phantom.ijk_to_ras, "Other")
    panel.p.inputVolume = other
    slicer_app.processEvents()
    assert panel.p.seeds is None

    panel.p.inputVolume = ct
    slicer_app.processEvents()
    assert panel.p.seeds is made
