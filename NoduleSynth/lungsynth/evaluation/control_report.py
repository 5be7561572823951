"""The control study as a picture: asked against measured."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from lungsynth.core.errors import LungSynthError
from lungsynth.core.insertion import diameter_tolerance_mm
from lungsynth.core.nodule import ATTENUATION_HU_RANGE, Attenuation
from lungsynth.io.atomic import atomic_path

COLOURS = dict(zip(Attenuation, ("tab:blue", "tab:orange", "tab:green"), strict=True))


def check_report(path: Path) -> None:
    """Refuse a picture that is not PNG, or that can't be drawn.

    Raises:
        LungSynthError: If the suffix is another, or matplotlib is missing.
    """
    if path.suffix.lower() != ".png":
        msg = f"{path}: the picture of the control study must end in .png"
        raise LungSynthError(msg)
    try:
        import matplotlib as mpl  # noqa: F401 - only whether it is there
    except ImportError:
        msg = "a report needs matplotlib; install lungsynth[train], or leave the report out"
        raise LungSynthError(msg) from None


def write_report(values: Mapping[str, Any], path: Path) -> None:
    """Draw, for each synthesizer, diameters and mean HU asked and measured.

    Args:
        values: What ``run_control`` returns.
        path: .png.

    Raises:
        LungSynthError: If it can't be written.
    """
    from matplotlib.figure import Figure

    check_report(path)
    found = values["synthesizers"]
    figure = Figure(figsize=(12, 4.5 * len(found)), layout="constrained")
    axes = figure.subplots(len(found), 2, squeeze=False)
    for (size_axis, density_axis), (name, result) in zip(axes, found.items(), strict=True):
        _draw_sizes(size_axis, name, result)
        _draw_densities(density_axis, result)
    with atomic_path(path) as temporary:
        figure.savefig(temporary, dpi=100)


def _draw_sizes(axis: Any, name: str, result: Mapping[str, Any]) -> None:  # noqa: ANN401 - matplotlib ships no types
    line = np.linspace(3, 32, 100)
    tolerance = np.array([diameter_tolerance_mm(d) for d in line])
    axis.fill_between(line, line - tolerance, line + tolerance, color="0.9")
    for offset, kind in zip((-0.2, 0.0, 0.2), Attenuation, strict=True):
        made = _made(result, kind)
        asked = np.array([o["asked_mm"] for o in made]) + offset
        axis.plot(asked, [o["measured_mm"] for o in made], ".", color=COLOURS[kind], label=kind)
    axis.set_xlabel("asked diameter, mm")
    axis.set_ylabel("measured diameter, mm")
    every = result["all"]
    kept = "-" if every["size_kept"] is None else f"{every['size_kept']:.1%}"
    axis.set_title(f"{name}: {kept} within max(1 mm, 10 %), {every['refused']} refused")
    axis.legend()


def _draw_densities(axis: Any, result: Mapping[str, Any]) -> None:  # noqa: ANN401 - matplotlib ships no types
    for place, kind in enumerate(Attenuation):
        low, high = ATTENUATION_HU_RANGE[kind]
        axis.fill_between([place - 0.4, place + 0.4], low, high, color="0.9")
        made = _made(result, kind)
        across = place + np.linspace(-0.3, 0.3, len(made))
        axis.plot(across, [o["mean_hu"] for o in made], ".", color=COLOURS[kind])
    axis.set_xticks(range(len(Attenuation)), [str(kind) for kind in Attenuation])
    axis.set_ylabel("mean HU in the mask")
    share = result["all"]["density_kept"]
    kept = "-" if share is None else f"{share:.1%}"
    axis.set_title(f"{kept} within the class's 5-95 % of real training nodules")


def _made(result: Mapping[str, Any], kind: Attenuation) -> list[Mapping[str, Any]]:
    return [o for o in result["outcomes"] if o["attenuation"] == kind and not o["refused"]]
