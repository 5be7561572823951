"""RetinaNet and Faster R-CNN: losses by hand, and that they find what they were shown."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from lungsynth.core.errors import LungSynthError
from lungsynth.data.nodule_cases import KnownNodule, NoduleCase
from lungsynth.detectors.nodules.config import KINDS, PRESETS, NoduleDetectorConfig
from lungsynth.detectors.nodules.detector import (
    NoduleDetector,
    build_network,
    load_nodule_detector,
    network_boxes,
    network_image,
)
from lungsynth.detectors.nodules.recipe import (
    Augmentation,
    NoduleDetectorRecipe,
    augment,
    draw_augmentation,
)
from lungsynth.detectors.nodules.retinanet import focal_loss
from lungsynth.training.loop import run

fabric_module = pytest.importorskip("lightning_fabric", reason="needs the extra [train]")


@pytest.fixture(scope="module")
def fabric():
    return fabric_module.Fabric(accelerator="cpu", devices=1)


def discs(count, side=160, seed=0):
    """Cases of one or two bright discs on noise, and every fourth without any."""
    rng = np.random.default_rng(seed)
    rows, columns = np.indices((side, side))
    cases = []
    for n in range(count):
        image = rng.normal(90, 6, (side, side))
        nodules = []
        for _ in range(0 if n % 4 == 3 else 1 + n % 2):
            radius = rng.uniform(7, 13)
            y, x = rng.uniform(15, side - 15, 2)
            image[np.hypot(rows - y, columns - x) <= radius] += 90
            box = (x - radius, y - radius, x + radius, y + radius)
            nodules.append(KnownNodule(box, 2 * radius))
        pixels = image.clip(0, 255).astype(np.uint8)
        cases.append(NoduleCase(pixels, tuple(nodules), f"p{n}", "discs"))
    return cases


def test_focal_loss_by_hand():
    """p = 0.8, wanted 1: 0.25 * 0.2^2 * -ln 0.8; wanted 0: 0.75 * 0.8^2 * -ln 0.2."""
    logit = torch.logit(torch.tensor([0.8, 0.8]))
    loss = focal_loss(logit, torch.tensor([1.0, 0.0]))

    torch.testing.assert_close(
        loss,
        torch.tensor([0.25 * 0.04 * -np.log(0.8), 0.75 * 0.64 * -np.log(0.2)], dtype=torch.float32),
    )


def test_an_untrained_retinanet_gives_every_anchor_the_prior():
    torch.manual_seed(0)
    network = build_network(PRESETS["retinanet"]["tiny"])
    logits, _ = network(torch.zeros(1, 1, 128, 128))

    assert torch.cat(logits, dim=1).sigmoid().mean().item() == pytest.approx(0.01, abs=2e-3)


@pytest.mark.parametrize("kind", KINDS)
def test_losses_without_a_nodule_are_finite_and_ask_for_no_box(kind):
    torch.manual_seed(1)
    network = build_network(PRESETS[kind]["tiny"])
    losses = network.losses(torch.randn(2, 1, 128, 128), [torch.zeros(0, 4)] * 2)

    assert all(torch.isfinite(value) for value in losses.values())
    assert losses["box"].item() == 0
    assert losses["class"].item() > 0


@pytest.mark.parametrize("kind", KINDS)
def test_it_finds_discs_after_some_steps(fabric, kind):
    torch.manual_seed(2)
    config = replace(PRESETS[kind]["tiny"], image_side=64, batch_size=4)
    recipe = NoduleDetectorRecipe(config, discs(24, side=80), fabric)
    run(recipe, 90, seed=3, on_step=lambda *_: None)
    held = discs(8, side=80, seed=9)
    found = recipe.detector().detect([case.pixels for case in held])

    hits, empty = 0, []
    for case, made in zip(held, found, strict=True):
        if not case.nodules:
            empty.append(made.scores.max(initial=0.0))
            continue
        best = made.boxes[0]
        middle = (best[:2] + best[2:]) / 2
        hits += any(np.abs(middle - (box[:2] + box[2:]) / 2).max() < 6 for box in case.boxes)
    assert hits >= 5  # of 6
    full = [made.scores[0] for case, made in zip(held, found, strict=True) if case.nodules]
    assert np.median(full) > max(empty)


@pytest.mark.parametrize("kind", KINDS)
def test_a_resumed_training_is_the_uninterrupted_one(fabric, kind):
    config = PRESETS[kind]["tiny"]
    torch.manual_seed(4)
    whole = NoduleDetectorRecipe(config, discs(4), fabric)
    start = {name: value.clone() for name, value in whole.network.state_dict().items()}
    run(whole, 4, seed=5, on_step=lambda *_: None)
    parts = [NoduleDetectorRecipe(config, discs(4), fabric) for _ in range(2)]
    parts[0].network.load_state_dict(start)
    run(parts[0], 2, seed=5, on_step=lambda *_: None)
    parts[1].load_state_dict(parts[0].state_dict())
    run(parts[1], 4, seed=5, on_step=lambda *_: None)

    for name, value in whole.network.state_dict().items():
        torch.testing.assert_close(parts[1].network.state_dict()[name], value, rtol=0, atol=0)


@pytest.mark.parametrize("kind", KINDS)
def test_weights_come_back_and_find_the_same(tmp_path, kind):
    torch.manual_seed(6)
    config = PRESETS[kind]["tiny"]
    made = NoduleDetector(build_network(config), config)
    made.save(tmp_path / "detector.safetensors")
    read = load_nodule_detector(tmp_path / "detector.safetensors", kind, "cpu")
    pixels = [case.pixels for case in discs(3)]

    assert read.config == config
    for one, other in zip(made.detect(pixels), read.detect(pixels), strict=True):
        np.testing.assert_allclose(other.scores, one.scores, atol=2e-3)
    other_kind = next(k for k in KINDS if k != kind)
    with pytest.raises(LungSynthError, match=f"weights of '{kind}'"):
        load_nodule_detector(tmp_path / "detector.safetensors", other_kind, "cpu")


def test_boxes_come_back_in_pixels_of_the_radiograph():
    """A picture of 300 rows and 200 columns is seen as 128 x 128."""
    seen = network_boxes(np.array([[20.0, 30.0, 60.0, 90.0]]), (300, 200), 128)

    np.testing.assert_allclose(seen, [[12.8, 12.8, 38.4, 38.4]], rtol=1e-6)
    image = network_image(np.tile(np.arange(200, dtype=np.uint8), (300, 1)), 128)
    assert image.shape == (1, 128, 128)
    assert image[0, 5, 0].item() == pytest.approx(-1, abs=0.02)
    assert image[0, 5, -1].item() == pytest.approx(1, abs=0.02)


def test_a_shift_and_a_flip_move_the_box_with_what_is_in_it():
    image = torch.zeros(1, 128, 128)
    image[0, 40:50, 20:32] = 1
    box = torch.tensor([[20.0, 40.0, 32.0, 50.0]])
    for done in (
        Augmentation(False, (7, -5)),
        Augmentation(True, (-3, 9)),
        Augmentation(True, (0, 0)),
    ):
        moved, [found] = augment(image, box, done)
        rows, columns = torch.nonzero(moved[0] > 0.5, as_tuple=True)
        assert found.tolist() == [
            columns.min(),
            rows.min(),
            columns.max() + 1,
            rows.max() + 1,
        ]
        assert len(rows) == 120
        assert moved.shape == (1, 128, 128)


def test_a_nodule_that_is_shifted_out_is_not_asked_for():
    box = torch.tensor([[0.0, 40.0, 8.0, 50.0], [50.0, 50.0, 60.0, 60.0]])
    _, found = augment(torch.zeros(1, 128, 128), box, Augmentation(False, (0, -7)))

    assert found.tolist() == [[43, 50, 53, 60]]


def test_shift_and_flip_are_each_drawn_half_the_time():
    config = PRESETS["retinanet"]["tiny"]
    rng = np.random.default_rng(8)
    drawn = [draw_augmentation(config, rng) for _ in range(400)]

    assert np.mean([d.flipped for d in drawn]) == pytest.approx(0.5, abs=0.08)
    assert np.mean([d.shift == (0, 0) for d in drawn]) == pytest.approx(0.5, abs=0.1)
    assert max(abs(d.shift[0]) for d in drawn) in range(4, 7)  # 0.05 of 128


def test_what_cannot_work_is_refused(fabric):
    with pytest.raises(LungSynthError, match="there is none"):
        NoduleDetectorRecipe(PRESETS["retinanet"]["tiny"], discs(4)[3:], fabric)
    with pytest.raises(LungSynthError, match="one of retinanet, faster-rcnn; got 'yolo'"):
        NoduleDetectorConfig(kind="yolo")
    with pytest.raises(LungSynthError, match="must divide by 32"):
        NoduleDetectorConfig(image_side=1000)
    with pytest.raises(LungSynthError, match="without gaps"):
        NoduleDetectorConfig(levels=(2, 4))
