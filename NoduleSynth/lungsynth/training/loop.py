"""The training loop: what a step does belongs to the recipe."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
import torch

from lungsynth.core.errors import LungSynthError


class Recipe(Protocol):
    """How one system is trained."""

    step_count: int

    def step(self, rng: np.random.Generator) -> dict[str, float]:
        """Train on one batch drawn from ``rng`` and return the losses by name."""

    def state_dict(self) -> dict[str, Any]:
        """Return everything that the next step depends on, tensors and plain values."""

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take up where ``state_dict`` was called."""


def rng_for_step(seed: int, step: int) -> np.random.Generator:
    """Seed torch and return a generator, both from (seed, step) alone."""
    sequence = np.random.SeedSequence([seed, step])
    torch.manual_seed(int(sequence.generate_state(1)[0]))
    return np.random.default_rng(sequence)


def run(
    recipe: Recipe,
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
