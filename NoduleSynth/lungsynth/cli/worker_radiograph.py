"""What the worker does where the open volume is a radiograph: the same requests, in pixels."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from lungsynth.cli import protocol
from lungsynth.cli.protocol import Request
from lungsynth.core.errors import LungSynthError
from lungsynth.core.radiograph import CxrNoduleSpec, CxrSeed, Photometric, Radiograph
from lungsynth.imaging.lung_fields import LungFields, find_lung_fields
from lungsynth.imaging.radiograph_insertion import BATCH, ROUNDS, CxrAttempt, paint_nodules
from lungsynth.imaging.radiograph_placement import check_cxr_seeds, check_radiograph
from lungsynth.imaging.radiograph_proposal import CxrPopulation, draw_cxr_nodule, propose_cxr_seeds

if TYPE_CHECKING:
    from lungsynth.core.contracts import CxrSynthesizer

OUTSIDE = "the seed lies outside the lung fields"


class RadiographDesk:
    """Holds a radiograph, and the lungs in it once they were looked for.

    Args:
        voxels: Pixels as a volume of one slice, (1, rows, columns).
        request: Says where they lie, ``photometric`` and ``pixel_spacing_mm``.

    Raises:
        LungSynthError: If they are no radiograph.
    """

    def __init__(self, voxels: NDArray[np.generic], request: Request) -> None:
        name = request.text("name", "the volume")
        if voxels.ndim != 3 or voxels.shape[0] != 1:
            msg = f"{name}: a radiograph has one slice; got shape {voxels.shape}"
            raise LungSynthError(msg)
        spacing = request.numbers("pixel_spacing_mm", 2)
        self.image = Radiograph(
            voxels[0],
            request.matrix("ijk_to_ras"),
            None if spacing is None else (spacing[0], spacing[1]),
            Photometric(request.text("photometric", "MONOCHROME2")),
        )
        check_radiograph(self.image)
        self._fields: LungFields | None = None
        self._searched = ""  # why there are no fields

    def make(
        self,
        seeds: list[CxrSeed],
        synthesizer: CxrSynthesizer,
        request: Request,
        rounds: int | None,
        on_progress: Callable[[int, int], None],
    ) -> list[CxrAttempt]:
        """Paint nodules; each says in its details if it lies outside the lung fields."""
        earlier = request.cxr_taken("earlier")
        check_cxr_seeds(self.image, seeds, earlier=earlier)  # type: ignore[arg-type] # box and seed are read
        attempts: list[CxrAttempt] = []
        for first in range(0, len(seeds), BATCH):
            part = seeds[first : first + BATCH]
            made = paint_nodules(self.image, part, synthesizer, rounds=rounds or ROUNDS)
            attempts += [
                replace(attempt, details=dict(attempt.details) | self._place(seed, rounds))
                for seed, attempt in zip(part, made, strict=True)
            ]
            on_progress(len(attempts), len(seeds))
        return attempts

    def _place(self, seed: CxrSeed, rounds: int | None) -> dict[str, str]:
        if rounds is not None:  # a preview: no one reads it
            return {}
        note = self.note(seed)
        return {"note": note} if note else {}

    def note(self, seed: CxrSeed) -> str:
        """Return a warning where a seed lies outside the lung fields; empty if all is well."""
        fields = self.fields()
        if fields is None:
            return ""
        inside = fields.mask(self.image.pixels.shape, behind=True)
        row, column = np.rint(self.image.ras_to_pixel(seed.position_ras_mm)).astype(int)
        return "" if inside[row, column] else OUTSIDE

    def fields(self) -> LungFields | None:
        """Return the lung fields; None where they can't be found."""
        if self._fields is None and not self._searched:
            try:
                self._fields = find_lung_fields(self.image)
            except LungSynthError as error:
                self._searched = str(error)
            except ModuleNotFoundError as error:
                self._searched = f"the lung fields need the Python package '{error.name}'"
        return self._fields

    def propose(self, request: Request) -> list[CxrSeed]:
        """Return seeds in the lung fields.

        Raises:
            LungSynthError: If there are no lung fields, or not enough room.
        """
        fields = self.fields()
        if fields is None:
            raise LungSynthError(self._searched)
        rng = np.random.default_rng(request.whole("random_seed", 0))
        diameter_mm, diameter_px = request.number("diameter_mm"), request.number("diameter_px")
        contrast = request.number("contrast")
        specs: list[CxrNoduleSpec] = []
        for _ in range(request.whole("count", None)):
            drawn = draw_cxr_nodule(CxrPopulation(), self.image, rng, contrast)
            if diameter_mm is not None or diameter_px is not None:
                drawn = replace(drawn, diameter_mm=diameter_mm, diameter_px=diameter_px)
            specs.append(drawn)
        behind = request.values.get("behind") is True
        inside = fields.mask(self.image.pixels.shape, behind=behind)
        for taken in request.cxr_taken("earlier"):
            (_, row0, column0), (_, row1, column1) = taken.box
            inside[row0:row1, column0:column1] = False
        return propose_cxr_seeds(self.image, inside, specs, rng)

    def check(self, request: Request) -> dict[str, object]:
        """Return which seeds cannot work, and which are likely not where they are meant."""
        earlier = request.cxr_taken("earlier")
        good: list[CxrSeed] = []
        problems: list[dict[str, object]] = []
        warnings: list[dict[str, object]] = []
        for index, value in enumerate(request.listed("seeds")):
            try:
                seed = protocol.parse_cxr_seed(value)
                check_cxr_seeds(self.image, [*good, seed], earlier=earlier)  # type: ignore[arg-type] # as above
                good.append(seed)
            except LungSynthError as error:
                problems.append({"index": index, "message": str(error)})
            else:
                note = self.note(seed)
                warnings += [{"index": index, "message": f"{seed}: {note}"}] if note else []
        return {"problems": problems, "warnings": warnings}


def load_for_radiographs(name: str, device: str, weights: Path | None) -> CxrSynthesizer:
    """Load a synthesizer for radiographs.

    Raises:
        LungSynthError: If there is none of that name, or what it needs is missing.
    """
    from lungsynth.synthesizers import load_cxr_synthesizer

    try:
        return load_cxr_synthesizer(name, weights=weights, device=device)
    except ModuleNotFoundError as error:
        msg = f"'{name}' needs the Python package '{error.name}', which is not installed"
        raise LungSynthError(msg) from None


def warm_up(synthesizer: CxrSynthesizer) -> None:
    """Paint a nodule that no one sees, so that the first real one is quick."""
    from lungsynth.core.contracts import PATCH_PIXELS

    patch = np.zeros((1, PATCH_PIXELS, PATCH_PIXELS), np.float32)
    synthesizer.paint(patch, [CxrNoduleSpec(diameter_px=40.0)], [40.0])
