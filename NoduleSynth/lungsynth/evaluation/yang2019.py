"""What [1] reports, for studies to put beside their own figures.

[1] Yang et al., Class-aware adversarial lung nodule synthesis in CT images, ISBI 2019,
    arXiv:1812.11204.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType

PATCHES = MappingProxyType(
    {
        "train": (1016, 233),
        "train with synthesis": (1016, 696),
        "val": (128, 28),
        "test": (133, 24),
    }
)
"""Benign (rated below 4) and malignant patches of each subset [1, Tab. 1]."""
SYNTHESIZED_PER_MALIGNANT = (696 - 233) / 233
"""Malignant patches made for each real one of the training set [1, Tab. 1]."""


@dataclass(frozen=True)
class MalignancyRow:
    """Classification of malignancy by one network [1, Tab. 2].

    Args:
        accuracy: Share that is right.
        sensitivity: Of the malignant.
        specificity: Of the benign.
        auc: Area under the ROC curve.
    """

    accuracy: float
    sensitivity: float
    specificity: float
    auc: float


ARMS = MappingProxyType(
    {
        "raw": "Raw",
        "weighted": "Raw + Weighted Loss",
        "synthesis": "Raw + Synthesis",
    }
)
"""Ways to train, and what [1] calls them."""

TABLE_2 = MappingProxyType(
    {
        "raw": MappingProxyType(
            {
                "ResNet-50": MalignancyRow(0.8216, 0.6666, 0.8496, 0.8286),
                "ResNet-101": MalignancyRow(0.8853, 0.6666, 0.9248, 0.8320),
                "ResNet-152": MalignancyRow(0.8917, 0.5833, 0.9473, 0.8756),
                "ResNext-101": MalignancyRow(0.9044, 0.6249, 0.9548, 0.8558),
                "Mean": MalignancyRow(0.8757, 0.6353, 0.9191, 0.8480),
            }
        ),
        "weighted": MappingProxyType(
            {
                "ResNet-50": MalignancyRow(0.8662, 0.6666, 0.9022, 0.8161),
                "ResNet-101": MalignancyRow(0.7961, 0.7499, 0.8045, 0.8154),
                "ResNet-152": MalignancyRow(0.8598, 0.7083, 0.8872, 0.8098),
                "ResNext-101": MalignancyRow(0.8471, 0.6666, 0.8796, 0.8342),
                "Mean": MalignancyRow(0.8423, 0.6978, 0.8683, 0.8188),
            }
        ),
        "synthesis": MappingProxyType(
            {
                "ResNet-50": MalignancyRow(0.8216, 0.7083, 0.8421, 0.8746),
                "ResNet-101": MalignancyRow(0.9044, 0.5833, 0.9624, 0.8458),
                "ResNet-152": MalignancyRow(0.9171, 0.5833, 0.9774, 0.8812),
                "ResNext-101": MalignancyRow(0.8853, 0.6666, 0.9248, 0.8768),
                "Mean": MalignancyRow(0.8821, 0.6353, 0.9266, 0.8696),
            }
        ),
    }
)
"""The rows "Mean" are as printed there."""
