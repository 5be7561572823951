"""What the tests of the AnomalyScan module share: tiny networks, a radiograph, the panel."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

HERE = Path(__file__).resolve().parent
PROJECT = HERE.parents[2]
SPACING_MM = (1.3, 1.1)  # of rows, of columns
BLOCK = (95, 45)  # row and column of the middle of what is too bright


@pytest.fixture(scope="session")
def anomaly_tree(module_tree):
    """Return the folder of AnomalyScan: an installed tree has all modules in one."""
    installed = (module_tree / "AnomalyScan.py").is_file()
    folder = module_tree if installed else PROJECT / "AnomalyScan"
    for path in (str(folder), str(module_tree)):
        sys.path.insert(0, path)
    return folder


@pytest.fixture(scope="session")
def weights(module_tree, tmp_path_factory):
    """Networks of 16 x 16 pixels, their calibration, and the radiographs they were made from."""
    folder = tmp_path_factory.mktemp("weights") / "tiny ž"
    subprocess.run(
        [sys.executable, str(HERE / "make_weights.py"), str(folder)],
        env={**os.environ, "PYTHONPATH": str(module_tree), "OMP_NUM_THREADS": "1"},
        check=True,
        capture_output=True,
    )
    return SimpleNamespace(
        calibration=str(folder / "scan.safetensors"),
        generator=str(folder / "pggan" / "pggan.safetensors"),
        encoder=str(folder / "encoder" / "anogan-encoder.safetensors"),
        images=folder / "cxr",
        axes=str(folder / "axes.safetensors"),
    )


def chest_pixels():
    """Return 140 x 128 pixels with two dark fields and one bright block, of no symmetry."""
    rows, columns = np.indices((140, 128))
    v, u = rows / 70 - 1, columns / 64 - 1
    lungs = np.exp(-((v / 0.5) ** 4) - ((u + 0.45) / 0.25) ** 4)
    lungs += np.exp(-((v / 0.5) ** 4) - ((u - 0.45) / 0.25) ** 4)
    noise = np.random.default_rng(3).normal(0, 40, rows.shape)
    pixels = 1800 - 1300 * lungs + 100 * v + noise
    row, column = BLOCK
    pixels[row - 14 : row + 14, column - 16 : column + 16] += 1400
    return np.clip(pixels, 0, 4095).astype(np.uint16)


def place_matrix():
    """Return where the radiograph lies: columns to L, rows to P, not at the origin."""
    made = np.diag([-SPACING_MM[1], -SPACING_MM[0], 1.0, 1.0])
    made[:3, 3] = (61.0, 84.0, 5.0)
    return made


@pytest.fixture
def make_film(scene):
    """``make_film(name="Film", pixels=None)`` adds a radiograph."""
    import slicer

    def make(name="Film", pixels=None):
        pixels = chest_pixels() if pixels is None else pixels
        node = slicer.util.addVolumeFromArray(pixels[None].copy(), place_matrix(), name)
        node.CreateDefaultDisplayNodes()
        node.GetDisplayNode().SetAutoWindowLevel(False)
        node.GetDisplayNode().SetWindowLevel(3000, 1500)
        return node

    return make


@pytest.fixture
def film(make_film):
    """Return a radiograph."""
    return make_film()


@pytest.fixture
def open_scan(scene, open_module, anomaly_tree, slicer_app):
    """Return a function that opens the module: on the CPU, without weights yet."""

    def open_():
        widget = open_module("AnomalyScan", anomaly_tree)
        widget.p.device = "cpu"
        slicer_app.processEvents()
        return widget

    return open_


@pytest.fixture
def panel(film, open_scan, weights, slicer_app):
    """Return the open panel with a radiograph and weights chosen."""
    widget = open_scan()
    assert widget.p.inputVolume is film
    for name in ("calibration", "generator", "encoder"):
        getattr(widget.ui, f"{name}Path").currentPath = getattr(weights, name)
    slicer_app.processEvents()
    return widget


def add_result(film):
    """Put the results of a scan that never was into the scene; return them.

    Two regions: 1 is denser, 2 is less dense and larger.
    """
    from AnomalyScanLib.Outputs import addOutputs
    from AnomalyScanLib.Result import Region, Result

    shape = film.GetImageData().GetDimensions()[::-1]
    labels = np.zeros(shape, np.uint8)
    labels[0, 80:110, 30:60] = 1
    labels[0, 20:70, 85:110] = 2
    heat = np.select([labels == 1, labels == 2], [7.5, -5.0], 0.25).astype(np.float32)
    regions = []
    for label, peak in ((1, 7.5), (2, -5.0)):
        rows, columns = np.nonzero(labels[0] == label)
        ras = place_matrix() @ (columns.mean(), rows.mean(), 0, 1)
        area = float(len(rows))
        mm2 = area * SPACING_MM[0] * SPACING_MM[1]
        place = tuple(float(x) for x in ras[:3])
        regions.append(Region(label, peak, peak > 0, place, area, mm2))
    result = Result(
        score=2.5,
        pValue=0.012,
        threshold=1.9,
        regionThreshold=4.2,
        abnormal=True,
        regions=tuple(regions),
        reference=tuple(np.linspace(0.8, 1.8, 12)),
    )
    maps = {
        "heatmap": heat,
        "normal": np.full(shape, 1234, np.float32),
        "difference": np.where(labels, 300.0, -20.0).astype(np.float32),
        "regions": labels,
    }
    return addOutputs(film, result, maps)


@pytest.fixture
def scanned(film, anomaly_tree):
    """Return the outputs of a radiograph without having scanned it."""
    return add_result(film)


@pytest.fixture
def node_ids(scene):
    """``node_ids()`` lists the ids of all nodes of the scene."""

    def ids():
        return sorted(scene.GetNthNode(n).GetID() for n in range(scene.GetNumberOfNodes()))

    return ids
