"""CTs with segmented nodules: each connected part of each label is one nodule.

Three layouts are known: a folder for each case with ``ct`` and ``nodules`` (or ``image`` and
``mask`` / ``segmentation``) in it; ``images`` and ``masks`` (or nnU-Net's ``imagesTr`` and
``labelsTr``) with the same file names in both; and DICOM, where a SEG file names the series that it
was drawn on. A manifest with ``image`` and ``mask`` pairs everything else.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from lungsynth.data.dicom_seg import is_segmentation, referenced_series
from lungsynth.data.dicom_series import DicomSeries, find_series
from lungsynth.data.records import Problem, Source, Trouble
from lungsynth.data.table_cases import Entry, TableCase
from lungsynth.io.reading import VOLUME_SUFFIXES, volume_suffix

FORM = "segmentations"
IMAGE_NAMES = ("ct", "image", "img")
MASK_NAMES = ("nodules", "nodule", "mask", "segmentation", "seg", "label")
FOLDERS = (("images", "masks"), ("images", "labels"), ("imagesTr", "labelsTr"))
_SUFFIXES = (*VOLUME_SUFFIXES, ".seg.nrrd")


def is_segmentations(folder: Path) -> bool:
    """Return whether a folder holds CTs with segmentations."""
    if not folder.is_dir():
        return False
    return any(True for _ in _pairs(folder)) or any(True for _ in _dicom_segs(folder))


def list_segmentations(folder: Path) -> Source:
    """List the CTs and their segmentations."""
    cases: list[TableCase] = []
    problems: list[Problem] = []
    for name, image, mask in _pairs(folder):
        if mask is None:
            msg = f"{name}: no segmentation belongs to this image"
            problems.append(Problem(name, Trouble.NO_ANNOTATION, msg, 0))
        elif image is None:
            msg = f"{name}: no image belongs to the segmentation {mask.name}"
            problems.append(Problem(name, Trouble.NO_IMAGE, msg))
        else:
            cases.append(_case(name, image, name, mask))
    segs = list(_dicom_segs(folder))
    if segs:
        series, troubles = find_series(folder)
        problems += troubles
        for path in segs:
            found = _dicom_case(path, folder, series)
            if isinstance(found, TableCase):
                cases.append(found)
            else:
                problems.append(found)
    return Source(FORM, folder, cases, problems)


def _case(name: str, image: Path, patient: str, mask: Path) -> TableCase:
    return TableCase(name, image, patient, (Entry(name, None, None, mask=mask),))


def _dicom_case(path: Path, folder: Path, series: dict[str, DicomSeries]) -> TableCase | Problem:
    name, uid = str(path.relative_to(folder)), referenced_series(path)
    if uid in series:
        found = series[uid]
        return _case(name, found.folder, found.patient or uid, path)
    msg = f"{name}: drawn on the series '{uid}', which is in none of the DICOM folders"
    return Problem(name, Trouble.NO_IMAGE, msg)


def _dicom_segs(folder: Path) -> Iterator[Path]:
    return (path for path in sorted(folder.rglob("*.dcm")) if is_segmentation(path))


def _pairs(folder: Path) -> Iterator[tuple[str, Path | None, Path | None]]:
    """Yield name, image and mask of each case; one of the two may be missing."""
    for image_folder, mask_folder in FOLDERS:
        images, masks = _by_stem(folder / image_folder), _by_stem(folder / mask_folder)
        if masks:
            for name in sorted({*images, *masks}):
                yield name, images.get(name), masks.get(name)
            return
    for place in sorted(path for path in [folder, *folder.iterdir()] if path.is_dir()):
        files = _by_stem(place)
        mask = next((files[name] for name in MASK_NAMES if name in files), None)
        image = next((files[name] for name in IMAGE_NAMES if name in files), None)
        if image is None and mask is not None:
            series = next((place / name for name in IMAGE_NAMES if (place / name).is_dir()), None)
            image = series
        if mask is not None:
            yield place.name, image, mask


def _by_stem(folder: Path) -> dict[str, Path]:
    """Return the images of a folder by their names without suffix and nnU-Net's channel."""
    found = {}
    for path in sorted(folder.iterdir()) if folder.is_dir() else []:
        suffix = volume_suffix(path)
        if path.is_file() and suffix in _SUFFIXES:
            found[path.name[: -len(suffix)].removesuffix("_0000")] = path
    return found
