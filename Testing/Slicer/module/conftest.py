"""What the tests of the NoduleSynth module share: an oblique CT, places in its lungs, the panel."""

from __future__ import annotations

import numpy as np
import pytest

from lungsynth.core.nodule import NoduleSpec
from lungsynth.core.volume import Volume
from lungsynth.imaging.phantom import SMALL, thorax_phantom

# As propose_seeds finds them; written down, as finding the lungs takes seconds
PLACES = [
    (-57.47, -27.62, 86.4),
    (118.82, 1.68, -85.2),
    (62.96, -9.64, 64.4),
    (92.39, -40.1, -36.8),
    (-94.3, -37.23, -14.8),
    (-94.3, -37.23, -102.8),
    (-20.97, -73.79, -67.6),
    (79.4, 62.26, -54.4),
    (-73.65, -5.19, -50.0),
    (-73.84, -13.8, 60.0),
    (97.31, -6.96, -32.4),
    (57.04, -66.55, 60.0),
    (-24.08, 56.28, -116.0),
    (58.3, -72.72, -116.0),
    (31.63, 39.72, -19.2),
    (-26.81, -44.98, -32.4),
    (108.51, -23.98, 20.4),
    (-22.45, -56.95, 51.2),
    (111.02, -36.32, -94.0),
    (-58.69, -40.73, -19.2),
    (-84.12, -58.74, -54.4),
    (-30.15, -28.51, 42.4),
    (49.67, 17.66, -19.2),
    (36.57, 53.58, 38.0),
]


@pytest.fixture(scope="session")
def phantom():
    """Return the small phantom, turned and stretched, so that no two axes can be mixed up."""
    drawn = thorax_phantom(3, **SMALL)
    cos, sin = np.cos(0.2), np.sin(0.2)
    turned = np.array([[-cos, sin, 0], [-sin, -cos, 0], [0, 0, 1]])
    matrix = np.eye(4)
    matrix[:3, :3] = turned @ np.diag([1.9, 2.1, 4.4])
    matrix[:3, 3] = (131.0, 152.0, -160.0)
    return Volume(drawn.voxels, matrix)


@pytest.fixture(scope="session")
def places():
    """Return places in the lungs, (R, A, S) in mm, far enough apart for 12 mm each."""
    return PLACES


@pytest.fixture
def ct(scene, phantom):
    """Return the phantom as a volume node with a voxel array of its own."""
    import slicer

    node = slicer.util.addVolumeFromArray(phantom.voxels.copy(), phantom.ijk_to_ras, "Chest")
    node.CreateDefaultDisplayNodes()
    node.GetDisplayNode().SetAutoWindowLevel(False)
    node.GetDisplayNode().SetWindowLevel(1400, -500)
    return node


@pytest.fixture
def panel(ct, open_module, slicer_app):
    """Return the open panel with the CT chosen; the synthesizer that needs no torch, no preview."""
    widget = open_module("NoduleSynth")
    widget.p.synthesizer = "procedural"
    widget.p.livePreview = False
    slicer_app.processEvents()
    return widget


@pytest.fixture
def add_seeds(panel, slicer_app):
    """``add_seeds(positions, **spec)`` puts seeds into the panel's list, as a click would."""

    def add(positions, **values):
        from lungsynth_slicer.seeds import SeedList
        from NoduleSynthLib.Outputs import makeSeedList

        if panel.p.seeds is None:
            panel.p.seeds = makeSeedList(panel.p.inputVolume.GetScene(), panel.p.inputVolume)
        seeds = SeedList(panel.p.seeds)
        ids = [
            seeds.add(position, NoduleSpec(**{"diameter_mm": 12.0, "latent_seed": 7 + n} | values))
            for n, position in enumerate(positions)
        ]
        slicer_app.processEvents()
        return ids

    return add


@pytest.fixture
def insert(panel, wait_until, slicer_app):
    """``insert()`` presses Insert and waits; returns what the panel says then."""

    def press(timeout_s=60):
        slicer_app.processEvents()
        assert panel.ui.insertButton.enabled, panel.ui.insertButton.toolTip
        panel.ui.insertButton.click()
        wait_until(lambda: not panel.logic.running, timeout_s)
        slicer_app.processEvents()
        return panel.ui.statusLabel.text

    return press


@pytest.fixture
def node_ids(scene):
    """``node_ids()`` lists the ids of all nodes of the scene."""

    def ids():
        return sorted(scene.GetNthNode(n).GetID() for n in range(scene.GetNumberOfNodes()))

    return ids
