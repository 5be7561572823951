"""The harness: runs the Slicer modules without Slicer. README.md says what it offers.

Nothing here touches VTK or Qt before a test asks for ``slicer_app``.
"""

from __future__ import annotations

import importlib
import os
import sys
import time
import traceback
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
PROJECT = HERE.parents[1]
STANDINS = HERE / "standins"


def _prepare_environment():
    os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
    # With a QApplication about, matplotlib would draw through our patched Qt
    os.environ["MPLBACKEND"] = "Agg"
    if "matplotlib" in sys.modules:
        sys.modules["matplotlib"].use("Agg")
    if str(STANDINS) not in sys.path:
        sys.path.insert(0, str(STANDINS))


def _import_slicer():
    """Import in the order that works: qt and ctk, slicer-core, widgets and app, Python files."""
    import qt

    importlib.import_module("ctk")
    import harness_app
    import harness_widgets
    import slicer

    for name, widget in harness_widgets.WIDGETS.items():
        setattr(slicer, name, widget)
    import types

    slicer.modules = types.SimpleNamespace()
    slicer.selfTests = {}
    slicer.mrmlScene = None
    slicer.app = qt.QApplication.instance() or harness_app.qSlicerApplication(["Slicer"])
    slicer.qSlicerScriptedLoadableModule = ScriptedModule
    own = os.environ.get("SLICER_PYTHON_DIR")
    folders = [str(Path(own) / "slicer")] if own else []
    slicer.__path__.extend([*folders, str(STANDINS / "slicer_python")])
    for name in ("i18n", "packaging", "parameterNodeWrapper", "ScriptedLoadableModule", "testing"):
        setattr(slicer, name, importlib.import_module(f"slicer.{name}"))
    return slicer


class ScriptedModule:
    """What Slicer gives a scripted module as its parent, and shows as slicer.modules.<name>."""

    def __init__(self, name, path):
        self.name = name
        self.path = str(path)
        self.title = ""
        self.icon = None
        self.hidden = False
        self.widget = None

    def widgetRepresentation(self):
        """Return the panel, None before it is opened."""
        return self.widget

    def logic(self):
        """Return None: the logic of a scripted module is its widget's."""
        return


@pytest.fixture(scope="session")
def slicer_app():
    """Return the application object, with ``slicer``, ``qt`` and ``ctk`` ready to be imported."""
    _prepare_environment()
    app = _import_slicer().app
    yield app
    app.close()


@pytest.fixture
def slot_errors(slicer_app):
    """Errors raised in slots and observers, as (type, value); a test empties it to accept them."""
    errors = []
    before = sys.excepthook

    def hook(kind, value, trace):
        errors.append((kind, value))
        traceback.print_exception(kind, value, trace)

    sys.excepthook = hook
    yield errors
    sys.excepthook = before


@pytest.fixture
def dialogs(slicer_app):
    """Record modal dialogs and answer them; message boxes are shown as outside of testing mode."""
    import harness_dialogs

    harness_dialogs.dialogs.clear()
    slicer_app.setTestingEnabled(False)
    yield harness_dialogs.dialogs
    slicer_app.setTestingEnabled(True)
    left = harness_dialogs.dialogs.unanswered()
    harness_dialogs.dialogs.clear()
    assert not left, f"answers that no dialog asked for: {left}"


@pytest.fixture
def scene(slicer_app, slot_errors):
    """Return a new scene, as ``slicer.mrmlScene``; fail on what the test leaves behind."""
    import gc

    import harness_app

    scene, keep = harness_app.make_scene(slicer_app)
    before = _observers(scene)
    mixins = _watch_mixins()
    yield scene
    slicer_app.processEvents()
    gc.collect()
    left = _observers(scene) - before
    held = [line for mixin in mixins() for line in mixin.Observations]
    scene.Clear(1)
    del keep
    assert not slot_errors, f"errors in slots or observers: {[repr(v) for _, v in slot_errors]}"
    assert not left, f"observers left on the scene: {sorted(left)}"
    assert not held, f"observers never removed: {[(str(o[0])[:60], o[1], o[2]) for o in held]}"


def _observers(obj):
    """Return {(event, tag)} of a VTK object's observers, from what it prints."""
    event, found = "", set()
    for line in str(obj).splitlines():
        text = line.strip()
        if text.startswith("EventName:"):
            event = text.split(":")[1].strip()
        elif text.startswith("Tag:"):
            found.add((event, int(text.split(":")[1])))
    return found


def _watch_mixins():
    """Return a function that gives the VTKObservationMixins made from now on, while alive."""
    import weakref

    import slicer

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


@pytest.fixture(scope="session")
def module_tree():
    """Return the folder of the modules under test: NODULESYNTH_TREE, or the source tree."""
    return Path(os.environ.get("NODULESYNTH_TREE", PROJECT / "NoduleSynth"))


@pytest.fixture
def open_module(scene, slicer_app, module_tree):
    """Open a module: ``widget = open_module("NoduleSynth")``; closed again after the test."""
    opened = []

    def open_(name, folder=None):
        panel = _open_module(name, Path(folder or module_tree))
        opened.append(panel)
        return panel._python

    yield open_
    for panel in reversed(opened):
        _close_module(panel)


def _open_module(name, folder):
    import harness_widgets
    import slicer

    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))
    source = importlib.import_module(name)
    found = Path(source.__file__).parent
    assert found.samefile(folder), f"{name} came from {found}, not {folder}"
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


def _close_module(panel):
    import harness_widgets
    import qt
    import slicer

    widget = panel._python
    if hasattr(widget, "exit"):
        widget.exit()
    widget.cleanup()
    for child in [panel, *panel.findChildren(qt.QWidget)]:
        if isinstance(child, harness_widgets.Watching):
            child.watchNothing()
    delattr(slicer.modules, f"{widget.moduleName}Widget")
    panel._python = None
    panel.deleteLater()
    qt.QCoreApplication.sendPostedEvents(None, qt.QEvent.DeferredDelete)


@pytest.fixture
def wait_until(slicer_app):
    """``wait_until(condition, timeout_s=10)`` runs the event loop until the condition holds."""

    def wait(condition, timeout_s=10.0):
        import qt

        end = time.monotonic() + timeout_s
        while not condition():
            if time.monotonic() > end:
                msg = f"not within {timeout_s} s: {condition}"
                raise AssertionError(msg)
            # Waits for an event instead of spinning: the machine is shared
            slicer_app.processEvents(qt.QEventLoop.AllEvents, 20)
            time.sleep(0.002)

    return wait


class LoopWatch:
    """Measures how long the event loop was blocked: ``with loop_watch() as watch: ...``."""

    interval_s = 0.01

    def __init__(self):
        self.longest_gap_s = 0.0

    def __enter__(self):
        import qt

        self._last = time.monotonic()
        self._timer = qt.QTimer()
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


@pytest.fixture
def loop_watch(slicer_app):
    """Return the class of the watch, whose ``longest_gap_s`` says how long the loop was blocked."""
    return LoopWatch


@pytest.fixture
def slice_view(scene):
    """Make slice views: ``view = slice_view(volume, name="Red", orientation=None, size=(400, 300))``."""
    import harness_views

    views = []

    def make(volume=None, name="Red", orientation=None, size=(400, 300)):
        views.append(harness_views.SliceView(volume, name, orientation, size))
        return views[-1]

    yield make
    for view in views:
        view.close()


@pytest.fixture
def screenshot(slicer_app):
    """``screenshot(widget, path, width=None)`` saves a picture of a widget, at most once resized."""

    def save(widget, path, width=None):
        if width is not None:
            widget.resize(width, max(widget.height, widget.sizeHint().height()))
        widget.show()
        slicer_app.processEvents()
        assert widget.grab().save(str(path)), f"can't write {path}"

    return save


@pytest.fixture
def palette(slicer_app):
    """``palette("dark")`` or ``palette("light")`` recolours the application, for this test only."""
    import qt

    before = qt.QPalette(slicer_app.palette())

    def use(name):
        slicer_app.setPalette(_make_palette(name))
        slicer_app.processEvents()

    yield use
    slicer_app.setPalette(before)


def _make_palette(name):
    import qt

    dark = {"light": False, "dark": True}[name]
    ground, base, text = ("#353535", "#2a2a2a", "#ffffff") if dark else ("#efefef", "#fff", "#000")
    palette = qt.QPalette()
    for role, colour in {
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
    }.items():
        palette.setColor(getattr(qt.QPalette, role), qt.QColor(colour))
    return palette


class MRB:
    """Saves the scene into a bundle, closes it, loads it again."""

    def save(self, path):
        """Write the scene with all its data."""
        import slicer

        assert slicer.util.saveScene(str(path)), f"can't write {path}"

    def clear(self):
        """Close the scene as the user does."""
        import slicer

        slicer.mrmlScene.Clear(0)

    def load(self, path):
        """Load a bundle into the scene."""
        import slicer

        assert slicer.mrmlScene.ReadFromMRB(str(path), False), f"can't read {path}"

    def round_trip(self, path):
        """Save, close and load again."""
        self.save(path)
        self.clear()
        self.load(path)


@pytest.fixture
def mrb(scene):
    """Return an object with ``save(path)``, ``clear()``, ``load(path)``, ``round_trip(path)``."""
    return MRB()


@pytest.fixture
def oblique_volume(scene):
    """``oblique_volume(shape=(20, 30, 40), name="CT")``: anisotropic, oblique, seeded voxels in HU."""
    import numpy as np
    import slicer

    def make(shape=(20, 30, 40), name="CT", voxels=None):
        if voxels is None:
            voxels = np.random.default_rng(7).integers(-1000, 200, shape).astype(np.int16)
        cos, sin = np.cos(0.3), np.sin(0.3)
        directions = np.array([[-cos, sin, 0], [-sin, -cos, 0], [0, 0, 1]])
        ijk_to_ras = np.eye(4)
        ijk_to_ras[:3, :3] = directions @ np.diag([0.7, 0.9, 2.5])
        ijk_to_ras[:3, 3] = (20, 35, -60)
        node = slicer.util.addVolumeFromArray(voxels, ijk_to_ras, name)
        node.CreateDefaultDisplayNodes()
        return node

    return make
