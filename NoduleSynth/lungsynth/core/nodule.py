"""One nodule, fully decided, and where it goes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from lungsynth.core.errors import LungSynthError

DIAMETER_RANGE_MM = (3.0, 40.0)


class Attenuation(StrEnum):
    """How dense a nodule is (LIDC texture: 1 ground-glass ... 3 part-solid ... 5 solid)."""

    SOLID = "solid"
    PART_SOLID = "part-solid"
    GROUND_GLASS = "ground-glass"


class Malignancy(StrEnum):
    """What a reader would call the nodule (LIDC malignancy: <= 2 benign, >= 4 malignant)."""

    BENIGN = "benign"
    MALIGNANT = "malignant"


ATTENUATION_HU_RANGE: dict[Attenuation, tuple[float, float]] = {
    Attenuation.SOLID: (-537.0, 99.0),
    Attenuation.PART_SOLID: (-661.0, -220.0),
    Attenuation.GROUND_GLASS: (-799.0, -534.0),
}
"""Mean HU inside the mask, 5th to 95th percentile of the real training nodules of each class."""


@dataclass(frozen=True)
class NoduleSpec:
    """One nodule, fully decided: the same spec in the same place gives the same voxels.

    Args:
        diameter_mm: Diameter of the sphere that has the volume of the nodule's mask.
        attenuation: Solid, part-solid or ground-glass.
        malignancy: None leaves it open.
        latent_seed: Seed of everything random in the nodule.

    Raises:
        LungSynthError: If a value is not allowed.
    """

    diameter_mm: float
    attenuation: Attenuation = Attenuation.SOLID
    malignancy: Malignancy | None = None
    latent_seed: int = 0

    def __post_init__(self) -> None:
        low, high = DIAMETER_RANGE_MM
        if not (math.isfinite(self.diameter_mm) and low <= self.diameter_mm <= high):
            msg = f"diameter_mm must be from {low:g} to {high:g} mm; got {self.diameter_mm:g}"
            raise LungSynthError(msg)
        try:
            object.__setattr__(self, "attenuation", Attenuation(self.attenuation))
            if self.malignancy is not None:
                object.__setattr__(self, "malignancy", Malignancy(self.malignancy))
        except ValueError as error:
            kinds = [*Attenuation, *Malignancy]
            msg = f"{error}; allowed are {', '.join(kinds)}"
            raise LungSynthError(msg) from None
        if not 0 <= self.latent_seed < 2**63:
            msg = f"latent_seed must be from 0 to 2**63 - 1; got {self.latent_seed}"
            raise LungSynthError(msg)


@dataclass(frozen=True)
class Seed:
    """Where a nodule goes and what it is to be.

    Args:
        position_ras_mm: Centre of the nodule in RAS millimetres, (R, A, S).
        spec: The nodule.
        name: How messages call the seed; empty means by its position.

    Raises:
        LungSynthError: If the position is not three finite numbers.
    """

    position_ras_mm: tuple[float, float, float]
    spec: NoduleSpec
    name: str = ""

    def __post_init__(self) -> None:
        check_seed_position(self.position_ras_mm)

    def __str__(self) -> str:
        return seed_title(self.name, self.position_ras_mm)


def check_seed_position(position_ras_mm: tuple[float, ...]) -> None:
    """Refuse a seed's position that is not three finite numbers.

    Raises:
        LungSynthError: If it is not.
    """
    if len(position_ras_mm) != 3 or not all(map(math.isfinite, position_ras_mm)):
        msg = f"a seed needs three finite coordinates (R, A, S) in mm; got {position_ras_mm}"
        raise LungSynthError(msg)


def seed_title(name: str, position_ras_mm: tuple[float, float, float]) -> str:
    """Return how messages call a seed: by its name, if it has one, and its position."""
    place = ", ".join(f"{x:.1f}" for x in position_ras_mm)
    return f"seed {name} at RAS ({place})" if name else f"seed at RAS ({place})"


@dataclass(frozen=True)
class NodulePopulation:
    """From what nodules are drawn when the user leaves them open."""

    diameter_mm: tuple[float, float] = (5.0, 25.0)
    attenuations: Sequence[Attenuation] = tuple(Attenuation)


def draw_nodule(population: NodulePopulation, rng: np.random.Generator) -> NoduleSpec:
    """Make every random choice about a nodule here, so that it can be logged and replayed."""
    return NoduleSpec(
        diameter_mm=round(float(rng.uniform(*population.diameter_mm)), 1),
        attenuation=Attenuation(rng.choice([str(a) for a in population.attenuations])),
        latent_seed=int(rng.integers(2**31)),
    )
