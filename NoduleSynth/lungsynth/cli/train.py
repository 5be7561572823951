"""``lungsynth train``: weights from the user's own nodules."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lungsynth.cli.options import ProgressOption
from lungsynth.cli.progress import ProgressMode
from lungsynth.core.errors import LungSynthError


def train(
    name: Annotated[str, typer.Argument(help="Which synthesizer.")],
    data: Annotated[Path, typer.Option("--data", help="Folder of nodule cubes.")],
    output: Annotated[Path, typer.Option("--output", help="Folder of the run.")],
    progress: ProgressOption = ProgressMode.AUTO,
) -> None:
    """Train a synthesizer on nodules of your own."""
    msg = f"train {name}: not available in this version"
    raise LungSynthError(msg)
