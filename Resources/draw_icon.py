"""Draws the icons: two lungs, and a nodule under a crosshair, or what a scan finds in them.

python Resources/draw_icon.py writes the files again; the shapes are signed distances in units of
the icon's side, y down, so that any size comes out smooth.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

SIDE = 128
FILES = ("Resources/NoduleSynth.png", "NoduleSynth/Resources/Icons/NoduleSynth.png")
SCAN_FILE = "AnomalyScan/Resources/Icons/AnomalyScan.png"
LUNG, AIRWAY, NODULE, CROSS = (84, 148, 196), (58, 104, 145), (246, 168, 60), (250, 250, 250)
HEAT = ((200, 40, 60), (240, 110, 40), (255, 215, 90))
_NODULE_AT, _NODULE_RADIUS = (0.285, 0.60), 0.085

Plane = NDArray[np.float64]
Cover = Callable[..., None]


def _ellipse(x: Plane, y: Plane, centre: tuple[float, float], half: tuple[float, float]) -> Plane:
    radius = np.hypot((x - centre[0]) / half[0], (y - centre[1]) / half[1])
    return (radius - 1) * min(half)


def _segment(x: Plane, y: Plane, ends: tuple[float, float, float, float], radius: float) -> Plane:
    ax, ay, bx, by = ends
    along = ((x - ax) * (bx - ax) + (y - ay) * (by - ay)) / ((bx - ax) ** 2 + (by - ay) ** 2)
    along = along.clip(0, 1)
    return np.hypot(x - ax - along * (bx - ax), y - ay - along * (by - ay)) - radius


def _lung(x: Plane, y: Plane) -> Plane:
    """Return the distance to the lung on the left of the picture."""
    outer = _ellipse(x, y, (0.30, 0.60), (0.235, 0.46))
    middle = -_ellipse(x, y, (0.60, 0.62), (0.165, 0.60))  # the mediastinum
    floor = -_ellipse(x, y, (0.33, 1.12), (0.30, 0.26))  # the diaphragm
    return np.maximum(np.maximum(outer, middle), floor)


def _draw_nodule(cover: Cover, x: Plane, y: Plane) -> None:
    cx, cy = _NODULE_AT
    ball = np.hypot(x - cx, y - cy) - _NODULE_RADIUS
    cover(np.abs(ball - 0.045) - 0.010, CROSS)
    for dx, dy in ((1, 0), (-1, 0), (0, 1), (0, -1)):
        ends = (cx + 0.10 * dx, cy + 0.10 * dy, cx + 0.185 * dx, cy + 0.185 * dy)
        cover(_segment(x, y, ends, 0.010), CROSS)
    cover(ball, NODULE)
    cover(np.hypot(x - cx + 0.028, y - cy + 0.030) - 0.022, CROSS, 0.55)


def _draw_heat(cover: Cover, x: Plane, y: Plane) -> None:
    """Draw what deviates, hottest in its middle, and the line of a scanner across."""
    for shrunk, color in enumerate(HEAT):
        half = (0.15 - 0.045 * shrunk, 0.19 - 0.057 * shrunk)
        cover(_ellipse(x, y, (0.70, 0.62), half), color, 0.9)
    cover(_segment(x, y, (0.06, 0.42, 0.94, 0.42), 0.014), CROSS)


def draw(side: int = SIDE, *, scan: bool = False) -> Image.Image:
    """Return the icon, RGBA, transparent outside the shapes.

    Args:
        side: In pixels.
        scan: Whether it is that of AnomalyScan.
    """
    y, x = (np.indices((side, side)) + 0.5) / side
    picture = np.zeros((side, side, 4))

    def cover(distance: Plane, color: tuple[int, int, int], strength: float = 1.0) -> None:
        alpha = strength * np.clip(0.5 - distance * side, 0, 1)
        below = picture[..., 3] * (1 - alpha)
        total = np.maximum(alpha + below, 1e-9)
        mixed = alpha[..., None] * np.array(color) + below[..., None] * picture[..., :3]
        picture[..., :3] = mixed / total[..., None]
        picture[..., 3] = alpha + below

    for across in (x, 1 - x):
        cover(_lung(across, y), LUNG)
        cover(_segment(across, y, (0.5, 0.30, 0.37, 0.47), 0.032), AIRWAY)
    cover(_segment(x, y, (0.5, 0.06, 0.5, 0.30), 0.042), AIRWAY)
    (_draw_heat if scan else _draw_nodule)(cover, x, y)
    picture[..., 3] *= 255
    return Image.fromarray(picture.round().astype(np.uint8), "RGBA")


if __name__ == "__main__":
    for name in (*FILES, SCAN_FILE):
        path = Path(__file__).resolve().parents[1] / name
        path.parent.mkdir(parents=True, exist_ok=True)
        draw(scan=name == SCAN_FILE).save(path, optimize=True)
