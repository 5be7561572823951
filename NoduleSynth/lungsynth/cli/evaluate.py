"""``lungsynth evaluate``: measuring what the synthesizers make."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lungsynth.cli.options import (
    BankOption,
    Device,
    DeviceOption,
    ProgressOption,
    RandomSeedOption,
    WeightsOption,
    whole,
)
from lungsynth.cli.outputs import check_distinct, check_output, check_writable
from lungsynth.cli.progress import ProgressMode, Reporter
from lungsynth.core.errors import LungSynthError
from lungsynth.core.shipped import shipped_file
from lungsynth.synthesizers import SYNTHESIZERS, TRAINABLE

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

app = typer.Typer(
    help="Measure size, attenuation and realism of what is inserted.", invoke_without_command=True
)


class Split(StrEnum):
    """Of the nodules, by patient."""

    TRAIN = "train"
    VAL = "val"
    TEST = "test"


DATA_HELP = "Folder with train, val and test (.npz, .csv): nodule cubes."
SplitOption = Annotated[Split, typer.Option("--split", help="Which nodules are measured.")]
NamesOption = Annotated[
    list[str] | None,
    typer.Option("--synthesizer", help="Which one; may be repeated; all if left out."),
]
JsonOption = Annotated[Path | None, typer.Option("--json", help="Where the numbers go: .json.")]


@app.callback()
def root(context: typer.Context) -> None:
    """Show the help where no study is named."""
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())
        raise typer.Exit


@app.command("control")
def control(
    data: Annotated[
        Path | None, typer.Option("--data", envvar="LUNGSYNTH_DATA", help=DATA_HELP)
    ] = None,
    ct: Annotated[
        list[Path] | None, typer.Option("--ct", help="A whole CT to insert into; may be repeated.")
    ] = None,
    synthesizer: NamesOption = None,
    split: SplitOption = Split.TEST,
    random_seed: RandomSeedOption = 0,
    weights: WeightsOption = None,
    bank: BankOption = None,
    json_path: JsonOption = None,
    report: Annotated[Path | None, typer.Option("--report", help="Picture: .png.")] = None,
    device: DeviceOption = Device.AUTO,
    progress: ProgressOption = ProgressMode.AUTO,
) -> None:
    """Say how often diameter and attenuation come out as asked, measured anew."""
    names = _checked(synthesizer, json_path, report, (".png",))
    if synthesizer is None and data is None and bank is None:
        names.remove("copy-paste")  # which has nothing to copy
    with Reporter(progress) as reporter:
        reporter.stage("loading")
        from lungsynth.evaluation.control import run_control
        from lungsynth.evaluation.sites import ControlConfig

        values = run_control(
            data,
            split.value,
            names,
            weights,
            json_path,
            report_path=report,
            ct=ct or (),
            bank=bank,
            on_progress=reporter.progress,
            config=ControlConfig(random_seed=random_seed, device=device.value),
        )
        reporter.done(_control_text(values), **_written(json_path, report))


@app.command("realism")
def realism(
    data: Annotated[Path, typer.Option("--data", envvar="LUNGSYNTH_DATA", help=DATA_HELP)],
    synthesizer: NamesOption = None,
    split: SplitOption = Split.TEST,
    random_seed: RandomSeedOption = 0,
    weights: WeightsOption = None,
    json_path: JsonOption = None,
    report: Annotated[
        Path | None, typer.Option("--report", help="Table and pictures: .html or .png.")
    ] = None,
    cache: Annotated[
        Path | None,
        typer.Option("--cache", help="Folder that keeps generated nodules for the next study."),
    ] = None,
    max_nodules: Annotated[
        int | None,
        typer.Option(
            "--max-nodules",
            parser=whole(1),
            metavar="N",
            help="Take only so many of each split: quicker, but results are less certain.",
        ),
    ] = None,
    device: DeviceOption = Device.AUTO,
    progress: ProgressOption = ProgressMode.AUTO,
) -> None:
    """Say how well a trained judge tells real nodules from generated ones at the same sites."""
    names = _checked(synthesizer, json_path, report, (".html", ".png"))
    if cache is not None:
        _check_cache(cache)
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
            max_nodules=max_nodules,
            config=StudyConfig(random_seed=random_seed, device=device.value, cache=cache),
        )
        reporter.done(_realism_text(values), **_written(json_path, report))


def _checked(
    names: list[str] | None,
    json_path: Path | None,
    report: Path | None,
    report_suffixes: Sequence[str],
) -> list[str]:
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
        check_output("--report", report, report_suffixes, None)
        outputs["--report"] = report
    check_distinct(outputs)
    return list(dict.fromkeys(names or filter(_is_ready, sorted(SYNTHESIZERS))))


def _is_ready(name: str) -> bool:
    """Return whether a synthesizer needs no weights, or those that ship are installed."""
    return name not in TRAINABLE or shipped_file(f"{name}.safetensors") is not None


def _check_cache(cache: Path) -> None:
    """Refuse a cache that is no folder, or can't be made or written into."""
    if cache.exists() and not cache.is_dir():
        msg = f"--cache {cache}: is a file; give the name of a folder"
        raise LungSynthError(msg)
    if not cache.absolute().parent.is_dir():
        msg = f"--cache {cache}: there is no folder {cache.absolute().parent} to make it in"
        raise LungSynthError(msg)
    check_writable(f"--cache {cache}", cache if cache.is_dir() else cache.absolute().parent)


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


def _control_text(values: Mapping[str, Any]) -> str:
    """Return one line for each synthesizer and attenuation: shares of what was inserted."""
    lines = [f"{'synthesizer':12}  {'attenuation':13}  inserted  size kept  density kept"]
    for name, found in values["synthesizers"].items():
        for kind, shares in {**found["by_attenuation"], "all": found["all"]}.items():
            size, density = (
                "-" if shares[key] is None else f"{shares[key]:.1%}"
                for key in ("size_kept", "density_kept")
            )
            inserted = f"{shares['inserted']}/{shares['asked']}"
            lines.append(f"{name:12}  {kind:13}  {inserted:>8}  {size:>9}  {density:>12}")
    return "\n".join(lines)
