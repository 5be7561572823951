"""One training run in its own folder: start it, resume it, end with weights."""

from __future__ import annotations

import json
import math
import os
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from lungsynth import __version__
from lungsynth.core.errors import LungSynthError
from lungsynth.core.registry import resolve
from lungsynth.core.run_lock import locked
from lungsynth.core.temporary import replacing
from lungsynth.synthesizers import PREPARE_DATA, TRAINABLE
from lungsynth.training.checkpoint import all_finite, load_checkpoint, save_checkpoint
from lungsynth.training.loop import run
from lungsynth.training.losses_log import LossesLog, draw_curves
from lungsynth.training.samples import draw_samples

CHECKPOINT, LOG, CURVES, RUN_CARD = "checkpoint.pt", "losses.jsonl", "losses.png", "run.json"
SAMPLES = "samples.png"
PAUSE = "pause"
"""A file of that name in the run's folder ends it after the step that it is in, as if by a
signal, but with a checkpoint of that step; it works on every system."""
CUBES = "cubes"
CURVES_EVERY_S = 60.0  # at the most often, the end of a run aside
PRECISIONS = ("32-true", "bf16-mixed", "16-mixed")


@dataclass(frozen=True)
class TrainOptions:
    """How a run is done.

    Args:
        preset: Which of the system's presets.
        steps: Steps in all; None takes the preset's own number.
        resume: Go on from the folder's checkpoint.
        init: Weights to start from.
        precision: One of ``PRECISIONS``.
        accelerator: "auto", "cpu" or "cuda".
        devices: Devices on each node.
        nodes: Nodes.
        seed: Decides everything random in the run.
        checkpoint_every: Steps between checkpoints.
        snapshot_every: Steps between weights that are kept for choosing among; 0 keeps none.
        cache: Where data that are prepared first, such as cubes cut out of CTs, are kept; None
            means in the folder of the run.
        workers: Processes that read cases at once, for that.
    """

    preset: str = "default"
    steps: int | None = None
    resume: bool = False
    init: Path | None = None
    precision: str = "32-true"
    accelerator: str = "auto"
    devices: int = 1
    nodes: int = 1
    seed: int = 0
    checkpoint_every: int = 50
    snapshot_every: int = 0
    cache: Path | None = None
    workers: int = 1

    def __post_init__(self) -> None:
        for name, low in (("devices", 1), ("nodes", 1), ("checkpoint_every", 1), ("workers", 1)):
            if getattr(self, name) < low:
                msg = f"{name} must be at least {low}; got {getattr(self, name)}"
                raise LungSynthError(msg)
        if self.steps is not None and self.steps < 1:
            msg = f"steps must be at least 1; got {self.steps}"
            raise LungSynthError(msg)
        if self.precision not in PRECISIONS:
            msg = f"unknown precision '{self.precision}'; allowed are {', '.join(PRECISIONS)}"
            raise LungSynthError(msg)


def train(
    name: str,
    data: Path,
    output: Path,
    options: TrainOptions,
    on_step: Callable[[int, int, dict[str, float]], None] | None = None,
    *,
    on_case: Callable[[int, int], None] | None = None,
    on_report: Callable[[Sequence[str]], None] | None = None,
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
            before training starts.

    Raises:
        LungSynthError: If the input cannot be used, the folder already holds a run that is not
            to be resumed, another process trains into it, or training went wrong.
    """
    build = resolve(TRAINABLE, name, "trainable system")
    with locked(output) if _is_first_process() else nullcontext():
        _check_folder(output, resume=options.resume)
        return _train(
            build,
            name,
            data,
            output,
            options,
            on_step=on_step,
            on_case=on_case,
            on_report=on_report,
        )


def _is_first_process() -> bool:
    """Return whether this is not one of the processes that the first of a run has started."""
    names = ("RANK", "LOCAL_RANK", "NODE_RANK", "SLURM_PROCID")
    return all(os.environ.get(name, "0") == "0" for name in names)


def _train(
    build: Callable[..., Any],
    name: str,
    data: Path,
    output: Path,
    options: TrainOptions,
    *,
    on_step: Callable[[int, int, dict[str, float]], None] | None,
    on_case: Callable[[int, int], None] | None,
    on_report: Callable[[Sequence[str]], None] | None,
) -> Path | None:
    """Do what ``train`` says, in a folder that is this run's alone."""
    checkpoint = output / CHECKPOINT
    # before the launch, which starts the other processes: they would time out waiting for it
    if name in PREPARE_DATA:
        data = resolve(PREPARE_DATA, name, "trainable system")(
            data,
            options.cache or output / CUBES,
            workers=options.workers,
            on_progress=on_case,
            on_report=on_report,
        )
    fabric = launch_fabric(options)
    fabric.barrier()
    torch.manual_seed(options.seed)  # the networks' first weights; steps seed themselves
    recipe = build(data, options.preset, fabric, options.init)
    total_steps = options.steps or recipe.config.total_steps
    if fabric.is_global_zero:
        _begin(output, name, recipe, options, total_steps)
    fabric.barrier()
    if checkpoint.exists():  # a run that was ended before its first checkpoint starts anew
        recipe.load_state_dict(load_checkpoint(checkpoint, name))
    writer = RunWriter(output, name, recipe, options) if fabric.is_global_zero else None
    pause = output / PAUSE
    pause.unlink(missing_ok=True)  # left by one who asked a run that had already ended
    started, first = time.perf_counter(), recipe.step_count

    def after_step(step: int, losses: dict[str, float]) -> None:
        if writer is not None:
            writer.after_step(step, losses, last=step == total_steps)
        if on_step is not None:
            on_step(step, total_steps, losses)

    def paused() -> bool:
        # of several processes each would see the file at a step of its own
        return fabric.world_size == 1 and pause.exists()

    weights = output / f"{name}.safetensors"
    try:
        run(recipe, total_steps, seed=options.seed, on_step=after_step, stop=paused)
        finished = recipe.step_count >= total_steps
        if writer is not None:
            writer.end(weights, finished=finished)
            _end(output, recipe.step_count - first, time.perf_counter() - started)
            pause.unlink(missing_ok=True)
    except OSError as error:
        msg = (
            f"{output}: cannot be written ({error.strerror or error}); the last checkpoint is "
            "whole: make room and go on with --resume"
        )
        raise LungSynthError(msg) from None
    return weights if finished else None


def _check_folder(output: Path, *, resume: bool) -> None:
    """Refuse a folder with a run that is not to be resumed, and one without a run that is."""
    begun = (output / CHECKPOINT).exists()
    if begun and not resume:
        msg = f"{output}: holds a run already; go on with --resume, or name another folder"
        raise LungSynthError(msg)
    if resume and not begun and not (output / RUN_CARD).exists():
        msg = f"{output}: no run there to resume"
        raise LungSynthError(msg)


class RunWriter:
    """Writes what a run leaves in its folder, step by step; one process of a run does it."""

    def __init__(self, output: Path, name: str, recipe: Any, options: TrainOptions) -> None:  # noqa: ANN401 - any recipe
        self.output, self.name, self.recipe, self.options = output, name, recipe, options
        self.log = LossesLog(output / LOG, recipe.step_count)
        self._drawn = -math.inf

    def after_step(self, step: int, losses: dict[str, float], *, last: bool) -> None:
        """Log a step; write checkpoint, curves and weights to choose among when they are due."""
        self.log.append(step, losses)
        if last or step % self.options.checkpoint_every == 0:
            self.write_checkpoint(step)
            # the whole log is drawn anew, which on a long run costs as much as some steps
            if last or time.monotonic() - self._drawn >= CURVES_EVERY_S:
                draw_curves(self.output / LOG, self.output / CURVES)
                draw_samples(self.recipe, self.output / SAMPLES)
                self._drawn = time.monotonic()
        if self.options.snapshot_every and step % self.options.snapshot_every == 0:
            self.recipe.save_weights(self.output / f"{self.name}-{step:06d}.safetensors")

    def end(self, weights: Path, *, finished: bool) -> None:
        """Write the weights of a finished run, or the checkpoint of a paused one."""
        if finished:
            self.recipe.save_weights(weights)
        else:
            self.write_checkpoint(self.recipe.step_count)

    def write_checkpoint(self, step: int) -> None:
        """Write what the next step depends on.

        Raises:
            LungSynthError: If the weights are spoilt; the checkpoint before stays.
        """
        state = self.recipe.state_dict()
        if not all_finite(state):  # a step may spoil the weights after its finite losses
            msg = (
                f"training stopped at step {step}: the weights are no longer finite numbers; "
                "the last checkpoint holds good ones"
            )
            raise LungSynthError(msg)
        save_checkpoint(self.output / CHECKPOINT, self.name, state)


def launch_fabric(options: TrainOptions) -> Any:  # noqa: ANN401 - Fabric is an optional extra
    """Return a launched Fabric.

    Raises:
        LungSynthError: If the training extra is not installed or the devices are not there.
    """
    try:
        from lightning_fabric import Fabric
    except ImportError:
        msg = "training needs Lightning Fabric: pip install 'lungsynth[train]'"
        raise LungSynthError(msg) from None
    if options.accelerator == "cuda" and not torch.cuda.is_available():
        msg = f"no usable GPU: torch {torch.__version__} finds none; train with --device cpu"
        raise LungSynthError(msg)
    accelerator = options.accelerator
    if accelerator == "auto":
        accelerator = "cuda" if torch.cuda.is_available() else "cpu"
    if accelerator == "cuda" and options.devices > torch.cuda.device_count():
        msg = (
            f"--devices {options.devices}: torch finds {torch.cuda.device_count()} usable GPUs on "
            "this machine; ask for as many or fewer"
        )
        raise LungSynthError(msg)
    fabric = Fabric(
        accelerator=accelerator,
        devices=options.devices,
        num_nodes=options.nodes,
        precision=options.precision,  # type: ignore[arg-type]
    )
    fabric.launch()
    return fabric


def _begin(
    output: Path,
    name: str,
    recipe: Any,  # noqa: ANN401 - any recipe
    options: TrainOptions,
    total_steps: int,
) -> None:
    """Make the folder and write down what the run is, or check that it is the same run."""
    try:
        output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        msg = f"{output}: cannot be made a folder for the run ({error.strerror})"
        raise LungSynthError(msg) from None
    card = output / RUN_CARD
    described = {
        "system": name,
        "preset": options.preset,
        "config": asdict(recipe.config),
        "seed": options.seed,
        "precision": options.precision,
        "data": recipe.data_summary(),
    }
    if card.exists():
        known = json.loads(card.read_text(encoding="utf-8"))
        changed = [key for key, value in described.items() if known.get(key) != value]
        if changed:
            msg = f"{output}: was begun with another {', '.join(changed)}; resume it as it was"
            raise LungSynthError(msg)
        return
    text = json.dumps({**described, "version": __version__, "total_steps": total_steps}, indent=2)
    _write_card(card, text)


def _end(output: Path, steps: int, seconds: float) -> None:
    card = output / RUN_CARD
    known = json.loads(card.read_text(encoding="utf-8"))
    done = {"last_session_steps": steps, "last_session_seconds": round(seconds, 1)}
    _write_card(card, json.dumps({**known, **done}, indent=2))


def _write_card(card: Path, text: str) -> None:
    with replacing(card) as temporary:
        temporary.write_text(text + "\n", encoding="utf-8")
