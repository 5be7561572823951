"""Options and checks that the studies share."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lungsynth.cli.options import whole
from lungsynth.cli.outputs import check_distinct, check_output, check_writable
from lungsynth.core.errors import LungSynthError
from lungsynth.core.shipped import shipped_file
from lungsynth.synthesizers import SYNTHESIZERS, TRAINABLE

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any


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
DataOption = Annotated[Path, typer.Option("--data", envvar="LUNGSYNTH_DATA", help=DATA_HELP)]
PictureOption = Annotated[Path | None, typer.Option("--report", help="Picture: .png.")]
CacheOption = Annotated[
    Path | None,
    typer.Option("--cache", help="Folder that keeps what takes long for the next study."),
]
MaxNodulesOption = Annotated[
    int | None,
    typer.Option(
        "--max-nodules",
        parser=whole(1),
        metavar="N",
        help="Take only so many of each split: quicker, but results are less certain.",
    ),
]


def checked(
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


def check_cache(cache: Path | None) -> None:
    """Refuse a cache that is no folder, or can't be made or written into; None is none."""
    if cache is None:
        return
    if cache.exists() and not cache.is_dir():
        msg = f"--cache {cache}: is a file; give the name of a folder"
        raise LungSynthError(msg)
    if not cache.absolute().parent.is_dir():
        msg = f"--cache {cache}: there is no folder {cache.absolute().parent} to make it in"
        raise LungSynthError(msg)
    check_writable(f"--cache {cache}", cache if cache.is_dir() else cache.absolute().parent)


def written(json_path: Path | None, report: Path | None) -> dict[str, object]:
    """Return the outputs that were asked for, as the last line of JSON names them."""
    return {name: str(path) for name, path in (("json", json_path), ("report", report)) if path}


def table_text(values: Mapping[str, Any]) -> str:
    """Return the table of a study's values as lines."""
    from lungsynth.evaluation.figures import Table

    return Table(**values["table"]).text()
