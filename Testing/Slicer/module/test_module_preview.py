"""Live preview: it follows the seed, costs no node and no voxel of the output, and is quick."""

import time

import numpy as np
import pytest

from lungsynth.core.nodule import NoduleSpec, Seed
from lungsynth.imaging.insertion import make_all
from lungsynth.synthesizers import load_synthesizer


def voxels(node):
    import slicer

    return slicer.util.arrayFromVolume(node)


@pytest.fixture
def previewing(panel, add_seeds, places, wait_until):
    """Return the panel with a preview of one seed shown."""
    add_seeds(places[3:4], diameter_mm=14.0)
    panel.p.livePreview = True
    wait_until(lambda: panel.preview.node is not None, 60)
    return panel


def expected_box(phantom, seed):
    (attempt,) = make_all(phantom, [seed], load_synthesizer("procedural"), rounds=1)
    return attempt


def with_surroundings(phantom, attempt):
    """Return the voxels of a nodule's box and one more on each side."""
    whole = phantom.voxels.copy()
    (k0, j0, i0), (k1, j1, i1) = attempt.box
    whole[k0:k1, j0:j1, i0:i1] = attempt.voxels
    return whole[k0 - 1 : k1 + 1, j0 - 1 : j1 + 1, i0 - 1 : i1 + 1]


def test_preview_holds_the_nodule_where_it_would_be(previewing, ct, phantom, places):
    import slicer
    import vtk

    seed = Seed(places[3], NoduleSpec(14.0, latent_seed=7), "N-1")
    attempt = expected_box(phantom, seed)
    node = previewing.preview.node

    np.testing.assert_array_equal(voxels(node), with_surroundings(phantom, attempt))
    k0, j0, i0 = np.array(attempt.box[0]) - 1
    corner = phantom.ijk_to_ras_mm((i0, j0, k0))
    matrix = vtk.vtkMatrix4x4()
    node.GetIJKToRASMatrix(matrix)
    placed = slicer.util.arrayFromVTKMatrix(matrix)
    np.testing.assert_allclose(placed[:3, 3], corner, atol=1e-6)
    np.testing.assert_allclose(placed[:3, :3], phantom.ijk_to_ras[:3, :3], atol=1e-9)
    np.testing.assert_array_equal(voxels(ct), phantom.voxels)
    assert previewing.p.outputVolume is None
    assert node.GetHideFromEditors()
    assert not node.GetSaveWithScene()
    assert previewing.ui.inputSelector.nodeCount() == 1, "no one can choose it"


def test_preview_shows_in_the_slice_view_and_only_in_its_box(
    panel, ct, add_seeds, places, slice_view, slicer_app, wait_until
):
    view = slice_view(ct, size=(500, 400))
    panel.p.showSpheres = False
    add_seeds(places[3:4], diameter_mm=20.0)
    panel.p.seeds.GetDisplayNode().SetVisibility(False)
    view.jump(places[3])
    before = view.render().astype(int)
    panel.p.livePreview = True
    wait_until(lambda: panel.preview.node is not None, 60)
    slicer_app.processEvents()
    after = view.render().astype(int)

    changed = np.argwhere(np.abs(after - before).max(axis=2) > 25)
    assert len(changed) > 20
    pixel, _ = view.to_pixels(places[3])
    centre = np.array([400 - 1 - pixel[1], pixel[0]])
    per_pixel = np.linalg.norm(np.subtract(view.to_ras((1, 0)), view.to_ras((0, 0))))
    assert np.linalg.norm(changed - centre, axis=1).max() * per_pixel < 20
    assert np.linalg.norm(changed.mean(axis=0) - centre) * per_pixel < 5

    panel.ui.livePreviewCheckBox.click()
    slicer_app.processEvents()
    assert panel.preview.node is None
    np.testing.assert_array_equal(view.render(), before)


VIEWS = [("Red", "Axial"), ("Green", "Coronal"), ("Yellow", "Sagittal")]


@pytest.mark.parametrize(("name", "orientation"), VIEWS)
@pytest.mark.parametrize("interpolated", [True, False])
def test_unchanged_box_cannot_be_told_from_no_preview(
    panel, ct, phantom, places, slice_view, name, orientation, interpolated
):
    """No line where the preview ends: the very pixels, wherever the slice cuts the box."""
    from lungsynth.imaging.attempt import Attempt

    ct.GetDisplayNode().SetInterpolate(interpolated)
    view = slice_view(ct, name=name, orientation=orientation, size=(500, 400))
    seed = Seed(places[3], NoduleSpec(14.0, latent_seed=7), "N-1")
    made = expected_box(phantom, seed)
    (k0, j0, i0), (k1, j1, i1) = made.box
    old = phantom.voxels[k0:k1, j0:j1, i0:i1].copy()
    unchanged = Attempt(made.box, old, made.mask, made.measured, {})
    for off in np.linspace(-12.0, 12.0, 9):
        view.jump(np.add(places[3], off))
        before = view.render()
        panel.preview._show(panel.p, unchanged)
        assert view.logic.GetSliceCompositeNode().GetForegroundVolumeID()
        np.testing.assert_array_equal(view.render(), before)
        panel.preview._show(panel.p, made)
        if abs(off) < 4:
            assert (view.render() != before).any(), "else nothing was drawn at all"
        panel.previewPanel.hide()
        np.testing.assert_array_equal(view.render(), before)


def test_preview_looks_like_the_output_with_the_nodule_in(
    panel, add_seeds, ct, phantom, places, slice_view, slicer_app, wait_until
):
    import slicer

    seed = Seed(places[3], NoduleSpec(14.0, latent_seed=7), "N-1")
    (k0, j0, i0), (k1, j1, i1) = expected_box(phantom, seed).box
    view = slice_view(ct, size=(500, 400))
    panel.ui.spheresCheckBox.click()
    add_seeds(places[3:4], diameter_mm=14.0)
    panel.p.seeds.GetDisplayNode().SetVisibility(False)
    view.jump(np.add(places[3], 1.3))
    panel.p.livePreview = True
    wait_until(lambda: panel.preview.node is not None, 30)
    slicer_app.processEvents()
    shown = view.render()
    whole = phantom.voxels.copy()
    whole[k0:k1, j0:j1, i0:i1] = expected_box(phantom, seed).voxels
    output = slicer.util.addVolumeFromArray(whole, phantom.ijk_to_ras, "Inserted")
    output.CreateDefaultDisplayNodes()
    output.GetDisplayNode().SetAutoWindowLevel(False)
    output.GetDisplayNode().SetWindowLevel(1400, -500)
    panel.previewPanel.hide()
    composite = view.logic.GetSliceCompositeNode()
    composite.SetForegroundVolumeID(None)
    plain = view.render()
    composite.SetBackgroundVolumeID(output.GetID())

    np.testing.assert_array_equal(view.render(), shown)
    assert (plain != shown).any()


def test_views_draw_whole_voxels_again_after_the_preview(previewing, ct, slice_view, wait_until):
    view = slice_view(ct)
    previewing.ui.diameterSlider.value = 18.0
    previewing.preview._asked = None
    wait_until(lambda: not view.logic.GetForegroundLayer().GetReslice().GetBorder(), 30)
    previewing.preview.hide()
    assert view.logic.GetForegroundLayer().GetReslice().GetBorder()


def test_preview_follows_the_slider(previewing, wait_until, phantom, places):
    small = voxels(previewing.preview.node).shape
    previewing.ui.diameterSlider.value = 22.0
    wait_until(lambda: voxels(previewing.preview.node).shape > small, 30)

    seed = Seed(places[3], NoduleSpec(22.0, latent_seed=7), "N-1")
    expected = with_surroundings(phantom, expected_box(phantom, seed))
    np.testing.assert_array_equal(voxels(previewing.preview.node), expected)


def test_of_many_moves_only_the_newest_counts(previewing, wait_until, slicer_app, monkeypatch):
    sent = []
    original = previewing.logic.session.request

    def request(do, **values):
        sent.append((do, values["seed"]["diameter_mm"]))
        original(do, **values)

    monkeypatch.setattr(previewing.logic.session, "request", request)
    for diameter in np.arange(10.0, 20.0, 0.5):
        previewing.ui.diameterSlider.value = float(diameter)
        slicer_app.processEvents()
    wait_until(lambda: not previewing.preview._busy, 30)

    assert sent[-1] == ("preview", 19.5)
    assert len(sent) < 12, "requests pile up"


def test_preview_goes_when_its_nodule_is_inserted(previewing, insert, node_ids):
    preview = previewing.preview.node
    insert()

    assert previewing.preview.node is None
    assert preview.GetScene() is None
    assert previewing.p.outputVolume is not None


def test_undo_after_a_preview_is_still_exact(previewing, insert, wait_until, phantom):
    insert()
    previewing.ui.undoButton.click()
    wait_until(lambda: previewing.preview.node is not None, 30)

    np.testing.assert_array_equal(voxels(previewing.p.outputVolume), phantom.voxels)


def test_seed_that_cannot_work_has_no_preview(previewing, slicer_app):
    previewing.p.seeds.SetNthControlPointPositionWorld(0, 900.0, 3.0, 4.0)
    slicer_app.processEvents()

    assert previewing.preview.node is None


def test_scene_closed_while_a_preview_is_made(previewing, scene, slicer_app):
    previewing.ui.diameterSlider.value = 20.0
    slicer_app.processEvents()
    scene.Clear(0)
    slicer_app.processEvents()

    assert previewing.preview.node is None
    assert scene.GetFirstNodeByName("NoduleSynth live preview") is None


def cpu_seconds(process_id):
    """Return the CPU time that a process has used so far (Linux)."""
    import os
    from pathlib import Path

    fields = Path(f"/proc/{process_id}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@pytest.mark.weights
def test_five_updates_a_second_while_a_seed_is_dragged(
    panel, ct, add_seeds, places, slice_view, slicer_app, wait_until
):
    """From the mouse's move to the slice view drawn, with the network that ships.

    In CPU time, worker and panel one after the other, so that what else runs on the machine does
    not count.
    """
    panel.p.synthesizer = "mcgan"
    panel.p.device = "cpu"
    view = slice_view(ct)
    add_seeds(places[3:4], diameter_mm=10.0)
    panel.p.livePreview = True
    wait_until(lambda: panel.preview.node is not None, 120)
    shown, drawing = [], [0.0]
    original = panel.preview._onShown

    def note():
        started = time.process_time()
        original()
        view.render()
        shown.append(panel.preview._asked.position_ras_mm)
        drawing[0] += time.process_time() - started

    panel.preview._onShown = note
    worker = panel.logic.session.worker.processId
    before = cpu_seconds(worker)
    start = np.array(places[3])
    view.jump(start)
    view.render()
    first, last = (np.array(view.to_pixels(start + step)[0]) for step in (0, (14, -9, 0)))
    view._event(first.tolist(), "EnterEvent", "MouseMoveEvent", "LeftButtonPressEvent")
    moves = 0

    def drag():
        """Move the mouse to and fro until enough was shown, and end where ``last`` is."""
        nonlocal moves
        moves += 1
        enough = len(shown) >= 6
        part = 1.0 if enough else 0.5 - 0.5 * np.cos(moves / 20)
        pixel = np.round(first + (last - first) * part).astype(int)
        view._event(pixel.tolist(), "MouseMoveEvent")
        slicer_app.processEvents()
        return enough and not panel.preview._busy

    wait_until(drag, 120)
    view._event(last.tolist(), "LeftButtonReleaseEvent")
    each_s = (cpu_seconds(worker) - before + drawing[0]) / len(shown)

    (point,) = panel.seedsPanel.points()
    assert np.linalg.norm(np.array(point.position_ras_mm) - start) > 10, "the mouse moved it"
    assert shown[-1] == pytest.approx(point.position_ras_mm), "the last one shown is where it is"
    assert len(shown) >= 6
    assert each_s < 0.2, f"{1 / each_s:.1f} updates a second"


@pytest.fixture
def in_a_view(previewing, ct, slice_view, slicer_app):
    """Show the preview in a slice view; return its composite node."""
    view = slice_view(ct)
    previewing.insertPanel.showLayers(previewing.preview.node)
    slicer_app.processEvents()
    composite = view.logic.GetSliceCompositeNode()
    assert composite.GetForegroundVolumeID() == previewing.preview.node.GetID()
    return composite


def test_preview_is_away_while_a_scene_is_saved_and_comes_back(
    previewing, in_a_view, scene, slicer_app, wait_until, tmp_path
):
    """Slicer's progress dialog lets the event loop run meanwhile."""
    hidden = previewing.preview.node.GetID()
    scene.StartState(scene.SaveState)
    previewing.refresh()
    slicer_app.processEvents()
    assert previewing.preview.node is None
    assert scene.Commit(str(tmp_path / "scene.mrml"))
    scene.EndState(scene.SaveState)

    assert hidden not in (tmp_path / "scene.mrml").read_text(encoding="utf-8")
    wait_until(lambda: previewing.preview.node is not None, 60)
    assert in_a_view.GetForegroundVolumeID() == previewing.preview.node.GetID()


def test_scene_that_was_saved_with_a_preview_shows_no_other_volume_in_its_place(
    previewing, in_a_view, ct, mrb, slicer_app, tmp_path
):
    """The next volume would get the id that the view still names."""
    import slicer

    assert in_a_view.GetForegroundVolumeID()
    previewing.p.livePreview = True
    mrb.save(tmp_path / "scene.mrb")
    previewing.exit()
    mrb.clear()
    mrb.load(tmp_path / "scene.mrb")
    slicer_app.processEvents()

    scene = slicer.mrmlScene
    for n in range(scene.GetNumberOfNodesByClass("vtkMRMLSliceCompositeNode")):
        composite = scene.GetNthNodeByClass(n, "vtkMRMLSliceCompositeNode")
        shown = composite.GetForegroundVolumeID()
        assert shown is None or scene.GetNodeByID(shown) is not None
