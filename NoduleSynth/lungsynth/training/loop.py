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
 * What a recipe may have beside, each by its presence: ``sample_picture`` (``Picturing``);
   ``prepare`` and ``learn`` (``Preparing``), so that the next batch is read while a GPU works; what
   ``training.guard`` watches (``critic_chance``, ``draw_variants``); ``rate_factor``, with which
   the learning rates are multiplied; ``learns_in_parts`` and ``accumulate``, in how many parts a
   batch is learnt from; ``fine_tune(plan, steps)``, from the name of a plan, or "auto", and the
   steps that are asked to the name of the plan that is taken.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from lungsynth.core.errors import LungSynthError

READ_AHEAD = 4
"""How many batches are read at once while a device works; each takes memory there."""


class BadHealthError(LungSynthError):
    """The networks are in bad health; the last checkpoint may be from before."""


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


class Preparing(Protocol):
    """A recipe whose step is reading, which needs no network, and then learning."""

    def prepare(self, rng: np.random.Generator) -> Any:  # noqa: ANN401 - the recipe's own
        """Make the random choices of a step and read its batch, without torch's generator.

        Several threads may do so at once, for steps to come.
        """

    def learn(self, prepared: Any) -> dict[str, float]:  # noqa: ANN401 - the recipe's own
        """Train on what ``prepare`` returned and return the losses by name."""


class Picturing(Protocol):
    """A recipe that draws its own picture of what its networks make so far."""

    def sample_picture(self, rng: np.random.Generator) -> NDArray[np.uint8]:
        """Return a grid of samples, grey (rows, columns) or RGB (rows, columns, 3).

        It is drawn with the same ``rng`` each time, so that pictures can be compared, and must
        leave the next training step as it was (no change of weights, buffers or training mode;
        torch's generator may be used freely).
        """


@dataclass
class Timing:
    """Where the time of the steps went, in seconds."""

    steps_s: float = 0.0
    waited_s: float = 0.0  # for batches

    @property
    def loader_share(self) -> float:
        """Part of the time in which there was no batch to learn from."""
        return self.waited_s / self.steps_s if self.steps_s else 0.0


def rng_for_step(seed: int, step: int, rank: int = 0) -> np.random.Generator:
    """Seed torch from (seed, step, rank) alone, and return a generator from (seed, step)."""
    sequence = np.random.SeedSequence([seed, step])
    own = np.random.SeedSequence([seed, step, rank]) if rank else sequence
    torch.manual_seed(int(own.generate_state(1)[0]))
    return np.random.default_rng(sequence)


def run(
    recipe: Stepping,
    total_steps: int,
    *,
    seed: int = 0,
    on_step: Callable[[int, dict[str, float]], None],
    stop: Callable[[], bool] = lambda: False,
    rank: int = 0,
    share: Callable[[dict[str, float]], dict[str, float]] = lambda losses: losses,
    ahead: bool = False,
    timing: Timing | None = None,
) -> None:
    """Train up to ``total_steps`` steps in all.

    Args:
        recipe: Starts at its own ``step_count``.
        total_steps: When to stop, the steps of earlier runs counted.
        seed: With the step's number it decides everything random in a step.
        on_step: Called after each good step with the steps done and its losses.
        stop: Asked after each step; True ends the run there.
        rank: Which of several processes this is.
        share: From the losses of this process to those of all.
        ahead: Read the next batches while learning from this one, if the recipe is ``Preparing``.
        timing: Takes up where the time went, if the recipe is ``Preparing``.

    Raises:
        BadHealthError: If a loss is NaN or infinite; ``on_step`` has not seen that step.
    """
    batches = _Batches(recipe, seed, total_steps, ahead=ahead) if _prepares(recipe) else None
    timing = timing or Timing()
    try:
        for step in range(recipe.step_count, total_steps):
            began = time.perf_counter()
            if batches is None:
                losses = recipe.step(rng_for_step(seed, step, rank))
            else:
                batch = batches.take(step)
                timing.waited_s += time.perf_counter() - began
                rng_for_step(seed, step, rank)
                losses = batches.recipe.learn(batch)
            losses = share(losses)
            timing.steps_s += time.perf_counter() - began
            check_finite(step + 1, losses)
            recipe.step_count = step + 1
            on_step(recipe.step_count, losses)
            if stop():
                return
    finally:
        if batches is not None:
            batches.close()


def check_finite(step: int, losses: dict[str, float]) -> None:
    """Refuse losses that are not finite numbers.

    Raises:
        BadHealthError: If there is one.
    """
    bad = [name for name, value in losses.items() if not math.isfinite(value)]
    if bad:
        msg = (
            f"training stopped at step {step}: {', '.join(bad)} is not a finite number; "
            "the last checkpoint holds good weights; resume with a lower learning rate or "
            "with --precision 32-true"
        )
        raise BadHealthError(msg)


def _prepares(recipe: object) -> bool:
    return hasattr(recipe, "prepare") and hasattr(recipe, "learn")


class _Batches:
    """Batches of steps, each read from the generator of its step; a few are read ahead."""

    def __init__(self, recipe: Any, seed: int, total_steps: int, *, ahead: bool) -> None:  # noqa: ANN401 - a Preparing one
        self.recipe: Preparing = recipe
        self._seed, self._total = seed, total_steps
        self._threads = ThreadPoolExecutor(READ_AHEAD) if ahead else None
        self._coming: dict[int, Future[Any]] = {}

    def take(self, step: int) -> Any:  # noqa: ANN401 - the recipe's own
        """Return the batch of a step, and have those of the next ones read."""
        if self._threads is None:
            return self._read(step)
        for coming in range(step, min(step + 1 + READ_AHEAD, self._total)):
            if coming not in self._coming:
                self._coming[coming] = self._threads.submit(self._read, coming)
        return self._coming.pop(step).result()

    def _read(self, step: int) -> Any:  # noqa: ANN401 - the recipe's own
        return self.recipe.prepare(
            np.random.default_rng(np.random.SeedSequence([self._seed, step]))
        )

    def close(self) -> None:
        """Let go of the threads."""
        if self._threads is not None:
            self._threads.shutdown(cancel_futures=True)
