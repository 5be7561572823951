"""A whole run of ``lungsynth train class-aware``: its folder, and that it goes on as it was."""

import json

import pytest
import torch

from lungsynth.core.errors import LungSynthError
from lungsynth.nn.weights import load_weights
from lungsynth.synthesizers import load_synthesizer
from lungsynth.training.run import TrainOptions, train


def options(steps, **others):
    return TrainOptions("tiny", steps=steps, accelerator="cpu", checkpoint_every=1, **others)


def test_a_run_that_was_stopped_goes_on_bit_for_bit(rated_folder, tmp_path):
    whole = train("class-aware", rated_folder, tmp_path / "whole", options(3))
    train("class-aware", rated_folder, tmp_path / "parts", options(2))
    parts = train("class-aware", rated_folder, tmp_path / "parts", options(3, resume=True))

    assert whole.read_bytes() == parts.read_bytes()
    one, two = (
        torch.load(tmp_path / run / "checkpoint.pt", weights_only=True)["state"]["critics"]
        for run in ("whole", "parts")
    )
    assert all(torch.equal(one[name], two[name]) for name in one)
    logs = [(tmp_path / run / "losses.jsonl").read_text() for run in ("whole", "parts")]
    assert logs[0] == logs[1]
    card = json.loads((tmp_path / "whole" / "run.json").read_text())
    assert (card["system"], card["data"]["nodules"]) == ("class-aware", 8)
    assert load_synthesizer("class-aware", weights=whole, device="cpu").config.width == 4


def test_a_run_can_start_from_weights(rated_folder, tmp_path):
    first = train("class-aware", rated_folder, tmp_path / "first", options(1))
    second = train(
        "class-aware", rated_folder, tmp_path / "second", options(1, init=first, fine_tune="none")
    )

    assert load_weights(first, "class-aware").sha256 != load_weights(second, "class-aware").sha256


def test_weights_of_another_system_are_no_start(rated_folder, tmp_path):
    first = train("class-aware", rated_folder, tmp_path / "first", options(1))
    with pytest.raises(LungSynthError, match=r"weights of 'class-aware'.*'mcgan' .* needed"):
        train("mcgan", rated_folder, tmp_path / "other", options(1, init=first))
