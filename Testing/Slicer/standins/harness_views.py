"""A real slice view without a screen: Slicer's logic, displayable managers and mouse handling."""

from __future__ import annotations

import numpy as np
import slicer
import vtk
from vtk.util.numpy_support import vtk_to_numpy

MANAGERS = (
    "vtkMRMLModelSliceDisplayableManager",
    "vtkMRMLCrosshairDisplayableManager",
    "vtkMRMLMarkupsDisplayableManager",
    "vtkMRMLSegmentationsDisplayableManager2D",
)
ORIENTATIONS = {"Red": "Axial", "Yellow": "Sagittal", "Green": "Coronal"}


class SliceView:
    """One slice view.

    Args:
        volume: Node shown in the background, None for an empty view.
        name: Red, Yellow or Green, which gives the orientation; or any name, for axial.
        orientation: Axial, Sagittal or Coronal, instead of the one that the name gives.
        size: Width and height in pixels.
    """

    def __init__(self, volume=None, name="Red", orientation=None, size=(400, 300)):
        self.name = name
        self.application_logic = slicer.app.applicationLogic()
        self.logic = slicer.vtkMRMLSliceLogic()
        self.logic.SetMRMLApplicationLogic(self.application_logic)
        self.logic.SetMRMLScene(slicer.mrmlScene)
        self.node = self.logic.AddSliceNode(name)
        self.node.SetOrientation(orientation or ORIENTATIONS.get(name, "Axial"))
        self.node.SetDimensions(size[0], size[1], 1)
        self.application_logic.GetSliceLogics().AddItem(self.logic)
        self._make_window(size)
        self._make_interaction()
        slicer.app.layoutManager().views[name] = self
        if volume is not None:
            self.show(volume)

    def _make_window(self, size):
        self.window = vtk.vtkRenderWindow()
        self.window.SetOffScreenRendering(1)
        self.window.SetMultiSamples(0)
        self.window.SetSize(*size)
        self.renderer = vtk.vtkRenderer()
        self.renderer.GetActiveCamera().ParallelProjectionOn()
        self.window.AddRenderer(self.renderer)
        self.mapper = vtk.vtkImageMapper()
        self.mapper.SetColorWindow(255)
        self.mapper.SetColorLevel(127.5)
        self.image = vtk.vtkActor2D()
        self.image.SetMapper(self.mapper)
        self.image.GetProperty().SetDisplayLocationToBackground()
        self.renderer.AddViewProp(self.image)

    def _make_interaction(self):
        self.interactor = vtk.vtkRenderWindowInteractor()
        self.interactor.SetRenderWindow(self.window)
        # The default style would grab the button's release
        self.interactor.SetInteractorStyle(vtk.vtkInteractorStyle3D())
        factory = slicer.vtkMRMLSliceViewDisplayableManagerFactory.GetInstance()
        for manager in MANAGERS:
            if not factory.IsDisplayableManagerRegistered(manager):
                factory.RegisterDisplayableManager(manager)
        self.managers = factory.InstantiateDisplayableManagers(self.renderer)
        self.managers.SetMRMLDisplayableNode(self.node)
        self.style = slicer.vtkMRMLSliceViewInteractorStyle()
        self.style.SetInteractor(self.interactor)
        self.style.SetSliceLogic(self.logic)
        self.style.SetDisplayableManagers(self.managers)
        self.interactor.Initialize()

    def show(self, volume):
        """Show a volume and fit the view to it."""
        self.logic.GetSliceCompositeNode().SetBackgroundVolumeID(volume.GetID())
        self.fit()

    def fit(self):
        """Fit the view to its volume."""
        self.logic.FitSliceToAll()
        self.logic.SnapSliceOffsetToIJK()

    # The names by which layoutManager().sliceWidget(name) is used
    def sliceLogic(self):
        """Return the slice logic."""
        return self.logic

    def mrmlSliceNode(self):
        """Return the slice node."""
        return self.node

    def jump(self, ras):
        """Scroll to the slice through a point (R, A, S in mm)."""
        self.node.JumpSliceByOffsetting(*ras)

    def to_pixels(self, ras):
        """Return the pixel (x, y from the lower left) nearest to a point, and how many mm off."""
        inverse = vtk.vtkMatrix4x4()
        vtk.vtkMatrix4x4.Invert(self.node.GetXYToRAS(), inverse)
        x, y = (round(value) for value in inverse.MultiplyPoint((*ras, 1))[:2])
        return (x, y), float(np.linalg.norm(np.subtract(self.to_ras((x, y)), ras)))

    def to_ras(self, pixel):
        """Return the point (R, A, S in mm) at a pixel."""
        return tuple(self.node.GetXYToRAS().MultiplyPoint((*pixel, 0, 1))[:3])

    def _pixel(self, ras):
        pixel, _ = self.to_pixels(ras)
        width, height = self.window.GetSize()
        if not (0 <= pixel[0] < width and 0 <= pixel[1] < height):
            msg = f"{ras} lies outside the view: pixel {pixel} of {width} x {height}"
            raise ValueError(msg)
        return pixel

    def _event(self, pixel, *names):
        for name in names:
            self.interactor.SetEventInformation(*pixel, 0, 0)
            self.interactor.InvokeEvent(name)

    def move(self, ras):
        """Move the mouse over a point of the slice shown."""
        self._event(self._pixel(ras), "EnterEvent", "MouseMoveEvent")

    def click(self, ras):
        """Scroll to a point and click on it; return where the click was (R, A, S in mm).

        That is the centre of the nearest pixel, so it differs by up to half a pixel.
        """
        self.jump(ras)
        pixel = self._pixel(ras)
        self._event(pixel, "EnterEvent", "MouseMoveEvent")
        self._event(pixel, "LeftButtonPressEvent", "LeftButtonReleaseEvent")
        return self.to_ras(pixel)

    def drag(self, start, end, steps=10):
        """Drag with the left button from one point to another; return where it ended.

        Args:
            start: Point (R, A, S) in mm; the view scrolls to it.
            end: Point on the same slice.
            steps: How many moves of the mouse.
        """
        self.jump(start)
        first, last = np.array(self._pixel(start)), np.array(self._pixel(end))
        self._event(first.tolist(), "EnterEvent", "MouseMoveEvent", "LeftButtonPressEvent")
        for step in range(1, steps + 1):
            pixel = np.round(first + (last - first) * step / steps).astype(int).tolist()
            self._event(pixel, "MouseMoveEvent")
        self._event(last.tolist(), "LeftButtonReleaseEvent")
        return self.to_ras(last.tolist())

    def render(self):
        """Draw the view; return its pixels, shape (height, width, 3), uint8, top row first."""
        # The logic makes a new connection whenever what is shown changes
        self.mapper.SetInputConnection(self.logic.GetImageDataConnection())
        self.image.SetVisibility(self.logic.GetImageDataConnection() is not None)
        self.window.Render()
        grab = vtk.vtkWindowToImageFilter()
        grab.SetInput(self.window)
        grab.ReadFrontBufferOff()
        grab.Update()
        image = grab.GetOutput()
        width, height, _ = image.GetDimensions()
        flat = vtk_to_numpy(image.GetPointData().GetScalars())
        return flat.reshape(height, width, -1)[::-1, :, :3].copy()

    def close(self):
        """Let go of the scene and the window."""
        self.style.SetDisplayableManagers(None)
        self.style.SetSliceLogic(None)
        self.style.SetInteractor(None)
        self.managers.SetMRMLDisplayableNode(None)
        slicer.app.layoutManager().views.pop(self.name, None)
        self.application_logic.GetSliceLogics().RemoveItem(self.logic)
        self.mapper.RemoveAllInputConnections(0)
        self.logic.SetMRMLScene(None)
        self.window.Finalize()
