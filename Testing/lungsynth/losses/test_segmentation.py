"""What the segmenters are trained by, by hand."""

import numpy as np
import pytest
import torch

from lungsynth.losses.segmentation import segmentation_loss


def test_segmentation_loss_by_hand():
    """Logits of 0: cross-entropy log 2, overlap 2 x 0.5 x 2 / (2 + 2) of four voxels, two in."""
    mask = torch.tensor([1.0, 1, 0, 0]).view(1, 1, 1, 2, 2)

    found = segmentation_loss(torch.zeros_like(mask), mask)
    assert found.item() == pytest.approx(np.log(2) + 0.5)
