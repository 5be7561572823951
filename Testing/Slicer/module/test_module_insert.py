"""Insert, cancel, undo, redo, compare: against ``lungsynth`` called directly, to the voxel."""

import random
import time

import numpy as np
import pytest

from lungsynth.core.nodule import NoduleSpec, Seed
from lungsynth.imaging.insertion import insert as insert_directly
from lungsynth.synthesizers import load_synthesizer


def voxels(node):
    import slicer

    return slicer.util.arrayFromVolume(node)


def directly(phantom, places, synthesizer="procedural", **values):
    """Return what the library makes of the seeds that ``add_seeds`` puts into the panel."""
    seeds = [
        Seed(
            place, NoduleSpec(**{"diameter_mm": 12.0, "latent_seed": 7 + n} | values), f"N-{n + 1}"
        )
        for n, place in enumerate(places)
    ]
    return insert_directly(phantom, seeds, load_synthesizer(synthesizer, device="cpu"))


def segment_mask(panel, n):
    """Return a segment on the grid of the output, (K, J, I)."""
    import slicer

    segment = panel.p.segmentation.GetSegmentation().GetNthSegmentID(n)
    return slicer.util.arrayFromSegmentBinaryLabelmap(
        panel.p.segmentation, segment, panel.p.outputVolume
    )


@pytest.mark.parametrize("synthesizer", ["procedural", "mcgan"])
def test_panel_gives_the_voxels_that_the_library_gives(
    panel, ct, add_seeds, insert, places, phantom, synthesizer
):
    panel.p.synthesizer = synthesizer
    panel.p.device = "cpu"
    add_seeds(places[:3])

    said = insert()

    expected = directly(phantom, places[:3], synthesizer)
    output = panel.p.outputVolume
    np.testing.assert_array_equal(voxels(output), expected.volume.voxels)
    assert voxels(output).dtype == phantom.voxels.dtype
    np.testing.assert_array_equal(voxels(ct), phantom.voxels), "the input is never touched"
    assert output is not ct
    assert output.GetName() == "Chest with synthetic nodules"
    assert "3 nodules inserted" in said
    for n, insertion in enumerate(expected.insertions):
        mask = np.zeros(phantom.voxels.shape, bool)
        mask[insertion.slices] = insertion.mask
        np.testing.assert_array_equal(segment_mask(panel, n) > 0, mask)


def test_output_lies_where_the_input_lies(panel, ct, add_seeds, insert, places, phantom):
    import slicer
    import vtk

    add_seeds(places[:1])
    insert()

    matrix = vtk.vtkMatrix4x4()
    panel.p.outputVolume.GetIJKToRASMatrix(matrix)
    np.testing.assert_allclose(
        slicer.util.arrayFromVTKMatrix(matrix), phantom.ijk_to_ras, atol=1e-9
    )


def test_segment_lies_at_its_seed_in_the_world(panel, add_seeds, insert, places):
    add_seeds(places[1:2], diameter_mm=14.0)
    insert()

    segmentation = panel.p.segmentation
    segment = segmentation.GetSegmentation().GetNthSegmentID(0)
    centre = segmentation.GetSegmentCenterRAS(segment)
    assert np.abs(np.array(centre) - places[1]).max() < 4.4
    tag = __import__("vtk").reference("")
    segmentation.GetSegmentation().GetNthSegment(0).GetTag("TerminologyEntry", tag)
    assert "Nodule" in str(tag.get())


def test_table_says_what_was_asked_and_measured(panel, add_seeds, insert, places, phantom):
    add_seeds(places[:2], attenuation="part-solid")
    insert()

    expected = directly(phantom, places[:2], attenuation="part-solid").insertions
    table = panel.p.table.GetTable()
    assert table.GetNumberOfRows() == 2
    for row, insertion in enumerate(expected):
        values = {
            table.GetColumnName(column): table.GetValue(row, column).ToString()
            for column in range(table.GetNumberOfColumns())
        }
        assert values["name"] == f"N-{row + 1}"
        assert float(values["R (mm)"]) == pytest.approx(places[row][0], abs=0.01)
        assert float(values["S (mm)"]) == pytest.approx(places[row][2], abs=0.01)
        assert float(values["measured (mm)"]) == pytest.approx(
            insertion.measured.diameter_mm, abs=0.01
        )
        assert float(values["mean (HU)"]) == pytest.approx(insertion.measured.mean_hu, abs=0.1)
        assert values["attenuation"] == "part-solid"
    assert "N-1: " in panel.ui.resultLabel.text
    assert "of 12 asked" in panel.ui.resultLabel.text


def test_second_and_third_insertion_add_to_the_same_output(
    panel, add_seeds, insert, places, phantom
):
    add_seeds(places[:1])
    insert()
    output, segmentation = panel.p.outputVolume, panel.p.segmentation
    said = "All seeds are in the output already; place another."
    assert panel.ui.insertButton.toolTip == said
    for n in (1, 2):
        add_seeds([places[n]], latent_seed=7 + n)
        insert()

    assert panel.p.outputVolume is output
    assert panel.p.segmentation is segmentation
    expected = directly(phantom, places[:3])
    np.testing.assert_array_equal(voxels(output), expected.volume.voxels)
    assert segmentation.GetSegmentation().GetNumberOfSegments() == 3
    assert panel.p.table.GetNumberOfRows() == 3


def test_seed_next_to_an_inserted_nodule_is_refused_before_insert(
    panel, add_seeds, insert, places, slicer_app
):
    add_seeds(places[:1])
    insert()
    near = tuple(np.add(places[0], (4, 3, 2)))
    add_seeds([near])
    slicer_app.processEvents()

    assert not panel.ui.insertButton.enabled
    assert "overlaps an earlier nodule" in panel.ui.insertButton.toolTip


def test_inserted_seed_is_locked_and_ticked(panel, add_seeds, insert, places):
    add_seeds(places[:1])
    insert()

    assert panel.p.seeds.GetNthControlPointLocked(0)
    assert panel.ui.seedsTable.item(0, 0).text() == "\u2713 N-1"
    assert not panel.ui.removeSeedButton.enabled


def test_undo_and_redo_are_exact_twenty_times(
    panel, ct, add_seeds, insert, places, phantom, slicer_app
):
    add_seeds(places[:3])
    insert()
    output = panel.p.outputVolume
    states = [phantom.voxels.copy()]
    for count in (1, 2, 3):
        states.append(directly(phantom, places[:count]).volume.voxels)
    rng = random.Random(4)
    inside = 3
    for _ in range(20):
        can = [panel.ui.undoButton] * (inside > 0) + [panel.ui.redoButton] * (inside < 3)
        button = rng.choice(can)
        assert button.enabled
        button.click()
        slicer_app.processEvents()
        inside += 1 if button is panel.ui.redoButton else -1
        np.testing.assert_array_equal(voxels(output), states[inside])
        assert panel.p.segmentation.GetSegmentation().GetNumberOfSegments() == inside
        assert panel.p.table.GetNumberOfRows() == inside
        inserted = [point.state == "inserted" for point in panel.seedsPanel.points()]
        assert inserted == [True] * inside + [False] * (3 - inside)
        assert panel.ui.undoButton.enabled == (inside > 0)
        assert panel.ui.redoButton.enabled == (inside < 3)
    np.testing.assert_array_equal(voxels(ct), phantom.voxels)


def test_seed_that_was_undone_can_be_changed_and_inserted_again(
    panel, add_seeds, insert, places, phantom, slicer_app
):
    add_seeds(places[:1])
    insert()
    panel.ui.undoButton.click()
    slicer_app.processEvents()
    panel.ui.seedsTable.item(0, 1).setText("16")
    slicer_app.processEvents()
    insert()

    expected = directly(phantom, places[:1], diameter_mm=16.0)
    np.testing.assert_array_equal(voxels(panel.p.outputVolume), expected.volume.voxels)
    assert not panel.ui.redoButton.enabled, "what was undone before is another history now"


def test_cancel_at_ten_random_moments_leaves_the_scene_as_before(
    panel, ct, add_seeds, places, phantom, node_ids, wait_until, slicer_app
):
    add_seeds(places[:20])
    before = node_ids()
    rng = random.Random(11)
    stages = set()
    for attempt in range(10):
        panel.ui.insertButton.click()
        if attempt % 2:  # every other time in the middle of the work, however slow the start
            wait_until(lambda: panel.insertPanel._progress[2] == "inserting", 60)
        until = time.monotonic() + rng.uniform(0.0, 0.8 if attempt % 2 == 0 else 0.1)
        wait_until(lambda end=until: time.monotonic() > end or not panel.logic.running)
        assert panel.logic.running, "too quick to be cancelled"
        stages.add(panel.insertPanel._progress[2])
        panel.refresh()
        panel.ui.cancelButton.click()
        assert not panel.logic.running
        slicer_app.processEvents()
        assert node_ids() == before
        assert panel.p.outputVolume is None
        assert panel.ui.statusLabel.text == "Stopped. Nothing was changed."
        assert panel.ui.insertButton.enabled
        assert not panel.ui.progressBar.visible
        assert not panel.ui.undoButton.enabled
        assert [point.state for point in panel.seedsPanel.points()] == ["new"] * 20
    np.testing.assert_array_equal(voxels(ct), phantom.voxels)
    assert {"preparing", "inserting"} <= stages


def test_insert_works_after_a_cancel(panel, add_seeds, insert, places, phantom):
    add_seeds(places[:1])
    panel.ui.insertButton.click()
    panel.logic.cancel()

    insert()

    expected = directly(phantom, places[:1])
    np.testing.assert_array_equal(voxels(panel.p.outputVolume), expected.volume.voxels)


def test_failure_while_pasting_takes_everything_out_again(
    panel, add_seeds, places, node_ids, wait_until, slicer_app, monkeypatch
):
    from lungsynth.core.errors import LungSynthError
    from lungsynth_slicer import segments

    add_seeds(places[:3])
    before = node_ids()
    original = segments.addNodule

    def third_fails(node, volume, insertion, number, record):
        if number == 3:
            msg = "no room for a third"
            raise LungSynthError(msg)
        return original(node, volume, insertion, number, record)

    monkeypatch.setattr(segments, "addNodule", third_fails)
    panel.ui.insertButton.click()
    wait_until(lambda: not panel.logic.running, 60)
    slicer_app.processEvents()

    assert node_ids() == before
    assert panel.ui.statusLabel.text == "no room for a third"
    assert [point.state for point in panel.seedsPanel.points()] == ["new"] * 3


def test_progress_is_shown_while_it_runs(panel, add_seeds, places, wait_until):
    add_seeds(places[:12])
    seen = set()
    panel.ui.insertButton.click()

    def done():
        bar = panel.ui.progressBar
        if panel.logic.running:
            seen.add((bar.value, bar.maximum, panel.ui.statusLabel.text.split(" · ")[0]))
        return not panel.logic.running

    wait_until(done, 60)
    assert {"4 of 12", "8 of 12"} <= {words for _, _, words in seen}
    assert (4, 12, "4 of 12") in seen
    assert "elapsed" not in panel.ui.statusLabel.text
    assert "12 nodules inserted in" in panel.ui.statusLabel.text


def test_event_loop_is_never_blocked_long(panel, add_seeds, places, wait_until, loop_watch):
    """Three tries, as a busy machine may hold up any one of them; code that blocks fails all."""
    gaps = []
    for n in range(3):
        add_seeds(places[6 * n : 6 * n + 6])
        with loop_watch() as watch:
            panel.ui.insertButton.click()
            wait_until(lambda: not panel.logic.running, 60)
        gaps.append(watch.longest_gap_s)
        if gaps[-1] < 0.2:
            return
    pytest.fail(f"blocked for {gaps} s")


def test_ct_switched_during_a_run_leaves_the_run_where_it_was(
    panel, ct, add_seeds, places, phantom, wait_until, slicer_app
):
    import slicer

    other = slicer.util.addVolumeFromArray(phantom.voxels.copy(), phantom.ijk_to_ras, "Other")
    add_seeds(places[:3])
    panel.ui.insertButton.click()
    panel.ui.inputSelector.setCurrentNode(other)
    wait_until(lambda: not panel.logic.running, 60)
    slicer_app.processEvents()

    assert panel.p.inputVolume is other
    assert panel.p.outputVolume is None
    panel.ui.inputSelector.setCurrentNode(ct)
    slicer_app.processEvents()
    expected = directly(phantom, places[:3])
    np.testing.assert_array_equal(voxels(panel.p.outputVolume), expected.volume.voxels)
    assert panel.ui.undoButton.enabled
    assert [point.state for point in panel.seedsPanel.points()] == ["inserted"] * 3


def test_defect_while_pasting_is_told_and_the_panel_can_be_used_again(
    panel, add_seeds, places, node_ids, wait_until, slicer_app, monkeypatch, insert
):
    from lungsynth_slicer import table

    def broken(_node, _insertion):
        msg = "column"
        raise KeyError(msg)

    add_seeds(places[:2])
    before = node_ids()
    with monkeypatch.context() as patch:
        patch.setattr(table, "addRow", broken)
        panel.ui.insertButton.click()
        wait_until(lambda: not panel.logic.running, 60)
        slicer_app.processEvents()

    assert "please report it: KeyError" in panel.ui.statusLabel.text
    assert node_ids() == before
    assert "2 nodules inserted" in insert()


def test_what_the_worker_has_to_say_is_not_lost_among_the_progress(
    panel, add_seeds, places, wait_until, slicer_app
):
    """A GPU that ran out of memory, say."""
    add_seeds(places[:6])
    panel.ui.insertButton.click()
    wait_until(lambda: panel.insertPanel._progress[2] == "inserting", 60)
    panel.logic.session.onInfo("the GPU is out of memory: going on with the CPU, slower")
    wait_until(lambda: not panel.logic.running, 60)
    slicer_app.processEvents()

    first, second = panel.ui.statusLabel.text.splitlines()
    assert "6 nodules inserted" in first
    assert second == "the GPU is out of memory: going on with the CPU, slower"


def test_device_and_pace_are_shown_once_known(panel, add_seeds, places, insert):
    assert "once the synthesizer is loaded" in panel.ui.deviceLabel.text
    add_seeds(places[:1])
    insert()

    assert panel.ui.deviceLabel.text.startswith("CPU: slower than a GPU, about 0.")
    assert panel.ui.deviceLabel.text.endswith("s per nodule")


def test_device_that_was_left_in_the_middle_of_an_insertion_is_no_longer_shown(
    panel, add_seeds, places, insert
):
    """The worker said a GPU before; its answer to this insertion comes from the CPU."""
    add_seeds(places[:1])
    insert()
    session = panel.logic.session
    session.device, session._deviceNow = "NVIDIA H200, CUDA, about 0.02 s per nodule", "cuda:0"
    panel.refresh()
    assert panel.ui.deviceLabel.text.startswith("NVIDIA")
    add_seeds(places[3:4])
    insert()

    assert panel.ui.deviceLabel.text == "CPU: slower than a GPU"


def test_free_memory_ends_the_worker_until_it_is_needed(
    panel, add_seeds, places, insert, slicer_app
):
    add_seeds(places[:1])
    insert()
    assert panel.ui.releaseButton.enabled
    panel.ui.releaseButton.click()
    slicer_app.processEvents()

    assert not panel.logic.session.worker.running
    assert not panel.ui.releaseButton.enabled
    assert panel.ui.releaseButton.toolTip == "Nothing is loaded."
    add_seeds(places[1:2])
    assert "1 nodule inserted" in insert()


def test_script_in_the_console_leaves_the_open_panel_alone(panel, ct, places, slicer_app):
    from NoduleSynth import NoduleSynthLogic

    logic = NoduleSynthLogic()
    seeds = logic.seedsFor(ct)
    seeds.add(places[0], diameter_mm=12)
    result = logic.insertNow(ct, seeds, synthesizer="procedural")
    logic.cleanup()
    slicer_app.processEvents()

    assert panel.p.outputVolume is None
    assert panel.p.seeds is None
    assert result.volume.GetName() == "Chest with synthetic nodules"


def test_slice_views_fade_between_before_and_after(
    panel, ct, add_seeds, insert, places, slice_view, slicer_app
):
    view = slice_view(ct)
    view.jump(places[0])
    empty = view.render().astype(int)
    add_seeds(places[:1], diameter_mm=20.0)
    panel.ui.spheresCheckBox.click()
    panel.p.seeds.GetDisplayNode().SetVisibility(False)
    insert()
    panel.p.segmentation.GetDisplayNode().SetVisibility(False)
    composite = view.logic.GetSliceCompositeNode()
    assert composite.GetBackgroundVolumeID() == ct.GetID()
    assert composite.GetForegroundVolumeID() == panel.p.outputVolume.GetID()
    assert composite.GetForegroundOpacity() == 1.0
    after = view.render().astype(int)
    assert np.abs(after - empty).max() > 60, "the nodule shows"

    panel.ui.toggleButton.click()
    slicer_app.processEvents()
    assert panel.ui.compareSlider.value == 0
    np.testing.assert_array_equal(view.render(), empty)

    panel.ui.compareSlider.value = 50
    slicer_app.processEvents()
    half = view.render().astype(int)
    assert composite.GetForegroundOpacity() == 0.5
    place = np.unravel_index(np.abs(after - empty).argmax(), after.shape)
    assert min(empty[place], after[place]) < half[place] < max(empty[place], after[place])


def test_choosing_no_output_makes_a_second_one_from_the_same_seeds(
    panel, add_seeds, insert, places, phantom, slicer_app
):
    add_seeds(places[:2])
    insert()
    first = panel.p.outputVolume
    panel.ui.outputSelector.setCurrentNode(None)
    slicer_app.processEvents()
    assert [point.state for point in panel.seedsPanel.points()] == ["new", "new"]
    insert()

    second = panel.p.outputVolume
    assert second is not first
    np.testing.assert_array_equal(voxels(first), voxels(second))
    assert panel.p.segmentation.GetSegmentation().GetNumberOfSegments() == 2


def test_volume_that_is_no_output_of_this_ct_is_refused_as_output(
    panel, ct, add_seeds, places, slicer_app
):
    add_seeds(places[:1])
    panel.p.outputVolume = ct
    slicer_app.processEvents()

    assert not panel.ui.insertButton.enabled
    assert "choose None" in panel.ui.insertButton.toolTip
