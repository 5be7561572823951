"""Everything random in a nodule."""

import pytest
import torch

from lungsynth.nn.noise import draw_noise


def test_noise_is_as_the_paper_says():
    """[han2020, 6.2.1]: the box holds a uniform distribution between -0.5 and 0.5."""
    noise = draw_noise(16, [3, 4])

    assert noise.box.shape == (2, 1, 32, 32, 32)
    assert (noise.box.min().item(), noise.box.max().item()) == pytest.approx((-0.5, 0.5), abs=1e-3)
    assert noise.box.var().item() == pytest.approx(1 / 12, rel=0.02)
    assert noise.latent.shape == (2, 16)
    assert [layer.shape[-1] for layer in noise.layers] == [6, 10, 18, 34]
    assert noise.layers[3].std().item() == pytest.approx(1, abs=0.02)


def test_noise_of_an_item_does_not_depend_on_its_batch():
    both, alone = draw_noise(16, [3, 4]), draw_noise(16, [4])

    assert torch.equal(both.box[1:], alone.box)
    assert torch.equal(both.latent[1:], alone.latent)
    assert all(torch.equal(a[1:], b) for a, b in zip(both.layers, alone.layers, strict=True))
    assert not torch.equal(both.box[0], both.box[1])
