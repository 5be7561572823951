"""``lungsynth evaluate cxr-detection``: what synthetic nodules do for detectors."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lungsynth.cli.mine import CXR_DATA_HELP, DetectorName, MineSplit
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

CxrDataOption = Annotated[Path, typer.Option("--data", envvar="LUNGSYNTH_DATA", help=CXR_DATA_HELP)]


def cxr_detection(
    data: CxrDataOption,
    output: Annotated[
        Path, typer.Option("--output", help="Folder of the study; the same one again goes on.")
    ],
    detector: Annotated[
        list[DetectorName] | None,
        typer.Option("--detector", help="May be repeated; the preset's if left out."),
    ] = None,
    synthesizer: SynthesizerOption = "shape-texture",
    weights: WeightsOption = None,
    bank: BankOption = None,
    preset: Annotated[
        str, typer.Option("--preset", help="full (shen2022's size), small or tiny (for trials).")
    ] = "full",
    count: Annotated[
        list[int] | None,
        typer.Option(
            "--count",
            parser=whole(1),
            metavar="N",
            help="Synthetic radiographs; may be repeated; the preset's if left out.",
        ),
    ] = None,
    mine_split: Annotated[
        MineSplit, typer.Option("--mine-split", help="Where misses are looked for.")
    ] = MineSplit.VAL,
    random_seed: RandomSeedOption = 0,
    device: DeviceOption = Device.AUTO,
    progress: ProgressOption = ProgressMode.AUTO,
) -> None:
    """Say how detection gains by synthetic nodules: none, random, ct-projection, mined."""
    with Reporter(progress) as reporter:
        reporter.stage("loading")
        from lungsynth.batch.mining import run_study, study_config
        from lungsynth.evaluation.cxr_detection_report import study_tables

        report = run_study(
            data,
            output,
            study_config(
                preset,
                detectors=tuple(d.value for d in detector) if detector else None,
                counts=tuple(count) if count else None,
                mine_split=mine_split.value,
                random_seed=random_seed,
            ),
            synthesizer=synthesizer,
            weights=weights,
            bank=bank,
            device=device.value,
            on_progress=reporter.progress,
        )
        text = "\n\n".join(table.text() for table in study_tables(report))
        reporter.done(text, report=str(output / "report.json"), figure=str(output / "report.png"))
