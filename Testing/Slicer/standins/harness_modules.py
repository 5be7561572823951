"""Opens and closes a scripted module as Slicer does."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import harness_widgets
import qt
import slicer


class ScriptedModule:
    """What Slicer gives a scripted module as its parent, and shows as ``slicer.modules.<name>``."""

    def __init__(self, name, path):
        self.name = name
        self.path = str(path)
        self.title = ""
        self.icon = None
        self.hidden = False
        self.python = None
        self.widget = None

    def widgetRepresentation(self):
        """Return the panel, None before it is opened."""
        return self.widget

    def logic(self):
        """Return None: the logic of a scripted module is its widget's."""
        return


def open_panel(name, folder):
    """Import a module from a folder, build its widget, enter and show it; return the panel."""
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))
    source = importlib.import_module(name)
    found = Path(source.__file__).parent
    assert found.samefile(folder), f"{name} came from {found}, not from {folder}"
    module = ScriptedModule(name, folder / f"{name}.py")
    slicer.app.moduleManager().add(module)
    module.python = getattr(source, name)(module)
    panel = harness_widgets.qSlicerScriptedLoadableModuleWidget()
    panel.setMRMLScene(slicer.mrmlScene)
    module.widget = panel
    panel._python = widget = getattr(source, f"{name}Widget")(panel)
    setattr(slicer.modules, f"{name}Widget", widget)
    widget.setup()
    if hasattr(widget, "enter"):
        widget.enter()
    panel.show()
    slicer.app.processEvents()
    return panel


def close_panel(panel):
    """Leave the module and delete its panel."""
    widget = panel._python
    if hasattr(widget, "exit"):
        widget.exit()
    slicer.app.moduleManager().moduleAboutToBeUnloaded.emit(widget.moduleName)
    widget.cleanup()
    for child in [panel, *panel.findChildren(qt.QWidget)]:
        if isinstance(child, harness_widgets.Watching):
            child.watchNothing()
    delattr(slicer.modules, f"{widget.moduleName}Widget")
    panel._python = None
    panel.deleteLater()
    qt.QCoreApplication.sendPostedEvents(None, qt.QEvent.DeferredDelete)
