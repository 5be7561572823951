"""``lungsynth evaluate image-quality|diversity|tsne``: generated nodules beside real ones."""

from __future__ import annotations

from typing import Annotated

import typer

from lungsynth.cli.evaluate.options import (
    CacheOption,
    DataOption,
    JsonOption,
    MaxNodulesOption,
    NamesOption,
    PictureOption,
    Split,
    SplitOption,
    check_cache,
    checked,
    table_text,
    written,
)
from lungsynth.cli.options import (
    Device,
    DeviceOption,
    ProgressOption,
    RandomSeedOption,
    WeightsOption,
    number,
    whole,
)
from lungsynth.cli.progress import ProgressMode, Reporter


def image_quality(
    data: DataOption,
    synthesizer: NamesOption = None,
    split: SplitOption = Split.TEST,
    random_seed: RandomSeedOption = 0,
    weights: WeightsOption = None,
    json_path: JsonOption = None,
    report: PictureOption = None,
    cache: CacheOption = None,
    max_nodules: MaxNodulesOption = None,
    device: DeviceOption = Device.AUTO,
    progress: ProgressOption = ProgressMode.AUTO,
) -> None:
    """Say how near in-painted sites come to what was there: MAE, PSNR, SSIM, Fréchet distance."""
    names = checked(synthesizer, json_path, report, (".png",))
    check_cache(cache)
    with Reporter(progress) as reporter:
        reporter.stage("loading")
        from lungsynth.evaluation.image_quality import QualityConfig, run_image_quality

        values = run_image_quality(
            data,
            split.value,
            names,
            weights,
            json_path,
            report_path=report,
            on_progress=reporter.progress,
            config=QualityConfig(
                max_nodules=max_nodules, random_seed=random_seed, device=device.value, cache=cache
            ),
        )
        reporter.done(table_text(values), **written(json_path, report))


def diversity(
    data: DataOption,
    synthesizer: NamesOption = None,
    split: SplitOption = Split.TEST,
    noises: Annotated[
        int,
        typer.Option("--noises", parser=whole(2), metavar="N", help="Nodules made at each site."),
    ] = 6,
    random_seed: RandomSeedOption = 0,
    weights: WeightsOption = None,
    json_path: JsonOption = None,
    report: PictureOption = None,
    cache: CacheOption = None,
    max_nodules: MaxNodulesOption = None,
    device: DeviceOption = Device.AUTO,
    progress: ProgressOption = ProgressMode.AUTO,
) -> None:
    """Say how much nodules of one context differ when only the noise does, against real ones."""
    names = checked(synthesizer, json_path, report, (".png",))
    check_cache(cache)
    with Reporter(progress) as reporter:
        reporter.stage("loading")
        from lungsynth.evaluation.diversity import DiversityConfig, run_diversity

        values = run_diversity(
            data,
            split.value,
            names,
            weights,
            json_path,
            report_path=report,
            on_progress=reporter.progress,
            config=DiversityConfig(
                noises=noises,
                max_nodules=max_nodules,
                random_seed=random_seed,
                device=device.value,
                cache=cache,
            ),
        )
        reporter.done(table_text(values), **written(json_path, report))


def tsne(
    data: DataOption,
    synthesizer: NamesOption = None,
    split: SplitOption = Split.TEST,
    perplexity: Annotated[
        float,
        typer.Option(
            "--perplexity", parser=number, metavar="P", help="Neighbours that t-SNE looks at."
        ),
    ] = 30.0,
    random_seed: RandomSeedOption = 0,
    weights: WeightsOption = None,
    json_path: JsonOption = None,
    report: PictureOption = None,
    cache: CacheOption = None,
    max_nodules: MaxNodulesOption = None,
    device: DeviceOption = Device.AUTO,
    progress: ProgressOption = ProgressMode.AUTO,
) -> None:
    """Map real and generated nodules by class, and say whose neighbours they are."""
    names = checked(synthesizer, json_path, report, (".png",))
    check_cache(cache)
    with Reporter(progress) as reporter:
        reporter.stage("loading")
        from lungsynth.evaluation.tsne import TsneConfig, run_tsne

        values = run_tsne(
            data,
            split.value,
            names,
            weights,
            json_path,
            report_path=report,
            on_progress=reporter.progress,
            config=TsneConfig(
                perplexity=perplexity,
                max_nodules=max_nodules,
                random_seed=random_seed,
                device=device.value,
                cache=cache,
            ),
        )
        reporter.done(table_text(values), **written(json_path, report))
