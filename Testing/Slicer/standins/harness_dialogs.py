"""No test may hang in a modal dialog: each one is recorded, and answered by the test or refused."""

from __future__ import annotations

from PySide6 import QtWidgets


class Dialogs:
    """What was shown, and the answers that the test has prepared.

    ``shown`` holds (kind, text) of each dialog; ``answer(value)`` queues what the next one
    returns: a button such as ``qt.QMessageBox.Yes``, a path for a file dialog, a text for an input
    dialog, or a function of the dialog, called in its place, that returns one of these.
    """

    def __init__(self):
        self.shown = []
        self._answers = []

    @property
    def texts(self):
        """What each dialog said."""
        return [text for _, text in self.shown]

    def answer(self, *values):
        """Queue the answers to the next dialogs."""
        self._answers.extend(values)

    def clear(self):
        """Forget what was shown and what was to be answered."""
        self.shown.clear()
        self._answers.clear()

    def unanswered(self):
        """Answers that no dialog has asked for."""
        return list(self._answers)

    def take(self, kind, text, dialog=None):
        """Record a dialog and return its answer."""
        self.shown.append((kind, text))
        if not self._answers:
            msg = f"a modal {kind} opened, and the test had no answer for it: {text}"
            raise AssertionError(msg)
        value = self._answers.pop(0)
        return value(dialog) if callable(value) and not isinstance(value, type) else value


dialogs = Dialogs()


def _execute(self, *_):
    text = self.text if isinstance(self, QtWidgets.QMessageBox) else self.windowTitle
    answer = dialogs.take(type(self).__name__, text, self)
    return answer.value if hasattr(answer, "value") and isinstance(answer.value, int) else answer


def _static_message(kind):
    def show(_parent=None, _title="", text="", *_args, **_kwargs):
        return dialogs.take(kind, text)

    return staticmethod(show)


def _static_path(kind, several=False):
    def ask(_parent=None, caption="", *_args, **_kwargs):
        # PythonQt returns the path alone, PySide6 a pair with the filter
        answer = dialogs.take(kind, caption)
        return list(answer) if several else str(answer)

    return staticmethod(ask)


def _static_input(kind):
    def ask(_parent=None, _title="", label="", *_args, **_kwargs):
        return dialogs.take(kind, label)

    return staticmethod(ask)


def install():
    """Replace everything in Qt that would wait for a user."""
    for cls in (QtWidgets.QDialog, QtWidgets.QMessageBox, QtWidgets.QFileDialog):
        cls.exec = _execute
        cls.exec_ = _execute
    for kind in ("question", "information", "warning", "critical"):
        setattr(QtWidgets.QMessageBox, kind, _static_message(kind))
    for kind in ("getOpenFileName", "getSaveFileName", "getExistingDirectory"):
        setattr(QtWidgets.QFileDialog, kind, _static_path(kind))
    QtWidgets.QFileDialog.getOpenFileNames = _static_path("getOpenFileNames", several=True)
    for kind in ("getText", "getInt", "getDouble", "getItem"):
        setattr(QtWidgets.QInputDialog, kind, _static_input(kind))
