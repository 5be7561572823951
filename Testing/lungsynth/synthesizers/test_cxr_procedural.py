"""Nodules in radiographs drawn by formulas."""

from __future__ import annotations

import numpy as np
import pytest

from lungsynth.core.errors import LungSynthError
from lungsynth.core.radiograph import CxrNoduleSpec
from lungsynth.imaging.ellipse import ellipse_diameter
from lungsynth.synthesizers import load_cxr_synthesizer
from lungsynth.synthesizers.cxr_procedural import CONTRAST, CxrProcedural


def test_mask_has_about_the_diameter_and_the_shadow_the_contrast_that_was_drawn():
    context = np.linspace(-1, 1, 3 * 256 * 256, dtype=np.float32).reshape(3, 256, 256)
    specs = [CxrNoduleSpec(diameter_px=20, latent_seed=n) for n in (1, 2, 3)]

    painting = CxrProcedural().paint(context, specs, [12.0, 40.0, 90.0])

    for values, mask, old, asked in zip(
        painting.values, painting.mask, context, (12, 40, 90), strict=True
    ):
        inside = mask > 0.5
        assert ellipse_diameter(inside) == pytest.approx(asked, rel=0.15)
        rise = float((values - old)[inside].mean()) / 2
        assert CONTRAST[0] - 1e-3 < rise < CONTRAST[1] + 1e-3
        far = mask < 1e-6
        assert np.abs(values[far] - old[far]).max() < 1e-6
        assert values.dtype == mask.dtype == np.float32


def test_an_item_does_not_depend_on_its_batch_but_on_its_latent_seed():
    context = np.zeros((2, 256, 256), np.float32)
    one, other = (CxrNoduleSpec(diameter_px=20, latent_seed=n) for n in (8, 9))

    both = CxrProcedural().paint(context, [one, other], [30.0, 30.0])
    alone = CxrProcedural().paint(context[:1], [other], [30.0])

    np.testing.assert_array_equal(both.values[1], alone.values[0])
    assert np.abs(both.values[0] - both.values[1]).max() > 0.02


def test_weights_are_refused(tmp_path):
    with pytest.raises(LungSynthError, match="takes no weights"):
        load_cxr_synthesizer("procedural", weights=tmp_path / "w.safetensors")
