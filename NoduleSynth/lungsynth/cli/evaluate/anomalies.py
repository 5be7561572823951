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
ClassifierOption = Annotated[
    Path,
    typer.Option(
        "--classifier", help="Weights of 'lungsynth train cxr-classifier', or TorchXRayVision's."
    ),
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


def latent_axes(
    classifier: ClassifierOption,
    weights: GeneratorOption = None,
    output: Annotated[
        Path | None, typer.Option("--output", help="Where the axes go: .safetensors.")
    ] = None,
    drawings: Annotated[
        int, typer.Option("--drawings", parser=whole(100), metavar="N", help="That are read.")
    ] = 30_000,
    orthogonal: Annotated[
        bool, typer.Option("--orthogonal", help="Each axis leaves the other findings as they are.")
    ] = False,
    logits: Annotated[
        bool, typer.Option("--logits", help="Regress logits, not likelihoods as the paper does.")
    ] = False,
    json_path: JsonOption = None,
    report: Annotated[Path | None, typer.Option("--report", help="Walks: .png.")] = None,
    random_seed: RandomSeedOption = 0,
    device: DeviceOption = Device.AUTO,
    progress: ProgressOption = ProgressMode.AUTO,
) -> None:
    """Find directions in a generator's latent space along which a finding grows."""
    outputs = {"--json": (json_path, ".json"), "--report": (report, ".png")}
    _check({**outputs, "--output": (output, ".safetensors")})
    with Reporter(progress) as reporter:
        reporter.stage("loading")
        from lungsynth.detectors.classifier import load_classifier
        from lungsynth.detectors.generator import load_generator
        from lungsynth.detectors.latent_axes import AxesConfig
        from lungsynth.evaluation import axes_study as study

        generator = load_generator(weights, device.value)
        reader = load_classifier(classifier, device.value)
        config = AxesConfig(drawings=drawings, logits=logits, random_seed=random_seed)
        values, axes = study.run_axes(
            generator, reader, config, orthogonal=orthogonal, on_progress=reporter.progress
        )
        if output is not None:
            study.save_axes(output, axes, generator.weights_sha256)
        _write_json(json_path, values)
        if report is not None:
            study.write_walks(generator, reader, axes, config, report)
        files = {**written(json_path, report), **({"axes": str(output)} if output else {})}
        reporter.done(study.table(values).text(), **files)


def fidelity(
    data: DataOption,
    weights: GeneratorOption = None,
    classifier: Annotated[
        Path | None,
        typer.Option("--classifier", help="Trained on the real images before; else one is."),
    ] = None,
    classifier_preset: Annotated[
        str, typer.Option("--classifier-preset", help="default, paper (ResNet-50) or tiny.")
    ] = "default",
    steps: Annotated[
        int | None,
        typer.Option("--steps", parser=whole(1), metavar="N", help="Of each training."),
    ] = None,
    drawings: Annotated[
        int, typer.Option("--drawings", parser=whole(20), metavar="N", help="For the distance.")
    ] = 300,
    normals_only: Annotated[
        bool,
        typer.Option(
            "--normals-only",
            help="For a generator of normals: distance and neighbours, without the three steps.",
        ),
    ] = False,
    json_path: JsonOption = None,
    report: Annotated[
        Path | None, typer.Option("--report", help="Neighbours and Grad-CAM: .png.")
    ] = None,
    random_seed: RandomSeedOption = 0,
    device: DeviceOption = Device.AUTO,
    progress: ProgressOption = ProgressMode.AUTO,
) -> None:
    """Say how faithful drawn radiographs are: three-step study, Fréchet distance, neighbours."""
    _check({"--json": (json_path, ".json"), "--report": (report, ".png")})
    with Reporter(progress) as reporter:
        reporter.stage("loading")
        from lungsynth.evaluation.fidelity_run import FidelityOptions, run

        options = FidelityOptions(
            data=data,
            weights=weights,
            classifier=classifier,
            preset=classifier_preset,
            steps=steps,
            drawings=drawings,
            normals_only=normals_only,
            seed=random_seed,
            device=device.value,
        )
        values, text = run(options, report, on_progress=reporter.progress)
        _write_json(json_path, values)
        reporter.done(text, **written(json_path, report))


def fast_start(
    data: DataOption,
    weights: GeneratorOption = None,
    encoder: EncoderOption = None,
    images: Annotated[
        int, typer.Option("--images", parser=whole(1), metavar="N", help="Of the test split.")
    ] = 8,
    steps: Annotated[
        int, typer.Option("--steps", parser=whole(1), metavar="N", help="Of the plain search.")
    ] = 500,
    fast_steps: Annotated[
        int, typer.Option("--fast-steps", parser=whole(1), metavar="N", help="Of the other.")
    ] = 100,
    json_path: JsonOption = None,
    report: Annotated[Path | None, typer.Option("--report", help="Curves: .png.")] = None,
    device: DeviceOption = Device.AUTO,
    progress: ProgressOption = ProgressMode.AUTO,
) -> None:
    """Say how much sooner a search that begins where an encoder says is done."""
    _check({"--json": (json_path, ".json"), "--report": (report, ".png")})
    with Reporter(progress) as reporter:
        reporter.stage("loading")
        from lungsynth.data.radiographs import RadiographSet, read_squares
        from lungsynth.detectors.bundle import load_anogan
        from lungsynth.evaluation import fast_start as study

        detector, scale = load_anogan(weights, encoder, device=device.value)
        records = RadiographSet.open(data).select("test", normal_only=True)[:images]
        values = study.run_fast_start(
            detector,
            read_squares(records, detector.generator.image_size, scale),
            plain_steps=steps,
            fast_steps=fast_steps,
            on_progress=reporter.progress,
        )
        _write_json(json_path, values)
        if report is not None:
            study.write_picture(values, report)
        reporter.done(study.text(values), **written(json_path, report))
