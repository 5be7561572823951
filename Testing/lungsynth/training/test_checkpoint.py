"""Checkpoints: whole or not at all, and nothing in one is executed."""

import pickle

import pytest
import torch

from lungsynth.core.errors import LungSynthError
from lungsynth.training.checkpoint import load_checkpoint, save_checkpoint


class Trap:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (open, (self.path, "w"))


def test_state_comes_back(tmp_path):
    path = tmp_path / "checkpoint.pt"
    state = {"step_count": 3, "weights": {"a": torch.tensor([0.1, 2.0])}, "list": [1, "x"]}
    save_checkpoint(path, "mcgan", state)
    found = load_checkpoint(path, "mcgan")

    assert torch.equal(found["weights"]["a"], state["weights"]["a"])
    assert (found["step_count"], found["list"]) == (3, [1, "x"])
    assert [p.name for p in tmp_path.iterdir()] == ["checkpoint.pt"]


def test_a_failed_write_leaves_the_last_checkpoint(tmp_path):
    path = tmp_path / "checkpoint.pt"
    save_checkpoint(path, "mcgan", {"step_count": 3})
    with pytest.raises((AttributeError, TypeError, pickle.PicklingError)):
        save_checkpoint(path, "mcgan", {"step_count": 4, "bad": lambda: None})

    assert load_checkpoint(path, "mcgan") == {"step_count": 3}
    assert [p.name for p in tmp_path.iterdir()] == ["checkpoint.pt"]


@pytest.mark.parametrize("write", [pickle.dump, torch.save])
def test_a_foreign_pickle_is_refused_and_not_executed(tmp_path, write):
    sprung, path = tmp_path / "sprung", tmp_path / "checkpoint.pt"
    with path.open("wb") as file:
        write({"format": "lungsynth-checkpoint-1", "state": Trap(str(sprung))}, file)
    with pytest.raises(LungSynthError, match=r"checkpoint.pt: not a readable checkpoint"):
        load_checkpoint(path, "mcgan")

    assert not sprung.exists()


@pytest.mark.parametrize("keep", [0, 10, -20])
def test_a_truncated_checkpoint_is_refused(tmp_path, keep):
    path = tmp_path / "checkpoint.pt"
    save_checkpoint(path, "mcgan", {"weights": torch.zeros(100)})
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(LungSynthError, match=r"checkpoint.pt: not a readable checkpoint"):
        load_checkpoint(path, "mcgan")


def test_what_else_it_can_be_is_named(tmp_path):
    path = tmp_path / "checkpoint.pt"
    with pytest.raises(LungSynthError, match=r"no checkpoint to resume from"):
        load_checkpoint(path, "mcgan")
    torch.save(torch.zeros(3), path)
    with pytest.raises(LungSynthError, match=r"checkpoint format None, this version reads"):
        load_checkpoint(path, "mcgan")
    torch.save({"format": "lungsynth-checkpoint-0"}, path)
    with pytest.raises(LungSynthError, match=r"format lungsynth-checkpoint-0, this version"):
        load_checkpoint(path, "mcgan")
    save_checkpoint(path, "shell-gan", {})
    with pytest.raises(LungSynthError, match=r"a checkpoint of 'shell-gan', not of 'mcgan'"):
        load_checkpoint(path, "mcgan")
