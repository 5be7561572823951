"""Volume nodes as values, their clones, and their way into a file, while Qt goes on."""

import numpy as np
import pytest

from lungsynth.core.errors import LungSynthError

LARGE = (400, 512, 512)


@pytest.fixture
def large(oblique_volume):
    rng = np.random.default_rng(1)
    noise = rng.integers(-1000, 400, (8, *LARGE[1:])).astype(np.int16)
    return oblique_volume(voxels=np.tile(noise, (LARGE[0] // 8, 1, 1)))


def geometry(node):
    import slicer
    import vtk

    matrix = vtk.vtkMatrix4x4()
    node.GetIJKToRASMatrix(matrix)
    return slicer.util.arrayFromVTKMatrix(matrix)


def test_a_node_as_volume_shares_its_memory_and_its_geometry(oblique_volume):
    from lungsynth_slicer.volumes import volumeFromNode

    node = oblique_volume(shape=(5, 6, 7))
    volume = volumeFromNode(node)
    volume.voxels[1, 2, 3] = -777

    assert node.GetImageData().GetScalarComponentAsDouble(3, 2, 1, 0) == -777
    for ijk in ((3, 2, 1), (0, 0, 0), (6, 5, 4)):
        expected = [0, 0, 0, 0]
        node_to_ras(node).MultiplyPoint([*ijk, 1], expected)
        np.testing.assert_allclose(volume.ijk_to_ras_mm(ijk), expected[:3], atol=1e-12)


def node_to_ras(node):
    import vtk

    matrix = vtk.vtkMatrix4x4()
    node.GetIJKToRASMatrix(matrix)
    return matrix


def test_a_volume_under_a_transform_is_refused_with_what_to_do(oblique_volume, scene):
    from lungsynth_slicer.volumes import volumeFromNode

    node = oblique_volume(shape=(5, 6, 7), name="Moved CT")
    transform = scene.AddNewNodeByClass("vtkMRMLLinearTransformNode", "Shift")
    node.SetAndObserveTransformNodeID(transform.GetID())

    with pytest.raises(LungSynthError, match=r"'Moved CT' is under the transform 'Shift'; harden"):
        volumeFromNode(node)


def test_what_is_no_ct_is_refused_by_name(scene):
    import vtk

    from lungsynth_slicer.volumes import volumeFromNode

    node = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "Nothing")
    with pytest.raises(LungSynthError, match="'Nothing' is empty"):
        volumeFromNode(node)
    image = vtk.vtkImageData()
    image.SetDimensions(4, 4, 4)
    image.AllocateScalars(vtk.VTK_SHORT, 3)
    node.SetAndObserveImageData(image)
    with pytest.raises(LungSynthError, match="3 values a voxel"):
        volumeFromNode(node)
    with pytest.raises(LungSynthError, match="no volume is chosen"):
        volumeFromNode(None)


def test_a_clone_is_the_same_volume_in_memory_of_its_own(oblique_volume):
    from lungsynth_slicer.volumes import cloneVolume, voxelsOf

    node = oblique_volume()
    display = node.GetDisplayNode()
    display.SetAutoWindowLevel(False)
    display.SetWindowLevel(1234, -567)
    before = voxelsOf(node).copy()

    clone = cloneVolume(node, "CT with nodules")

    assert clone.GetName() == "CT with nodules"
    np.testing.assert_array_equal(voxelsOf(clone), before)
    np.testing.assert_array_equal(geometry(clone), geometry(node))
    assert (clone.GetDisplayNode().GetWindow(), clone.GetDisplayNode().GetLevel()) == (1234, -567)
    assert clone.GetDisplayNode() is not display
    voxelsOf(clone)[:] = 7
    np.testing.assert_array_equal(voxelsOf(node), before)
    assert cloneVolume(node, "CT with nodules").GetName() != clone.GetName()


def test_a_large_volume_is_cloned_while_events_are_handled(large, wait_until, loop_watch, scene):
    from lungsynth_slicer.volumes import startClone, voxelsOf

    count = scene.GetNumberOfNodes()
    done, failed = [], []
    with loop_watch() as watch:
        work = startClone(large, "clone", done.append, failed.append)
        assert scene.GetNumberOfNodes() == count
        wait_until(lambda: done or failed, 60)

    assert not failed
    assert not work.running
    np.testing.assert_array_equal(voxelsOf(done[0]), voxelsOf(large))
    assert watch.longest_gap_s < 0.2


def test_a_cancelled_clone_leaves_the_scene_as_it_was(large, slicer_app, scene):
    from lungsynth_slicer.volumes import startClone

    before = scene.GetNumberOfNodes()
    done = []
    work = startClone(large, "clone", done.append, done.append)
    slicer_app.processEvents()
    work.cancel()
    for _ in range(20):
        slicer_app.processEvents()

    assert done == []
    assert scene.GetNumberOfNodes() == before


def test_changed_voxels_are_told_without_another_look_at_the_whole_volume(oblique_volume):
    from lungsynth_slicer.volumes import cloneVolume, voxelsChanged, voxelsOf

    node = oblique_volume()
    assert node.GetDisplayNode().GetAutoWindowLevel()
    clone = cloneVolume(node, "clone")
    window = clone.GetDisplayNode().GetWindow()
    time = clone.GetImageData().GetMTime()

    voxelsOf(clone)[:] = 3000
    voxelsChanged(clone)

    assert clone.GetImageData().GetMTime() > time
    assert clone.GetDisplayNode().GetWindow() == window == node.GetDisplayNode().GetWindow()


def test_a_large_volume_is_shared_while_events_are_handled(large, wait_until, loop_watch, tmp_path):
    from lungsynth_slicer.sharing import VolumeSharer
    from lungsynth_slicer.volumes import voxelsOf

    answers, failed = [], []
    sharer = VolumeSharer(tmp_path)
    with loop_watch() as watch:
        sharer.share(large, lambda *answer: answers.append(answer), failed.append)
        wait_until(lambda: answers or failed, 60)

    assert not failed
    ((path, new),) = answers
    assert new
    written = np.load(path, mmap_mode="r", allow_pickle=False)
    assert written.dtype == np.int16
    np.testing.assert_array_equal(written, voxelsOf(large))
    assert watch.longest_gap_s < 0.2
    sharer.forget()
    assert list(tmp_path.iterdir()) == []


def test_a_volume_is_written_again_only_when_its_voxels_changed(
    oblique_volume, wait_until, tmp_path
):
    from lungsynth_slicer.sharing import VolumeSharer
    from lungsynth_slicer.volumes import voxelsChanged, voxelsOf

    node, other = oblique_volume(), oblique_volume(shape=(4, 5, 6), name="other")
    answers = []
    sharer = VolumeSharer(tmp_path)

    def share(volume):
        answers.clear()
        sharer.share(volume, lambda *answer: answers.append(answer), answers.append)
        wait_until(lambda: answers)
        return answers[0]

    first, new = share(node)
    assert new
    node.SetName("a new name")
    assert share(node) == (first, False)
    voxelsOf(node)[1, 2, 3] = 99
    voxelsChanged(node)
    second, new = share(node)
    assert new
    assert np.load(second)[1, 2, 3] == 99
    third, new = share(other)
    assert new
    assert np.load(third).shape == (4, 5, 6)
    assert list(tmp_path.iterdir()) == [third]


def test_a_volume_that_changes_while_it_is_written_is_written_as_it_is_in_the_end(
    large, wait_until, tmp_path, slicer_app
):
    from lungsynth_slicer.sharing import VolumeSharer
    from lungsynth_slicer.volumes import voxelsChanged, voxelsOf

    answers = []
    VolumeSharer(tmp_path).share(large, lambda *answer: answers.append(answer), answers.append)
    slicer_app.processEvents()
    assert not answers
    voxelsOf(large)[0, 0, 0] = 555
    voxelsChanged(large)
    wait_until(lambda: answers, 60)

    assert np.load(answers[0][0], mmap_mode="r")[0, 0, 0] == 555


def test_a_folder_that_cannot_be_written_is_named(oblique_volume, wait_until, tmp_path):
    from lungsynth_slicer.sharing import VolumeSharer

    failed = []
    VolumeSharer(tmp_path / "gone").share(oblique_volume(), print, failed.append)
    wait_until(lambda: failed)

    assert str(tmp_path / "gone") in failed[0]
    assert "No such file" in failed[0]
    assert "\n" not in failed[0]


def test_a_volume_removed_while_it_is_written_is_no_crash(large, wait_until, tmp_path, scene):
    from lungsynth_slicer.sharing import VolumeSharer

    answers = []
    work = VolumeSharer(tmp_path).share(large, lambda *a: answers.append(a), answers.append)
    scene.RemoveNode(large)
    wait_until(lambda: answers, 60)

    assert not work.running


def test_work_that_fails_by_a_defect_is_not_taken_to_be_done(slicer_app, wait_until):
    from lungsynth_slicer.steps import Steps

    def broken():
        yield
        raise KeyError("column")  # noqa: EM101

    done, failed = [], []
    Steps(broken(), lambda: done.append(True), failed.append)
    wait_until(lambda: done or failed)
    for _ in range(20):
        slicer_app.processEvents()

    assert done == []
    assert failed == ["a defect in NoduleSynth, please report it: KeyError: 'column'"]
