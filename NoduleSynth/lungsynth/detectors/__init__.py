"""Detectors of what is abnormal in radiographs, and the table of them.

The table holds strings, so that it can be listed before torch is installed. Generators that
detectors work on stand in ``core.registry.IMAGE_GENERATORS``.
"""

from __future__ import annotations

DETECTORS: dict[str, str] = {
    "anogan": "lungsynth.detectors.anogan:AnoGAN",
    "mahalanobis": "lungsynth.detectors.baselines:MeanImage",
    "pca": "lungsynth.detectors.baselines:PrincipalComponents",
}
"""Each returns the normal image nearest to a radiograph; all else is ``detectors.scanner``'s."""
