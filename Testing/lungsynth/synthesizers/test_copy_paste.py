"""Real nodules pasted from a bank: size, place, and the record of where they come from."""

from pathlib import Path

import numpy as np
import pytest

from lungsynth.core.errors import LungSynthError
from lungsynth.core.nodule import NoduleSpec, Seed
from lungsynth.core.volume import Volume
from lungsynth.data.nodule_cubes import NoduleCubes
from lungsynth.imaging.insertion import insert
from lungsynth.synthesizers import load_synthesizer


@pytest.fixture
def paste(cubes_folder):
    return load_synthesizer("copy-paste", bank=cubes_folder)


@pytest.fixture
def lung():
    rng = np.random.default_rng(0)
    return rng.normal(-840, 5, (1, 64, 64, 64)).astype(np.float32)


@pytest.mark.parametrize("asked", [5.0, 9.0, 18.0])
@pytest.mark.parametrize("factor", [1.0, 1.2])
def test_the_nodule_is_scaled_to_what_was_asked(paste, lung, asked, factor):
    side = paste.box_mm(asked) * factor
    made = paste.inpaint(lung, [NoduleSpec(asked, latent_seed=2)], [side])

    found = np.cbrt(6 * (made.mask[0] > 0.5).sum() * (side / 32) ** 3 / np.pi)
    assert found == pytest.approx(asked * factor, rel=0.08)


@pytest.mark.parametrize(("kind", "level"), [("solid", -50), ("part-solid", -430)])
def test_only_nodules_of_the_kind_are_taken(paste, lung, kind, level):
    for latent_seed in range(4):
        spec = NoduleSpec(9.0, kind, latent_seed=latent_seed)
        made = paste.inpaint(lung, [spec], [paste.box_mm(9.0)])
        assert made.hu[0][made.mask[0] > 0.9].mean() == pytest.approx(level, abs=40)


def test_its_source_is_recorded(paste, cubes_folder):
    volume = Volume(np.full((60, 60, 60), -840, np.int16), np.diag([-1.0, -1.0, 1.0, 1.0]))
    seed = Seed((-30.0, -28.0, 31.0), NoduleSpec(9.0, "part-solid", latent_seed=4))
    (done,) = insert(volume, [seed], paste).insertions

    row, _, _ = paste.draw_source(seed.spec)
    table = NoduleCubes.load(cubes_folder, "train").table
    assert table[row]["texture"] == "3.0"
    assert done.details["source"] == f"{cubes_folder.name}/train row {row}"
    assert done.details["source_patient"] == table[row]["patient"]
    assert done.details["source_series_uid"] == table[row]["series_uid"]
    assert done.within_tolerance


def test_the_same_seed_gives_the_same_voxels_and_seeds_choose(paste, lung):
    spec, sides = NoduleSpec(9.0, latent_seed=1), [paste.box_mm(9.0)]

    np.testing.assert_array_equal(
        paste.inpaint(lung, [spec], sides).hu, paste.inpaint(lung, [spec], sides).hu
    )
    drawn = [paste.draw_source(NoduleSpec(9.0, latent_seed=n)) for n in range(60)]
    assert len({turns for _, turns, _ in drawn}) == 4
    assert len({flips for _, _, flips in drawn}) == 8
    assert {row for row, _, _ in drawn} == {0, 1, 2}


def test_tissue_beyond_the_blend_stays(paste, lung):
    side = paste.box_mm(9.0)
    made = paste.inpaint(lung, [NoduleSpec(9.0)], [side])

    z, y, x = (np.indices((32, 32, 32)) - 15.5) * side / 32
    far = np.sqrt(z**2 + y**2 + x**2) > 4.5 + 1.0 + 1.5
    np.testing.assert_array_equal(made.hu[0][far], lung[0, 16:48, 16:48, 16:48][far])


def test_it_needs_a_bank_and_no_weights(cubes_folder, tmp_path):
    with pytest.raises(LungSynthError, match=r"needs a bank of real nodules: --bank"):
        load_synthesizer("copy-paste")
    with pytest.raises(LungSynthError, match=r"no nodule bank there"):
        load_synthesizer("copy-paste", bank=tmp_path)
    with pytest.raises(LungSynthError, match=r"w.safetensors: .* not weights"):
        load_synthesizer("copy-paste", bank=cubes_folder, weights=Path("w.safetensors"))


def test_a_bank_without_the_kind_says_so(write_cubes, tmp_path, lung):
    mask = np.zeros((48, 48, 48), bool)
    mask[20:28, 20:28, 20:28] = True
    rows = [{"patient": "P", "series_uid": "1", "texture": "5", "ambiguous": "0"}]
    write_cubes(tmp_path / "bank", "val", [np.zeros(mask.shape)], [mask], rows)
    paste = load_synthesizer("copy-paste", bank=tmp_path / "bank")

    assert paste.draw_source(NoduleSpec(9.0))[0] == 0
    with pytest.raises(LungSynthError, match=r"bank bank/val has no usable ground-glass nodule"):
        paste.inpaint(lung, [NoduleSpec(9.0, "ground-glass")], [17.4])
