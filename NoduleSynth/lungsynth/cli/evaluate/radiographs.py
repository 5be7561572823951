"""``lungsynth evaluate cxr-detection|cxr-image-quality|cxr-judge``: nodules in radiographs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lungsynth.cli.evaluate.options import JsonOption, Split, SplitOption
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
from lungsynth.cli.outputs import check_output
from lungsynth.cli.progress import ProgressMode, Reporter
from lungsynth.core.errors import LungSynthError
from lungsynth.core.shipped import shipped_file
from lungsynth.synthesizers import CXR_SYNTHESIZERS, TRAINABLE

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


def cxr_image_quality(
    data: CxrDataOption,
    weights: Annotated[
        list[Path] | None,
        typer.Option("--weights", help="Of shape-texture; may be repeated. The shipped if none."),
    ] = None,
    ablation: Annotated[
        Path | None,
        typer.Option(
            "--ablation",
            help="Folder: train one/two stages with shape/box there, or go on, and compare them.",
        ),
    ] = None,
    preset: Annotated[
        str,
        typer.Option("--preset", help="Of what --ablation trains; tiny also measures on little."),
    ] = "default",
    steps: Annotated[
        int | None,
        typer.Option("--steps", parser=whole(1), metavar="N", help="Of each; the preset's if left"),
    ] = None,
    patches: Annotated[
        int | None,
        typer.Option("--patches", parser=whole(2), metavar="N", help="Held patches; 300 if left."),
    ] = None,
    split: SplitOption = Split.TEST,
    random_seed: RandomSeedOption = 0,
    json_path: JsonOption = None,
    device: DeviceOption = Device.AUTO,
    progress: ProgressOption = ProgressMode.AUTO,
) -> None:
    """Say how near nodules that are drawn again come to known ones: MAE, PSNR, SSIM, Fréchet."""
    if json_path is not None:
        check_output("--json", json_path, (".json",), None)
    with Reporter(progress) as reporter:
        reporter.stage("loading")
        from dataclasses import replace

        from lungsynth.batch.textures import texture_filler, trained_variants
        from lungsynth.evaluation.cxr_detection import write_json
        from lungsynth.evaluation.cxr_image_quality import (
            CXR_QUALITY_PRESETS,
            quality_table,
            run_cxr_quality,
        )
        from lungsynth.nn.weights import shipped_weights

        fillers = {path.stem: texture_filler(path, device.value) for path in weights or ()}
        if ablation is not None:
            fillers |= trained_variants(
                data,
                ablation,
                preset=preset,
                steps=steps,
                seed=random_seed,
                device=device.value,
                on_progress=reporter.progress,
            )
        if not fillers:
            shipped = shipped_weights("shape-texture.safetensors")
            fillers = {"shape-texture": texture_filler(shipped, device.value)}
        size = "tiny" if preset == "tiny" else "full"
        config = replace(CXR_QUALITY_PRESETS[size], random_seed=random_seed)
        values = run_cxr_quality(
            data,
            fillers,
            config if patches is None else replace(config, patches=patches),
            split=split.value,
            device=device.value,
            on_progress=reporter.progress,
        )
        if json_path is not None:
            write_json(json_path, values)
        reporter.done(quality_table(values).text())


def cxr_judge(
    data: CxrDataOption,
    synthesizer: Annotated[
        list[str] | None,
        typer.Option("--synthesizer", help="Which one; may be repeated; all if left out."),
    ] = None,
    weights: WeightsOption = None,
    bank: BankOption = None,
    split: SplitOption = Split.TEST,
    preset: Annotated[str, typer.Option("--preset", help="full, or tiny (for trials).")] = "full",
    random_seed: RandomSeedOption = 0,
    json_path: JsonOption = None,
    device: DeviceOption = Device.AUTO,
    progress: ProgressOption = ProgressMode.AUTO,
) -> None:
    """Say how well a trained judge tells generated nodules in radiographs from known ones."""
    names = synthesizer or [name for name in sorted(CXR_SYNTHESIZERS) if _is_ready(name, data)]
    unknown = [name for name in names if name not in CXR_SYNTHESIZERS]
    if unknown:
        known = ", ".join(sorted(CXR_SYNTHESIZERS))
        msg = f"unknown synthesizer '{unknown[0]}'; for radiographs there are {known}"
        raise LungSynthError(msg)
    if json_path is not None:
        check_output("--json", json_path, (".json",), None)
    with Reporter(progress) as reporter:
        reporter.stage("loading")
        from dataclasses import replace

        from lungsynth.evaluation.cxr_detection import write_json
        from lungsynth.evaluation.cxr_judge import CXR_JUDGE_PRESETS, run_cxr_judge

        if preset not in CXR_JUDGE_PRESETS:
            msg = f"unknown preset '{preset}'; there are {', '.join(CXR_JUDGE_PRESETS)}"
            raise LungSynthError(msg)
        values = run_cxr_judge(
            data,
            names,
            replace(CXR_JUDGE_PRESETS[preset], random_seed=random_seed),
            split=split.value,
            weights=weights,
            bank=bank,
            device=device.value,
            on_progress=reporter.progress,
        )
        if json_path is not None:
            write_json(json_path, values)
        lines = [f"{'synthesizer':14}  AUC (known or generated?)  pairs told apart"]
        for name, found in values["synthesizers"].items():
            low, high = found["interval_95"]
            auc = f"{found['ensemble_auc']:.3f} [{low:.3f}, {high:.3f}]"
            lines.append(f"{name:14}  {auc:>25}  {found['pair_accuracy']:>16.3f}")
        reporter.done("\n".join(lines))


def _is_ready(name: str, data: Path) -> bool:
    """Return whether a synthesizer's weights are installed and its nodules are in the folder."""
    if name in TRAINABLE and shipped_file(f"{name}.safetensors") is None:
        return False
    return name != "copy-paste" or (data / "drr").is_dir()
