"""LIDC-IDRI as TCIA gives it: folders of DICOM series, and the readers' XML [1].

The XML may lie anywhere below the folder: the series UID in it says which CT it is of. A nodule is
what several readers outlined; its mask holds the voxels that at least half of those have in theirs,
its ratings are their medians.

[1] Armato et al., The Lung Image Database Consortium (LIDC) and Image Database Resource Initiative
(IDRI), Med. Phys. 38 (2011).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lungsynth.core.errors import LungSynthError
from lungsynth.core.volume import Volume
from lungsynth.data.dicom_series import dicom_tags, find_series
from lungsynth.data.lidc_consensus import annotation_mask, cluster, consensus
from lungsynth.data.lidc_xml import Annotation, LidcFile, Outline, read_lidc_xml
from lungsynth.data.nodule_cubes import attenuation_from_texture
from lungsynth.data.records import (
    CaseError,
    NoduleRecord,
    Problem,
    Reading,
    Source,
    Trouble,
    VoxelMask,
    malignancy_from_rating,
)
from lungsynth.io.itk import LPS_TO_RAS
from lungsynth.io.reading import read_ct

FORM = "LIDC-IDRI"
MIN_READERS = 3
"""Of four, as in LUNA16."""
MAX_SPREAD = 2
"""(ours) Readers whose textures differ by more than this do not agree on the attenuation."""


@dataclass(frozen=True)
class LidcCase:
    """One CT series and its XML."""

    name: str
    patient: str
    folder: Path
    xml: Path
    nodules: int
    min_readers: int

    @property
    def files(self) -> Sequence[Path]:
        """The folder of slices and the XML."""
        return [self.folder, self.xml]

    def read(self) -> Reading:
        """Read the slices and put the outlines onto them.

        Raises:
            LungSynthError: If the series cannot be used as a whole.
        """
        broken = [path.name for path in _slices(self.folder) if dicom_tags(path, ["Rows"]) is None]
        if broken:
            msg = f"{self.folder}: {len(broken)} slices are unreadable DICOM ({broken[0]})"
            raise LungSynthError(msg)
        volume = read_ct(self.folder)
        file = read_lidc_xml(self.xml)
        if file is None:
            msg = f"{self.xml}: no reading of a CT"
            raise CaseError(Trouble.ANNOTATION, msg)
        slice_of = slice_finder(self.folder, volume)
        problems: list[Problem] = []
        masks: list[VoxelMask] = []
        annotations: list[Annotation] = []
        for annotation in file.annotations:
            try:
                masks.append(annotation_mask(annotation, volume, slice_of))
                annotations.append(annotation)
            except CaseError as error:
                msg = f"{self.name}: {error}"
                # one reader's outline; the nodule may still be there through the others
                problems.append(Problem(self.name, error.trouble, msg, 0))
        records = []
        readers = [annotation.reader for annotation in annotations]
        groups = cluster(masks, readers, volume) if masks else []
        for number, (members, clear) in enumerate(groups, start=1):
            found = self._nodule(
                number,
                [annotations[n] for n in members],
                [masks[n] for n in members],
                volume,
                clear,
            )
            if isinstance(found, Problem):
                problems.append(found)
            else:
                records.append(found)
        return Reading(volume, records, problems)

    def _nodule(
        self,
        number: int,
        annotations: Sequence[Annotation],
        masks: Sequence[VoxelMask],
        volume: Volume,
        clear: bool,
    ) -> NoduleRecord | Problem:
        outlined = ", ".join(f"{a.nodule_id} of reader {a.reader + 1}" for a in annotations)
        name = f"{self.name}, nodule {number} ({outlined})"
        if not clear:
            msg = f"{name}: outlines of one reader overlap others so that nodules cannot be told"
            return Problem(name, Trouble.READERS_DISAGREE, msg)
        if len(annotations) < self.min_readers:
            msg = f"{name}: outlined by {len(annotations)}; at least {self.min_readers} are needed"
            return Problem(name, Trouble.FEW_READERS, msg)
        mask = consensus(masks)
        ratings = medians(annotations)
        textures = [a.ratings["texture"] for a in annotations if "texture" in a.ratings]
        if not textures:
            msg = f"{name}: no reader rated its texture"
            return Problem(name, Trouble.ATTENUATION, msg)
        if max(textures) - min(textures) > MAX_SPREAD:
            rated = ", ".join(f"{x:g}" for x in textures)
            msg = f"{name}: its texture was rated {rated}, so its attenuation is open"
            return Problem(name, Trouble.READERS_DISAGREE, msg)
        if not mask:
            msg = f"{name}: no voxel is in the outlines of half of its readers"
            return Problem(name, Trouble.EMPTY_MASK, msg)
        return NoduleRecord(
            name=name,
            image=self.folder,
            position_ras_mm=mask.centroid_ras_mm(volume),
            diameter_mm=mask.diameter_mm(volume),
            patient=self.patient,
            attenuation=attenuation_from_texture(ratings["texture"]),
            malignancy=(
                malignancy_from_rating(ratings["malignancy"]) if "malignancy" in ratings else None
            ),
            ratings=ratings,
            mask=mask,
            n_readers=len(annotations),
        )


def medians(annotations: Sequence[Annotation]) -> dict[str, float]:
    """Return the median of each rating over the readers who gave it."""
    names = sorted({name for annotation in annotations for name in annotation.ratings})
    return {
        name: float(np.median([a.ratings[name] for a in annotations if name in a.ratings]))
        for name in names
    }


def slice_finder(folder: Path, volume: Volume) -> Callable[[Outline], int | None]:
    """Return a function from an outline to the index of its slice in ``volume``.

    By the slice's UID; where no slice has that, by its z within half of the distance between two.
    """
    by_uid: dict[str, int] = {}
    by_z: dict[float, int] = {}
    for path in _slices(folder):
        header = dicom_tags(path, ["SOPInstanceUID", "ImagePositionPatient"])
        if header is None or header.get("ImagePositionPatient") is None:
            continue
        position = np.asarray(header.ImagePositionPatient, np.float64)
        k = round(float(volume.ras_to_ijk(LPS_TO_RAS[:3, :3] @ position)[2]))
        by_uid[str(header.get("SOPInstanceUID", ""))] = k
        by_z[float(position[2])] = k
    reach = float(volume.spacing_mm[2]) / 2

    def find(outline: Outline) -> int | None:
        if outline.sop_uid in by_uid:
            return by_uid[outline.sop_uid]
        z = min(by_z, key=lambda z: abs(z - outline.z_mm), default=None)
        return by_z[z] if z is not None and abs(z - outline.z_mm) <= reach else None

    return find


def is_lidc(folder: Path) -> bool:
    """Return whether a folder holds readers' XML of LIDC."""
    if not folder.is_dir():
        return False
    for path in folder.rglob("*.xml"):
        with path.open("rb") as file:
            if b"LidcReadMessage" in file.read(2048):
                return True
    return False


def list_lidc(folder: Path, min_readers: int = MIN_READERS) -> Source:
    """List the series that have XML."""
    series, problems = find_series(folder)
    files: dict[str, LidcFile] = {}
    for path in sorted(folder.rglob("*.xml")):
        name = str(path.relative_to(folder))
        try:
            file = read_lidc_xml(path)
        except LungSynthError as error:
            problems.append(Problem(name, Trouble.ANNOTATION, str(error), 0))
            continue
        if file is None:
            continue
        if file.series_uid not in series:
            msg = f"{name}: of the series '{file.series_uid}', which none of the DICOM folders is"
            problems.append(Problem(name, Trouble.NO_IMAGE, msg, 0))
        elif file.series_uid in files:
            msg = f"{name}: of the same series as {files[file.series_uid].path}; that is taken"
            problems.append(Problem(name, Trouble.DUPLICATE, msg, 0))
        else:
            files[file.series_uid] = file
    cases = []
    for uid, found in series.items():
        name = f"{found.patient}, series {uid}" if found.patient else f"series {uid}"
        if uid not in files:
            msg = f"{name}: no XML is of this series"
            problems.append(Problem(name, Trouble.NO_ANNOTATION, msg, 0))
            continue
        annotations = files[uid].annotations
        counts = [sum(a.reader == r for a in annotations) for r in range(files[uid].readers)]
        cases.append(
            LidcCase(
                name=name,
                patient=found.patient or uid,
                folder=found.folder,
                xml=files[uid].path,
                nodules=max(counts, default=0),
                min_readers=min_readers,
            )
        )
    settings = {"min_readers": str(min_readers)}
    return Source(FORM, folder, cases, problems, settings=settings)


def _slices(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.dcm"))
