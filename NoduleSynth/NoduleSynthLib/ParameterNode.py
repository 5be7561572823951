"""What the panel shows and the scene saves; not the synthesizers' configuration."""

from typing import Annotated

from slicer import (
    vtkMRMLMarkupsFiducialNode,
    vtkMRMLScalarVolumeNode,
    vtkMRMLSegmentationNode,
    vtkMRMLTableNode,
)
from slicer.parameterNodeWrapper import Choice, WithinRange, parameterNodeWrapper

from lungsynth.core.nodule import DIAMETER_RANGE_MM, Attenuation, Malignancy, NoduleSpec
from lungsynth.core.shipped import shipped_file
from lungsynth.synthesizers import SYNTHESIZERS, TRAINABLE

ANY = "any"
"""What the panel calls a malignancy that is left open."""
NEED_A_BANK = ("copy-paste",)
"""Synthesizers that take real nodules from a folder: for studies, not for the panel."""
LARGEST_SEED = 2**31 - 1  # what a QSpinBox holds
WITHOUT_TORCH = ("procedural", "copy-paste")


def _isReady(name: str) -> bool:
    """Return whether a synthesizer works as installed: one that is trained needs its weights."""
    return name not in NEED_A_BANK and (
        name not in TRAINABLE or shipped_file(f"{name}.safetensors") is not None
    )


SYNTHESIZER_NAMES = sorted(filter(_isReady, SYNTHESIZERS))
ATTENUATIONS = [str(kind) for kind in Attenuation]
MALIGNANCIES = [ANY, *(str(kind) for kind in Malignancy)]
SITES = ["parenchyma", "juxta-pleural", "juxta-vascular"]


@parameterNodeWrapper
class NoduleSynthParameterNode:
    """The panel's state; each widget names its field by the property SlicerParameterName."""

    inputVolume: vtkMRMLScalarVolumeNode
    outputVolume: vtkMRMLScalarVolumeNode
    seeds: vtkMRMLMarkupsFiducialNode
    segmentation: vtkMRMLSegmentationNode
    table: vtkMRMLTableNode
    synthesizer: Annotated[str, Choice(SYNTHESIZER_NAMES)] = "mcgan"
    device: Annotated[str, Choice(["auto", "cpu", "cuda"])] = "auto"
    weights: str = ""
    diameterMm: Annotated[float, WithinRange(*DIAMETER_RANGE_MM)] = 10.0
    attenuation: Annotated[str, Choice(ATTENUATIONS)] = str(Attenuation.SOLID)
    malignancy: Annotated[str, Choice(MALIGNANCIES)] = ANY
    latentSeed: Annotated[int, WithinRange(0, LARGEST_SEED)] = 0
    proposeCount: Annotated[int, WithinRange(1, 100)] = 3
    proposeSite: Annotated[str, Choice(SITES)] = "parenchyma"
    randomSeed: Annotated[int, WithinRange(0, LARGEST_SEED)] = 0
    livePreview: bool = True
    showSpheres: bool = True
    afterPercent: Annotated[int, WithinRange(0, 100)] = 100


def specOf(p: NoduleSynthParameterNode) -> NoduleSpec:
    """Return the nodule that the section Nodule shows."""
    return NoduleSpec(
        diameter_mm=p.diameterMm,
        attenuation=p.attenuation,
        malignancy=None if p.malignancy == ANY else p.malignancy,
        latent_seed=p.latentSeed,
    )


def showSpec(p: NoduleSynthParameterNode, spec: NoduleSpec) -> None:
    """Show a nodule in the section Nodule."""
    wasModified = p.StartModify()
    p.diameterMm = spec.diameter_mm
    p.attenuation = str(spec.attenuation)
    p.malignancy = ANY if spec.malignancy is None else str(spec.malignancy)
    p.latentSeed = min(spec.latent_seed, LARGEST_SEED)
    p.EndModify(wasModified)
