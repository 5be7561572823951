"""``lungsynth evaluate control|realism``: what the engine inserts, and how real it looks."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lungsynth.cli.evaluate.options import (
    DATA_HELP,
    MaxNodulesOption,
    NamesOption,
    Split,
    SplitOption,
)
from lungsynth.cli.evaluate.study import SplitStudy, Study, study_command
from lungsynth.cli.options import BankOption

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any


@study_command
def control(
    study: Study,
    data: Annotated[
        Path | None, typer.Option("--data", envvar="LUNGSYNTH_DATA", help=DATA_HELP)
    ] = None,
    ct: Annotated[
        list[Path] | None, typer.Option("--ct", help="A whole CT to insert into; may be repeated.")
    ] = None,
    synthesizer: NamesOption = None,
    split: SplitOption = Split.TEST,
    bank: BankOption = None,
) -> None:
    """Say how often diameter and attenuation come out as asked, measured anew."""
    names = study.checked(synthesizer, (".png",))
    if synthesizer is None and data is None and bank is None:
        names.remove("copy-paste")  # which has nothing to copy
    with study.reporter() as reporter:
        from lungsynth.evaluation.control import run_control
        from lungsynth.evaluation.sites import ControlConfig

        values = run_control(
            data,
            split.value,
            names,
            study.weights,
            study.json_path,
            report_path=study.report,
            ct=ct or (),
            bank=bank,
            on_progress=reporter.progress,
            config=ControlConfig(random_seed=study.random_seed, device=study.device.value),
        )
        reporter.done(_control_text(values), **study.written)


@dataclass(frozen=True, kw_only=True)
class RealismStudy(SplitStudy):
    """Options of the study of realism."""

    report: Annotated[
        Path | None, typer.Option("--report", help="Table and pictures: .html or .png.")
    ] = None

    def checked(
        self, names: list[str] | None, report_suffixes: tuple[str, ...] = (".html", ".png")
    ) -> list[str]:
        """Return the synthesizers' names, after all that can be checked at once is."""
        return super().checked(names, report_suffixes)


@study_command
def realism(study: RealismStudy, max_nodules: MaxNodulesOption = None) -> None:
    """Say how well a trained judge tells real nodules from generated ones at the same sites."""
    arguments = study.arguments()
    with study.reporter() as reporter:
        from lungsynth.evaluation.realism import StudyConfig, run_realism

        values = run_realism(
            *arguments,
            report_path=study.report,
            on_progress=reporter.progress,
            max_nodules=max_nodules,
            config=StudyConfig(**study.drawn),
        )
        reporter.done(_realism_text(values), **study.written)


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
