"""Studies of detectors and generators of whole radiographs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lungsynth.cli.evaluate.options import JsonOption, written
from lungsynth.cli.options import (
    Device,
    DeviceOption,
    ProgressOption,
    RandomSeedOption,
    number,
    whole,
)
from lungsynth.cli.outputs import check_distinct, check_output
from lungsynth.cli.progress import ProgressMode, Reporter
from lungsynth.io.atomic import atomic_path

if TYPE_CHECKING:
    from collections.abc import Mapping

CXR_HELP = "Folder of radiographs in ChestX-ray14's format, with splits."
DataOption = Annotated[Path, typer.Option("--data", envvar="LUNGSYNTH_CXR", help=CXR_HELP)]
GeneratorOption = Annotated[
    Path | None,
    typer.Option("--weights", help="Generator (.safetensors); the one that ships otherwise."),
]
EncoderOption = Annotated[
    Path | None, typer.Option("--encoder", help="Encoder (.safetensors) of that generator.")
]


def anomaly(
    data: DataOption,
    weights: GeneratorOption = None,
    encoder: EncoderOption = None,
    nodules: Annotated[
        Path | None, typer.Option("--nodules", help="Nodule cubes, to plant projected ones.")
    ] = None,
    baselines_only: Annotated[
        bool, typer.Option("--baselines-only", help="Without a generator, at --side pixels.")
    ] = False,
    side: Annotated[
        int, typer.Option("--side", parser=whole(32, 1024), metavar="N", help="With that.")
    ] = 128,
    steps: Annotated[
        int | None,
        typer.Option("--steps", parser=whole(1), metavar="N", help="Of each search."),
    ] = None,
    false_positive_rate: Annotated[
        float, typer.Option("--false-positive-rate", parser=number, metavar="P", help="Asked.")
    ] = 0.05,
    normals: Annotated[
        int, typer.Option("--normals", parser=whole(10), metavar="N", help="For calibration.")
    ] = 150,
    calibration: Annotated[
        Path | None,
        typer.Option("--calibration", help="Where the calibration goes: .safetensors."),
    ] = None,
    json_path: JsonOption = None,
    report: Annotated[Path | None, typer.Option("--report", help="Picture: .png.")] = None,
    random_seed: RandomSeedOption = 0,
    device: DeviceOption = Device.AUTO,
    progress: ProgressOption = ProgressMode.AUTO,
) -> None:
    """Calibrate detectors, and say how well they tell and find real and planted findings."""
    outputs = {"--json": (json_path, ".json"), "--report": (report, ".png")}
    outputs["--calibration"] = (calibration, ".safetensors")
    _check(outputs)
    with Reporter(progress) as reporter:
        reporter.stage("loading")
        from lungsynth.data.radiograph_pixels import RadiographScale
        from lungsynth.detectors.bundle import load_anogan
        from lungsynth.detectors.calibration import check_rate
        from lungsynth.detectors.contracts import Reconstructor
        from lungsynth.evaluation import anomaly as study
        from lungsynth.evaluation.anomaly_report import tables, write_picture

        check_rate(false_positive_rate)
        detectors: dict[str, Reconstructor] = {}
        scale = RadiographScale()
        if not baselines_only:
            search = None if steps is None else search_of(steps, encoded=encoder is not None)
            anogan, scale = load_anogan(weights, encoder, config=search, device=device.value)
            side, detectors["anogan"] = anogan.generator.image_size, anogan
            anogan.on_image = lambda done, total: reporter.progress("searching", int(done), total)
        cohort = study.read_cohort(data, side, scale)
        detectors |= study.baselines(cohort)
        config = study.AnomalyConfig(
            false_positive_rate=false_positive_rate, normals=normals, random_seed=random_seed
        )
        values, results = study.run_anomaly(
            cohort,
            detectors,
            nodules=study.read_nodules(nodules) if nodules else (),
            config=config,
            calibration=calibration,
            on_progress=reporter.progress,
        )
        _write_json(json_path, values)
        if report is not None:
            write_picture(values, results, cohort, report)
        text = "\n\n".join(table.text() for table in tables(values))
        reporter.done(text, **written(json_path, report))


def search_of(steps: int, *, encoded: bool) -> Any:  # noqa: ANN401 - imported with torch
    """Return how to search in so many steps, with or without an encoder."""
    from dataclasses import replace

    from lungsynth.detectors.inversion import FAST, PLAIN

    return replace(FAST if encoded else PLAIN, steps=steps)


def _check(outputs: Mapping[str, tuple[Path | None, str]]) -> None:
    """Refuse outputs that cannot be written, before any work is done."""
    named = {}
    for option, (path, suffix) in outputs.items():
        if path is not None:
            check_output(option, path, (suffix,), None)
            named[option] = path
    check_distinct(named)


def _write_json(path: Path | None, values: Mapping[str, Any]) -> None:
    if path is not None:
        with atomic_path(path) as temporary:
            temporary.write_text(json.dumps(values, indent=1) + "\n", encoding="utf-8")
