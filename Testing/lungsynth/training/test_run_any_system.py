"""A run of a system that knows nothing of nodule cubes: its data, pictures and weights."""

from __future__ import annotations

import json
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from matplotlib.image import imread

from lungsynth.core.errors import LungSynthError
from lungsynth.nn.recipe import NetworkRecipe
from lungsynth.nn.weights import load_weights, save_weights
from lungsynth.training import run as training
from lungsynth.training.run import TrainOptions, train


@dataclass(frozen=True)
class LineConfig:
    total_steps: int = 3
    rate: float = 0.1


class LineRecipe(NetworkRecipe):
    """Fits y = 3x by plain gradient descent, on numbers from a file of its own format."""

    stateful = ("networks", "optimizer")

    def __init__(self, config, fabric, numbers):
        super().__init__(config, fabric)
        self.numbers = numbers
        self.networks = torch.nn.Linear(1, 1, bias=False)
        with torch.no_grad():
            self.networks.weight.fill_(1.0)
        optimizer = torch.optim.SGD(self.networks.parameters(), config.rate)
        self.optimizer = fabric.setup_optimizers(optimizer)

    def step(self, rng):
        x = torch.tensor([[float(rng.choice(self.numbers))]])
        loss = (self.networks(x) - 3 * x).square().mean()
        self.descend(self.optimizer, loss)
        return {"miss": float(loss.detach())}

    def data_summary(self):
        return {"numbers": len(self.numbers)}

    def save_weights(self, path):
        save_weights(path, "line", {}, self.networks.state_dict())

    def sample_picture(self, rng):
        return rng.integers(0, 256, (5, 7), dtype=np.uint8)


def build_line(data, preset, fabric, init):
    assert (preset, init) == ("default", None)
    return LineRecipe(LineConfig(), fabric, json.loads((data / "numbers.json").read_text()))


@pytest.fixture
def line_folder(tmp_path, monkeypatch):
    monkeypatch.setitem(training.TRAINABLE, "line", f"{__name__}:build_line")
    monkeypatch.setattr(training, "resolve", lambda _table, name, _kind: {"line": build_line}[name])
    data = tmp_path / "data"
    data.mkdir()
    (data / "numbers.json").write_text("[1.0]")
    return data


def test_the_builder_gets_the_folder_as_it_was_given(line_folder, tmp_path):
    """By hand: w <- w - 0.1 * 2 (w - 3), from 1: 1.4, 1.72, 1.976; losses 4, 2.56, 1.6384."""
    told = []
    weights = train(
        "line",
        line_folder,
        tmp_path / "run",
        TrainOptions(accelerator="cpu"),
        lambda *t: told.append(t),
    )

    assert [losses["miss"] for _, _, losses in told] == pytest.approx([4, 2.56, 1.6384])
    assert load_weights(weights, "line").tensors["weight"].item() == pytest.approx(1.976, abs=1e-3)
    card = json.loads((tmp_path / "run" / "run.json").read_text())
    assert (card["config"], card["data"]) == ({"total_steps": 3, "rate": 0.1}, {"numbers": 1})
    assert not (tmp_path / "run" / "cubes").exists()


def test_a_recipe_draws_its_own_picture(line_folder, tmp_path):
    train("line", line_folder, tmp_path / "run", TrainOptions(accelerator="cpu"))

    picture = imread(tmp_path / "run" / "samples.png")
    asked = np.random.default_rng(0).integers(0, 256, (5, 7), dtype=np.uint8)
    np.testing.assert_array_equal(np.rint(picture[..., 0] * 255), asked)


def test_a_rate_factor_scales_each_step(line_folder, tmp_path, monkeypatch):
    """Half the rate: 1, 1.2, 1.38; losses 4, 3.24, 2.6244; the optimizer's own rate stays."""
    made = []
    build = build_line

    def slower(*arguments):
        made.append(build(*arguments))
        made[0].rate_factor = 0.5
        return made[0]

    monkeypatch.setattr(training, "resolve", lambda *_: slower)
    told = []
    options = TrainOptions(accelerator="cpu")
    train("line", line_folder, tmp_path / "run", options, lambda *t: told.append(t[2]["miss"]))

    assert told == pytest.approx([4, 3.24, 2.6244])
    assert made[0].optimizer.param_groups[0]["lr"] == 0.1


def test_a_recipe_that_learns_from_whole_batches_says_so(line_folder, tmp_path):
    options = TrainOptions(accelerator="cpu", accumulate=2)
    with pytest.raises(LungSynthError, match=r"--accumulate: this system learns from a batch as"):
        train("line", line_folder, tmp_path / "run", options)
