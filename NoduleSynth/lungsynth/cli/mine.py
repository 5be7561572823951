"""``lungsynth mine``: more of the nodules that a detector misses."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from lungsynth.cli.options import (
    BankOption,
    Device,
    DeviceOption,
    ProgressOption,
    RandomSeedOption,
    SynthesizerOption,
    WeightsOption,
    whole,
)
from lungsynth.cli.progress import ProgressMode, Reporter

CXR_DATA_HELP = "Folder with cxr, ct_nodules and, where there are any, drr."


class DetectorName(StrEnum):
    """Which detector."""

    RETINANET = "retinanet"
    FASTER_RCNN = "faster-rcnn"


class MineSplit(StrEnum):
    """Whose misses are mined."""

    TRAIN = "train"
    VAL = "val"


def mine(
    data: Annotated[Path, typer.Option("--data", envvar="LUNGSYNTH_DATA", help=CXR_DATA_HELP)],
    output: Annotated[
        Path,
        typer.Option("--output", help="Folder of the run; the same one again goes on with it."),
    ],
    detector: Annotated[
        DetectorName, typer.Option("--detector", help="Whose misses.")
    ] = DetectorName.RETINANET,
    synthesizer: SynthesizerOption = "shape-texture",
    weights: WeightsOption = None,
    bank: BankOption = None,
    preset: Annotated[
        str, typer.Option("--preset", help="full (shen2022's size), small or tiny (for trials).")
    ] = "full",
    count: Annotated[
        int | None,
        typer.Option(
            "--count", parser=whole(1), metavar="N", help="Synthetic radiographs; the preset's."
        ),
    ] = None,
    attributes: Annotated[
        str, typer.Option("--attributes", help="What follows the misses: size[,contrast,location].")
    ] = "size,contrast,location",
    mine_split: Annotated[
        MineSplit, typer.Option("--mine-split", help="Where it looks for misses.")
    ] = MineSplit.VAL,
    train_steps: Annotated[
        int | None,
        typer.Option("--train-steps", parser=whole(1), metavar="N", help="The preset's if left."),
    ] = None,
    tune_steps: Annotated[
        int | None,
        typer.Option("--tune-steps", parser=whole(1), metavar="N", help="The preset's if left."),
    ] = None,
    random_seed: RandomSeedOption = 0,
    device: DeviceOption = Device.AUTO,
    progress: ProgressOption = ProgressMode.AUTO,
) -> None:
    """Train a detector, draw nodules after those it misses, train on with them, and compare."""
    with Reporter(progress) as reporter:
        reporter.stage("loading")
        from lungsynth.batch.mining import mine as run_mining
        from lungsynth.batch.mining import study_config
        from lungsynth.evaluation.cxr_detection_report import study_tables

        config = study_config(
            preset,
            detectors=(detector.value,),
            counts=None if count is None else (count,),
            attributes=tuple(name.strip() for name in attributes.split(",")),
            mine_split=mine_split.value,
            train_steps=train_steps,
            tune_steps=tune_steps,
            random_seed=random_seed,
        )
        report = run_mining(
            data,
            output,
            config,
            synthesizer=synthesizer,
            weights=weights,
            bank=bank,
            device=device.value,
            on_progress=reporter.progress,
        )
        text = "\n".join(table.text() for table in study_tables(report))
        reporter.done(
            f"{text}\nfigure:   {output / 'report.png'}\n"
            f"detector: {output / 'detector.safetensors'}",
            report=str(output / "report.json"),
            figure=str(output / "report.png"),
            weights=str(output / "detector.safetensors"),
        )
