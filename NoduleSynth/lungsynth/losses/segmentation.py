"""What the segmenters are trained by."""

from __future__ import annotations

from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits


def segmentation_loss(logits: Tensor, mask: Tensor) -> Tensor:
    """Return cross-entropy plus one minus the soft Dice overlap of the batch.

    Args:
        logits: (B, 1, D, D, D).
        mask: How far each voxel lies in the nodule, 0 to 1, same shape.
    """
    soft = logits.sigmoid()
    overlap = 2 * (soft * mask).sum() / (soft.sum() + mask.sum())
    return binary_cross_entropy_with_logits(logits, mask) + 1 - overlap
