"""What a run leaves in its folder: log, curves, samples over time, report, checkpoints."""

from __future__ import annotations

import json
import math
import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lungsynth.training.board import Board
from lungsynth.training.card import read_card
from lungsynth.training.checkpoint import save_checkpoint
from lungsynth.training.loop import Recipe
from lungsynth.training.losses_log import LossesLog, draw_curves
from lungsynth.training.options import TrainOptions
from lungsynth.training.report import write_report
from lungsynth.training.samples import picture_of, write_picture

CHECKPOINT, LOG, CURVES = "checkpoint.pt", "losses.jsonl", "losses.png"
SAMPLES, SAMPLES_FOLDER, HEALTH, REPORT = "samples.png", "samples", "health.jsonl", "report.html"
SAMPLES_KEPT = 12
CURVES_EVERY_S = 60.0  # at the most often, the end of a run aside


class RunWriter:
    """Writes what a run leaves in its folder, step by step; one process of a run does it."""

    def __init__(self, output: Path, name: str, recipe: Recipe, options: TrainOptions) -> None:
        self.output, self.name, self.recipe, self.options = output, name, recipe, options
        self.begin_at(recipe.step_count)
        self._drawn = -math.inf

    def begin_at(self, step: int) -> None:
        """Go on after a step: what was logged of later ones is taken out."""
        self.log = LossesLog(self.output / LOG, step)
        self.health = LossesLog(self.output / HEALTH, step)
        for picture in (self.output / SAMPLES_FOLDER).glob("*.png"):
            if int(picture.stem) > step:
                picture.unlink()
        self.board = Board(self.output, step)

    def log_step(self, step: int, losses: dict[str, float]) -> None:
        """Log a step."""
        self.log.append(step, losses)
        self.board.losses(step, losses)

    def after_step(self, step: int, *, last: bool) -> None:
        """Draw curves and write weights to choose among when they are due."""
        # the whole log is drawn anew, which on a long run costs as much as some steps
        if last or (
            step % self.options.checkpoint_every == 0
            and time.monotonic() - self._drawn >= CURVES_EVERY_S
        ):
            self.draw(step)
        if self.options.snapshot_every and step % self.options.snapshot_every == 0:
            self.recipe.save_weights(self.output / f"{self.name}-{step:06d}.safetensors")

    def draw(self, step: int) -> None:
        """Draw curves, samples and the report."""
        draw_curves(self.output / LOG, self.output / CURVES)
        picture = picture_of(self.recipe)
        if picture is not None:
            self._keep_samples(step, picture)
        write_report(self.output / REPORT, self.output, read_card(self.output))
        self._drawn = time.monotonic()

    def _keep_samples(self, step: int, picture: NDArray[np.uint8]) -> None:
        folder = self.output / SAMPLES_FOLDER
        folder.mkdir(exist_ok=True)
        for path in (self.output / SAMPLES, folder / f"{step:08d}.png"):
            write_picture(path, picture)
        self.board.samples(step, picture)
        steps = sorted(int(path.stem) for path in folder.glob("*.png"))
        for dropped in set(steps) - set(spread(steps, SAMPLES_KEPT)):
            (folder / f"{dropped:08d}.png").unlink()

    def warn(self, step: int, message: str) -> None:
        """Write down what the watch over the networks' health said."""
        with self.health.path.open("a", encoding="utf-8") as lines:
            lines.write(json.dumps({"step": step, "message": message}) + "\n")

    def write_checkpoint(self, state: dict[str, Any], session: dict[str, Any]) -> None:
        """Write what the next step depends on: of the recipe, and of the run."""
        save_checkpoint(self.output / CHECKPOINT, self.name, state, session)

    def close(self) -> None:
        """Write out what is left."""
        self.board.close()


def spread(steps: list[int], most: int) -> list[int]:
    """Return ``most`` of some steps in order: the first, the last, and others far from each other.

    Called anew with each further step, as here, it keeps them about evenly spread.
    """
    kept = list(steps)
    while len(kept) > most:
        gaps = [after - before for before, after in zip(kept, kept[2:], strict=False)]
        del kept[1 + gaps.index(min(gaps))]
    return kept
