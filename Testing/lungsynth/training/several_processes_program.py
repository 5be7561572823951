"""A program that trains a line by several processes, for tests; it is started anew for each."""

from __future__ import annotations

import argparse
import os
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import torch

from lungsynth.core.errors import LungSynthError
from lungsynth.nn.recipe import NetworkRecipe
from lungsynth.nn.weights import save_weights
from lungsynth.training import run as training
from lungsynth.training.options import TrainOptions


@dataclass(frozen=True)
class LineConfig:
    batch: int
    total_steps: int = 3


class LineRecipe(NetworkRecipe):
    """Fits y = sum(3 x) by Adam."""

    stateful = ("networks", "adam_state")
    learns_in_parts = True

    def __init__(self, asked, fabric):
        config = LineConfig(1)  # of the same run, whatever the processes and the batch of each
        super().__init__(config, fabric)
        self.asked = asked
        self.networks = torch.nn.Linear(4, 1, bias=False)
        self.adam_state = self.adam(self.networks.parameters(), 0.05, (0.5, 0.9))

    def step(self, rng):
        time.sleep(self.asked.slowly)
        if self.asked.breaks == self.fabric.global_rank:
            msg = "only here"
            raise ZeroDivisionError(msg)
        items = self.asked.batch * self.accumulate
        drawn = torch.rand(())
        x = torch.from_numpy(rng.normal(size=(items * self.fabric.world_size, 4))).float()
        parts = x[self.own_part(items)].split(self.asked.batch)
        losses = self.descend_over(self.adam_state, parts, self.losses_of)
        return {"miss": float(losses["miss"]), "drawn": float(drawn)}

    def losses_of(self, x):
        loss = (self.networks(x)[:, 0] - 3 * x.sum(dim=1)).square().mean()
        return loss, {"miss": loss}

    def data_summary(self):
        return {"numbers": 4}

    def save_weights(self, path):
        save_weights(path, "line", {}, self.networks.state_dict())


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("output", type=Path)
    for name in ("devices", "steps", "batch", "accumulate"):
        parser.add_argument(f"--{name}", type=int, default=1)
    parser.add_argument("--resume", action="store_true")
    parser.add_argument("--slowly", type=float, default=0.0)
    parser.add_argument("--timeout", type=float, default=600.0)
    parser.add_argument("--breaks", type=int, default=-1)
    asked = parser.parse_args()
    training.TRAINABLE["line"] = ""
    training.resolve = lambda *_: lambda _data, _preset, fabric, _init: LineRecipe(asked, fabric)
    asked.output.mkdir(exist_ok=True)
    with (asked.output / "processes").open("a", encoding="utf-8") as processes:
        processes.write(f"{os.getpid()}\n")
    options = TrainOptions(
        steps=asked.steps,
        devices=asked.devices,
        accumulate=asked.accumulate,
        resume=asked.resume,
        timeout_s=asked.timeout,
        accelerator="cpu",
        checkpoint_every=2,
    )
    try:
        training.train("line", asked.output, asked.output, options)
    except LungSynthError as error:
        sys.stderr.write(f"lungsynth: {error}\n")
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
