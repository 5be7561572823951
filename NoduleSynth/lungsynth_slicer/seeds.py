"""Fiducial points as seeds: each carries its own spec, and keeps it wherever it goes.

The spec stands in the point's description, as words that a person can read and edit in the
Markups module too: ``12 mm, part-solid, malignant, latent seed 51, inserted``, or for a radiograph
``15 mm in a radiograph, contrast 0.08, latent seed 51``. The description is all that belongs to a
single point and goes with it through deletion and reordering of other points, renaming, copying of
the list, .mrk.json files and scenes (attributes of the node get lost in .mrk.json, and measurements
are tied to the point's index). What else is written there is kept.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Literal

import slicer
import vtk

from lungsynth.core.errors import LungSynthError
from lungsynth.core.nodule import Attenuation, Malignancy, NoduleSpec, Seed
from lungsynth.core.radiograph import CxrNoduleSpec, CxrSeed

State = Literal["new", "inserted"]
Spec = NoduleSpec | CxrNoduleSpec

DEFAULT_SPEC = NoduleSpec(10.0)

_WORDS = re.compile(
    r"(?P<diameter>\d+(?:\.\d+)?(?:e-?\d+)?) mm, "
    rf"(?P<attenuation>{'|'.join(sorted(Attenuation, key=len, reverse=True))})"
    rf"(?:, (?P<malignancy>{'|'.join(Malignancy)}))?"
    r", latent seed (?P<latent>\d+)"
    r"(?P<inserted>, inserted)?",
    re.IGNORECASE,
)
_CXR_WORDS = re.compile(
    r"(?P<diameter>\d+(?:\.\d+)?(?:e-?\d+)?) (?P<unit>mm|px) in a radiograph"
    r"(?:, contrast (?P<contrast>\d+(?:\.\d+)?(?:e-?\d+)?))?"
    r", latent seed (?P<latent>\d+)"
    r"(?P<inserted>, inserted)?",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class SeedPoint:
    """A placed point of a list.

    Args:
        id: Of the control point; the same in a saved and loaded list.
        label: As shown in the views.
        position_ras_mm: In world RAS, whatever transform the list is under.
        spec: The nodule that is wanted; the list's default where the point says nothing.
        state: Whether the nodule is in the output volume already.
        specified: Whether the spec is the point's own.
    """

    id: str
    label: str
    position_ras_mm: tuple[float, float, float]
    spec: Spec
    state: State
    specified: bool = True

    @property
    def seed(self) -> Seed | CxrSeed:
        """The point as the library wants it."""
        if isinstance(self.spec, CxrNoduleSpec):
            return CxrSeed(self.position_ras_mm, self.spec, self.label)
        return Seed(self.position_ras_mm, self.spec, self.label)


def wordsOf(spec: Spec, state: State = "new") -> str:
    """Return a spec as the words that a description holds; ``specIn`` reads them back exactly."""
    if isinstance(spec, CxrNoduleSpec):
        words = [f"{_digits(spec.diameter_mm)} mm in a radiograph"]
        if spec.diameter_mm is None:
            words = [f"{_digits(spec.diameter_px)} px in a radiograph"]
        if spec.contrast is not None:
            words.append(f"contrast {_digits(spec.contrast)}")
    else:
        words = [f"{_digits(spec.diameter_mm)} mm", str(spec.attenuation)]
        if spec.malignancy is not None:
            words.append(str(spec.malignancy))
    words.append(f"latent seed {spec.latent_seed}")
    if state == "inserted":
        words.append("inserted")
    return ", ".join(words)


def _digits(value: float | None) -> str:
    return repr(float(value or 0)).removesuffix(".0")


@lru_cache(maxsize=4096)  # a panel asks for all points again and again
def specIn(description: str) -> tuple[Spec, State] | None:
    """Return the spec and state that a description holds; None if none, or one not allowed."""
    if (inRadiograph := _CXR_WORDS.search(description)) is not None:
        return _cxrSpecIn(inRadiograph)
    found = _WORDS.search(description)
    if found is None:
        return None
    malignancy = found["malignancy"]
    try:
        spec = NoduleSpec(
            float(found["diameter"]),
            Attenuation(found["attenuation"].lower()),
            Malignancy(malignancy.lower()) if malignancy else None,
            int(found["latent"]),
        )
    except LungSynthError:  # edited by hand to what can't be made
        return None
    return spec, "inserted" if found["inserted"] else "new"


def _cxrSpecIn(found: re.Match[str]) -> tuple[Spec, State] | None:
    diameter = float(found["diameter"])
    inMm = found["unit"].lower() == "mm"
    try:
        spec = CxrNoduleSpec(
            diameter if inMm else None,
            None if inMm else diameter,
            float(found["contrast"]) if found["contrast"] else None,
            int(found["latent"]),
        )
    except LungSynthError:  # as above
        return None
    return spec, "inserted" if found["inserted"] else "new"


class SeedList:
    """A fiducial node as a list of seeds.

    Holds no state of its own: everything is in the node, so that any number of these may look at
    one node, and a loaded scene is as good as the one that was saved.

    Args:
        node: vtkMRMLMarkupsFiducialNode.
        defaultSpec: Of points that carry none.
    """

    def __init__(
        self, node: slicer.vtkMRMLMarkupsFiducialNode, defaultSpec: Spec = DEFAULT_SPEC
    ) -> None:
        self.node = node
        self.defaultSpec = defaultSpec

    def points(self) -> list[SeedPoint]:
        """Return the placed points in the node's order; one still being placed is left out."""
        placed = self.node.PositionDefined
        count = self.node.GetNumberOfControlPoints()
        return [
            self._point(n)
            for n in range(count)
            if self.node.GetNthControlPointPositionStatus(n) == placed
        ]

    def point(self, pointId: str) -> SeedPoint:
        """Return one point.

        Raises:
            LungSynthError: If there is none of that id.
        """
        return self._point(self._index(pointId))

    def add(
        self,
        position: tuple[float, float, float],
        spec: Spec | None = None,
        name: str = "",
    ) -> str:
        """Add a point at world RAS mm and return its id; without a name the node gives one."""
        index = self.node.AddControlPointWorld(vtk.vtkVector3d(*map(float, position)), name)
        self._write(index, spec or self.defaultSpec, "new")
        return str(self.node.GetNthControlPointID(index))

    def remove(self, pointId: str) -> None:
        """Remove a point."""
        self.node.RemoveNthControlPoint(self._index(pointId))

    def setSpec(self, pointId: str, spec: Spec) -> None:
        """Write a point's spec; its state stays."""
        index = self._index(pointId)
        self._write(index, spec, self._point(index).state)

    def setState(self, pointId: str, state: State) -> None:
        """Say whether a point's nodule is in the output volume; one that is gets locked."""
        index = self._index(pointId)
        self._write(index, self._point(index).spec, state)
        self.node.SetNthControlPointLocked(index, state == "inserted")

    def setLabel(self, pointId: str, label: str) -> None:
        """Rename a point."""
        self.node.SetNthControlPointLabel(self._index(pointId), label)

    def specifyAll(self) -> list[str]:
        """Write the default spec to the points that carry none of its kind; return their ids.

        The first such point gets the default's latent seed or the next that is free, and so on:
        nodules of one list are all different.
        """
        points = self.points()
        used = {point.spec.latent_seed for point in points if point.specified}
        latent = self.defaultSpec.latent_seed
        changed = []
        for point in points:
            if not self.isSpecified(point):
                while latent in used:
                    latent += 1
                used.add(latent)
                self.setSpec(point.id, replace(self.defaultSpec, latent_seed=latent))
                changed.append(point.id)
        return changed

    def isSpecified(self, point: SeedPoint) -> bool:
        """Return whether a point carries a spec of the list's kind: of a CT, or a radiograph."""
        return point.specified and type(point.spec) is type(self.defaultSpec)

    def _index(self, pointId: str) -> int:
        index = int(self.node.GetNthControlPointIndexByID(pointId))
        if index < 0:
            msg = f"{self.node.GetName()}: there is no point with the id '{pointId}' any more"
            raise LungSynthError(msg)
        return index

    def _point(self, index: int) -> SeedPoint:
        position = [0.0, 0.0, 0.0]
        self.node.GetNthControlPointPositionWorld(index, position)
        written = specIn(self.node.GetNthControlPointDescription(index))
        spec, state = written or (self.defaultSpec, "new")
        return SeedPoint(
            id=str(self.node.GetNthControlPointID(index)),
            label=str(self.node.GetNthControlPointLabel(index)),
            position_ras_mm=(position[0], position[1], position[2]),
            spec=spec,
            state=state,
            specified=written is not None,
        )

    def _write(self, index: int, spec: Spec, state: State) -> None:
        """Replace the words of the spec in a description, and leave the rest of it."""
        old = self.node.GetNthControlPointDescription(index)
        words = wordsOf(spec, state)
        known = next((one for one in (_CXR_WORDS, _WORDS) if one.search(old)), None)
        if known is not None:
            new = known.sub(lambda _: words, old, count=1)
        else:
            new = f"{old}; {words}" if old.strip() else words
        if new != old:  # each change makes the views draw anew
            self.node.SetNthControlPointDescription(index, new)
