"""Between HU and the range that networks work in."""

import torch

from lungsynth.nn.intensities import denormalise, from_unit, normalise, to_unit


def test_intensities_are_mapped_to_the_networks_range():
    hu = torch.tensor([-1000.0, -400.0, 200.0])

    assert normalise(hu).tolist() == [-1.0, 0.0, 1.0]
    assert denormalise(normalise(hu)).tolist() == hu.tolist()


def test_the_papers_range_is_1024_hu_both_ways():
    hu = torch.tensor([-2000.0, -1024.0, 0.0, 512.0, 3000.0])

    torch.testing.assert_close(to_unit(normalise(hu)), torch.tensor([-1.0, -1, 0, 0.5, 1]))
    torch.testing.assert_close(from_unit(torch.tensor([0.5])), normalise(torch.tensor([512.0])))
