"""What the panel shows and the scene saves."""

from typing import Annotated

from slicer import vtkMRMLScalarVolumeNode
from slicer.parameterNodeWrapper import Choice, Decimals, WithinRange, parameterNodeWrapper

HIGHEST_THRESHOLD = 20.0  # standard deviations of normals
LAYERS = ["heatmap", "normal", "difference"]
"""What is shown in front of the radiograph; the fields of ``Outputs`` are called so."""


@parameterNodeWrapper
class AnomalyScanParameterNode:
    """The panel's state; each widget names its field by the property SlicerParameterName."""

    inputVolume: vtkMRMLScalarVolumeNode
    falsePositivePercent: Annotated[float, WithinRange(0.1, 50.0), Decimals(1)] = 5.0
    threshold: Annotated[float, WithinRange(0.0, HIGHEST_THRESHOLD), Decimals(1)] = 3.0
    opacityPercent: Annotated[float, WithinRange(0.0, 100.0), Decimals(0)] = 60.0
    layer: Annotated[str, Choice(LAYERS)] = LAYERS[0]
    showRegions: bool = True
    device: Annotated[str, Choice(["auto", "cpu", "cuda"])] = "auto"
    calibration: str = ""
    generator: str = ""
    encoder: str = ""
