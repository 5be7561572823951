"""The training loop: what a step does belongs to the recipe.

To make a system trainable, write

    def build_recipe(data: Path, preset: str, fabric: Any, init: Path | None) -> Recipe

and name it in ``synthesizers.TRAINABLE`` (strings, so a detector may stand there too). ``data`` is
what the user gave; a system whose data are prepared once, before the processes of a run start, is
also named in ``synthesizers.PREPARE_DATA``. ``lungsynth train``, ``training.run.train``, resuming,
checkpoints, logs and the report then work. ``nn.recipe.NetworkRecipe`` is a base that does most of
what ``Recipe`` asks.

 * Every random choice of a step comes from ``rng`` and torch's own generator, both set by the loop
   from (seed, step), so that a resumed run is the uninterrupted one; keep no generator of your own,
   and no loader that runs ahead.
 * Of several processes, ``rng`` is the same in each: each draws the choices of all of them, and
   takes its own part (``NetworkRecipe.own_part``). Two processes then learn what one learns from
   twice the batch. Torch's generator differs from process to process.
 * What a recipe may have beside, each by its presence: ``sample_picture`` (``Picturing``), what
   ``training.guard`` watches (``critic_chance``, ``draw_variants``), and ``rate_factor``, with
   which the learning rates are multiplied.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from lungsynth.core.errors import LungSynthError


class Stepping(Protocol):
    """What the loop needs of a recipe."""

    step_count: int

    def step(self, rng: np.random.Generator) -> dict[str, float]:
        """Train on one batch drawn from ``rng`` and return the losses by name."""

    def state_dict(self) -> dict[str, Any]:
        """Return everything that the next step depends on, tensors and plain values."""

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take up where ``state_dict`` was called."""


class Recipe(Stepping, Protocol):
    """How one system is trained: what a run (``training.run``) needs of it.

    ``config`` is a frozen dataclass of plain values with the field ``total_steps``; it is written
    into the run's card, and a run is resumed with the same one only.
    """

    config: Any

    def data_summary(self) -> dict[str, object]:
        """Return what it is trained on as JSON can hold it: how much, of whom, a fingerprint."""

    def save_weights(self, path: Path) -> None:
        """Write the networks to be used as safetensors (``nn.weights.save_weights``)."""


class Picturing(Protocol):
    """A recipe that draws its own picture of what its networks make so far."""

    def sample_picture(self, rng: np.random.Generator) -> NDArray[np.uint8]:
        """Return a grid of samples, grey (rows, columns) or RGB (rows, columns, 3).

        It is drawn with the same ``rng`` each time, so that pictures can be compared, and must
        leave the next training step as it was (no change of weights, buffers or training mode;
        torch's generator may be used freely).
        """


def rng_for_step(seed: int, step: int) -> np.random.Generator:
    """Seed torch and return a generator, both from (seed, step) alone."""
    sequence = np.random.SeedSequence([seed, step])
    torch.manual_seed(int(sequence.generate_state(1)[0]))
    return np.random.default_rng(sequence)


def run(
    recipe: Stepping,
    total_steps: int,
    *,
    seed: int = 0,
    on_step: Callable[[int, dict[str, float]], None],
    stop: Callable[[], bool] = lambda: False,
) -> None:
    """Train up to ``total_steps`` steps in all.

    Args:
        recipe: Starts at its own ``step_count``.
        total_steps: When to stop, the steps of earlier runs counted.
        seed: With the step's number it decides everything random in a step.
        on_step: Called after each good step with the steps done and its losses.
        stop: Asked after each step; True ends the run there.

    Raises:
        LungSynthError: If a loss is NaN or infinite; ``on_step`` has not seen that step.
    """
    for step in range(recipe.step_count, total_steps):
        losses = recipe.step(rng_for_step(seed, step))
        bad = [name for name, value in losses.items() if not math.isfinite(value)]
        if bad:
            msg = (
                f"training stopped at step {step + 1}: {', '.join(bad)} is not a finite number; "
                "the last checkpoint holds good weights; resume with a lower learning rate or "
                "with --precision 32-true"
            )
            raise LungSynthError(msg)
        recipe.step_count = step + 1
        on_step(recipe.step_count, losses)
        if stop():
            return
