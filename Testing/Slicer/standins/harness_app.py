"""Stand-in of ``slicer.app`` and what hangs on it: modules, files, layout; and the real scene."""

from __future__ import annotations

import tempfile
import types
from pathlib import Path

import harness_files
import qt
import slicer
import vtk
from PySide6.QtCore import Signal

LOGICS = {
    "Colors": "vtkMRMLColorLogic",
    "Volumes": "vtkSlicerVolumesLogic",
    "Markups": "vtkSlicerMarkupsLogic",
    "Segmentations": "vtkSlicerSegmentationsModuleLogic",
    "SubjectHierarchy": "vtkSlicerSubjectHierarchyModuleLogic",
    "Tables": "vtkSlicerTablesLogic",
    "Plots": "vtkSlicerPlotsLogic",
    "Texts": "vtkSlicerTextsLogic",
    "Models": "vtkSlicerModelsLogic",
    "Transforms": "vtkSlicerTransformLogic",
    "Sequences": "vtkSlicerSequencesLogic",
    "CropVolume": "vtkSlicerCropVolumeLogic",
    "VolumeRendering": "vtkSlicerVolumeRenderingLogic",
}


class Signals:
    """PythonQt's ``sender.connect("signal(...)", f)``, which Slicer's own Python files use."""

    def connect(self, signal, function):
        """Connect by the text of the signal."""
        getattr(self, signal.split("(")[0]).connect(function)

    def disconnect(self, signal, function):
        """Disconnect by the text of the signal."""
        getattr(self, signal.split("(")[0]).disconnect(function)


class ModuleManager(Signals, qt.QObject):
    """Knows the modules that were loaded."""

    isStandIn = True
    moduleAboutToBeUnloaded = Signal(str)

    def __init__(self):
        super().__init__()
        self._modules = {}

    def module(self, name):
        """Return a module, None when it is not loaded."""
        return self._modules.get(name)

    def modulesNames(self):
        """Return the names of the loaded modules."""
        return list(self._modules)

    def factoryManager(self):
        """Return an object with loadedModuleNames()."""
        return types.SimpleNamespace(
            loadedModuleNames=self.modulesNames,
            registeredModuleNames=self.modulesNames,
            isLoaded=lambda name: name in self._modules,
        )

    def add(self, module):
        """Take a module up (the harness only)."""
        self._modules[module.name] = module
        setattr(slicer.modules, module.name.lower(), module)


class CoreModule:
    """Stand-in of a module of Slicer's own, of which we need only the logic."""

    def __init__(self, name):
        self.name = name
        self.path = ""

    def logic(self):
        """Return the module's logic for the present scene."""
        return slicer.app.applicationLogic().GetModuleLogic(self.name)


class LayoutManager:
    """Gives the slice views that a test has made."""

    def __init__(self):
        self.views = {}
        self.layout = 0

    def sliceViewNames(self):
        """Return the names of the slice views."""
        return list(self.views)

    def sliceWidget(self, name):
        """Return a slice view, None when there is none."""
        return self.views.get(name)

    def mrmlSliceLogics(self):
        """Return the slice logics."""
        return slicer.app.applicationLogic().GetSliceLogics()

    def setLayout(self, layout):
        """Remember the layout."""
        self.layout = layout

    def resetSliceViews(self):
        """Fit each slice view to its volume."""
        for view in self.views.values():
            view.fit()

    def resetThreeDViews(self):
        """Do nothing: there are no 3D views."""

    threeDViewCount = 0

    def threeDWidget(self, _index):
        """Return None: there are no 3D views."""
        return


class qSlicerApplication(qt.QApplication):
    """Stand-in of the application object."""

    isStandIn = True
    startupCompleted = Signal()
    applicationName = "Slicer"
    applicationVersion = "5.12.0"
    mainApplicationVersion = "5.12.0"
    majorVersion, minorVersion, patchVersion = 5, 12, 0
    revision = "0"
    os = "linux"
    documentationBaseUrl = "https://slicer.readthedocs.io/en/v5.12/"

    def __init__(self, arguments):
        super().__init__(arguments)
        self._testing = True
        self._pauses = 0
        self._application_logic = None
        self._module_manager = ModuleManager()
        self._layout_manager = LayoutManager()
        self._io_manager = harness_files.IOManager()
        self._folder = tempfile.TemporaryDirectory(prefix="slicer-harness-")
        self._settings_file = Path(self._folder.name) / "Slicer.ini"
        # Nothing may reach the settings of whoever runs the tests
        qt.QSettings.setDefaultFormat(qt.QSettings.IniFormat)
        qt.QSettings.setPath(qt.QSettings.IniFormat, qt.QSettings.UserScope, self._folder.name)
        self.setOrganizationName("NA-MIC")
        self._main_window = qt.QMainWindow()
        self._main_window.setObjectName("qSlicerMainWindow")

    def testingEnabled(self):
        """Return whether Slicer runs its tests, and so shows no message boxes."""
        return self._testing

    def setTestingEnabled(self, enabled):
        """Show message boxes, or not (the harness only)."""
        self._testing = enabled

    def applicationLogic(self):
        """Return the application logic of the present scene."""
        return self._application_logic

    def mrmlScene(self):
        """Return the scene."""
        return slicer.mrmlScene

    def moduleManager(self):
        """Return what knows the modules."""
        return self._module_manager

    def moduleLogic(self, name):
        """Return a module's logic."""
        return self._application_logic.GetModuleLogic(name)

    def layoutManager(self):
        """Return what knows the slice views."""
        return self._layout_manager

    def coreIOManager(self):
        """Return what reads and writes files."""
        return self._io_manager

    ioManager = coreIOManager

    def settings(self):
        """Return settings that end with the session."""
        return qt.QSettings(str(self._settings_file), qt.QSettings.IniFormat)

    userSettings = settings

    @property
    def temporaryPath(self):
        """A folder that ends with the session."""
        return self._folder.name

    @property
    def slicerHome(self):
        """A folder that stands for Slicer's."""
        return self._folder.name

    def moduleDocumentationUrl(self, name):
        """Return where the documentation of a module would be."""
        return f"{self.documentationBaseUrl}user_guide/modules/{name.lower()}.html"

    def commandOptions(self):
        """Return the options Slicer was started with."""
        return types.SimpleNamespace(noMainWindow=False, testingEnabled=self._testing)

    def translate(self, _context, text):
        """Return the text untranslated."""
        return text

    def pauseRender(self):
        """Hold rendering back."""
        self._pauses += 1
        self._application_logic.PauseRender()

    def resumeRender(self):
        """Render again."""
        self._pauses -= 1
        self._application_logic.ResumeRender()

    def isRenderPaused(self):
        """Return whether rendering is held back."""
        return self._pauses > 0

    def startupEnvironment(self):
        """Return the environment of the process."""
        return qt.QProcessEnvironment.systemEnvironment()

    def close(self):
        """End what the harness made (the harness only)."""
        self._main_window.deleteLater()
        self._folder.cleanup()


def make_scene(app):
    """Give Slicer a new scene with its logics, as a start of the application would.

    Returns:
        The scene and what must live as long as it.
    """
    scene = slicer.vtkMRMLScene()
    slicer.mrmlScene = scene
    logic = slicer.vtkSlicerApplicationLogic()
    logic.SetMRMLScene(scene)
    logic.SetSliceLogics(vtk.vtkCollection())
    logic.SetViewLogics(vtk.vtkCollection())
    for factory in (
        slicer.vtkMRMLSliceViewDisplayableManagerFactory,
        slicer.vtkMRMLThreeDViewDisplayableManagerFactory,
    ):
        factory.GetInstance().SetMRMLApplicationLogic(logic)
    logics = {}
    for name, class_name in LOGICS.items():
        kind = getattr(slicer, class_name)
        # slicer-core keeps a module of the same name beside some classes
        kind = kind if isinstance(kind, type) else getattr(kind, class_name)
        logics[name] = kind()
        logics[name].SetMRMLApplicationLogic(logic)
        logics[name].SetMRMLScene(scene)
        logic.SetModuleLogic(name, logics[name])
    slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(scene)
    remote = slicer.vtkMRMLRemoteIOLogic()
    remote.SetMRMLScene(scene)
    data = slicer.vtkDataIOManagerLogic()
    data.SetMRMLApplicationLogic(logic)
    data.SetAndObserveDataIOManager(remote.GetDataIOManager())
    remote.AddDataIOToScene()
    app._application_logic = logic
    app._layout_manager.views.clear()
    for name in LOGICS:
        app.moduleManager().add(CoreModule(name))
    return scene, (logic, logics, remote, data)
