"""``lungsynth train``: weights from nodules of the user's own."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from lungsynth.cli.options import DATA_HELP, Device, ProgressOption, RandomSeedOption, whole
from lungsynth.cli.progress import ProgressMode, Reporter
from lungsynth.core.run_lock import is_first_process
from lungsynth.synthesizers import TRAINABLE

TRAIN_DATA_HELP = (
    f"CT nodules: {DATA_HELP[0].lower()}{DATA_HELP[1:]} Radiographs: a folder with labels.csv or "
    "ChestX-ray14's table; shape-texture: a folder with cxr and ct_nodules; shape-texture-shape: "
    "LIDC-IDRI's XML files; lung-fields: NAME.png and NAME_mask.png."
)


class Guard(StrEnum):
    """What to do about networks in bad health."""

    WARN = "warn"
    STOP = "stop"
    LOWER_RATE = "lower-rate"
    OFF = "off"


class FineTune(StrEnum):
    """How to go on from weights."""

    AUTO = "auto"
    SMALL = "small"
    MEDIUM = "medium"
    LARGE = "large"
    NONE = "none"


class Precision(StrEnum):
    """Number formats; the mixed ones are for GPUs."""

    FULL = "32-true"
    BF16 = "bf16-mixed"
    FP16 = "16-mixed"


def train(
    name: Annotated[
        str,
        typer.Argument(metavar="NAME", help=f"Which one: {', '.join(sorted(TRAINABLE))}."),
    ],
    data: Annotated[Path, typer.Option("--data", help=TRAIN_DATA_HELP)],
    output: Annotated[
        Path, typer.Option("--output", help="Folder of the run: checkpoint, losses, weights.")
    ],
    steps: Annotated[
        int | None,
        typer.Option(
            "--steps", parser=whole(1), metavar="N", help="Steps in all; the preset's otherwise."
        ),
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on from the last checkpoint of the run.")
    ] = False,
    init: Annotated[
        Path | None, typer.Option("--init", help="Weights (.safetensors) to start from.")
    ] = None,
    fine_tune: Annotated[
        FineTune,
        typer.Option(
            "--fine-tune",
            help="How --init goes on: for about 20 (small), 100 (medium) or 1,000 (large) nodules; "
            "auto takes what is nearest to the data; none trains as from scratch.",
        ),
    ] = FineTune.AUTO,
    preset: Annotated[
        str, typer.Option("--preset", help="default, paper (as published) or tiny (for trials).")
    ] = "default",
    precision: Annotated[
        Precision, typer.Option("--precision", help="Number format.")
    ] = Precision.FULL,
    device: Annotated[
        Device, typer.Option("--device", help="Where it trains; auto takes a GPU if there is one.")
    ] = Device.AUTO,
    devices: Annotated[
        int,
        typer.Option("--devices", parser=whole(1), metavar="N", help="GPUs or processes a node."),
    ] = 1,
    nodes: Annotated[
        int, typer.Option("--nodes", parser=whole(1), metavar="N", help="Machines.")
    ] = 1,
    accumulate: Annotated[
        int,
        typer.Option(
            "--accumulate",
            parser=whole(1),
            metavar="N",
            help="Learn from N batches in each step, one after another: for little memory.",
        ),
    ] = 1,
    guard: Annotated[
        Guard,
        typer.Option(
            "--guard",
            help="About saturated critics and collapsed modes: warn, stop, go on from the last "
            "checkpoint with half the learning rates (about NaN too), or do not look.",
        ),
    ] = Guard.WARN,
    cache: Annotated[
        Path | None,
        typer.Option(
            "--cache", help="Where cubes cut out of whole CTs are kept; in the run's folder else."
        ),
    ] = None,
    workers: Annotated[
        int, typer.Option("--workers", parser=whole(1), metavar="N", help="Processes that cut.")
    ] = 1,
    random_seed: RandomSeedOption = 0,
    progress: ProgressOption = ProgressMode.AUTO,
) -> None:
    """Train a network; a run that was stopped goes on with --resume as if it had not been."""
    first = is_first_process()  # of those that torchrun may have started
    with Reporter(progress if first else ProgressMode.NONE) as reporter:
        reporter.stage("loading data")
        from lungsynth.training.run import TrainOptions
        from lungsynth.training.run import train as train_system

        options = TrainOptions(
            preset=preset,
            steps=steps,
            resume=resume,
            init=init,
            precision=precision.value,
            accelerator=device.value,
            devices=devices,
            nodes=nodes,
            seed=random_seed,
            cache=cache,
            workers=workers,
            accumulate=accumulate,
            guard=guard.value,
            fine_tune=fine_tune.value,
        )
        steps_done = 0

        def on_step(step: int, total: int, losses: dict[str, float]) -> None:
            nonlocal steps_done
            steps_done = step
            rounded = {name: round(value, 5) for name, value in losses.items()}
            reporter.progress("training", step, total, losses=rounded)

        def on_case(done: int, total: int) -> None:
            reporter.progress("cutting cubes", done, total)

        def on_report(lines: Sequence[str]) -> None:
            for line in lines:
                reporter.info(line)

        weights = train_system(
            name, data, output, options, on_step, on_case=on_case, on_report=on_report
        )
        if not first:
            return
        if weights is None:
            text = f"paused after step {steps_done}; go on with --resume"
            reporter.done(text, paused=True, steps=steps_done)
            return
        text = f"weights: {weights}\nreport:  {output / 'report.html'}"
        reporter.done(text, weights=str(weights), steps=steps_done)
