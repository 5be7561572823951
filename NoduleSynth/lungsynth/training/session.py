"""One session of a run: from its last checkpoint to its end, a pause, or bad health."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from lungsynth.training.checkpoint import all_finite, read_checkpoint
from lungsynth.training.guard import Guard, measured_diversity
from lungsynth.training.launch import asked_of_any, averaged
from lungsynth.training.loop import BadHealthError, Recipe, Timing, run
from lungsynth.training.options import TrainOptions
from lungsynth.training.writer import CHECKPOINT, RunWriter

PAUSE = "pause"
"""A file of that name in the run's folder ends it after the step that it is in, as if by a
signal, but with a checkpoint of that step; it works on every system."""
LOWERED = 0.5
LOWERED_AT_MOST = 5
OnStep = Callable[[int, int, dict[str, float]], None]


class Session:
    """Trains a recipe from its folder's checkpoint on, in each process of the run.

    Args:
        output: Folder of the run.
        name: Of the system.
        recipe: As it is built; it takes up the checkpoint, if there is one.
        options: How.
        fabric: Launched.
    """

    def __init__(
        self,
        output: Path,
        name: str,
        recipe: Recipe,
        options: TrainOptions,
        fabric: Any,  # noqa: ANN401 - Fabric is an optional extra
    ) -> None:
        self.output, self.name, self.recipe = output, name, recipe
        self.options, self.fabric = options, fabric
        self.guard = Guard(recipe)
        self.lowered = 0
        self.timing = Timing()
        self.on_step: OnStep | None = None
        self.on_report: Callable[[Sequence[str]], None] | None = None
        self._usual_rate = getattr(recipe, "rate_factor", 1.0)
        if (output / CHECKPOINT).exists():  # else it was ended before its first checkpoint
            self._take_up()
        first = fabric.is_global_zero
        self.writer = RunWriter(output, name, recipe, options) if first else None

    def train_to(self, total_steps: int) -> bool:
        """Train up to ``total_steps``; return whether they are done, or the run was paused.

        Raises:
            BadHealthError: If the networks are in bad health, and that is to end the run.
        """
        pause = self.output / PAUSE
        pause.unlink(missing_ok=True)  # left by one who asked a run that had already ended
        while True:
            try:
                run(
                    self.recipe,
                    total_steps,
                    seed=self.options.seed,
                    on_step=lambda step, losses: self._after_step(step, total_steps, losses),
                    stop=lambda: asked_of_any(self.fabric, pause.exists),
                    rank=self.fabric.global_rank,
                    share=lambda losses: averaged(self.fabric, losses),
                    ahead=self.fabric.device.type != "cpu",
                    timing=self.timing,
                )
                break
            except BadHealthError as trouble:
                self._lower_rate(trouble)
        finished = self.recipe.step_count >= total_steps
        if not finished:
            self._checkpoint(self.recipe.step_count)
        if self.writer is not None:
            if finished:
                self.recipe.save_weights(self.output / f"{self.name}.safetensors")
            self.writer.close()
            pause.unlink(missing_ok=True)
        return finished

    def _after_step(self, step: int, total_steps: int, losses: dict[str, float]) -> None:
        last = step == total_steps
        due = last or step % self.options.checkpoint_every == 0
        if self.options.guard != "off":
            said = self.guard.look_at(losses)
            if due and not said:
                said = self._look_at_diversity(step)
            if said:
                self._heed(step, said)
        if self.writer is not None:
            self.writer.log_step(step, losses)
        if due:
            self._checkpoint(step)
        if self.writer is not None:
            self.writer.after_step(step, last=last)
        if self.on_step is not None:
            self.on_step(step, total_steps, losses)

    def _look_at_diversity(self, step: int) -> str:
        if step < self.guard.config.settled_step:
            return ""
        diversity = measured_diversity(self.recipe)
        if diversity is not None:  # devices may differ in the last digit, and must decide alike
            diversity = averaged(self.fabric, {"diversity": diversity})["diversity"]
        return self.guard.look_at_diversity(diversity, step)

    def _heed(self, step: int, said: str) -> None:
        """Say what the guard said; end the steps, unless it is only to be said."""
        if self.options.guard != "warn":
            msg = (
                f"training stopped at step {step}: {said}; go on from the last checkpoint with "
                "--resume and --guard lower-rate, or --guard warn to let it be"
            )
            raise BadHealthError(msg)
        self._say(step, said)

    def _lower_rate(self, trouble: BadHealthError) -> None:
        """Go on from the last checkpoint with lower learning rates, if that is wanted."""
        can = hasattr(self.recipe, "rate_factor") and (self.output / CHECKPOINT).exists()
        if self.options.guard != "lower-rate" or not can or self.lowered >= LOWERED_AT_MOST:
            raise trouble
        reached, lowered = self.recipe.step_count, self.lowered + 1
        self.fabric.barrier()
        self._take_up()
        self.lowered = lowered  # the checkpoint may be from before it was lowered last
        self._apply_rate()
        self.guard = Guard(self.recipe)
        if self.writer is not None:
            self.writer.begin_at(self.recipe.step_count)
        cause = str(trouble).partition(": ")[2].partition(";")[0]
        said = f"{cause} after step {reached}; learning rates are {self._factor():g} of the usual"
        self._say(self.recipe.step_count, said)

    def _say(self, step: int, said: str) -> None:
        if self.writer is not None:
            self.writer.warn(step, said)
            if self.on_report is not None:
                self.on_report([f"step {step}: {said}"])

    def _checkpoint(self, step: int) -> None:
        state = self.recipe.state_dict()
        if not all_finite(state):  # a step may spoil the weights after its finite losses
            msg = (
                f"training stopped at step {step}: the weights are no longer finite numbers; "
                "the last checkpoint holds good ones"
            )
            raise BadHealthError(msg)
        if self.writer is not None:
            session = {"lowered": self.lowered, "guard": self.guard.state_dict()}
            self.writer.write_checkpoint(state, session)

    def _take_up(self) -> None:
        state, session = read_checkpoint(self.output / CHECKPOINT, self.name)
        self.recipe.load_state_dict(state)
        self.lowered = int(session.get("lowered", 0))
        if "guard" in session:
            self.guard.load_state_dict(session["guard"])
        self._apply_rate()

    def _factor(self) -> float:
        factor: float = LOWERED**self.lowered
        return factor

    def _apply_rate(self) -> None:
        if self.lowered:
            self.recipe.rate_factor = self._usual_rate * self._factor()  # type: ignore[attr-defined]
