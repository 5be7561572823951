"""From a case to checked cubes: the one place where a nodule is found fit to be used or not."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from lungsynth.core.errors import LungSynthError
from lungsynth.core.nodule import DIAMETER_RANGE_MM, Attenuation, Malignancy
from lungsynth.core.volume import Volume
from lungsynth.data.cube_cutting import cut_cube, cut_mask
from lungsynth.data.derived import derive_attenuation, derive_mask
from lungsynth.data.nodule_cubes import CUBE_VOXELS, is_sane
from lungsynth.data.patient_split import split_of
from lungsynth.data.records import Case, CaseError, NoduleRecord, Problem, Trouble, VoxelMask
from lungsynth.data.tables import RATINGS

ROW_COLUMNS = (
    "name", "case", "patient", "series_uid", "split", "split_from", "source_r_mm", "source_a_mm",
    "source_s_mm", "centre_r_mm", "centre_a_mm", "centre_s_mm", "diameter_mm",
    "mask_equivalent_diameter_mm", "mask_mean_hu", "mask_from", "attenuation", "attenuation_from",
    "malignancy_class", "n_readers", "ambiguous", *RATINGS,
)  # fmt: skip
SOURCE, DERIVED, HASH = "source", "derived", "hash of the patient"
TEXTURES = {Attenuation.GROUND_GLASS: 1.0, Attenuation.PART_SOLID: 3.0, Attenuation.SOLID: 5.0}
RATED = {Malignancy.BENIGN: 1.0, Malignancy.MALIGNANT: 5.0}
"""What stands in the columns of ratings where a source gives the class alone."""
WHOLE_PART = 0.8
"""(ours) A mask in pieces is used if its largest holds this part of it; the rest is left out."""
_AIR_HU, _TISSUE_HU = -800.0, -700.0


@dataclass(frozen=True, eq=False)
class CutCase:
    """The nodules of one case that can be used, and why the others cannot.

    Args:
        hu8: Cubes (N, 48, 48, 48), HU = 8 * value - 1024.
        mask: Packed masks (N, 13824).
        rows: Their rows in the table, with ``ROW_COLUMNS``.
        problems: Why others are not here.
    """

    hu8: NDArray[np.uint8]
    mask: NDArray[np.uint8]
    rows: Sequence[dict[str, str]]
    problems: Sequence[Problem]


def cut_case(case: Case) -> CutCase:
    """Read a case, check its nodules and cut their cubes; what is wrong ends up in the result."""
    try:
        reading = case.read()
    except CaseError as error:
        return _nothing(Problem(case.name, error.trouble, f"{case.name}: {error}", case.nodules))
    except (LungSynthError, OSError, MemoryError) as error:
        text = f"{case.name}: {error}" if case.name not in str(error) else str(error)
        return _nothing(Problem(case.name, Trouble.IMAGE, text, case.nodules))
    except Exception as error:  # noqa: BLE001 - one file must not end the reading of a thousand
        text = f"{case.name}: reading it failed: {type(error).__name__}: {error}"
        return _nothing(Problem(case.name, Trouble.IMAGE, _one_line(text), case.nodules))
    problems = list(reading.problems)
    cubes, masks, rows = [], [], []
    earlier: list[NoduleRecord] = []
    for record in reading.records:
        try:
            check_record(record, reading.volume, earlier)
            hu, mask, row = _cut(record, reading.volume)
        except CaseError as error:
            msg = f"{record.name}: {error}"
            problems.append(Problem(record.name, error.trouble, msg))
            continue
        earlier.append(record)
        cubes.append(np.rint((hu + 1024) / 8).clip(0, 255).astype(np.uint8))
        masks.append(np.packbits(mask.ravel()))
        rows.append({**row, "case": case.name})
    if not cubes:
        return _nothing(*problems)
    return CutCase(np.stack(cubes), np.stack(masks), rows, problems)


def _one_line(text: str) -> str:
    return " ".join(text.split())[:400]


def _nothing(*problems: Problem) -> CutCase:
    return CutCase(
        np.zeros((0, *(CUBE_VOXELS,) * 3), np.uint8),
        np.zeros((0, CUBE_VOXELS**3 // 8), np.uint8),
        [],
        problems,
    )


def check_record(record: NoduleRecord, volume: Volume, earlier: Sequence[NoduleRecord]) -> None:
    """Refuse a nodule whose numbers cannot be right.

    Raises:
        CaseError: If its diameter, its place or its likeness to an earlier one are wrong.
    """
    low, high = DIAMETER_RANGE_MM
    if not low <= record.diameter_mm <= high:
        msg = f"its diameter is {record.diameter_mm:g} mm; {low:g} to {high:g} mm are allowed"
        raise CaseError(Trouble.SIZE, msg)
    place = "RAS ({:.1f}, {:.1f}, {:.1f}) mm".format(*record.position_ras_mm)
    r, a, s = record.position_ras_mm
    turned = (-r, -a, s)
    if not _contains(volume, record.position_ras_mm):
        if _contains(volume, turned):
            msg = (
                f"{place} is outside of the image and would be inside with the signs of the first "
                "two numbers changed: LPS and RAS seem to be mixed up"
            )
            raise CaseError(Trouble.MIXED_AXES, msg)
        msg = f"{place} is outside of the image"
        raise CaseError(Trouble.OUTSIDE, msg)
    if record.mask is None and _contains(volume, turned):
        here, there = (
            _level(volume, p, record.diameter_mm) for p in (record.position_ras_mm, turned)
        )
        if here < _AIR_HU and there > _TISSUE_HU:
            msg = (
                f"{place} holds air ({here:.0f} HU), but tissue with the signs of the first two "
                f"numbers changed ({there:.0f} HU): LPS and RAS seem to be mixed up"
            )
            raise CaseError(Trouble.MIXED_AXES, msg)
    for other in earlier:
        apart = math.dist(other.position_ras_mm, record.position_ras_mm)
        if apart < max(1.0, min(other.diameter_mm, record.diameter_mm) / 4):
            msg = f"{apart:.1f} mm from {other.name}: the same nodule a second time"
            raise CaseError(Trouble.DUPLICATE, msg)


def _contains(volume: Volume, ras_mm: tuple[float, float, float]) -> bool:
    ijk = volume.ras_to_ijk(ras_mm)
    size = np.array(volume.voxels.shape[::-1])
    return bool((ijk >= -0.5).all() and (ijk <= size - 0.5).all())


def _level(volume: Volume, ras_mm: tuple[float, float, float], diameter_mm: float) -> float:
    """Return the mean intensity around a point, within a quarter of the diameter."""
    reach = np.maximum(diameter_mm / 4 / volume.spacing_mm, 0.5)
    at = volume.ras_to_ijk(ras_mm)
    low = np.maximum(np.rint(at - reach), 0).astype(int)
    high = np.minimum(np.rint(at + reach).astype(int) + 1, volume.voxels.shape[::-1])
    box = tuple(slice(a, b) for a, b in zip(low[::-1], high[::-1], strict=True))
    return float(np.asarray(volume.voxels[box], np.float64).mean())


def _cut(
    record: NoduleRecord, volume: Volume
) -> tuple[NDArray[np.float32], NDArray[np.bool_], dict[str, str]]:
    """Return a nodule's cube, its mask in it, and its row."""
    if record.mask is None:
        centre = record.position_ras_mm
        hu = cut_cube(volume, centre)
        mask, mask_from = derive_mask(hu, record.diameter_mm), DERIVED
    else:
        whole = largest_part(record.mask)
        centre, mask_from = whole.middle_ras_mm(volume), SOURCE
        hu, mask = cut_cube(volume, centre), cut_mask(volume, whole, centre)
    if not mask.any():
        raise CaseError(Trouble.EMPTY_MASK, "its mask holds no voxel of 1 mm")
    if not is_sane(mask):
        msg = "its mask is in pieces, off the middle, or reaches beyond the cube of 48 mm"
        raise CaseError(Trouble.MASK, msg)
    attenuation, attenuation_from = record.attenuation, SOURCE
    if attenuation is None:
        attenuation, attenuation_from = derive_attenuation(hu, mask), DERIVED
    ratings = {"texture": TEXTURES[attenuation], **record.ratings}
    if record.malignancy is not None:
        ratings.setdefault("malignancy", RATED[record.malignancy])
    texts = {name: f"{value:g}" for name, value in ratings.items() if name in RATINGS}
    source = dict(zip("ras", record.position_ras_mm, strict=True))
    row = {
        "name": record.name,
        "patient": record.patient,
        "series_uid": record.image.name,
        "split": record.split or split_of(record.patient),
        "split_from": SOURCE if record.split else HASH,
        **{f"source_{axis}_mm": f"{value:.3f}" for axis, value in source.items()},
        **{f"centre_{a}_mm": f"{x:.3f}" for a, x in zip("ras", centre, strict=True)},
        "diameter_mm": f"{record.diameter_mm:.3f}",
        "mask_equivalent_diameter_mm": f"{float(np.cbrt(6 * mask.sum() / np.pi)):.3f}",
        "mask_mean_hu": f"{float(hu[mask].mean()):.1f}",
        "mask_from": mask_from,
        "attenuation": attenuation.value,
        "attenuation_from": attenuation_from,
        "malignancy_class": record.malignancy.value if record.malignancy else "",
        "n_readers": str(record.n_readers) if record.n_readers else "",
        "ambiguous": "0",
        **texts,
    }
    return hu, mask, row


def largest_part(mask: VoxelMask) -> VoxelMask:
    """Return the largest connected part of a mask.

    Raises:
        CaseError: If the mask is empty, or in pieces none of which is most of it.
    """
    if not mask:
        raise CaseError(Trouble.EMPTY_MASK, "its mask is empty")
    labels, _ = ndimage.label(mask.voxels, structure=np.ones((3, 3, 3), bool))
    sizes = np.bincount(labels.ravel())
    sizes[0] = 0
    if sizes.max() < WHOLE_PART * sizes.sum():
        msg = f"its mask is in pieces; the largest is {100 * sizes.max() / sizes.sum():.0f} % of it"
        raise CaseError(Trouble.MASK, msg)
    return replace(mask, voxels=labels == int(sizes.argmax()))
