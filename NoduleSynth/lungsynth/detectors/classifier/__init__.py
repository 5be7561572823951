"""A classifier of radiographs: which findings, from labels of whole images.

[1] Kim, Image synthesis and anomaly detection on chest radiographs using generative adversarial
networks, University of Ulsan, 2021, sections 2.2 and 3.2: ResNet-50 with sigmoid outputs.

Departures from [1]: the first output is "any finding" (its complement is the output "normal" of
[1]); augmentation, optimizer and the small preset are (ours), since [1] says nothing of them.
"""

from lungsynth.detectors.classifier.classifier import RadiographClassifier, load_classifier
from lungsynth.detectors.classifier.config import ANY_FINDING, PRESETS, ClassifierConfig

__all__ = [
    "ANY_FINDING",
    "PRESETS",
    "ClassifierConfig",
    "RadiographClassifier",
    "load_classifier",
]
