"""Nodules pasted from radiographs of the user's own."""

from __future__ import annotations

import numpy as np
import pytest
import SimpleITK as sitk

from lungsynth.core.errors import LungSynthError
from lungsynth.core.radiograph import CxrNoduleSpec
from lungsynth.imaging.ellipse import ellipse_axes, ellipse_diameter
from lungsynth.synthesizers import load_cxr_synthesizer
from lungsynth.synthesizers.cxr_copy_paste import read_bank


def write(path, pixels):
    sitk.WriteImage(sitk.GetImageFromArray(pixels), str(path))


@pytest.fixture
def bank(tmp_path):
    """One radiograph with two nodules, 24 and 40 pixels wide, 20 grey levels over a slope."""
    folder = tmp_path / "bank"
    folder.mkdir()
    rows, columns = np.mgrid[0:300, 0:260]
    mask = (np.hypot(rows - 90, columns - 70) < 12) | (np.hypot(rows - 200, columns - 180) < 20)
    write(folder / "a.png", (rows * 0.5 + columns * 0.2 + 20 * mask).astype(np.uint8))
    write(folder / "a_mask.png", (mask * 255).astype(np.uint8))
    return folder


def test_every_nodule_of_the_bank_is_found_with_its_size(bank):
    nodules = read_bank(bank)

    assert [nodule.diameter_px for nodule in nodules] == pytest.approx([24, 40], rel=0.03)
    assert [nodule.source for nodule in nodules] == ["bank/a.png nodule 1", "bank/a.png nodule 2"]
    middle = len(nodules[0].mask) // 2
    assert nodules[0].mask[middle, middle]


def test_a_pasted_nodule_has_the_size_asked_and_sits_on_the_level_around_it(bank):
    synthesizer = load_cxr_synthesizer("copy-paste", bank=bank)
    context = np.full((2, 256, 256), -0.4, np.float32)
    specs = [CxrNoduleSpec(diameter_px=20, latent_seed=n) for n in (1, 2)]

    painting = synthesizer.paint(context, specs, [30.0, 60.0])

    for values, mask, asked in zip(painting.values, painting.mask, (30, 60), strict=True):
        assert ellipse_diameter(mask > 0.5) == pytest.approx(asked, rel=0.05)
        assert max(ellipse_axes(mask > 0.5)) < 1.1 * asked
        # 20 levels of the source over its robust range, on a scale that is 2 wide
        ring = np.hypot(*(np.mgrid[0:256, 0:256] - 127.5)) / (asked / 2)
        around = values[(ring > 1.2) & (ring < 1.5)]
        assert np.median(around) == pytest.approx(-0.4, abs=0.02)
        assert np.median(values[mask > 0.9]) - np.median(around) == pytest.approx(0.22, abs=0.05)
    assert painting.details[0]["source"].startswith("bank/a.png")


def test_the_same_latent_seed_takes_the_same_nodule(bank):
    synthesizer = load_cxr_synthesizer("copy-paste", bank=bank)
    draws = {synthesizer.draw_source(CxrNoduleSpec(diameter_px=9, latent_seed=n), 30.0)
             for n in range(12)}  # fmt: skip

    assert draws == {(number, mirrored) for number in (0, 1) for mirrored in (False, True)}
    spec = CxrNoduleSpec(diameter_px=9, latent_seed=4)
    assert synthesizer.draw_source(spec, 30.0) == synthesizer.draw_source(spec, 31.0)


def test_what_is_no_bank_is_refused(tmp_path, bank):
    with pytest.raises(LungSynthError, match="needs a bank"):
        load_cxr_synthesizer("copy-paste")
    with pytest.raises(LungSynthError, match="not weights"):
        load_cxr_synthesizer("copy-paste", weights=tmp_path / "w.safetensors", bank=bank)
    with pytest.raises(LungSynthError, match="no such folder"):
        load_cxr_synthesizer("copy-paste", bank=tmp_path / "none")
    (bank / "a_mask.png").unlink()
    with pytest.raises(LungSynthError, match=r"NAME\.png and NAME_mask\.png"):
        load_cxr_synthesizer("copy-paste", bank=bank)
    write(bank / "a_mask.png", np.ones((10, 10), np.uint8))
    with pytest.raises(LungSynthError, match=r"\(10, 10\) pixels"):
        load_cxr_synthesizer("copy-paste", bank=bank)
