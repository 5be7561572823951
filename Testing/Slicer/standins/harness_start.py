"""Brings the pieces up in the order that works.

qt and ctk first; then slicer-core; then Slicer's widgets and application; only then the files of
Slicer's Python layer, as slicer-core imports whatever it finds on its path.
"""

from __future__ import annotations

import importlib
import os
import types
from pathlib import Path

import qt  # noqa: F401 - before slicer
import slicer

HERE = Path(__file__).parent
LAYER = ("i18n", "packaging", "parameterNodeWrapper", "ScriptedLoadableModule", "testing")


def start():
    """Complete the ``slicer`` module and return the application."""
    import harness_app
    import harness_modules
    import harness_widgets

    for name, widget in harness_widgets.WIDGETS.items():
        setattr(slicer, name, widget)
    slicer.qSlicerScriptedLoadableModule = harness_modules.ScriptedModule
    slicer.modules = types.SimpleNamespace()
    slicer.selfTests = {}
    slicer.mrmlScene = None
    slicer.app = harness_app.qSlicerApplication(["Slicer"])
    own = os.environ.get("SLICER_PYTHON_DIR")
    slicer.__path__.extend([str(Path(own) / "slicer")] if own else [])
    slicer.__path__.append(str(HERE / "slicer_python"))
    for name in LAYER:
        setattr(slicer, name, importlib.import_module(f"slicer.{name}"))
    return slicer.app
