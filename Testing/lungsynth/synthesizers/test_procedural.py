"""Nodules drawn by formulas: their size, density and shape."""

from pathlib import Path

import numpy as np
import pytest

from lungsynth.core.errors import LungSynthError
from lungsynth.core.nodule import ATTENUATION_HU_RANGE, Attenuation, Malignancy, NoduleSpec
from lungsynth.imaging.procedural_nodule import draw_shape
from lungsynth.synthesizers import load_synthesizer
from lungsynth.synthesizers.procedural import Procedural


@pytest.fixture
def lung():
    rng = np.random.default_rng(0)
    return rng.normal(-840, 20, (1, 64, 64, 64)).astype(np.float32)


def draw(lung, box_mm=None, **asked):
    spec = NoduleSpec(**asked)
    made = Procedural().inpaint(lung, [spec], [box_mm or Procedural().box_mm(spec.diameter_mm)])
    return made.hu[0], made.mask[0]


def diameter_mm(mask, box_mm):
    return np.cbrt(6 * (mask > 0.5).sum() * (box_mm / 32) ** 3 / np.pi)


@pytest.mark.parametrize("asked", [4.0, 8.0, 15.0, 30.0])
@pytest.mark.parametrize("latent_seed", [0, 1, 2])
def test_the_mask_has_the_asked_diameter(lung, asked, latent_seed):
    _, mask = draw(lung, diameter_mm=asked, latent_seed=latent_seed)

    assert diameter_mm(mask, 1.6 * asked + 3) == pytest.approx(asked, rel=0.06)


def test_a_rescaled_box_rescales_the_nodule(lung):
    """Calibration relies on it: the same voxels of the box, each 1.2 times as wide."""
    _, mask = draw(lung, box_mm=19.0 * 1.2, diameter_mm=10.0)

    assert diameter_mm(mask, 19.0 * 1.2) == pytest.approx(12.0, rel=0.06)


def test_classes_differ_in_density_as_real_ones_do(lung):
    means = {}
    for kind in Attenuation:
        drawn = [
            draw(lung, diameter_mm=14.0, attenuation=kind, latent_seed=seed) for seed in range(6)
        ]
        means[kind] = np.mean([hu[mask > 0.5].mean() for hu, mask in drawn])
        low, high = ATTENUATION_HU_RANGE[kind]
        assert low < means[kind] < high
    solid, part, glass = (means[Attenuation(a)] for a in ("solid", "part-solid", "ground-glass"))
    assert solid > part + 100 > glass + 200


def test_a_part_solid_nodule_has_a_denser_core(lung):
    hu, mask = draw(lung, diameter_mm=20.0, attenuation="part-solid", latent_seed=3)

    core, rim = hu[13:19, 13:19, 13:19].mean(), hu[(mask > 0.6) & (mask < 0.95)].mean()
    assert core > rim + 300


def test_vessels_stay_visible_through_ground_glass(lung):
    lung[0, :, 32, 32] = 40.0
    hu, _ = draw(lung, diameter_mm=14.0, attenuation="ground-glass")

    assert hu[16, 16, 16] > 40.0


def test_malignancy_adds_spicules(lung):
    """More and never fewer bumps; and a larger surface for the same volume."""
    counts = {
        kind: [
            len(draw_shape(NoduleSpec(12.0, malignancy=kind, latent_seed=n)).spicules)
            for n in range(40)
        ]
        for kind in (Malignancy.MALIGNANT, Malignancy.BENIGN, None)
    }
    assert min(counts[Malignancy.MALIGNANT]) >= 5
    assert max(counts[Malignancy.BENIGN]) <= 3
    assert counts[None] == counts[Malignancy.BENIGN]

    def surface(malignancy):
        total = 0
        for seed in range(4):
            _, mask = draw(lung, diameter_mm=24.0, malignancy=malignancy, latent_seed=seed)
            total += sum(np.abs(np.diff((mask > 0.5).astype(int), axis=a)).sum() for a in range(3))
        return total

    assert surface("malignant") > 1.02 * surface("benign")


def test_the_same_seed_gives_the_same_voxels_and_another_others(lung):
    one, again, other = (draw(lung, diameter_mm=9.0, latent_seed=s)[0] for s in (5, 5, 6))

    np.testing.assert_array_equal(one, again)
    assert np.abs(one - other).max() > 20


def test_an_item_does_not_depend_on_its_batch(lung):
    specs = [NoduleSpec(9.0, latent_seed=1), NoduleSpec(14.0, "part-solid", latent_seed=2)]
    sides = [Procedural().box_mm(spec.diameter_mm) for spec in specs]
    both = Procedural().inpaint(np.concatenate([lung, lung]), specs, sides)

    np.testing.assert_array_equal(
        both.hu[1], Procedural().inpaint(lung, specs[1:], sides[1:]).hu[0]
    )


def test_tissue_far_from_the_nodule_stays(lung):
    hu, mask = draw(lung, diameter_mm=6.0)

    old = lung[0, 16:48, 16:48, 16:48]
    np.testing.assert_allclose(hu[mask < 1e-9], old[mask < 1e-9], atol=1e-3)
    assert max(mask[0].max(), mask[:, -1].max(), mask[..., 0].max()) < 1e-3


def test_it_takes_no_weights():
    with pytest.raises(LungSynthError, match=r"w.safetensors: .* takes no weights"):
        load_synthesizer("procedural", weights=Path("w.safetensors"))
    assert load_synthesizer("procedural").device == "cpu"
