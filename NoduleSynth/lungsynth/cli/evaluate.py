"""``lungsynth evaluate``: measuring what the synthesizers make."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lungsynth.cli.options import Device, DeviceOption, ProgressOption, WeightsOption
from lungsynth.cli.outputs import check_distinct, check_output
from lungsynth.cli.progress import ProgressMode, Reporter
from lungsynth.core.errors import LungSynthError
from lungsynth.synthesizers import SYNTHESIZERS

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

app = typer.Typer(
    help="Measure size, attenuation and realism of what is inserted.", invoke_without_command=True
)


class Split(StrEnum):
    """Of the nodules, by patient."""

    TRAIN = "train"
    VAL = "val"
    TEST = "test"


DataOption = Annotated[
    Path,
    typer.Option("--data", help="Folder with train, val and test (.npz, .csv): nodule cubes."),
]
SplitOption = Annotated[Split, typer.Option("--split", help="Which nodules are measured.")]
NamesOption = Annotated[
    list[str] | None,
    typer.Option("--synthesizer", help="Which one; may be repeated; all if left out."),
]
JsonOption = Annotated[Path | None, typer.Option("--json", help="Where the numbers go: .json.")]
ReportOption = Annotated[
    Path | None, typer.Option("--report", help="Table and pictures: .html or .png.")
]


@app.callback()
def root(context: typer.Context) -> None:
    """Show the help where no study is named."""
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())
        raise typer.Exit


@app.command("realism")
def realism(
    data: DataOption,
    synthesizer: NamesOption = None,
    split: SplitOption = Split.TEST,
    weights: WeightsOption = None,
    json_path: JsonOption = None,
    report: ReportOption = None,
    device: DeviceOption = Device.AUTO,
    progress: ProgressOption = ProgressMode.AUTO,
) -> None:
    """Say how well a trained judge tells real nodules from generated ones at the same sites."""
    names = _checked(synthesizer, json_path, report)
    with Reporter(progress) as reporter:
        reporter.stage("loading")
        from lungsynth.evaluation.realism import StudyConfig, run_realism

        values = run_realism(
            data,
            split.value,
            names,
            weights,
            json_path,
            report_path=report,
            on_progress=reporter.progress,
            config=StudyConfig(device=device.value),
        )
        reporter.done(_realism_text(values), **_written(json_path, report))


def _checked(names: list[str] | None, json_path: Path | None, report: Path | None) -> list[str]:
    """Return the synthesizers' names, after all that can be checked at once is."""
    for name in names or ():
        if name not in SYNTHESIZERS:
            msg = f"unknown synthesizer '{name}'; there are {', '.join(sorted(SYNTHESIZERS))}"
            raise LungSynthError(msg)
    outputs = {}
    if json_path is not None:
        check_output("--json", json_path, (".json",), None)
        outputs["--json"] = json_path
    if report is not None:
        check_output("--report", report, (".html", ".png"), None)
        outputs["--report"] = report
    check_distinct(outputs)
    return list(dict.fromkeys(names or sorted(SYNTHESIZERS)))


def _written(json_path: Path | None, report: Path | None) -> dict[str, object]:
    return {name: str(path) for name, path in (("json", json_path), ("report", report)) if path}


def _realism_text(values: Mapping[str, Any]) -> str:
    """Return one line for each synthesizer."""
    lines = [f"{'synthesizer':12}  nodules  AUC (real or generated?)  Fréchet  seam"]
    for name, found in values["synthesizers"].items():
        auc, seam = found["auc"], found["seam"]["pooled_ratio"]
        low, high = auc["ensemble_interval_95"]
        seam_text = "-" if seam is None else f"{seam:.3f}"
        lines.append(
            f"{name:12}  {found['nodules']:7}  {auc['mean']:.3f} [{low:.3f}, {high:.3f}]"
            f"      {found['frechet']['mean']:7.3f}  {seam_text}"
        )
    return "\n".join(lines)
