"""Stand-in of Slicer's ``qt``: PySide6 with PythonQt's manners, and our loader of .ui files."""

from __future__ import annotations

import harness_dialogs
import harness_pythonqt
from PySide6 import QtCore, QtGui, QtWidgets

harness_pythonqt.install()
harness_dialogs.install()

for _module in (QtCore, QtGui, QtWidgets):
    # dir, as PySide6 puts a class into its module only when it is first asked for
    globals().update({n: getattr(_module, n) for n in dir(_module) if not n.startswith("_")})

from harness_ui import UiLoader as QUiLoader  # noqa: E402, F401 - it needs the patched classes
