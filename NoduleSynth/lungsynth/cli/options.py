"""Options that several commands share, and the words they allow."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from lungsynth.cli.progress import ProgressMode

VOLUME_SUFFIXES = (".nii.gz", ".nii", ".nrrd", ".mha", ".mhd")
DATA_HELP = (
    "Nodule cubes (train.npz and train.csv), LUNA16, LIDC-IDRI, NODE21 CT patches, segmented CTs, "
    "or a folder or table with columns image, x, y, z, space, diameter_mm."
)
MASK_SUFFIXES = (".seg.nrrd", ".nrrd", ".nii.gz", ".nii")


class Device(StrEnum):
    """Where the network runs; auto means a usable GPU, or else the CPU."""

    AUTO = "auto"
    CPU = "cpu"
    CUDA = "cuda"


class Site(StrEnum):
    """Where in the lungs --auto puts nodules."""

    PARENCHYMA = "parenchyma"
    JUXTA_PLEURAL = "juxta-pleural"
    JUXTA_VASCULAR = "juxta-vascular"


def number(text: str) -> float:
    """Read a number; typer's own message does not say what came."""
    try:
        return float(text)
    except ValueError:
        msg = f"'{text}' is not a number; give one such as 12.5"
        raise typer.BadParameter(msg) from None


def whole(least: int, most: int | None = None) -> Callable[[str], int]:
    """Return a reader of whole numbers from ``least`` to ``most``."""
    allowed = f"{least} or more" if most is None else f"{least} to {most}"

    def read(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            value = least - 1
        if value < least or (most is not None and value > most):
            msg = f"'{text}' is not allowed; give a whole number, {allowed}"
            raise typer.BadParameter(msg)
        return value

    return read


SynthesizerOption = Annotated[
    str, typer.Option("--synthesizer", help="Which one; see 'lungsynth models list'.")
]
DeviceOption = Annotated[Device, typer.Option("--device", help="Where the network runs.")]
WeightsOption = Annotated[
    Path | None, typer.Option("--weights", help="Weights (.safetensors) in place of the shipped.")
]
BankOption = Annotated[
    Path | None, typer.Option("--bank", help="Folder of real nodules, for copy-paste.")
]
RandomSeedOption = Annotated[
    int,
    typer.Option(
        "--random-seed",
        parser=whole(0, 2**63 - 1),  # what torch takes
        metavar="S",
        help="All that is drawn follows from it.",
    ),
]
ProgressOption = Annotated[
    ProgressMode,
    typer.Option("--progress", help="A bar on a terminal, JSON lines on stdout, or nothing."),
]
