"""What differs between a CT and a radiograph, in one place: the rest asks it here."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import slicer
from numpy.typing import NDArray

from lungsynth.core.insertion import Insertion, Taken
from lungsynth.core.nodule import NoduleSpec, Seed
from lungsynth.core.radiograph import CxrNoduleSpec, CxrSeed, Kind, Radiograph
from lungsynth.core.radiograph_insertion import CxrInsertion, CxrTaken
from lungsynth.core.volume import Volume
from lungsynth.imaging.attempt import Attempt, measure
from lungsynth.imaging.insertion import paste
from lungsynth.imaging.placement import check_seeds, place_note
from lungsynth.imaging.proposal import box_side_mm
from lungsynth.imaging.radiograph_insertion import (
    CxrAttempt,
    measure_nodule,
    paste_into_radiograph,
)
from lungsynth.imaging.radiograph_placement import EDGE_PIXELS, REACH, check_cxr_seeds
from lungsynth.imaging.voi import locate_voi
from lungsynth_slicer.radiographs import isRadiograph, pixelMm, radiographFromNode
from lungsynth_slicer.seeds import DEFAULT_SPEC, Spec
from lungsynth_slicer.volumes import volumeFromNode

DEFAULT_CXR_MM, DEFAULT_CXR_PX = 15.0, 60.0


class _Boxes:
    """How large a box a nodule needs: all that a check has to know about a synthesizer."""

    box_mm = staticmethod(box_side_mm)


class CtKind:
    """Nodules in three dimensions."""

    kind = Kind.CT

    def defaultSpec(self, _node: slicer.vtkMRMLScalarVolumeNode) -> Spec:
        """Return the nodule where nobody says more."""
        return DEFAULT_SPEC

    def takes(self, spec: Spec) -> bool:
        """Return whether a nodule is one for this kind of volume."""
        return isinstance(spec, NoduleSpec)

    def image(self, node: slicer.vtkMRMLScalarVolumeNode) -> Volume:
        """Return a node as a value of the library."""
        return volumeFromNode(node)

    def openValues(self, _node: slicer.vtkMRMLScalarVolumeNode) -> dict[str, Any]:
        """Return what the worker must know beside the voxels and their matrix."""
        return {}

    def check(self, image: Volume, seed: Seed, earlier: list[Taken]) -> None:
        """Refuse a seed that cannot work; see ``check_seeds``."""
        check_seeds(image, [seed], _Boxes, earlier=earlier)

    def note(self, image: Volume, seed: Seed) -> str:
        """Return a warning where a seed is likely not where it is meant."""
        return place_note(image, seed)

    def taken(self, image: Volume, seed: Seed) -> Taken:
        """Return the place that a nodule will take."""
        voi = locate_voi(image, seed.position_ras_mm, box_side_mm(seed.spec.diameter_mm))
        return Taken(seed, voi.box)

    def sideMm(self, _image: Volume, seed: Seed) -> float:
        """Return the side of the box of a nodule."""
        return box_side_mm(seed.spec.diameter_mm)

    def diameterMm(self, _node: slicer.vtkMRMLScalarVolumeNode, spec: Spec) -> float:
        """Return the diameter of a nodule as the scene counts mm."""
        return spec.diameter_mm

    def paste(self, voxels: NDArray[Any], image: Volume, seed: Seed, attempt: Attempt) -> Insertion:
        """Put a nodule into the voxels of an output, (K, J, I)."""
        return paste(voxels, image, seed, attempt)

    def attempt(
        self, image: Volume, taken: Taken, now: NDArray[Any], mask: NDArray[Any], new: NDArray[Any]
    ) -> Attempt:
        """Return a nodule of a loaded scene, for putting it back; arrays as the box's."""
        return Attempt(taken.box, new, mask, measure(now, mask, image.voxel_mm3), {})

    def insertion(
        self, image: Volume, taken: Taken, attempt: Attempt, before: NDArray[Any]
    ) -> Insertion:
        """Return the record of a nodule of a loaded scene."""
        del image
        return Insertion(
            seed=taken.seed,
            measured=attempt.measured,
            box=attempt.box,
            mask=attempt.mask,
            before=before,
            within_tolerance=attempt.miss(taken.seed) <= 1,
        )

    def voxels(self, attempt: Attempt) -> NDArray[Any]:
        """Return the new voxels of the box, (K, J, I)."""
        return attempt.voxels


class RadiographKind:
    """Nodules in an image of one slice; see ``CtKind`` for what each method is for."""

    kind = Kind.RADIOGRAPH

    def defaultSpec(self, node: slicer.vtkMRMLScalarVolumeNode) -> Spec:
        """Return 15 mm, or 60 pixels where the spacing is not known."""
        if radiographFromNode(node).pixel_spacing_mm is None:
            return CxrNoduleSpec(diameter_px=DEFAULT_CXR_PX)
        return CxrNoduleSpec(diameter_mm=DEFAULT_CXR_MM)

    def takes(self, spec: Spec) -> bool:
        """Return whether a nodule is one for this kind of volume."""
        return isinstance(spec, CxrNoduleSpec)

    def image(self, node: slicer.vtkMRMLScalarVolumeNode) -> Radiograph:
        """Return a node as a value of the library."""
        return radiographFromNode(node)

    def openValues(self, node: slicer.vtkMRMLScalarVolumeNode) -> dict[str, Any]:
        """Return how the worker is to read the pixels."""
        image = radiographFromNode(node)
        spacing = image.pixel_spacing_mm
        return {
            "kind": str(Kind.RADIOGRAPH),
            "photometric": str(image.photometric),
            "pixel_spacing_mm": None if spacing is None else list(spacing),
        }

    def check(self, image: Radiograph, seed: CxrSeed, earlier: list[CxrTaken]) -> None:
        """Refuse a seed that cannot work; see ``check_cxr_seeds``."""
        check_cxr_seeds(image, [seed], earlier=earlier)

    def note(self, _image: Radiograph, _seed: CxrSeed) -> str:
        """Return nothing: where the lung fields are, only the worker knows."""
        return ""

    def taken(self, image: Radiograph, seed: CxrSeed) -> CxrTaken:
        """Return the place that a nodule will take, as ``check_cxr_seeds`` counts it."""
        row, column = image.ras_to_pixel(seed.position_ras_mm)
        half = REACH * seed.spec.diameter_in_pixels(image) + EDGE_PIXELS
        low = (0, round(row - half), round(column - half))
        high = (1, round(row + half) + 1, round(column + half) + 1)
        return CxrTaken(seed, (low, high))

    def diameterMm(self, node: slicer.vtkMRMLScalarVolumeNode, spec: Spec) -> float:
        """Return the diameter of a nodule as the scene counts mm."""
        if spec.diameter_px is not None:
            return spec.diameter_px * pixelMm(node)
        return spec.diameter_mm

    def paste(
        self, voxels: NDArray[Any], image: Radiograph, seed: CxrSeed, attempt: CxrAttempt
    ) -> CxrInsertion:
        """Put a nodule into the voxels of an output, (1, rows, columns)."""
        made = paste_into_radiograph(voxels[0], image, seed, attempt)
        note = "; ".join(filter(None, (made.note, attempt.details.get("note", ""))))
        return replace(made, note=note)

    def attempt(
        self,
        image: Radiograph,
        taken: CxrTaken,
        now: NDArray[Any],
        mask: NDArray[Any],
        new: NDArray[Any],
    ) -> CxrAttempt:
        """Return a nodule of a loaded scene, for putting it back; arrays as the box's."""
        (_, row0, column0), (_, row1, column1) = taken.box
        source = image.pixels[row0:row1, column0:column1]
        measured = measure_nodule(image, source, now[0], mask[0])
        return CxrAttempt(taken.box, new[0], mask[0], measured, {})

    def insertion(
        self, image: Radiograph, taken: CxrTaken, attempt: CxrAttempt, before: NDArray[Any]
    ) -> CxrInsertion:
        """Return the record of a nodule of a loaded scene."""
        return CxrInsertion(
            seed=taken.seed,
            measured=attempt.measured,
            box=attempt.box,
            mask=attempt.mask[None],
            before=before,
            within_tolerance=attempt.miss(taken.seed.spec.diameter_in_pixels(image)) <= 1,
        )

    def voxels(self, attempt: CxrAttempt) -> NDArray[Any]:
        """Return the new pixels of the box, (1, rows, columns)."""
        return attempt.pixels[None]


CT_KIND, RADIOGRAPH_KIND = CtKind(), RadiographKind()


def kindOf(node: slicer.vtkMRMLScalarVolumeNode | None) -> CtKind | RadiographKind:
    """Return what a volume is taken for: one slice is a radiograph, all else a CT."""
    return RADIOGRAPH_KIND if isRadiograph(node) else CT_KIND
