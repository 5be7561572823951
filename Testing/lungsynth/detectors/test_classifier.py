"""The classifier: labels, augmentation, where it looks, weights of its own and of others."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from lightning_fabric import Fabric
from safetensors.torch import save_file

from lungsynth.core.errors import LungSynthError
from lungsynth.data.radiographs import RadiographRecord
from lungsynth.detectors.classifier import ANY_FINDING, PRESETS, load_classifier
from lungsynth.detectors.classifier.classifier import XRV_LABELS, RadiographClassifier
from lungsynth.detectors.classifier.config import frequent_labels, targets
from lungsynth.detectors.classifier.recipe import (
    ClassifierRecipe,
    changed,
    draw_changes,
    learning_rate,
    start_from,
)
from lungsynth.nn.resnet import ResNet
from lungsynth.training.loop import run

TINY = dataclasses.replace(PRESETS["tiny"], labels=f"{ANY_FINDING}|Effusion|Mass")


def record(*findings: str) -> RadiographRecord:
    return RadiographRecord(Path("x.png"), patient="p", split="train", findings=findings)


RECORDS = [record(), record("Mass", "Effusion"), record("Effusion"), record("Hernia")]


def test_labels_are_those_frequent_enough_the_most_frequent_first():
    assert frequent_labels(RECORDS, 1) == "Any finding|Effusion|Hernia|Mass"
    assert frequent_labels(RECORDS, 2) == "Any finding|Effusion"


def test_targets_by_hand():
    found = targets(RECORDS, (ANY_FINDING, "Effusion", "Mass"))

    np.testing.assert_array_equal(found, [[0, 0, 0], [1, 1, 1], [1, 1, 0], [1, 0, 0]])


def still(count: int) -> torch.Tensor:
    change = torch.zeros(count, 6)
    change[:, 3:5] = 1
    return change


def test_no_change_leaves_an_image_as_it_is():
    images = torch.rand(2, 1, 16, 16) * 2 - 1

    torch.testing.assert_close(changed(images, still(2)), images, atol=1e-5, rtol=0)


def test_shifts_turn_and_zoom_go_where_they_say():
    images = torch.full((4, 1, 16, 16), -1.0)
    images[:, 0, 4, 6] = 1
    change = still(4)
    change[0, 1] = 3 / 16  # right
    change[1, 2] = 2 / 16  # down
    change[2, 0] = torch.pi / 2  # the grid's turn carries (row, column) to (column, 15 - row)
    change[3, 3] = 2.0

    found = changed(images, change)

    assert found[0, 0, 4, 9] == pytest.approx(1, abs=1e-4)
    assert found[1, 0, 6, 6] == pytest.approx(1, abs=1e-4)
    turned = found[2, 0].flatten().argmax().item()
    assert divmod(turned, 16) in {(6, 11), (9, 4)}
    rows, columns = np.nonzero(found[3, 0].numpy() > -0.5)
    assert rows.mean() == pytest.approx(7.5 + 2 * (4 - 7.5), abs=0.6)
    assert columns.mean() == pytest.approx(7.5 + 2 * (6 - 7.5), abs=0.6)


def test_contrast_and_brightness_by_hand():
    images = torch.tensor([0.5, -0.25]).reshape(1, 1, 1, 2).expand(1, 1, 2, 2)
    change = still(1)
    change[0, 4], change[0, 5] = 1.2, 0.1

    found = changed(images, change)

    torch.testing.assert_close(found[0, 0, 0], torch.tensor([0.7, -0.2]))


def test_changes_stay_within_what_is_allowed():
    found = draw_changes(TINY, 500, np.random.default_rng(3))

    assert np.abs(found[:, 0]).max() <= np.radians(TINY.turn_degrees)
    assert np.abs(found[:, 1:3]).max() <= TINY.shift
    assert 1 / (1 + TINY.zoom) <= found[:, 3].min() < 1 < found[:, 3].max() <= 1 + TINY.zoom


def test_learning_rate_rises_then_falls():
    config = dataclasses.replace(TINY, total_steps=100, learning_rate=1.0)

    assert learning_rate(config, 0) == pytest.approx(0.1)
    assert learning_rate(config, 9) == pytest.approx(1.0)
    assert learning_rate(config, 55) == pytest.approx(0.5)
    assert learning_rate(config, 100) == pytest.approx(0.01)


def bright_and_dark(count: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Noise; an image "shows something" where a corner is bright."""
    rng = np.random.default_rng(seed)
    images = rng.normal(0, 0.1, (count, 32, 32)).astype(np.float32)
    wanted = np.zeros((count, 3), np.float32)
    wanted[: count // 2, :2] = 1
    images[: count // 2, 18:30, 2:14] += 0.8
    return images, wanted


def fabric() -> Fabric:
    return Fabric(accelerator="cpu", devices=1)


def recipe(steps: int = 20) -> ClassifierRecipe:
    torch.manual_seed(5)
    config = dataclasses.replace(TINY, total_steps=steps)
    return ClassifierRecipe(config, *bright_and_dark(40), fabric(), ("a", "b", "a"))


def test_it_learns_what_can_be_seen_and_looks_there():
    trained = recipe(60)
    run(trained, 60, on_step=lambda *_: None)
    classifier = RadiographClassifier(trained.network, trained.config)
    images, wanted = bright_and_dark(20, seed=1)

    likely = classifier.likelihoods(images)
    any_finding = classifier.any_finding(likely)

    assert any_finding[:10].min() > any_finding[10:].max()
    assert likely[:, 2].max() < 0.3  # no image shows a mass
    np.testing.assert_allclose(any_finding, likely[:, 0])
    assert wanted[:, 0].sum() == 10


def test_grad_cam_of_a_network_that_ends_in_means_is_its_class_activation_map():
    torch.manual_seed(0)
    network = ResNet("resnet10", width=4, outputs=3)
    classifier = RadiographClassifier(network, dataclasses.replace(TINY, image_size=64))
    images = np.random.default_rng(0).normal(size=(2, 64, 64)).astype(np.float32)

    found = classifier.grad_cam(images, "Effusion")

    with torch.no_grad():
        maps = network.maps(torch.from_numpy(images)[:, None])
        cam = torch.relu(torch.einsum("k,bkij->bij", network.fc.weight[1], maps))
        large = torch.nn.functional.interpolate(cam[:, None], (64, 64), mode="bilinear")[:, 0]
        expected = large / large.amax(dim=(1, 2), keepdim=True).clamp(min=1e-12)
    np.testing.assert_allclose(found, expected.numpy(), atol=1e-5)
    with pytest.raises(LungSynthError, match="no output 'Edema'; it has Any finding, Effusion"):
        classifier.grad_cam(images, "Edema")


def test_resumed_training_equals_uninterrupted_training():
    whole, first, resumed = recipe(), recipe(), recipe()
    run(whole, 6, on_step=lambda *_: None)
    run(first, 3, on_step=lambda *_: None)
    resumed.load_state_dict(first.state_dict())
    run(resumed, 6, on_step=lambda *_: None)

    for name, value in whole.network.state_dict().items():
        assert torch.equal(value, resumed.network.state_dict()[name]), name


def test_weights_come_back_as_they_were(tmp_path):
    trained = recipe(4)
    run(trained, 4, on_step=lambda *_: None)
    path = tmp_path / "classifier.safetensors"
    trained.save_weights(path)

    found = load_classifier(path, "cpu")

    images, _ = bright_and_dark(5)
    own = RadiographClassifier(trained.network, trained.config)
    np.testing.assert_allclose(found.likelihoods(images), own.likelihoods(images), atol=2e-3)
    assert found.config == trained.config
    assert trained.data_summary()["labels"] == {ANY_FINDING: 20, "Effusion": 20, "Mass": 0}


def test_weights_of_other_outputs_give_all_but_the_last_layer(tmp_path):
    trained = recipe(2)
    run(trained, 2, on_step=lambda *_: None)
    path = tmp_path / "classifier.safetensors"
    trained.save_weights(path)
    other = ResNet("resnet10", width=4, outputs=5)
    before = other.fc.weight.clone()

    start_from(other, path, dataclasses.replace(TINY, labels="a|b|c|d|e"))

    assert torch.equal(other.fc.weight, before)
    stored = trained.network.conv1.weight.half().float()
    torch.testing.assert_close(other.conv1.weight, stored)


@pytest.mark.parametrize("suffix", [".safetensors", ".pt"])
def test_weights_named_as_torchxrayvision_names_them_are_read(tmp_path, suffix):
    network = ResNet("resnet50", width=64, outputs=18)
    path = tmp_path / f"xrv{suffix}"
    tensors = {f"model.{name}": value for name, value in network.state_dict().items()}
    tensors["op_threshs"] = torch.full((18,), 0.5)
    if suffix == ".pt":
        torch.save(tensors, path)
    else:
        save_file(tensors, path)

    found = load_classifier(path, "cpu")

    assert found.names == tuple(XRV_LABELS.split("|"))
    assert len(found.names) == 18
    given = []
    network.eval().conv1.register_forward_pre_hook(lambda _, x: given.append(x[0]))
    found.network.conv1.register_forward_pre_hook(lambda _, x: given.append(x[0]))
    likely = found.likelihoods(np.ones((1, 64, 64), np.float32))
    assert given[0].shape == (1, 1, 512, 512)
    assert float(given[0].max()) == pytest.approx(1024, rel=1e-5)
    assert found.any_finding(likely) == pytest.approx(likely.max())


def test_a_pickled_model_is_not_loaded(tmp_path):
    path = tmp_path / "whole.pt"
    torch.save(ResNet("resnet10", width=4, outputs=1), path)

    with pytest.raises(LungSynthError, match="a pickled model is never loaded"):
        load_classifier(path, "cpu")


def test_weights_of_another_system_are_refused(tmp_path):
    path = tmp_path / "other.safetensors"
    save_file({"a": torch.zeros(2)}, path)

    with pytest.raises(LungSynthError, match="'cxr-classifier' in 'lungsynth-weights-1' are need"):
        load_classifier(path, "cpu")
    with pytest.raises(LungSynthError, match="no such weights file"):
        load_classifier(tmp_path / "absent.safetensors", "cpu")
