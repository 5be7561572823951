"""Seeds against their volume: which cannot work, what place is taken, what is inserted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import slicer

from lungsynth.cli.protocol import taken_values
from lungsynth.core.errors import LungSynthError
from lungsynth.core.insertion import Taken
from lungsynth.core.nodule import Seed
from lungsynth.core.radiograph import CxrSeed, Radiograph
from lungsynth.core.radiograph_insertion import CxrTaken
from lungsynth.core.volume import Volume
from lungsynth_slicer import segments
from lungsynth_slicer.kinds import CT_KIND, CtKind, RadiographKind, kindOf
from lungsynth_slicer.seeds import SeedList, SeedPoint
from NoduleSynthLib.Outputs import Case

DRAWN_SEEDS = 100_000
"""Latent seeds are drawn below this, so that a person can read and type them."""
SAME_MM = 1e-3
"""How far a point may be off that went through a file."""


Image = Volume | Radiograph
Place = Taken | CxrTaken


def seedsOf(p: Case) -> SeedList:
    """Return the seeds of a case, of the kind that its volume takes."""
    return SeedList(p.seeds, kindOf(p.inputVolume).defaultSpec(p.inputVolume))


def _pointsOf(p: Case) -> list[SeedPoint]:
    """Return the points that can be checked: those that say what they are to become."""
    seeds = seedsOf(p)
    kind = type(seeds.defaultSpec)
    return [point for point in seeds.points() if type(point.spec) is kind]


def problemsOf(p: Case) -> dict[str, str]:
    """Return, for each seed that cannot work, its point id and why.

    A seed is checked against the inserted ones and the new ones before it; nothing but the
    volume is needed, so that it works before a synthesizer is loaded.

    Raises:
        LungSynthError: If the volume can't be used.
    """
    if p.inputVolume is None or p.seeds is None:
        return {}
    kind = kindOf(p.inputVolume)
    image = kind.image(p.inputVolume)
    points = _pointsOf(p)
    taken = _takenIn(p, image, points)
    found = {}
    for point in points:
        if point.state == "inserted":
            continue
        try:
            kind.check(image, point.seed, _near(kind, image, point.seed, taken))
        except LungSynthError as error:
            found[point.id] = str(error)
        else:
            taken.append(kind.taken(image, point.seed))
    return found


def notesOf(p: Case, problems: Mapping[str, str]) -> dict[str, str]:
    """Return, for each new seed that can work but is likely not where it is meant, why.

    Args:
        p: The volume and the seeds.
        problems: The seeds that cannot work, which need no further word.

    Raises:
        LungSynthError: If the volume can't be used.
    """
    if p.inputVolume is None or p.seeds is None:
        return {}
    kind = kindOf(p.inputVolume)
    image = kind.image(p.inputVolume)
    found = {}
    for point in _pointsOf(p):
        if point.state == "new" and point.id not in problems:
            found[point.id] = kind.note(image, point.seed)
    return {pointId: note for pointId, note in found.items() if note}


def earlierIn(p: Case, *, andNew: bool = False) -> list[dict[str, Any]]:
    """Return what the volume's boxes are taken by already, as the worker wants it."""
    if p.seeds is None:
        return []
    kind = kindOf(p.inputVolume)
    image = kind.image(p.inputVolume)
    points = _pointsOf(p)
    taken = _takenIn(p, image, points)
    if andNew:
        taken += [kind.taken(image, point.seed) for point in points if point.state == "new"]
    return [taken_values(place) for place in taken]


def _takenIn(p: Case, image: Image, points: Sequence[SeedPoint]) -> list[Place]:
    """Return the boxes of the nodules in the output: its segments know them."""
    if p.outputVolume is None:
        return []
    if p.segmentation is not None:
        return segments.takenBy(p.segmentation)
    kind = kindOf(p.inputVolume)
    return [kind.taken(image, point.seed) for point in points if point.state == "inserted"]


def _near(
    kind: CtKind | RadiographKind,
    image: Image,
    seed: Seed | CxrSeed,
    taken: Sequence[Place],
) -> list[Place]:
    """Return the places that a seed's box may touch: with a hundred, to check all takes long.

    Boxes that touch are at most half their sides apart along each of three axes.
    """
    if not taken or kind is not CT_KIND:
        return list(taken)
    centres = np.array([place.seed.position_ras_mm for place in taken])
    sides = [kind.sideMm(image, place.seed) for place in taken]
    apart_mm = np.linalg.norm(centres - seed.position_ras_mm, axis=1)
    # Inserted boxes may have grown to twice what is usual until the size was right
    reach_mm = 1.5 * (2 * np.array(sides) + kind.sideMm(image, seed))
    return [place for place, near in zip(taken, apart_mm < reach_mm, strict=True) if near]


def renew(seeds: SeedList) -> None:
    """Say of all seeds that they are still to be inserted: for a new output they are."""
    for point in seeds.points():
        if point.state == "inserted":
            seeds.setState(point.id, "new")


def restate(p: Case) -> None:
    """Say of each seed whether its nodule is in the output: for one that was chosen again."""
    if p.seeds is None or p.segmentation is None:  # else no one knows
        return
    centres = [place.seed.position_ras_mm for place in segments.takenBy(p.segmentation)]
    seeds = SeedList(p.seeds)
    for point in seeds.points():
        away = [np.abs(np.subtract(point.position_ras_mm, centre)).max() for centre in centres]
        state = "inserted" if away and min(away) < SAME_MM else "new"
        if point.state != state:
            seeds.setState(point.id, state)


def drawLatentSeed(pointId: str, randomSeed: int) -> int:
    """Draw the latent seed of a point of a list: the same clicks give the same nodules."""
    rng = np.random.default_rng([randomSeed, *pointId.encode()])
    return int(rng.integers(DRAWN_SEEDS))


def owner(node: slicer.vtkMRMLMarkupsFiducialNode, pointId: str) -> str:
    """Return a name for a point that no point of another list has."""
    return f"{node.GetID()}/{pointId}"


def settle(seeds: SeedList, point: SeedPoint) -> None:
    """Lock a point as it was when its nodule was made, even if it was moved since."""
    index = seeds.node.GetNthControlPointIndexByID(point.id)
    if index < 0:  # removed meanwhile; its nodule is in the output all the same
        return
    seeds.node.SetNthControlPointPositionWorld(index, *point.position_ras_mm)
    seeds.setSpec(point.id, point.spec)
    seeds.setState(point.id, "inserted")
