"""Are these voxels a CT in Hounsfield units?"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from lungsynth.core.errors import LungSynthError

PLAUSIBLE_HU = (-10_000, 32_767)
"""Padding is at -3024 or above in practice; metal on the extended scale ends at 32767."""
AIR_HU = (-1300, -300)
"""Lung, airways and the air around the patient, noise included."""
LEAST_AIR = 1e-3
"""The real chest CTs at hand have 25 % and more; a crop around the heart still has this."""


def check_hounsfield(voxels: NDArray[Any], source: str) -> None:
    """Raise unless ``voxels`` can be a chest CT in HU.

    Args:
        voxels: Intensities, shape (K, J, I).
        source: What messages call the volume.

    Raises:
        LungSynthError: If there are NaN or infinite voxels, values no CT has, or no air.
    """
    low, high = float(voxels.min()), float(voxels.max())
    if not (np.isfinite(low) and np.isfinite(high)):
        count = sum(int(np.count_nonzero(~np.isfinite(part))) for part in voxels)
        msg = f"{source}: {count} voxels are NaN or infinite; a CT in HU has finite values only"
        raise LungSynthError(msg)
    if low < PLAUSIBLE_HU[0] or high > PLAUSIBLE_HU[1]:
        msg = (
            f"{source}: values run from {low:g} to {high:g}; a CT in HU lies within "
            f"{PLAUSIBLE_HU[0]} to {PLAUSIBLE_HU[1]}"
        )
        raise LungSynthError(msg)
    sample = voxels[:: max(1, voxels.shape[0] // 64), ::4, ::4]
    if min(sample.shape) < 8:
        sample = voxels
    air = np.mean((sample >= AIR_HU[0]) & (sample <= AIR_HU[1]))
    if low > AIR_HU[1] or air < LEAST_AIR:
        msg = (
            f"{source}: not a chest CT in HU: values run from {low:g} to {high:g} and almost none "
            f"is air or lung ({AIR_HU[0]} to {AIR_HU[1]} HU){_guess(sample, low, high)}"
        )
        raise LungSynthError(msg)


def _guess(sample: NDArray[Any], low: float, high: float) -> str:
    """Say what the values look like instead, if that can be told."""
    if low >= -1 and high <= 1:
        return "; they look scaled to 0..1 or -1..1"
    if low >= 0 and high <= 255:
        return "; they look like 8-bit grey levels"
    if np.mean((sample >= 0) & (sample < 1024 - 300)) >= LEAST_AIR and high > 1024 - 300:
        # air near 0 and water near 1024, before or after the padding
        return "; they look like stored values with an offset of 1024: subtract it"
    return ""
