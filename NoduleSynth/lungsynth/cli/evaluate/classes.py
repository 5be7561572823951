"""``lungsynth evaluate malignancy|class-control``: what generated nodules of a class are worth."""

from __future__ import annotations

from typing import Annotated

import typer

from lungsynth.cli.evaluate.options import table_text
from lungsynth.cli.evaluate.study import CubeStudy, SplitStudy, study_command
from lungsynth.cli.options import whole
from lungsynth.synthesizers import KNOW_MALIGNANCY

SeedsOption = Annotated[
    int,
    typer.Option(
        "--seeds", parser=whole(1), metavar="N", help="Networks of each kind, from seed 0 on."
    ),
]
StepsOption = Annotated[
    int,
    typer.Option("--steps", parser=whole(1), metavar="N", help="Steps that each network trains."),
]


@study_command
def malignancy(
    study: CubeStudy,
    synthesizer: Annotated[
        str, typer.Option("--synthesizer", help="Who makes the added malignant nodules.")
    ] = "class-aware",
    network: Annotated[
        list[str] | None,
        typer.Option("--network", help="resnet10, 18, 34, 50, 101 or 152; may be repeated."),
    ] = None,
    arm: Annotated[
        list[str] | None,
        typer.Option("--arm", help="raw, weighted or synthesis; may be repeated; all if left out."),
    ] = None,
    seeds: SeedsOption = 5,
    steps: StepsOption = 600,
) -> None:
    """Say whether generated malignant nodules help to tell malignant from benign.

    Takes long; with --cache a study that was stopped goes on where it was, network by network.
    """
    study.checked([synthesizer])
    with study.reporter() as reporter:
        from lungsynth.evaluation.malignancy import MalignancyConfig, run_malignancy
        from lungsynth.evaluation.malignancy_net import ClassifierConfig
        from lungsynth.evaluation.yang2019 import ARMS

        values = run_malignancy(
            study.data,
            synthesizer,
            study.weights,
            study.json_path,
            report_path=study.report,
            on_progress=reporter.progress,
            config=MalignancyConfig(
                classifier=ClassifierConfig(steps=steps),
                networks=tuple(dict.fromkeys(network or ("resnet10",))),
                seeds=tuple(range(seeds)),
                arms=tuple(dict.fromkeys(("raw", *arm))) if arm else tuple(ARMS),
                **study.drawn,
            ),
        )
        reporter.done(table_text(values), **study.written)


@study_command
def class_control(
    study: SplitStudy,
    pairs: Annotated[
        int, typer.Option("--pairs", parser=whole(1), metavar="N", help="Pairs that are made.")
    ] = 200,
    seeds: SeedsOption = 3,
    steps: StepsOption = 600,
) -> None:
    """Say how often a classifier of real nodules finds the class that was asked for.

    Both nodules of a pair have the same seed, site, size and attenuation.
    """
    data, split, names, *outputs = study.arguments()
    if study.synthesizer is None:
        names = [name for name in names if name in KNOW_MALIGNANCY]
    with study.reporter() as reporter:
        from lungsynth.evaluation.class_control import ClassControlConfig, run_class_control
        from lungsynth.evaluation.malignancy_net import ClassifierConfig

        values = run_class_control(
            data,
            split,
            names,
            *outputs,
            report_path=study.report,
            on_progress=reporter.progress,
            config=ClassControlConfig(
                classifier=ClassifierConfig(steps=steps),
                seeds=tuple(range(seeds)),
                pairs=pairs,
                **study.drawn,
            ),
        )
        reporter.done(table_text(values), **study.written)
