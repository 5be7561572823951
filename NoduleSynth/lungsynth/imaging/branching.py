"""Trees of tapering tubes that fill a space, and drawing them: vessels and bronchi.

[1] Kitaoka et al., A three-dimensional model of the human airway tree, J Appl Physiol 87,
1999: a branch runs towards the centre of what it supplies, which is then divided in two.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Tube:
    """A straight, tapering tube.

    Args:
        start: One end, (x, y, z) in mm.
        end: Other end, (x, y, z) in mm.
        radii_mm: Outer radius at start and end.
        parent: Index of the tube that this one grew from; -1 at the root.
    """

    start: Floats
    end: Floats
    radii_mm: tuple[float, float]
    parent: int = -1


def grow_tree(
    root: Floats, targets: Floats, terminal_radius_mm: float, rng: np.random.Generator
) -> list[Tube]:
    """Grow a tree from a root to every target by dividing the targets in two [1].

    Radii follow Murray's law: the cube of a branch's radius is the sum of its children's.

    Args:
        root: Start of the tree, (x, y, z) in mm.
        targets: What must be supplied, shape (N, 3) in mm.
        terminal_radius_mm: Radius of a branch that supplies one target.
        rng: Source of the bends.

    Returns:
        The tubes, parents before their children.
    """
    tubes: list[Tube] = []
    todo = [(root, targets, -1)]
    while todo:
        start, supplied, parent = todo.pop()
        count = len(supplied)
        radius = terminal_radius_mm * count ** (1 / 3)
        centre = supplied.mean(axis=0)
        if count == 1:
            tubes.append(Tube(start, centre, (radius, 0.75 * radius), parent))
            continue
        step = (0.42 + 0.28 * rng.random()) * (centre - start)
        bend = rng.normal(scale=0.11, size=3) * np.linalg.norm(step)
        end = start + step + bend
        smaller = terminal_radius_mm * (count / 2) ** (1 / 3)
        tubes.append(Tube(start, end, (radius, 0.5 * (radius + smaller)), parent))
        here = len(tubes) - 1
        todo.extend((end, part, here) for part in _divide(supplied, end, centre - start, rng))
    return tubes


def _divide(
    targets: Floats, apex: Floats, direction: Floats, rng: np.random.Generator
) -> tuple[Floats, Floats]:
    """Divide targets by a plane through ``apex``'s axis, across their widest spread."""
    spread = targets - targets.mean(axis=0)
    axis = direction / (np.linalg.norm(direction) + 1e-9)
    across = spread - np.outer(spread @ axis, axis)
    widest = np.linalg.eigh(across.T @ across)[1][:, -1]
    order = np.argsort((targets - apex) @ widest)
    cut = int(np.clip(round(len(targets) * rng.uniform(0.32, 0.68)), 1, len(targets) - 1))
    return targets[order[:cut]], targets[order[cut:]]


@dataclass(frozen=True, eq=False)
class Canvas:
    """An axis-aligned grid to draw on.

    Args:
        hu: Intensities, float32, shape (K, J, I); drawn on in place.
        axes_mm: Coordinates of the voxel centres along (x, y, z), each 1-D and monotonic
            with a constant step; x goes with I, y with J, z with K.
    """

    hu: NDArray[np.float32]
    axes_mm: tuple[Floats, Floats, Floats]

    @property
    def edge_mm(self) -> float:
        """Width of the ramp from outside to inside: about one voxel, as a scanner blurs."""
        steps = sorted(abs(float(axis[1] - axis[0])) for axis in self.axes_mm)
        return max(1.2, 0.5 * (steps[1] + steps[2]))

    def draw(self, tube: Tube, hu: float, *, over_hu: float | None = None) -> None:
        """Draw a tube; a voxel that it covers in part gets a mean of tube and background.

        Args:
            tube: What to draw, in mm.
            hu: Intensity inside.
            over_hu: Mix with this background, which must be darker, and keep what is brighter
                already: tubes that meet then do not bulge at the joint, and tubes thinner
                than a voxel fade as partial volume makes them. None mixes with what is there.
        """
        edge = self.edge_mm
        reach = max(tube.radii_mm) + 0.5 * edge
        low = np.minimum(tube.start, tube.end) - reach
        high = np.maximum(tube.start, tube.end) + reach
        spans = [_span(*args) for args in zip(self.axes_mm, low, high, strict=True)]
        if any(a >= b for a, b in spans):
            return
        x, y, z = (
            (axis[a:b] - origin).astype(np.float32)
            for axis, (a, b), origin in zip(self.axes_mm, spans, tube.start, strict=True)
        )
        z, y = z[:, None, None], y[:, None]
        ahead = (tube.end - tube.start).astype(np.float32)
        length2 = float(ahead @ ahead) + 1e-9
        along = np.clip((x * ahead[0] + y * ahead[1] + z * ahead[2]) / length2, 0, 1)
        away = np.sqrt(
            (x - along * ahead[0]) ** 2 + (y - along * ahead[1]) ** 2 + (z - along * ahead[2]) ** 2
        )
        first, last = tube.radii_mm
        inside = np.clip(0.5 + (first + (last - first) * along - away) / edge, 0, 1)
        (i0, i1), (j0, j1), (k0, k1) = spans
        part = self.hu[k0:k1, j0:j1, i0:i1]
        if over_hu is None:
            part += inside * (hu - part)
            return
        inside *= _thinness(0.5 * (first + last), edge)
        np.maximum(part, over_hu + inside * (hu - over_hu), out=part, where=inside > 0)


def _span(axis: Floats, low: float, high: float) -> tuple[int, int]:
    """Return the half-open index range of an evenly spaced axis that covers [low, high]."""
    step = axis[1] - axis[0]
    ends = sorted(((low - axis[0]) / step, (high - axis[0]) / step))
    return max(0, int(np.ceil(ends[0]))), min(len(axis), int(np.floor(ends[1])) + 1)


def _thinness(radius: float, edge: float) -> float:
    """Return the share of its contrast that a tube thinner than the edge keeps.

    The drawn profile is a cone, of volume pi (r + w/2)^3 / (3 w) for each mm of the tube, which
    has pi r^2; scaled so as to leave a tube of half an edge and wider as it is.
    """
    if radius >= 0.5 * edge:
        return 1.0
    return 4 * radius**2 * edge / (radius + 0.5 * edge) ** 3
