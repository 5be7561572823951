"""One training run in its own folder: start it, resume it, end with weights."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch

from lungsynth.core.errors import LungSynthError
from lungsynth.core.registry import resolve
from lungsynth.core.run_lock import is_first_process, locked
from lungsynth.synthesizers import PREPARE_DATA, TRAINABLE
from lungsynth.training import card
from lungsynth.training.launch import launch_fabric, launched
from lungsynth.training.loop import Recipe
from lungsynth.training.options import TrainOptions
from lungsynth.training.session import PAUSE, OnStep, Session
from lungsynth.training.writer import CHECKPOINT

__all__ = ["PAUSE", "TrainOptions", "launch_fabric", "train"]
CUBES = "cubes"
OnReport = Callable[[Sequence[str]], None]


def train(
    name: str,
    data: Path,
    output: Path,
    options: TrainOptions,
    on_step: OnStep | None = None,
    *,
    on_case: Callable[[int, int], None] | None = None,
    on_report: OnReport | None = None,
) -> Path | None:
    """Train a system and return its weights file, or None if the run was paused.

    Args:
        name: A name in ``TRAINABLE``.
        data: The training data, of whatever kind the system learns from; for nodules in CT, cubes
            or a source that ``data.sources`` knows.
        output: Folder of the run: checkpoint, losses, their curves, samples, weights. A file
            named ``PAUSE`` put there pauses the run.
        options: How.
        on_step: Called with steps done, steps in all and the losses.
        on_case: Called with cases read and cases in all, while data are prepared.
        on_report: Called with what is in the data and what of it cannot be used, line by line,
            before training starts, and with what the watch over the networks' health says.

    Raises:
        LungSynthError: If the input cannot be used, the folder already holds a run that is not
            to be resumed, another process trains into it, or training went wrong.
    """
    build = resolve(TRAINABLE, name, "trainable system")
    with locked(output) if is_first_process() else nullcontext():
        _check_folder(output, resume=options.resume)
        # before the launch, which starts the other processes: they would time out waiting for it
        if name in PREPARE_DATA:
            data = resolve(PREPARE_DATA, name, "trainable system")(
                data,
                options.cache or output / CUBES,
                workers=options.workers,
                on_progress=on_case,
                on_report=on_report,
            )
        return _train(name, output, options, (build, data), (on_step, on_report))


def _train(
    name: str,
    output: Path,
    options: TrainOptions,
    learnt: tuple[Callable[..., Any], Path],
    told: tuple[OnStep | None, OnReport | None],
) -> Path | None:
    """Do what ``train`` says, in a folder that is this run's alone."""
    build, data = learnt
    with launched(options) as fabric:
        fabric.barrier()
        torch.manual_seed(options.seed)  # the networks' first weights; steps seed themselves
        recipe = build(data, options.preset, fabric, options.init)
        described = {"fine_tune": _fine_tune(recipe, options, card.read_card(output))}
        described["batches_a_step"] = _accumulate(recipe, options) * fabric.world_size
        total_steps = options.steps or recipe.config.total_steps
        if fabric.is_global_zero:
            card.begin(output, recipe, options, system=name, total_steps=total_steps, **described)
        fabric.barrier()
        session = Session(output, name, recipe, options, fabric)
        session.on_step, session.on_report = told
        began, first = time.perf_counter(), recipe.step_count
        try:
            finished = session.train_to(total_steps)
            if fabric.is_global_zero:
                seconds, waited = time.perf_counter() - began, session.timing.loader_share
                card.end(output, recipe.step_count - first, seconds, waited)
        except OSError as error:
            msg = (
                f"{output}: cannot be written ({error.strerror or error}); the last checkpoint is "
                "whole: make room and go on with --resume"
            )
            raise LungSynthError(msg) from None
    return output / f"{name}.safetensors" if finished else None


def _fine_tune(recipe: Recipe, options: TrainOptions, known: dict[str, Any]) -> str:
    """Have a recipe that starts from weights go on from them; return as which of the plans."""
    wanted, steps = options.fine_tune if options.init is not None else "none", options.steps
    if known:
        wanted, steps = str(known["fine_tune"]), int(known["total_steps"])
    if wanted == "none" or not hasattr(recipe, "fine_tune"):
        return "none"
    plan: str = recipe.fine_tune(wanted, steps)
    return plan


def _accumulate(recipe: Any, options: TrainOptions) -> int:  # noqa: ANN401 - any recipe
    if options.accumulate > 1 and not getattr(recipe, "learns_in_parts", False):
        msg = "--accumulate: this system learns from a batch as a whole; leave it away"
        raise LungSynthError(msg)
    if options.accumulate > 1:
        recipe.accumulate = options.accumulate
    return options.accumulate


def _check_folder(output: Path, *, resume: bool) -> None:
    """Refuse a folder with a run that is not to be resumed, and one without a run that is."""
    begun = (output / CHECKPOINT).exists()
    if begun and not resume:
        msg = f"{output}: holds a run already; go on with --resume, or name another folder"
        raise LungSynthError(msg)
    if resume and not begun and not (output / card.RUN_CARD).exists():
        msg = f"{output}: no run there to resume"
        raise LungSynthError(msg)
