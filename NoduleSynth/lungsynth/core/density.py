"""How dense real nodules are: mean HU in the mask, by attenuation, malignancy and diameter.

All figures are ours, of the 641 usable training nodules: for each quantile its value at 8 mm and
by how much it rises with each doubling of the diameter, from linear quantile regressions. Solid
ones are skewed: half lie within 190 HU, and every tenth is calcified. Over half of the benign solid
ones are, no malignant one is: that is how their densities differ. Part-solid (88) and ground-glass
nodules (39, too rare even for slopes) are too few to tell their classes apart.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lungsynth.core.nodule import ATTENUATION_HU_RANGE, Attenuation

BENIGN_RATING, MALIGNANT_RATING = 2.0, 4.0
"""Mean rating of the LIDC readers, 1 to 5: malignant from 4 as in [yang2019, 3]; benign up to 2."""
LEAST_CONTRAST_HU = {
    Attenuation.SOLID: 290.0,
    Attenuation.PART_SOLID: 201.0,
    Attenuation.GROUND_GLASS: 79.0,
}
"""By how much 98 % of the real ones are denser than the lung 2 to 8 mm around them (median)."""
_QUANTILES = (0.02, 0.1, 0.25, 0.5, 0.75, 0.9, 0.98)


@dataclass(frozen=True)
class _Spread:
    """Densities of one kind of nodule.

    Args:
        lines: HU at 8 mm and rise per doubling, for each of the quantiles.
        diameters_mm: Between which the lines are trusted; beyond, they go on level.
    """

    lines: tuple[tuple[int, int], ...]
    diameters_mm: tuple[float, float] = (3.0, 40.0)

    def values(self, diameter_mm: float) -> NDArray[np.float64]:
        """Return HU at the quantiles."""
        doublings = np.log2(np.clip(diameter_mm, *self.diameters_mm) / 8)
        # Lines may cross far from 8 mm; quantiles do not.
        return np.sort(np.array(self.lines, dtype=np.float64) @ [1.0, doublings])


_SOLID = _Spread(
    ((-546, 108), (-465, 137), (-391, 138), (-308, 117), (-198, 65), (-40, 4), (291, -111))
)
_BENIGN_SOLID = _Spread(
    ((-362, 394), (-291, 294), (-183, 228), (-8, 260), (149, 189), (344, 255), (399, -94)),
    (4.0, 10.5),  # 90 % of them; lines as steep as these lead nowhere beyond
)
_UNDECIDED_SOLID = _Spread(
    ((-545, 188), (-464, 191), (-408, 190), (-330, 145), (-257, 131), (-185, 95), (-70, 111)),
    (3.0, 14.0),
)
_MALIGNANT_SOLID = _Spread(
    ((-431, 15), (-399, 59), (-388, 130), (-306, 113), (-255, 103), (-218, 104), (-29, 6))
)
_PART_SOLID = _Spread(
    ((-693, 21), (-632, 50), (-554, 16), (-462, 45), (-379, 80), (-271, 74), (-177, 86))
)
_GROUND_GLASS = _Spread(
    ((-816, 0), (-784, 0), (-735, 0), (-667, 0), (-626, 0), (-571, 0), (-497, 0))
)


def _spread(attenuation: Attenuation, rating: float | None) -> _Spread:
    if attenuation is Attenuation.PART_SOLID:
        return _PART_SOLID
    if attenuation is Attenuation.GROUND_GLASS:
        return _GROUND_GLASS
    if rating is None:
        return _SOLID
    if rating <= BENIGN_RATING:
        return _BENIGN_SOLID
    return _MALIGNANT_SOLID if rating >= MALIGNANT_RATING else _UNDECIDED_SOLID


def density_at(
    rank: float, diameter_mm: float, attenuation: Attenuation, rating: float | None = None
) -> float:
    """Return the mean HU that a share of the real nodules stays below.

    Args:
        rank: That share, 0 to 1; below 0.02 and above 0.98 it is as there.
        diameter_mm: Of the nodule.
        attenuation: Of the nodule.
        rating: Its malignancy, 1 to 5; None takes nodules of any.
    """
    values = _spread(attenuation, rating).values(diameter_mm)
    return float(np.interp(rank, _QUANTILES, values))


def density_rank(
    mean_hu: float, diameter_mm: float, attenuation: Attenuation, rating: float | None = None
) -> float:
    """Return the share of real nodules that are less dense: what ``density_at`` undoes.

    Arguments as of ``density_at``; from 0.02 to 0.98.
    """
    values = _spread(attenuation, rating).values(diameter_mm)
    return float(np.interp(mean_hu, values, _QUANTILES))


def within_class(attenuation: Attenuation, mean_hu: float) -> float:
    """Return a density kept off the ends of its class's range.

    For the nodule that is made of it will miss it by a little; it is kept further off the lower
    end, where ground glass is hardly to be told from lung and its diameter not to be measured.
    """
    low, high = ATTENUATION_HU_RANGE[attenuation]
    return float(np.clip(mean_hu, low + (high - low) / 10, high - (high - low) / 20))
