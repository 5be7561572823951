"""The harness: runs the Slicer modules without Slicer. README.md says what it offers.

Nothing here touches VTK or Qt before a test asks for ``slicer_app``.
"""

from __future__ import annotations

import gc
import os
import sys
import time
import traceback
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
PROJECT = HERE.parents[1]


@pytest.fixture(scope="session")
def slicer_app():
    """Return the application object, with ``slicer``, ``qt`` and ``ctk`` ready to be imported."""
    os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
    # With a QApplication about, matplotlib would draw through our patched Qt
    os.environ["MPLBACKEND"] = "Agg"
    if "matplotlib" in sys.modules:
        sys.modules["matplotlib"].use("Agg")
    sys.path.insert(0, str(HERE / "standins"))
    import harness_start

    app = harness_start.start()
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
    import harness_app
    import harness_checks

    scene, keep = harness_app.make_scene(slicer_app)
    before = harness_checks.observers(scene)
    mixins_alive = harness_checks.watch_mixins()
    yield scene
    slicer_app.processEvents()
    gc.collect()
    left = harness_checks.observers(scene) - before
    held = [line[:3] for mixin in mixins_alive() for line in mixin.Observations]
    held = [(obj.GetClassName(), event, method) for obj, event, method in held]
    scene.Clear(1)
    scene.RemoveAllObservers()  # what was left must not reach into the next test
    del keep
    problems = {
        "errors in slots or observers": [
            f"{kind.__name__}: {value}" for kind, value in slot_errors
        ],
        "observers left on the scene": sorted(left),
        "observers never removed": held,
    }
    assert not any(problems.values()), {k: v for k, v in problems.items() if v}


@pytest.fixture(scope="session")
def module_tree():
    """Return the folder of the modules under test: NODULESYNTH_TREE, or the source tree."""
    return Path(os.environ.get("NODULESYNTH_TREE", PROJECT / "NoduleSynth"))


@pytest.fixture
def open_module(scene, module_tree):
    """Open a module: ``widget = open_module("NoduleSynth")``; closed again after the test."""
    import harness_modules

    panels = []

    def open_(name, folder=None):
        panels.append(harness_modules.open_panel(name, Path(folder or module_tree)))
        return panels[-1].self()

    yield open_
    for panel in reversed(panels):
        harness_modules.close_panel(panel)


@pytest.fixture
def wait_until(slicer_app):
    """``wait_until(condition, timeout_s=10)`` runs the event loop until the condition holds."""

    def wait(condition, timeout_s=10.0):
        end = time.monotonic() + timeout_s
        while not condition():
            if time.monotonic() > end:
                msg = f"not within {timeout_s} s: {condition}"
                raise AssertionError(msg)
            slicer_app.processEvents()
            time.sleep(0.002)  # the machine is shared

    return wait


@pytest.fixture
def loop_watch(slicer_app):
    """Return the class of the watch: ``with loop_watch() as watch``, ``watch.longest_gap_s``."""
    import harness_checks

    return harness_checks.LoopWatch


@pytest.fixture
def slice_view(scene):
    """Make slice views: ``slice_view(volume, name="Red", orientation=None, size=(400, 300))``."""
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
    """``screenshot(widget, path, width=None)`` saves a picture of a widget, resized if asked."""

    def save(widget, path, width=None):
        widget.show()
        if width is not None:
            widget.resize(width, max(widget.sizeHint().height(), widget.height))
        slicer_app.processEvents()
        assert widget.grab().save(str(path)), f"can't write {path}"

    return save


@pytest.fixture
def palette(slicer_app):
    """``palette("dark")`` or ``palette("light")`` recolours the application, for this test only."""
    import harness_checks
    import qt

    before = qt.QPalette(slicer_app.palette())

    def use(name):
        slicer_app.setPalette(harness_checks.make_palette(name))
        slicer_app.processEvents()

    yield use
    slicer_app.setPalette(before)


@pytest.fixture
def mrb(scene):
    """Return an object with ``save(path)``, ``clear()``, ``load(path)``, ``round_trip(path)``."""
    import harness_checks

    return harness_checks.MRB()


@pytest.fixture
def oblique_volume(scene):
    """``oblique_volume(shape=(20, 30, 40), name="CT", voxels=None)``: anisotropic, turned, HU."""
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
