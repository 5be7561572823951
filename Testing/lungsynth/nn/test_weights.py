"""Weights files: what comes back, and what is refused without being executed."""

import hashlib
import json
import pickle

import pytest
import torch
from safetensors.torch import save_file

from lungsynth.core.errors import LungSynthError
from lungsynth.nn.weights import load_weights, save_weights, shipped_weights


@pytest.fixture
def weights_file(tmp_path):
    path = tmp_path / "plain.safetensors"
    tensors = {"a.weight": torch.tensor([[0.1, -2.0], [3.0, 1e-3]]), "count": torch.tensor(7)}
    save_weights(path, "mcgan", {"width": 4, "rate": 0.5}, tensors)
    return path


def test_weights_come_back_as_they_were_to_half_precision(weights_file):
    stored = load_weights(weights_file, "mcgan")

    expected = torch.tensor([[0.1, -2.0], [3.0, 1e-3]]).half().float()
    assert torch.equal(stored.tensors["a.weight"], expected)
    assert stored.tensors["a.weight"].dtype == torch.float32
    assert stored.tensors["count"] == 7
    assert stored.tensors["count"].dtype == torch.int64
    assert stored.config == {"width": 4, "rate": 0.5}
    assert stored.sha256 == hashlib.sha256(weights_file.read_bytes()).hexdigest()
    assert not list(weights_file.parent.glob("*.part"))


def test_the_same_weights_are_the_same_bytes(weights_file):
    """safetensors shuffles its metadata, so that this once came true one time in six."""
    stored, copies = load_weights(weights_file, "mcgan"), set()
    for n in range(8):
        path = weights_file.with_name(f"{n}.safetensors")
        save_weights(path, "mcgan", stored.config, stored.tensors)
        copies.add(path.read_bytes())

    assert copies == {weights_file.read_bytes()}
    assert (copies.pop()[0] + 8) % 8 == 0  # the data begin at a multiple of 8, as the format wants


def test_weights_are_stored_as_float16(weights_file):
    data = weights_file.read_bytes()
    header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])

    assert header["a.weight"]["dtype"] == "F16"


@pytest.mark.parametrize("keep", [0, 5, 60, -1])
def test_a_truncated_file_is_refused(weights_file, keep):
    weights_file.write_bytes(weights_file.read_bytes()[:keep])
    with pytest.raises(LungSynthError, match=r"plain.safetensors: not a readable safetensors"):
        load_weights(weights_file, "mcgan")


class Trap:
    """Makes a file when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (open, (self.path, "w"))


@pytest.mark.parametrize("write", [pickle.dump, torch.save])
def test_a_pickle_posing_as_weights_is_refused_and_not_executed(tmp_path, write):
    sprung, path = tmp_path / "sprung", tmp_path / "evil.safetensors"
    with path.open("wb") as file:
        write(Trap(str(sprung)), file)
    with pytest.raises(LungSynthError, match=r"evil.safetensors: not a readable safetensors"):
        load_weights(path, "mcgan")

    assert not sprung.exists()
    pickle.loads(pickle.dumps(Trap(str(sprung)))).close()
    assert sprung.exists()  # the trap does work


def test_foreign_safetensors_are_refused(tmp_path):
    path = tmp_path / "other.safetensors"
    save_file({"a": torch.zeros(2)}, path)
    with pytest.raises(
        LungSynthError, match=r"an unknown system.*'mcgan' in 'lungsynth-weights-1'"
    ):
        load_weights(path, "mcgan")


def test_weights_of_another_system_are_refused(weights_file):
    with pytest.raises(LungSynthError, match=r"weights of 'mcgan' .*'shell' in"):
        load_weights(weights_file, "shell")


def test_weights_of_another_format_are_refused(tmp_path):
    path = tmp_path / "new.safetensors"
    metadata = {"format": "lungsynth-weights-9", "system": "mcgan", "config": "{}"}
    save_file({"a": torch.zeros(2)}, path, metadata)
    with pytest.raises(LungSynthError, match=r"format 'lungsynth-weights-9'"):
        load_weights(path, "mcgan")


def test_a_missing_file_and_a_folder_are_refused(tmp_path):
    for path in (tmp_path / "none.safetensors", tmp_path):
        with pytest.raises(LungSynthError, match=r"no such weights file"):
            load_weights(path, "mcgan")


def test_weights_that_do_not_ship_are_named():
    with pytest.raises(LungSynthError, match=r"nothing.safetensors: .* name a file with --weights"):
        shipped_weights("nothing.safetensors")


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_weights_that_are_no_finite_numbers_are_refused(tmp_path, value):
    path = tmp_path / "spoilt.safetensors"
    metadata = {"format": "lungsynth-weights-1", "system": "mcgan", "config": "{}"}
    tensors = {"a": torch.ones(2), "b.bias": torch.tensor([1, value]), "n": torch.tensor(3)}
    save_file(tensors, path, metadata)

    with pytest.raises(
        LungSynthError, match=r"spoilt.safetensors: 1 of 3 tensors hold NaN or infinity, 'b.bias'"
    ):
        load_weights(path, "mcgan")


def test_weights_too_large_for_half_precision_are_not_written(weights_file):
    before = weights_file.read_bytes()
    with pytest.raises(LungSynthError, match=r"1 of 1 tensors hold NaN or infinity, 'a'"):
        save_weights(weights_file, "mcgan", {}, {"a": torch.tensor([65504.0, 7e4])})

    assert weights_file.read_bytes() == before
