"""The ablation's generators: trained alike but for stages and mask, kept, gone on with."""

import pytest

from lungsynth.batch.textures import texture_filler, trained_variants, variant_config
from lungsynth.core.errors import LungSynthError
from lungsynth.evaluation.cxr_image_quality import VARIANTS

pytest.importorskip("lightning_fabric", reason="needs the extra [train]")


def test_variants_differ_in_stages_and_mask_alone():
    base = variant_config("tiny", "two-stage-shape", 7)
    found = {name: variant_config("tiny", name, 7) for name in VARIANTS}

    assert {(c.two_stage, c.box_mask) for c in found.values()} == {
        (False, True),
        (True, True),
        (False, False),
        (True, False),
    }
    assert found["one-stage-box"].two_stage is False
    assert found["one-stage-box"].box_mask is True
    for config in found.values():
        assert config.total_steps == 7
        assert config.width == base.width
    with pytest.raises(LungSynthError, match="unknown preset 'huge'"):
        variant_config("huge", "two-stage-shape", None)


def test_all_four_are_trained_once_and_only_what_is_lost_again(patches_folder, tmp_path):
    steps = []

    def progress(name, done, total):
        steps.append((name, done, total))

    made = trained_variants(
        patches_folder, tmp_path, preset="tiny", steps=1, device="cpu", on_progress=progress
    )
    assert [name for name, _, _ in steps] == list(VARIANTS)
    lost = tmp_path / "one-stage-box" / "texture.safetensors"
    before = lost.read_bytes()
    lost.unlink()
    steps.clear()
    again = trained_variants(
        patches_folder, tmp_path, preset="tiny", steps=1, device="cpu", on_progress=progress
    )

    assert steps == [("one-stage-box", 1, 1)]
    assert lost.read_bytes() == before
    assert set(made) == set(again) == set(VARIANTS)
    assert texture_filler(lost).texture.refine is None
    with pytest.raises(LungSynthError, match="trained with other options"):
        trained_variants(patches_folder, tmp_path, preset="tiny", steps=2, device="cpu")
