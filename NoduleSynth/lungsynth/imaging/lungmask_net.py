"""Lungs by the network of the lungmask package [1], where it and its weights are there.

[1] Hofmanninger et al., Eur Radiol Exp 4:50, 2020; https://github.com/JoHof/lungmask.

Nothing is ever downloaded here: the package would fetch its weights by itself, so that it is
called with the path of a file that exists.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
from pathlib import Path

import numpy as np

from lungsynth.core.errors import LungSynthError
from lungsynth.core.volume import Volume
from lungsynth.imaging.coarse import Bools, CoarseGrid

WEIGHTS_NAME = "unet_r231-d5d2fc3d.pth"


def weights_path() -> Path:
    """Return where torch hub keeps, or would keep, the weights."""
    cache = Path(os.environ.get("XDG_CACHE_HOME", "~/.cache"))
    home = Path(os.environ.get("TORCH_HOME", cache / "torch"))
    return home.expanduser() / "hub" / "checkpoints" / WEIGHTS_NAME


def lungmask_available() -> bool:
    """Say whether the package can be imported and its weights exist."""
    return importlib.util.find_spec("lungmask") is not None and weights_path().is_file()


def lungmask_lungs(volume: Volume) -> Bools:
    """Return where the network sees lungs, shape (K, J, I).

    Raises:
        LungSynthError: If package or weights are missing, or there are no lungs.
    """
    if not lungmask_available():
        msg = (
            "method 'lungmask' needs the package lungmask and its weights at "
            f"{weights_path()}; method 'threshold' needs neither"
        )
        raise LungSynthError(msg)
    inferer = importlib.import_module("lungmask").LMInferer(modelpath=str(weights_path()))
    grid = CoarseGrid.of(volume, block_mm=0.0)
    lps = grid.turn(volume.voxels)[:, ::-1, ::-1]
    labels = np.asarray(inferer.apply(np.ascontiguousarray(lps)))
    lungs = np.ascontiguousarray(grid.turn_back(labels[:, ::-1, ::-1] > 0))
    if not lungs.any():
        msg = "no lungs found by lungmask; a chest CT in HU is needed"
        raise LungSynthError(msg)
    return lungs
