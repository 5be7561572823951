"""What a test left behind, how long the event loop was blocked, and scenes as files."""

from __future__ import annotations

import time
import weakref

import qt
import slicer
import vtk


def observers(obj):
    """Return {(event, tag)} of the observers of a VTK object, which only its print-out tells."""
    names = {getattr(type(obj), n): n for n in dir(type(obj)) if n.endswith("Event")}
    event, found = 0, set()
    for line in str(obj).partition("Registered Observers:")[2].splitlines()[1:]:
        text = line.strip()
        if not line.startswith("      "):
            break  # what follows are the object's own members, with observers of theirs
        if text.startswith("Event: "):
            event = int(text.split()[1])
        elif text.startswith("Tag:"):
            name = names.get(event, vtk.vtkCommand.GetStringFromEventId(event))
            found.add((name, int(text.split(":")[1])))
    return found


def watch_mixins():
    """Note every VTKObservationMixin made from now on; return a function that ends this.

    It returns those that are still alive.
    """
    alive = weakref.WeakSet()
    mixin = slicer.util.VTKObservationMixin
    original = mixin.__init__

    def init(self, *args, **kwargs):
        alive.add(self)
        original(self, *args, **kwargs)

    mixin.__init__ = init

    def finish():
        mixin.__init__ = original
        return list(alive)

    return finish


class LoopWatch:
    """Measures how long the event loop was blocked: ``with LoopWatch() as watch: ...``."""

    interval_s = 0.01

    def __init__(self):
        self.longest_gap_s = 0.0

    def __enter__(self):
        self._last = time.monotonic()
        self._timer = qt.QTimer()
        # A coarse timer may be 5 % late, which would be counted as a gap
        self._timer.setTimerType(qt.Qt.PreciseTimer)
        self._timer.setInterval(round(self.interval_s * 1000))
        self._timer.timeout.connect(self._tick)
        self._timer.start()
        return self

    def _tick(self):
        now = time.monotonic()
        self.longest_gap_s = max(self.longest_gap_s, now - self._last - self.interval_s)
        self._last = now

    def __exit__(self, *_):
        self._tick()
        self._timer.stop()


class MRB:
    """Saves the scene into a bundle, closes it, loads it again."""

    def save(self, path):
        """Write the scene with all its data."""
        assert slicer.util.saveScene(str(path)), f"can't write {path}"

    def clear(self):
        """Close the scene as the user does."""
        slicer.mrmlScene.Clear(0)

    def load(self, path):
        """Load a bundle into the scene."""
        assert slicer.mrmlScene.ReadFromMRB(str(path), False), f"can't read {path}"

    def round_trip(self, path):
        """Save, close and load again."""
        self.save(path)
        self.clear()
        self.load(path)


def make_palette(name):
    """Return a light or a dark palette."""
    dark = {"light": False, "dark": True}[name]
    ground, base, text = ("#353535", "#2a2a2a", "#ffffff") if dark else ("#efefef", "#fff", "#000")
    colours = {
        "Window": ground,
        "Button": ground,
        "AlternateBase": ground,
        "Base": base,
        "ToolTipBase": base,
        "WindowText": text,
        "ButtonText": text,
        "Text": text,
        "ToolTipText": text,
        "Highlight": "#2a82da",
    }
    palette = qt.QPalette()
    for role, colour in colours.items():
        palette.setColor(getattr(qt.QPalette, role), qt.QColor(colour))
    for role in ("WindowText", "ButtonText", "Text"):
        palette.setColor(qt.QPalette.Disabled, getattr(qt.QPalette, role), qt.QColor("#7f7f7f"))
    return palette
