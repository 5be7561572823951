"""Detectors of what is abnormal in radiographs, and the table of them.

The tables hold strings, so that they can be listed before torch is installed, and so that a
detector works on a generator without depending on the paper that made it.
"""

from __future__ import annotations

DETECTORS: dict[str, str] = {
    "anogan": "lungsynth.detectors.anogan:AnoGAN",
    "mahalanobis": "lungsynth.detectors.baselines:MeanImage",
    "pca": "lungsynth.detectors.baselines:PrincipalComponents",
}
"""Each returns the normal image nearest to a radiograph; all else is ``detectors.scanner``'s."""

GENERATORS: dict[str, str] = {
    "pggan": "lungsynth.synthesizers.pggan:load_pggan",
}
"""From (weights file, device) to a ``detectors.contracts.ImageGenerator``."""
