"""Nodules that a table places in an image: by a point and a diameter, by a mask, or both."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from lungsynth.core.nodule import Attenuation, Malignancy
from lungsynth.core.volume import Volume
from lungsynth.data.mask_files import masks_in, pick_mask, read_label_map
from lungsynth.data.records import (
    CaseError,
    NoduleRecord,
    Point,
    Problem,
    Reading,
    Trouble,
    VoxelMask,
)
from lungsynth.io.reading import read_ct


@dataclass(frozen=True)
class Entry:
    """One row of a table.

    Args:
        name: How messages call it.
        position_ras_mm: None where the mask says where the nodule is.
        diameter_mm: None where the mask says how large it is.
        mask: File with the mask, of the image's geometry.
        mask_label: Which value in that file is the nodule; None takes what lies at the position,
            or every connected part where there is no position.
        split: The split that the table puts it into.
    """

    name: str
    position_ras_mm: Point | None
    diameter_mm: float | None
    attenuation: Attenuation | None = None
    malignancy: Malignancy | None = None
    ratings: Mapping[str, float] = field(default_factory=dict)
    mask: Path | None = None
    mask_label: int | None = None
    split: str | None = None


@dataclass(frozen=True)
class TableCase:
    """An image and the rows that belong to it."""

    name: str
    image: Path
    patient: str
    entries: tuple[Entry, ...]

    @property
    def nodules(self) -> int:
        """How many rows there are."""
        return len(self.entries)

    @property
    def files(self) -> Sequence[Path]:
        """The image and the masks; a header in text may keep its voxels in a .raw or .zraw."""
        beside = [self.image.with_suffix(end) for end in (".raw", ".zraw")]
        masks = sorted({entry.mask for entry in self.entries if entry.mask is not None})
        return [self.image, *(path for path in beside if path.is_file()), *masks]

    def read(self) -> Reading:
        """Read the image and the masks.

        Raises:
            LungSynthError: If the image cannot be used.
        """
        volume = read_ct(self.image)
        records: list[NoduleRecord] = []
        problems: list[Problem] = []
        for entry in self.entries:
            try:
                records += self._records(entry, volume)
            except CaseError as error:
                problems.append(Problem(entry.name, error.trouble, str(error)))
        return Reading(volume, records, problems)

    def _records(self, entry: Entry, volume: Volume) -> list[NoduleRecord]:
        if entry.mask is None:
            return [self._record(entry, entry.name, volume, None)]
        labels = read_label_map(entry.mask, volume)
        if entry.position_ras_mm is not None or entry.mask_label is not None:
            mask = pick_mask(
                labels, volume, entry.mask, label=entry.mask_label, at=entry.position_ras_mm
            )
            return [self._record(entry, entry.name, volume, mask)]
        masks = masks_in(labels, entry.mask)
        if len(masks) == 1:
            return [self._record(entry, entry.name, volume, masks[0])]
        return [
            self._record(entry, f"{entry.name}, part {number}", volume, mask)
            for number, mask in enumerate(masks, start=1)
        ]

    def _record(
        self, entry: Entry, name: str, volume: Volume, mask: VoxelMask | None
    ) -> NoduleRecord:
        position, diameter = entry.position_ras_mm, entry.diameter_mm
        if mask is not None:
            position = position or mask.centroid_ras_mm(volume)
            diameter = mask.diameter_mm(volume) if diameter is None else diameter
        if position is None or diameter is None:
            msg = f"{name}: neither a position and a diameter nor a mask is given"
            raise CaseError(Trouble.VALUE, msg)
        return NoduleRecord(
            name=name,
            image=self.image,
            position_ras_mm=position,
            diameter_mm=diameter,
            patient=self.patient,
            attenuation=entry.attenuation,
            malignancy=entry.malignancy,
            ratings=entry.ratings,
            mask=mask,
            split=entry.split,
        )


def settle_splits(cases: Sequence[TableCase]) -> tuple[list[TableCase], list[Problem]]:
    """Give all nodules of a patient one split, where the table states splits.

    A patient that the table puts into several is taken out of train, so that nothing is measured
    on whom was trained on; if val and test share one, test keeps it.
    """
    stated: dict[str, set[str]] = defaultdict(set)
    for case in cases:
        stated[case.patient] |= {entry.split for entry in case.entries if entry.split}
    kept, problems = [], []
    for case in cases:
        splits = stated[case.patient]
        chosen = next((split for split in ("test", "val", "train") if split in splits), None)
        entries = []
        for entry in case.entries:
            if entry.split in (chosen, None):
                entries.append(replace(entry, split=chosen))
                continue
            msg = (
                f"{entry.name}: patient {case.patient} is in {' and in '.join(sorted(splits))}; "
                f"only those in {chosen} are taken"
            )
            problems.append(Problem(entry.name, Trouble.TWO_SPLITS, msg))
        if entries:
            kept.append(replace(case, entries=tuple(entries)))
    return kept, problems
