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
from lungsynth.core.radiograph import (
    CONTRAST_RANGE,
    CXR_DIAMETER_RANGE_MM,
    CXR_DIAMETER_RANGE_PX,
    CxrNoduleSpec,
)
from lungsynth.core.shipped import shipped_file
from lungsynth.synthesizers import CXR_SYNTHESIZERS, SYNTHESIZERS, TRAINABLE
from lungsynth_slicer.kinds import DEFAULT_CXR_MM, DEFAULT_CXR_PX
from lungsynth_slicer.radiographs import isRadiograph, spacingOf
from lungsynth_slicer.seeds import Spec

ANY = "any"
"""What the panel calls a malignancy that is left open."""
NEED_A_BANK = ("copy-paste",)
"""Synthesizers that take real nodules from a folder: for studies, not for the panel."""
LARGEST_SEED = 2**31 - 1  # what a QSpinBox holds
WITHOUT_TORCH = ("procedural", "copy-paste", "ct-projection")
BEST_FOR_RADIOGRAPHS = ("shape-texture", "ct-projection", "procedural")
"""Which synthesizer is taken for a radiograph at first: the first of these that works."""
ANY_CONTRAST = 0.0
"""What stands for a contrast that is left to the synthesizer."""


def _isReady(name: str) -> bool:
    """Return whether a synthesizer works as installed: one that is trained needs its weights."""
    return name not in NEED_A_BANK and (
        name not in TRAINABLE or shipped_file(f"{name}.safetensors") is not None
    )


SYNTHESIZER_NAMES = sorted(filter(_isReady, SYNTHESIZERS))
CXR_SYNTHESIZER_NAMES = sorted(filter(_isReady, CXR_SYNTHESIZERS))
BEST_CXR = next(name for name in BEST_FOR_RADIOGRAPHS if name in CXR_SYNTHESIZER_NAMES)
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
    cxrSynthesizer: Annotated[str, Choice(CXR_SYNTHESIZER_NAMES)] = BEST_CXR
    weights: str = ""
    diameterMm: Annotated[float, WithinRange(*DIAMETER_RANGE_MM)] = 10.0
    cxrDiameterMm: Annotated[float, WithinRange(*CXR_DIAMETER_RANGE_MM)] = DEFAULT_CXR_MM
    cxrDiameterPx: Annotated[float, WithinRange(*CXR_DIAMETER_RANGE_PX)] = DEFAULT_CXR_PX
    contrast: Annotated[float, WithinRange(ANY_CONTRAST, CONTRAST_RANGE[1])] = ANY_CONTRAST
    attenuation: Annotated[str, Choice(ATTENUATIONS)] = str(Attenuation.SOLID)
    malignancy: Annotated[str, Choice(MALIGNANCIES)] = ANY
    latentSeed: Annotated[int, WithinRange(0, LARGEST_SEED)] = 0
    proposeCount: Annotated[int, WithinRange(1, 100)] = 3
    proposeSite: Annotated[str, Choice(SITES)] = "parenchyma"
    behindHeart: bool = False
    randomSeed: Annotated[int, WithinRange(0, LARGEST_SEED)] = 0
    livePreview: bool = True
    showSpheres: bool = True
    afterPercent: Annotated[int, WithinRange(0, 100)] = 100


def specOf(p: NoduleSynthParameterNode) -> Spec:
    """Return the nodule that the section Nodule shows, of the kind that the volume takes."""
    if isRadiograph(p.inputVolume):
        inMm = spacingOf(p.inputVolume) is not None
        asked = p.contrast >= CONTRAST_RANGE[0]
        return CxrNoduleSpec(
            diameter_mm=p.cxrDiameterMm if inMm else None,
            diameter_px=None if inMm else p.cxrDiameterPx,
            contrast=p.contrast if asked else None,
            latent_seed=p.latentSeed,
        )
    return NoduleSpec(
        diameter_mm=p.diameterMm,
        attenuation=p.attenuation,
        malignancy=None if p.malignancy == ANY else p.malignancy,
        latent_seed=p.latentSeed,
    )


def synthesizerOf(p: NoduleSynthParameterNode) -> str:
    """Return the synthesizer that works on the volume that is chosen."""
    return p.cxrSynthesizer if isRadiograph(p.inputVolume) else p.synthesizer


def showSpec(p: NoduleSynthParameterNode, spec: Spec) -> None:
    """Show a nodule in the section Nodule."""
    wasModified = p.StartModify()
    if isinstance(spec, CxrNoduleSpec):
        if spec.diameter_mm is not None:
            p.cxrDiameterMm = spec.diameter_mm
        else:
            p.cxrDiameterPx = spec.diameter_px
        p.contrast = ANY_CONTRAST if spec.contrast is None else spec.contrast
    else:
        p.diameterMm = spec.diameter_mm
        p.attenuation = str(spec.attenuation)
        p.malignancy = ANY if spec.malignancy is None else str(spec.malignancy)
    p.latentSeed = min(spec.latent_seed, LARGEST_SEED)
    p.EndModify(wasModified)
