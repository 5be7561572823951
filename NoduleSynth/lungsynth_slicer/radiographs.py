"""Volume nodes of one slice as the library's radiographs, without copying a pixel."""

from __future__ import annotations

import math
from functools import lru_cache

import slicer

from lungsynth.core.errors import LungSynthError
from lungsynth.core.radiograph import Photometric, Radiograph
from lungsynth.io.plausible_radiograph import LARGEST_SIDE_MM
from lungsynth_slicer.volumes import volumeFromNode

PHOTOMETRIC = "NoduleSynth.PhotometricInterpretation"
"""Attribute of a volume: what the user says of it."""
DICOM_TAG = "0028,0004"
INVERTED_GREY = "vtkMRMLColorTableNodeInvertedGrey"


def isRadiograph(node: slicer.vtkMRMLScalarVolumeNode | None) -> bool:
    """Return whether a volume has one slice: that of a CT is refused by its values."""
    image = node.GetImageData() if node is not None else None
    return image is not None and image.GetDimensions()[2] == 1 and image.GetNumberOfPoints() > 1


def spacingOf(node: slicer.vtkMRMLScalarVolumeNode) -> tuple[float, float] | None:
    """Return the distance of rows and of columns in mm; None where it is not known.

    Slicer gives 1 x 1 mm to a picture that does not say.
    """
    columnMm, rowMm = node.GetSpacing()[:2]
    columns, rows = node.GetImageData().GetDimensions()[:2]
    standsIn = rowMm == columnMm == 1.0
    if standsIn or max(rows * rowMm, columns * columnMm) > LARGEST_SIDE_MM:
        return None
    return rowMm, columnMm


def photometricOf(node: slicer.vtkMRMLScalarVolumeNode) -> Photometric:
    """Return whether dense tissue has larger or smaller values.

    What the user said counts, then what the DICOM file says, then how the volume is shown: one
    that is shown in inverted grey has dense tissue dark.
    """
    said = node.GetAttribute(PHOTOMETRIC) or dicomValue(node, DICOM_TAG)
    if said in set(Photometric):
        return Photometric(said)
    display = node.GetDisplayNode()
    inverted = display is not None and display.GetColorNodeID() == INVERTED_GREY
    return Photometric.MONOCHROME1 if inverted else Photometric.MONOCHROME2


def setPhotometric(node: slicer.vtkMRMLScalarVolumeNode, photometric: Photometric) -> None:
    """Note what the user says of a volume."""
    node.SetAttribute(PHOTOMETRIC, str(photometric))


def dicomValue(node: slicer.vtkMRMLScalarVolumeNode, tag: str) -> str:
    """Return what the DICOM file of a volume says, empty where it is from none.

    Args:
        node: The volume.
        tag: Such as "0028,0004".
    """
    uids = (node.GetAttribute("DICOM.instanceUIDs") or "").split()
    if not uids or getattr(slicer, "dicomDatabase", None) is None:
        return ""
    return _valueInDatabase(uids[0], tag)


@lru_cache(maxsize=256)  # a panel asks again and again
def _valueInDatabase(uid: str, tag: str) -> str:
    return str(slicer.dicomDatabase.instanceValue(uid, tag)).strip()


def radiographFromNode(node: slicer.vtkMRMLScalarVolumeNode | None) -> Radiograph:
    """Return a volume node of one slice as a value that shares its memory.

    Raises:
        LungSynthError: If there is no node, it holds no scalar image of one slice, or it is under
            a transform.
    """
    volume = volumeFromNode(node)
    if len(volume.voxels) != 1:
        msg = f"volume '{node.GetName()}' has {len(volume.voxels)} slices; a radiograph has one"
        raise LungSynthError(msg)
    return Radiograph(volume.voxels[0], volume.ijk_to_ras, spacingOf(node), photometricOf(node))


def pixelMm(node: slicer.vtkMRMLScalarVolumeNode) -> float:
    """Return the side of a pixel as the scene counts it: of a stand-in spacing too."""
    return math.sqrt(math.prod(node.GetSpacing()[:2]))
