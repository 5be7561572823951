"""Where control inserts: nodules' places in cubes, and automatic seeds in whole CTs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lungsynth.core.errors import LungSynthError
from lungsynth.core.nodule import Attenuation, NoduleSpec, Seed
from lungsynth.core.volume import Volume
from lungsynth.data.nodule_cubes import NoduleCubes
from lungsynth.imaging.lungs import find_lungs
from lungsynth.imaging.proposal import propose_seeds
from lungsynth.io.reading import read_ct

DIAMETERS_MM = (4.0, 6.0, 8.0, 10.0, 12.0, 16.0, 20.0, 25.0, 30.0)
SITES_PER_CELL = 8
"""Places for each diameter and attenuation; each cell takes others."""


@dataclass(frozen=True)
class ControlConfig:
    """What is asked, and where."""

    diameters_mm: tuple[float, ...] = DIAMETERS_MM
    attenuations: tuple[Attenuation, ...] = tuple(Attenuation)
    sites_per_cell: int = SITES_PER_CELL
    random_seed: int = 0
    device: str = "auto"


@dataclass(frozen=True)
class Plan:
    """What is asked at one place.

    Args:
        seeds: Nodules that go in, one at a time.
        unplaced: Nodules for which no place was found, and why; they count as refused.
    """

    seeds: Sequence[Seed]
    unplaced: Sequence[tuple[NoduleSpec, str]] = ()


@dataclass(frozen=True, eq=False)
class Site:
    """A volume and the seeds that go into it, one at a time.

    Args:
        name: How the report calls the place.
        volume: CT in HU.
        seeds: What is asked there.
        unplaced: Nodules for which no place was found, and why; they count as refused.
    """

    name: str
    volume: Volume
    seeds: Sequence[Seed]
    unplaced: Sequence[tuple[NoduleSpec, str]] = ()


def cube_sites(cubes: NoduleCubes, split: str, config: ControlConfig) -> Iterator[Site]:
    """Yield cubes of a split with seeds at their nodules' places, spread over the grid.

    Each cell of diameter x attenuation takes ``sites_per_cell`` cubes, drawn without
    replacement as long as there are enough.
    """
    usable = np.flatnonzero(cubes.usable)
    rng = np.random.default_rng([config.random_seed, 1])
    for diameter_mm in config.diameters_mm:
        for attenuation in config.attenuations:
            enough = config.sites_per_cell <= len(usable)
            for n in rng.choice(usable, config.sites_per_cell, replace=not enough).tolist():
                spec = NoduleSpec(diameter_mm, attenuation, latent_seed=int(rng.integers(2**31)))
                volume = cubes.cube_volume(n)
                ras = volume.ijk_to_ras_mm(cubes.centre(n)[::-1])
                place = (float(ras[0]), float(ras[1]), float(ras[2]))
                yield Site(f"{split} {n}", volume, [Seed(place, spec)])


def plan_ct(volume: Volume, config: ControlConfig) -> list[Plan]:
    """Return automatic seeds for a CT: at each diameter one of each attenuation.

    Every synthesizer gets the same places: each nodule is inserted alone, so that the size of
    its box moves no other.
    """
    lungs = find_lungs(volume)
    rng = np.random.default_rng([config.random_seed, 2])
    plans = []
    for diameter_mm in config.diameters_mm:
        specs = [
            NoduleSpec(diameter_mm, attenuation, latent_seed=int(rng.integers(2**31)))
            for attenuation in config.attenuations
        ]
        seeds, unplaced = [], []
        for spec in specs:  # each is inserted alone, so they need not keep apart
            try:
                seeds += propose_seeds(volume, 1, rng, lungs=lungs, specs=[spec])
            except LungSynthError as error:
                unplaced.append((spec, str(error)))
        plans.append(Plan(seeds, unplaced))
    return plans


def plan_cts(paths: Sequence[Path], config: ControlConfig) -> dict[Path, list[Plan]]:
    """Read each CT and plan it, before any work is done in the first of them.

    Raises:
        LungSynthError: If one can't be read or has no lungs.
    """
    return {path: plan_ct(read_ct(path), config) for path in paths}


def ct_sites(path: Path, plans: Sequence[Plan]) -> list[Site]:
    """Read a CT again, so that only one need be in memory, and return its sites."""
    volume = read_ct(path)
    name = f"{path.parent.name}/{path.name}"
    return [Site(name, volume, plan.seeds, plan.unplaced) for plan in plans]
