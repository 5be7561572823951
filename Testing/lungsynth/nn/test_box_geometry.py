"""Voxels and millimetres of the box, against numpy."""

import numpy as np
import torch

from lungsynth.imaging.voi import apply_matrices
from lungsynth.nn.box_geometry import soft_diameter_mm, through_voxels


def test_the_change_goes_through_the_voxels_of_each_item():
    rng = np.random.default_rng(0)
    trips = [rng.normal(size=(2, 64, 32)).astype(np.float32) for _ in range(3)]
    change = rng.normal(size=(2, 1, 32, 32, 32)).astype(np.float32)
    found = through_voxels(torch.from_numpy(change), [torch.from_numpy(m) for m in trips])

    for n in range(2):
        expected = apply_matrices(tuple(m[n] for m in trips), change[n, 0])
        np.testing.assert_allclose(found[n, 0], expected, rtol=1e-3, atol=1e-2)


def test_soft_diameter_by_hand():
    mask = torch.zeros(2, 1, 32, 32, 32)
    mask[0, 0, :10, :10, :10] = 0.5  # 500 voxels of 1 mm
    mask[1, 0, :10, :10, :10] = 1.0  # 1000 of 0.5 mm
    found = soft_diameter_mm(mask, torch.tensor([32.0, 16.0]))

    expected = [(6 * 500 / np.pi) ** (1 / 3), (6 * 125 / np.pi) ** (1 / 3)]
    np.testing.assert_allclose(found, expected, rtol=1e-5)
