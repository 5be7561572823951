"""What the surroundings of a hidden region suggest: a smooth filling, without learning."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage


def filled(values: NDArray[np.float32], hidden: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Return values with the hidden ones filled in from around (push and pull over a pyramid).

    Each level halves the picture, counting only what is seen; what is hidden takes the value of
    the finest level at which something is seen, smoothly enlarged.

    Args:
        values: Shape (side, side), a power of two; hidden ones may be NaN.
        hidden: Where; not everywhere.
    """
    seen = (~hidden).astype(np.float32)
    levels = [(np.where(hidden, 0, values).astype(np.float32), seen)]
    while (levels[-1][1] == 0).any() and len(levels[-1][1]) > 1:
        total, weight = levels[-1]
        levels.append((_halved(total), _halved(weight)))
    total, weight = levels[-1]
    result = total / np.maximum(weight, 1e-6)
    for total, weight in levels[-2::-1]:
        coarse = ndimage.zoom(result, 2, order=1, mode="nearest", grid_mode=True)
        result = np.where(weight > 0, total / np.maximum(weight, 1e-6), coarse)
    return np.asarray(np.where(hidden, result, values), dtype=np.float32)


def _halved(values: NDArray[np.float32]) -> NDArray[np.float32]:
    half = len(values) // 2
    return np.asarray(values.reshape(half, 2, half, 2).sum(axis=(1, 3)), dtype=np.float32)
