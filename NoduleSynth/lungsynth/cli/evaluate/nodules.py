"""``lungsynth evaluate image-quality|diversity|tsne``: generated nodules beside real ones."""

from __future__ import annotations

from typing import Annotated

import typer

from lungsynth.cli.evaluate.options import MaxNodulesOption, table_text
from lungsynth.cli.evaluate.study import SplitStudy, study_command
from lungsynth.cli.options import number, whole


@study_command
def image_quality(study: SplitStudy, max_nodules: MaxNodulesOption = None) -> None:
    """Say how near in-painted sites come to what was there: MAE, PSNR, SSIM, Fréchet distance."""
    arguments = study.arguments()
    with study.reporter() as reporter:
        from lungsynth.evaluation.image_quality import QualityConfig, run_image_quality

        values = run_image_quality(
            *arguments,
            report_path=study.report,
            on_progress=reporter.progress,
            config=QualityConfig(max_nodules=max_nodules, **study.drawn),
        )
        reporter.done(table_text(values), **study.written)


@study_command
def diversity(
    study: SplitStudy,
    noises: Annotated[
        int,
        typer.Option("--noises", parser=whole(2), metavar="N", help="Nodules made at each site."),
    ] = 6,
    max_nodules: MaxNodulesOption = None,
) -> None:
    """Say how much nodules of one context differ when only the noise does, against real ones."""
    arguments = study.arguments()
    with study.reporter() as reporter:
        from lungsynth.evaluation.diversity import DiversityConfig, run_diversity

        values = run_diversity(
            *arguments,
            report_path=study.report,
            on_progress=reporter.progress,
            config=DiversityConfig(noises=noises, max_nodules=max_nodules, **study.drawn),
        )
        reporter.done(table_text(values), **study.written)


@study_command
def tsne(
    study: SplitStudy,
    perplexity: Annotated[
        float,
        typer.Option(
            "--perplexity", parser=number, metavar="P", help="Neighbours that t-SNE looks at."
        ),
    ] = 30.0,
    max_nodules: MaxNodulesOption = None,
) -> None:
    """Map real and generated nodules by class, and say whose neighbours they are."""
    arguments = study.arguments()
    with study.reporter() as reporter:
        from lungsynth.evaluation.tsne import TsneConfig, run_tsne

        values = run_tsne(
            *arguments,
            report_path=study.report,
            on_progress=reporter.progress,
            config=TsneConfig(perplexity=perplexity, max_nodules=max_nodules, **study.drawn),
        )
        reporter.done(table_text(values), **study.written)
