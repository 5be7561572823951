"""Detectors of nodules in radiographs: RetinaNet [1] and Faster R-CNN [2] with a feature pyramid.

Those of shen2022, IV.A, written on plain torch (decision 14): no build of another library has to
match that of torch.

[1] Lin et al., Focal loss for dense object detection, ICCV 2017, arXiv:1708.02002v2.
[2] Ren et al., Faster R-CNN, NIPS 2015, arXiv:1506.01497v3.
"""

from lungsynth.detectors.nodules.config import PRESETS, NoduleDetectorConfig
from lungsynth.detectors.nodules.detector import Detections, NoduleDetector, load_nodule_detector

__all__ = [
    "PRESETS",
    "Detections",
    "NoduleDetector",
    "NoduleDetectorConfig",
    "load_nodule_detector",
]
