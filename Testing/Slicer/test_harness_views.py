"""The slice view is a real one: a click lands where it is made, and what is shown is drawn."""

import numpy as np
import pytest


@pytest.fixture
def placing(scene):
    """Put a new list of fiducials into place mode, as the place button does."""
    import slicer

    node = scene.AddNewNodeByClass("vtkMRMLMarkupsFiducialNode", "Seeds")
    node.CreateDefaultDisplayNodes()
    slicer.app.moduleLogic("Markups").SetActiveListID(node)
    interaction = slicer.app.applicationLogic().GetInteractionNode()
    interaction.SetCurrentInteractionMode(interaction.Place)
    return node


def position(node, index):
    return np.array(node.GetNthControlPointPositionWorld(index))


@pytest.mark.parametrize("name", ["Red", "Yellow", "Green"])
def test_a_click_places_a_point_where_it_is_made(slice_view, oblique_volume, placing, name):
    """Asymmetric in an anisotropic, turned volume, so that no swapped axis can pass."""
    view = slice_view(oblique_volume(), name)
    asked = (8.3, 21.7, -35.0)

    clicked = view.click(asked)

    assert placing.GetNumberOfControlPoints() == 1
    np.testing.assert_allclose(position(placing, 0), clicked, atol=1e-6)
    pixel_mm = view.node.GetFieldOfView()[0] / 400
    assert np.linalg.norm(position(placing, 0) - asked) < pixel_mm
    assert view.logic.GetSliceNode().GetName() == name


def test_one_click_ends_place_mode_unless_it_is_persistent(slice_view, oblique_volume, placing):
    import slicer

    view = slice_view(oblique_volume())
    interaction = slicer.app.applicationLogic().GetInteractionNode()
    view.click((8.3, 21.7, -35.0))
    assert interaction.GetCurrentInteractionMode() == interaction.ViewTransform
    view.click((2.0, 12.0, -35.0))
    assert placing.GetNumberOfControlPoints() == 1

    interaction.SetPlaceModePersistence(1)
    interaction.SetCurrentInteractionMode(interaction.Place)
    view.click((2.0, 12.0, -35.0))
    view.click((5.0, 30.0, -40.0))
    interaction.SetCurrentInteractionMode(interaction.ViewTransform)

    assert placing.GetNumberOfControlPoints() == 3
    np.testing.assert_allclose(position(placing, 2), (5.0, 30.0, -40.0), atol=0.2)


def test_a_drag_moves_the_point_it_starts_on(slice_view, oblique_volume, placing):
    view = slice_view(oblique_volume())
    start = view.click((8.3, 21.7, -35.0))
    moves = []
    tag = placing.AddObserver(placing.PointModifiedEvent, lambda *_: moves.append(1))

    end = view.drag(start, (2.4, 15.1, -35.0), steps=8)
    placing.RemoveObserver(tag)

    np.testing.assert_allclose(position(placing, 0), end, atol=1e-6)
    np.testing.assert_allclose(end, (2.4, 15.1, -35.0), atol=0.2)
    assert len(moves) >= 8


def test_a_locked_point_is_not_dragged(slice_view, oblique_volume, placing):
    view = slice_view(oblique_volume())
    start = view.click((8.3, 21.7, -35.0))
    placing.SetNthControlPointLocked(0, True)

    view.drag(start, (2.4, 15.1, -35.0))

    np.testing.assert_allclose(position(placing, 0), start, atol=1e-6)


def test_a_click_outside_the_view_is_refused(slice_view, oblique_volume):
    with pytest.raises(ValueError, match="outside the view"):
        slice_view(oblique_volume()).click((500.0, 21.7, -35.0))


def test_the_volume_is_drawn_where_it_lies(slice_view, oblique_volume):
    """One bright block off the centre, on the slice shown: it lights its own pixel, no other."""
    import slicer

    voxels = np.full((20, 30, 40), -900, np.int16)
    voxels[10, 20:24, 5:9] = 300
    volume = oblique_volume(voxels=voxels)
    volume.GetDisplayNode().SetAutoWindowLevel(False)
    volume.GetDisplayNode().SetWindowLevelMinMax(-1000, 400)
    view = slice_view(volume)
    matrix = slicer.util.arrayFromVTKMatrix(_ijk_to_ras(volume))
    bright, mirrored = (matrix @ (6.5, 21.5, 10, 1))[:3], (matrix @ (32, 8, 10, 1))[:3]

    view.jump(bright)
    picture = view.render()

    assert _pixel(view, picture, bright).min() > 200
    assert _pixel(view, picture, mirrored).max() < 60


def test_a_segment_and_a_point_are_drawn(slice_view, oblique_volume, placing):
    import slicer

    volume = oblique_volume(voxels=np.full((20, 30, 40), -900, np.int16))
    view = slice_view(volume)
    before = view.render()
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "Nodules")
    node.CreateDefaultDisplayNodes()
    node.SetReferenceImageGeometryParameterFromVolumeNode(volume)
    segment = node.GetSegmentation().AddEmptySegment("n", "N-1", (1.0, 0.0, 0.0))
    mask = np.zeros((20, 30, 40), np.uint8)
    mask[8:13, 18:26, 4:12] = 1
    slicer.util.updateSegmentBinaryLabelmapFromArray(mask, node, segment, volume)
    matrix = slicer.util.arrayFromVTKMatrix(_ijk_to_ras(volume))
    inside, outside = (matrix @ (8, 22, 10, 1))[:3], (matrix @ (30, 8, 10, 1))[:3]
    view.jump(inside)

    with_segment = view.render()
    red = _pixel(view, with_segment, inside).astype(int)

    assert red[0] > red[1] + 50
    np.testing.assert_array_equal(
        _pixel(view, with_segment, outside), _pixel(view, before, outside)
    )
    view.click(outside)
    assert (_pixel(view, view.render(), outside) != _pixel(view, with_segment, outside)).any()


def _ijk_to_ras(volume):
    import vtk

    matrix = vtk.vtkMatrix4x4()
    volume.GetIJKToRASMatrix(matrix)
    return matrix


def _pixel(view, picture, ras):
    (x, y), _ = view.to_pixels(ras)
    return picture[picture.shape[0] - 1 - y, x]
