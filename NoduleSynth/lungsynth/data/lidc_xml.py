"""The readers' XML files of LIDC-IDRI.

Each ``readingSession`` is one reader. An ``unblindedReadNodule`` with ``characteristics`` is a
nodule of 3 mm or more, outlined slice by slice; one without is smaller and marked by a point.
``edgeMap`` holds pixels (column, row), counted from 0, that lie just outside of the nodule;
``inclusion`` FALSE cuts a hole. Radiographs of the same patients have files of their own with
another root, which are passed over.
"""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from lungsynth.core.errors import LungSynthError

_ROOT = "LidcReadMessage"
_SPELT = {"internalStructure": "internal_structure"}


@dataclass(frozen=True)
class Outline:
    """One closed line on one slice.

    Args:
        sop_uid: The slice by its SOPInstanceUID.
        z_mm: The slice by the third number of its ImagePositionPatient.
        inclusion: False where it cuts a hole.
        points: Pixels (column, row).
    """

    sop_uid: str
    z_mm: float
    inclusion: bool
    points: tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class Annotation:
    """A nodule as one reader saw it."""

    reader: int
    nodule_id: str
    ratings: Mapping[str, float]
    outlines: Sequence[Outline]


@dataclass(frozen=True)
class LidcFile:
    """What one file says of one CT series.

    Args:
        readers: How many reading sessions there are.
        annotations: Nodules of 3 mm or more.
        small: How many marks of smaller nodules there are.
    """

    path: Path
    series_uid: str
    readers: int
    annotations: Sequence[Annotation]
    small: int


def read_lidc_xml(path: Path) -> LidcFile | None:
    """Read a file; None where it is no reading of a CT.

    Raises:
        LungSynthError: If it is malformed, or lacks what is needed.
    """
    try:
        root = ET.parse(path).getroot()
        if _local(root) != _ROOT:
            return None
        series = _text(_child(_child(root, "ResponseHeader"), "SeriesInstanceUid"))
        annotations: list[Annotation] = []
        small = 0
        sessions = list(_children(root, "readingSession"))
        for reader, session in enumerate(sessions):
            for nodule in _children(session, "unblindedReadNodule"):
                ratings = _ratings(nodule)
                if not ratings:
                    small += 1
                    continue
                outlines = tuple(_outline(roi) for roi in _children(nodule, "roi"))
                name = _text(_child(nodule, "noduleID"))
                annotations.append(Annotation(reader, name, ratings, outlines))
    except (OSError, ET.ParseError, ValueError) as error:
        msg = f"{path}: malformed reader XML: {error}"
        raise LungSynthError(msg) from error
    return LidcFile(path, series, len(sessions), annotations, small)


def _ratings(nodule: ET.Element) -> dict[str, float]:
    found = {}
    for block in _children(nodule, "characteristics"):
        for rating in block:
            if _text(rating):
                name = _local(rating)
                found[_SPELT.get(name, name)] = float(_text(rating))
    return found


def _outline(roi: ET.Element) -> Outline:
    points = tuple(
        (int(_text(_child(edge, "xCoord"))), int(_text(_child(edge, "yCoord"))))
        for edge in _children(roi, "edgeMap")
    )
    return Outline(
        sop_uid=_text(_child(roi, "imageSOP_UID")),
        z_mm=float(_text(_child(roi, "imageZposition"))),
        inclusion=_text(_child(roi, "inclusion")).upper() != "FALSE",
        points=points,
    )


def _local(element: ET.Element) -> str:
    """Return the name without its namespace."""
    return element.tag.rpartition("}")[2]


def _children(element: ET.Element, name: str) -> Iterator[ET.Element]:
    return (child for child in element if _local(child) == name)


def _child(element: ET.Element, name: str) -> ET.Element:
    for child in _children(element, name):
        return child
    msg = f"<{_local(element)}> lacks <{name}>"
    raise ValueError(msg)


def _text(element: ET.Element) -> str:
    return (element.text or "").strip()
