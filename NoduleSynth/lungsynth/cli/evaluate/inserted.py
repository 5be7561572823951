"""``lungsynth evaluate control|realism``: what the engine inserts, and how real it looks."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lungsynth.cli.evaluate.options import (
    DATA_HELP,
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
    written,
)
from lungsynth.cli.options import (
    BankOption,
    Device,
    DeviceOption,
    ProgressOption,
    RandomSeedOption,
    WeightsOption,
)
from lungsynth.cli.progress import ProgressMode, Reporter

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any


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
    report: PictureOption = None,
    device: DeviceOption = Device.AUTO,
    progress: ProgressOption = ProgressMode.AUTO,
) -> None:
    """Say how often diameter and attenuation come out as asked, measured anew."""
    names = checked(synthesizer, json_path, report, (".png",))
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
        reporter.done(_control_text(values), **written(json_path, report))


def realism(
    data: DataOption,
    synthesizer: NamesOption = None,
    split: SplitOption = Split.TEST,
    random_seed: RandomSeedOption = 0,
    weights: WeightsOption = None,
    json_path: JsonOption = None,
    report: Annotated[
        Path | None, typer.Option("--report", help="Table and pictures: .html or .png.")
    ] = None,
    cache: CacheOption = None,
    max_nodules: MaxNodulesOption = None,
    device: DeviceOption = Device.AUTO,
    progress: ProgressOption = ProgressMode.AUTO,
) -> None:
    """Say how well a trained judge tells real nodules from generated ones at the same sites."""
    names = checked(synthesizer, json_path, report, (".html", ".png"))
    check_cache(cache)
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
        reporter.done(_realism_text(values), **written(json_path, report))


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
