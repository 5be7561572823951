"""The synthesizer: shapes of the asked diameter, the same nodule each time, all else untouched."""

import numpy as np
import pytest
import torch
from torch import nn

from lungsynth.core.errors import LungSynthError
from lungsynth.core.radiograph import CxrNoduleSpec, CxrSeed, Radiograph, image_plane_matrix
from lungsynth.imaging.ellipse import ellipse_axes, ellipse_diameter
from lungsynth.imaging.radiograph_insertion import insert_into_radiograph
from lungsynth.synthesizers import load_cxr_synthesizer
from lungsynth.synthesizers.shape_texture.config import SHAPE_PRESETS, TEXTURE_PRESETS
from lungsynth.synthesizers.shape_texture.shape_networks import ShapeGenerator
from lungsynth.synthesizers.shape_texture.shapes import draw_shape
from lungsynth.synthesizers.shape_texture.synthesizer import ShapeTexture, draw_contrast
from lungsynth.synthesizers.shape_texture.texture_networks import TextureGenerator


class Ellipses(ShapeGenerator):
    """Stands for trained weights: an ellipse whose proportions and place follow the latent."""

    def forward(self, latent):
        row, column = torch.meshgrid(*[torch.arange(128) - 63.5] * 2, indexing="ij")
        ratio = 1 + latent[:, 0].abs()[:, None, None].clamp(max=1)
        inside = (row / (25 * ratio)) ** 2 + ((column - latent[:, 1, None, None]) / 25) ** 2
        return torch.sigmoid(12 * (1 - inside))[:, None]


class Silent(ShapeGenerator):
    """Stands for weights that were not trained: nothing comes out."""

    def forward(self, latent):
        return torch.full((len(latent), 1, 128, 128), 0.3)


@pytest.fixture(scope="module")
def synthesizer():
    torch.manual_seed(2)
    texture = TextureGenerator(TEXTURE_PRESETS["tiny"])
    for stage in (texture.coarse, texture.refine):
        nn.init.normal_(stage.out.weight, std=0.05)
    return ShapeTexture(Ellipses(SHAPE_PRESETS["tiny"]), texture, torch.device("cpu"), None)


@pytest.fixture(scope="module")
def context():
    return np.random.default_rng(4).uniform(-1, 1, (3, 256, 256)).astype(np.float32)


def spec(**changes):
    return CxrNoduleSpec(**{"diameter_px": 30.0, "latent_seed": 3, **changes})


def test_a_mask_has_the_asked_diameter_and_only_it_and_its_rim_change(synthesizer, context):
    painting = synthesizer.paint(context, [spec()] * 3, [12.0, 40.0, 100.0])

    measured = [ellipse_diameter(mask) for mask in painting.mask]
    assert measured == pytest.approx([12, 40, 100], rel=0.003)
    changed = painting.values != context
    for mask, different, diameter in zip(painting.mask, changed, (12, 40, 100), strict=True):
        rows, columns = np.nonzero(different)
        # the fading rim is 15 % of the diameter wide, 4 pixels at least
        nodule_rows = np.nonzero((mask > 0.5).any(axis=1))[0]
        assert np.ptp(rows) <= np.ptp(nodule_rows) + 2 * max(4, 0.15 * diameter) + 1
        assert different[mask > 0.9].mean() > 0.99
        assert len(columns) > mask.sum()
    assert painting.values.dtype == painting.mask.dtype == np.float32


def test_the_same_seed_gives_the_same_nodule_at_any_size_and_in_any_batch(synthesizer, context):
    specs = [spec(latent_seed=s) for s in (3, 8, 8)]
    together = synthesizer.paint(context, specs, [40.0, 40.0, 80.0])
    alone = synthesizer.paint(context[1:2], specs[1:2], [40.0])

    np.testing.assert_array_equal(together.values[1], alone.values[0])
    np.testing.assert_array_equal(together.mask[1], alone.mask[0])
    ratios = [np.divide(*ellipse_axes(mask)) for mask in together.mask]
    assert ratios[1] == pytest.approx(ratios[2], rel=0.01)
    assert ratios[0] != pytest.approx(ratios[1], rel=0.01)


def test_the_contrast_asked_is_told_to_the_networks(synthesizer, context):
    asked = synthesizer.paint(context[:1], [spec(contrast=0.2)], [40.0])
    free = synthesizer.paint(context[:1], [spec()], [40.0])

    assert asked.details == [{"contrast_told": "0.2000"}]
    assert float(free.details[0]["contrast_told"]) == pytest.approx(
        draw_contrast(40.0, np.random.default_rng(3)), abs=1e-4
    )
    assert not np.array_equal(asked.values, free.values)


def test_contrasts_are_drawn_as_nodules_of_a_size_have_them():
    """Proportional to the diameter, 0.048 at 40 pixels, with limits."""
    drawn = [draw_contrast(40.0, np.random.default_rng(n)) for n in range(500)]

    assert np.median(drawn) == pytest.approx(0.048, rel=0.08)
    assert np.std(np.log(drawn)) == pytest.approx(0.35, rel=0.15)
    assert draw_contrast(3.0, np.random.default_rng(0)) == 0.015


def test_a_real_nodule_can_be_drawn_again_without_being_looked_at(synthesizer, context):
    """As the study of image quality asks it: what lies under the mask plays no part."""
    mask = synthesizer.paint(context[:1], [spec()], [40.0]).mask
    other = np.where(mask[0] > 0, 0.7, context[0]).astype(np.float32)
    hidden, seen = (
        [
            synthesizer.fill(p[None], mask, contrast=[0.1], seen=[see])[0]
            for p in (context[0], other)
        ]
        for see in (False, True)
    )

    inside = mask[0] > 0.99
    np.testing.assert_allclose(hidden[0][inside], hidden[1][inside], atol=1e-5)
    assert np.abs(seen[0][inside] - seen[1][inside]).max() > 0.1


def test_inserting_keeps_diameter_contrast_and_the_rest_of_the_image(synthesizer):
    rng = np.random.default_rng(7)
    row, column = np.indices((700, 560))
    pixels = 1800 + 900 * np.sin(row / 200) * np.cos(column / 170) + rng.normal(0, 30, row.shape)
    image = Radiograph(pixels.astype(np.uint16), image_plane_matrix((0.3, 0.25)), (0.3, 0.25))
    measured = []
    for contrast in (0.03, 0.1, 0.25):
        place = tuple(image.pixel_to_ras_mm((350, 250)).tolist())
        seed = CxrSeed(place, CxrNoduleSpec(diameter_mm=14, contrast=contrast, latent_seed=5))
        result = insert_into_radiograph(image, [seed], synthesizer)
        (insertion,) = result.insertions
        measured.append(insertion.measured.contrast)
        assert insertion.measured.diameter_mm == pytest.approx(14, rel=0.05)
        (_, top, left), (_, bottom, right) = insertion.box
        outside = np.ones(pixels.shape, bool)
        outside[top:bottom, left:right] = False
        np.testing.assert_array_equal(result.image.pixels[outside], image.pixels[outside])
        assert insertion.within_tolerance, insertion.note

    assert measured == pytest.approx([0.03, 0.1, 0.25], rel=0.1, abs=0.005)


def test_weights_are_kept_and_found_again(synthesizer, context, tmp_path):
    made = ShapeTexture(
        ShapeGenerator(SHAPE_PRESETS["tiny"]), synthesizer.texture, torch.device("cpu"), None
    )
    made.save(tmp_path / "w.safetensors")
    again = load_cxr_synthesizer("shape-texture", weights=tmp_path / "w.safetensors", device="cpu")

    assert again.weights_sha256
    assert again.texture.config == made.texture.config
    masks = synthesizer.paint(context[:1], [spec()], [40.0]).mask
    one, other = (s.fill(context[:1], masks, contrast=[0.1], seen=[True]) for s in (made, again))
    np.testing.assert_allclose(one, other, atol=0.02)  # kept as float16
    assert not np.array_equal(one, context[:1])


def test_weights_that_lack_a_part_say_how_to_train_it(synthesizer, tmp_path):
    from lungsynth.synthesizers.shape_texture.weights import save_parts

    save_parts(tmp_path / "half.safetensors", {"texture": synthesizer.texture})
    with pytest.raises(
        LungSynthError, match=r"half.safetensors: lacks the shape part; .* shape-texture-shape"
    ):
        ShapeTexture.load(weights=tmp_path / "half.safetensors", device="cpu", bank=None)


def test_a_shape_generator_that_draws_nothing_is_refused():
    with pytest.raises(LungSynthError, match="no usable shape in 8 draws"):
        draw_shape(Silent(SHAPE_PRESETS["tiny"]).eval(), np.random.default_rng(0))


def test_a_shape_is_one_piece_without_holes():
    class Pieces(ShapeGenerator):
        def forward(self, latent):
            shape = torch.zeros(len(latent), 1, 128, 128)
            shape[..., 30:90, 40:100] = 0.9
            shape[..., 55:60, 60:66] = 0.1
            shape[..., 5:9, 5:9] = 1.0
            return shape

    shape = draw_shape(Pieces(SHAPE_PRESETS["tiny"]).eval(), np.random.default_rng(0))
    inside = np.zeros((128, 128), bool)
    inside[30:90, 40:100] = True

    np.testing.assert_array_equal(shape >= 0.5, inside)
