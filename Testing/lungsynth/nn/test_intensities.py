"""Between HU and the range that networks work in."""

import math

import torch

from lungsynth.nn.intensities import denormalise, from_unit, normalise, through_windows, to_unit


def test_intensities_are_mapped_to_the_networks_range():
    hu = torch.tensor([-1000.0, -400.0, 200.0])

    assert normalise(hu).tolist() == [-1.0, 0.0, 1.0]
    assert denormalise(normalise(hu)).tolist() == hu.tolist()


def test_the_papers_range_is_1024_hu_both_ways():
    hu = torch.tensor([-2000.0, -1024.0, 0.0, 512.0, 3000.0])

    torch.testing.assert_close(to_unit(normalise(hu)), torch.tensor([-1.0, -1, 0, 0.5, 1]))
    torch.testing.assert_close(from_unit(torch.tensor([0.5])), normalise(torch.tensor([512.0])))


def test_critics_see_lung_tissue_stretched_beside_everything():
    """50 HU of lung are a third of the stretched window's scale; far densities only bend."""
    hu = torch.tensor([-850.0, -800.0, -700.0, 50.0]).reshape(1, 1, 4, 1, 1)
    wide, lung = through_windows(normalise(hu))[0].flatten(1)

    torch.testing.assert_close(wide, torch.tensor([-0.75, -2 / 3, -0.5, 0.75]))
    expected = [0.0, 1.5 * math.tanh(50 / 225), 1.5 * math.tanh(150 / 225), 1.5]
    torch.testing.assert_close(lung, torch.tensor(expected), atol=2e-3, rtol=0)
    assert lung[1] - lung[0] > 3.9 * (wide[1] - wide[0])


def test_a_gradient_passes_the_stretched_window_at_any_density():
    cube = normalise(torch.tensor([-1000.0, -850.0, 0.0])).reshape(1, 1, 3, 1, 1).requires_grad_()
    through_windows(cube)[:, 1].sum().backward()
    assert (cube.grad > 0).all()
