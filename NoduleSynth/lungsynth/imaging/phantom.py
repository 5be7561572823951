"""A procedural CT of a thorax, for demonstrations and tests: no patient's data in it.

Anatomy is drawn in millimetres (x to R, y to A, z to S, origin in the middle of the chest)
as signed distances slice by slice; ribs, vessels and airways are tubes. It is there to look
like a chest CT to a network and to the lung mask, not to be anatomically complete.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lungsynth.core.errors import LungSynthError
from lungsynth.core.volume import Volume
from lungsynth.imaging.branching import Canvas, Floats, Tube, grow_tree
from lungsynth.imaging.ct_texture import add_texture, with_noise

Plane = NDArray[np.floating]

SMALL = {"shape": (64, 128, 160), "spacing_mm": (2.0, 2.0, 4.5)}
"""A whole chest on a coarse grid: ``thorax_phantom(**SMALL)``."""

AIR, LUNG, FAT, SOFT, BLOOD, LIVER = -1000.0, -855.0, -95.0, 48.0, 42.0, 58.0
MARROW, CORTEX, AIRWAY = 190.0, 720.0, -985.0
VESSEL_TARGETS = 2000  # for each tree and side; gives as many dots a slice as in real CT
TERMINAL_RADIUS_MM = 0.57


@dataclass(frozen=True)
class Patient:
    """What differs between phantoms.

    Args:
        scale: Size along (x, y, z) relative to the drawn anatomy.
        heart_mm: Semi-axes of the heart.
        domes_mm: Height (z) of the right and left dome of the diaphragm.
    """

    scale: Floats
    heart_mm: Floats
    domes_mm: tuple[float, float]


def draw_patient(rng: np.random.Generator) -> Patient:
    """Make the random choices about the anatomy's size."""
    return Patient(
        scale=rng.uniform(0.97, 1.03, size=3),
        heart_mm=np.array([56.0, 50.0, 54.0]) * rng.uniform(0.94, 1.06, size=3),
        domes_mm=(float(rng.uniform(-66, -54)), float(rng.uniform(-78, -66))),
    )


def thorax_phantom(
    seed: int = 0,
    *,
    shape: tuple[int, int, int] = (160, 256, 320),
    spacing_mm: tuple[float, float, float] = (1.0, 1.0, 2.0),
) -> Volume:
    """Draw a chest CT.

    Args:
        seed: Decides anatomy, vessels and noise; the same seed gives the same voxels.
        shape: Voxels along (K, J, I). The chest takes about 305 x 225 x 290 mm and is cut
            where the grid is smaller.
        spacing_mm: Voxel size along (i, j, k).

    Returns:
        int16 HU with the axes of an ordinary scanner: i to L, j to P, k to S; RAS (0, 0, 0)
        is the centre of the grid.

    Raises:
        LungSynthError: If a side has fewer than 16 voxels or a spacing is not positive.
    """
    if min(shape) < 16 or not all(0 < step < 20 for step in spacing_mm):
        msg = (
            "a phantom needs at least 16 voxels a side and spacings between 0 and 20 mm; "
            f"got {shape} and {spacing_mm}"
        )
        raise LungSynthError(msg)
    rng = np.random.default_rng(seed)
    patient = draw_patient(rng)
    signs = (-1.0, -1.0, 1.0)
    axes = [
        sign * step * (np.arange(count) - (count - 1) / 2)
        for sign, step, count in zip(signs, spacing_mm, shape[::-1], strict=True)
    ]
    x, y, z = (axis / scale for axis, scale in zip(axes, patient.scale, strict=True))
    canvas = Canvas(np.empty(shape, np.float32), (x, y, z))
    _draw_tissues(canvas, patient)
    add_texture(canvas.hu, spacing_mm, rng)
    _draw_bones(canvas)
    _draw_mediastinum(canvas, patient)
    for side in (1, -1):
        _draw_trees(canvas, patient, side, rng)
    voxels = with_noise(canvas.hu, spacing_mm, rng)
    matrix = np.diag([*(s * step for s, step in zip(signs, spacing_mm, strict=True)), 1.0])
    matrix[:3, 3] = [axis[0] for axis in axes]
    return Volume(voxels, matrix)


def _ellipse(x: Plane, y: Plane, half: tuple[float, float], power: float = 2.0) -> Plane:
    """Return about the signed distance to a superellipse at the origin; negative inside."""
    a, b = (max(h, 1e-3) for h in half)
    ratio = (np.abs(x / a) ** power + np.abs(y / b) ** power) ** (1 / power)
    return np.asarray((ratio - 1) * min(a, b), np.float32)


def _taper(z: float) -> float:
    """Return how wide the chest is at height z: 1 below the middle, towards 0 at the apex."""
    q = min(max((z + 20) / 145, 0.0), 1.0)
    return float((1 - q**2.6) ** 0.6)


def _wall(z: float) -> tuple[float, float, float]:
    """Return half-axes (x, y) and centre y of the inner chest wall at height z."""
    q = min(max((z + 60) / 185, 0.0), 1.3)
    return 131 - 42 * q**2.2, 88 - 20 * q**2.2, -4 - 12 * q


def _spine_y(z: float) -> float:
    """Return y of the middle of the vertebral body: a kyphotic curve."""
    return -66 - 10 * float(np.cos(z / 95)) + 6 * max(0.0, (z - 80) / 80)


def lung_distance(x: Plane, y: Plane, z: float, patient: Patient, side: int) -> Plane:
    """Return about the signed distance in mm to a lung's surface at height z.

    Args:
        x: Coordinates to R, broadcastable with ``y``.
        y: Coordinates to A.
        z: Height to S.
        patient: Anatomy.
        side: 1 for the right lung, -1 for the left.
    """
    a, b, centre = _wall(z)
    wall = _ellipse(x, y - centre, (a, b), 2.35)
    taper = _taper(z)
    outline = _ellipse(x - side * 66, y - centre, (64 * taper, 100 * taper), 3.0)
    spine = -_ellipse(x, y - _spine_y(z) + 6, (27, 32))
    hx, hy, hz = patient.heart_mm
    height = 1 - ((z + 52) / hz) ** 2
    distance = np.maximum(np.maximum(wall, outline), spine)
    if height > 0:
        root = height**0.5
        heart = _ellipse(x + 24, y - 22, (hx * root, hy * root))
        distance = np.maximum(distance, -heart)
    middle = _ellipse(x + 4, y + 8, (30 * min(1.0, 0.62 + max(0.0, 60 - z) / 160), 62), 2.5)
    dome = patient.domes_mm[0 if side > 0 else 1]
    floor = dome - 66 * (((x - side * 62) / 76) ** 2 + ((y - 12) / 88) ** 2) ** 1.5
    return np.asarray(np.maximum(np.maximum(distance, -middle), 0.8 * (floor - z)), np.float32)


def _cover(hu: Plane, distance: Plane, value: float | Plane, edge: float) -> None:
    """Blend ``value`` into ``hu`` where the signed distance is negative."""
    inside = np.clip(0.5 - distance / edge, 0, 1)
    hu += inside * (value - hu)


def _draw_tissues(canvas: Canvas, patient: Patient) -> None:
    """Fill the canvas with body, abdomen, lungs and spine, slice by slice."""
    x = canvas.axes_mm[0].astype(np.float32)[None, :]
    y = canvas.axes_mm[1].astype(np.float32)[:, None]
    edge = canvas.edge_mm
    for plane, z in zip(canvas.hu, canvas.axes_mm[2].tolist(), strict=True):
        plane[:] = AIR
        _cover(plane, np.abs(y + 117 - (x / 60) ** 2) - 1.2, -250.0, edge)  # table
        body = _ellipse(x, y + 2, (151, 111), 2.4)
        _cover(plane, body, 20.0, edge)  # skin
        _cover(plane, body + 2.2, FAT, edge)
        muscle = body + 11 + 3 * np.sin(x / 21) * np.cos(y / 17 + z / 40)
        _cover(plane, muscle, SOFT, edge)
        seam = np.abs(muscle + 7 + 2 * np.sin(y / 9 + x / 30)) - 0.9  # fat between muscles
        _cover(plane, seam, -60.0, edge)
        middle = _ellipse(x + 4, y + 2, (34, 62), 2.5)
        _cover(plane, middle, FAT + 25, edge)
        _draw_abdomen(plane, x, y, z, edge)
        dependent = np.float32(LUNG) - 0.38 * y  # heavier towards the back
        for side in (1, -1):
            lung = lung_distance(x, y, z, patient, side)
            fissure = np.abs(0.62 * y + 0.78 * z + 6 + 0.05 * x + 4 * np.sin(x / 40)) - 0.3
            parenchyma = dependent + 70 * np.clip(0.5 - fissure / edge, 0, 1)
            _cover(plane, lung, parenchyma, edge)
        _draw_vertebra(plane, x, y - _spine_y(z), z, edge)


def _draw_abdomen(plane: Plane, x: Plane, y: Plane, z: float, edge: float) -> None:
    """Draw liver, spleen side and a stomach with gas below the diaphragm."""
    if z > -30:
        return
    a, b, centre = _wall(z)
    inner = _ellipse(x, y - centre, (a + 3, b + 3), 2.35)
    _cover(plane, np.maximum(inner, -x - 25), LIVER, edge)
    _cover(plane, np.maximum(inner, x + 25), SOFT, edge)
    height = 1 - ((z + 108) / 24) ** 2
    if height > 0:
        _cover(plane, _ellipse(x + 62, y - 22, (34 * height**0.5, 26 * height**0.5)), AIR, edge)


def _draw_vertebra(plane: Plane, x: Plane, y: Plane, z: float, edge: float) -> None:
    """Draw a vertebral body (or disc), its arch and processes; ``y`` relative to its middle."""
    phase = (z / 24.0) % 1.0
    body = _ellipse(x, y, (17, 13.5), 2.4)
    if phase < 0.22:
        _cover(plane, body + 1.0, 85.0, edge)
    else:
        rim = 2.2 if min(phase - 0.22, 1 - phase) < 0.08 else 1.3
        _cover(plane, body, 0.6 * CORTEX, edge)
        _cover(plane, body + rim, MARROW, edge)
    arch = np.abs(_ellipse(x, y + 23, (11, 10))) - 2.6
    _cover(plane, arch, 0.7 * CORTEX, edge)
    if 0.3 < phase < 0.8:
        spinous = _ellipse(x, y + 40, (3.2, 12))
        wing = _ellipse(np.abs(x) - 20, y + 24, (13, 4.5))
        for bone in (spinous, wing):
            _cover(plane, bone, 0.7 * CORTEX, edge)
            _cover(plane, bone + 1.6, MARROW, edge)


def _polyline(points: Floats, radius_mm: float) -> Iterator[Tube]:
    """Yield tubes of one radius along points, shape (N, 3) in mm."""
    for start, end in itertools.pairwise(points):
        yield Tube(start, end, (radius_mm, radius_mm))


def _draw_bones(canvas: Canvas) -> None:
    """Draw ribs with their cartilage, clavicles and sternum."""
    lines: list[tuple[Floats, float]] = []
    for rib in range(12):
        top = 128 - 23.0 * rib
        for side in (1, -1):
            turn = np.linspace(-0.42, 0.40 if rib < 8 else 0.25, 30) * np.pi
            z = top - (38 + 3 * min(rib, 7)) * (turn / np.pi + 0.42)
            a, b, centre = np.array([_wall(height) for height in z]).T
            x = side * (a + 6.5) * np.cos(turn) ** 0.85
            lines.append((np.stack([x, centre + (b + 6.5) * np.sin(turn), z], 1), 4.6))
    for side in (1, -1):
        lines.append(
            (np.array([[side * 18.0, 66, 108], [side * 80, 50, 122], [side * 140, 20, 130]]), 6.0)
        )  # clavicle
    for offset in (-9, -3, 3, 9):
        front = [[offset, sum(_wall(z)[1:]) + 8.0, z] for z in np.linspace(105, -35, 8)]
        lines.append((np.array(front, float), 6.0))  # sternum
    for points, radius in lines:
        for tube in _polyline(points, radius):
            canvas.draw(tube, CORTEX)
    for points, radius in lines:
        for tube in _polyline(points, radius - 1.6):
            canvas.draw(tube, MARROW)


def _draw_mediastinum(canvas: Canvas, patient: Patient) -> None:
    """Draw heart, great vessels, oesophagus, trachea and main bronchi."""
    hx, hy, hz = patient.heart_mm
    x = canvas.axes_mm[0].astype(np.float32)[None, :]
    y = canvas.axes_mm[1].astype(np.float32)[:, None]
    for plane, z in zip(canvas.hu, canvas.axes_mm[2].tolist(), strict=True):
        height = 1 - ((z + 52) / hz) ** 2
        if height > 0:
            heart = _ellipse(x + 24, y - 22, (hx * height**0.5, hy * height**0.5))
            _cover(plane, heart + 3.5, BLOOD, canvas.edge_mm)
    arch = np.array(
        [
            [10, 22, -20],
            [14, 24, 30],
            [8, 18, 58],
            [-8, -4, 70],
            [-20, -28, 62],
            [-23, -42, 30],
            [-22, -46, -40],
            [-14, -46, -170],
        ],
        float,
    )
    cava = np.array([[24, 14, -30], [24, 12, 40], [22, 14, 80], [26, 16, 160]], float)
    trunk = np.array([[-10, 30, -15], [-12, 12, 18], [-4, 4, 26], [28, -6, 12]], float)
    left = np.array([[-12, 12, 18], [-30, -10, 20]], float)
    gullet = np.array([[-3, -36, 170], [-4, -34, 40], [-6, -36, -90]], float)
    for points, radius in ((arch, 12.5), (cava, 9.0), (trunk, 11.0), (left, 9.0), (gullet, 7.0)):
        for tube in _polyline(points, radius):
            canvas.draw(tube, BLOOD)
    windpipe = np.array([[0, 2, 180], [0, -8, 100], [2, -14, 42]], float)
    right = np.array([[2, -14, 42], [34, -14, 14]], float)
    sinister = np.array([[2, -14, 42], [-36, -18, 10]], float)
    airways = ((windpipe, 8.5), (right, 6.5), (sinister, 6.0))
    for value, extra in ((SOFT - 10, 1.6), (AIRWAY, 0.0)):
        for points, radius in airways:
            for tube in _polyline(points, radius + extra):
                canvas.draw(tube, value)


def _draw_targets(patient: Patient, side: int, rng: np.random.Generator) -> Floats:
    """Draw points spread over a lung, not quite out to the pleura, shape (N, 3) in mm."""
    found: list[Floats] = []
    for z in np.linspace(-128, 122, 64) + rng.uniform(-2, 2, size=64):
        x = (side * rng.uniform(0, 135, size=220)).astype(np.float32)
        y = rng.uniform(-100, 95, size=220).astype(np.float32)
        inside = lung_distance(x, y, float(z), patient, side) < -rng.uniform(1, 7, size=220)
        found.append(np.column_stack([x, y, np.full_like(x, z)])[inside].astype(float))
    points = np.concatenate(found)
    return points[rng.permutation(len(points))[:VESSEL_TARGETS]]


def _draw_trees(canvas: Canvas, patient: Patient, side: int, rng: np.random.Generator) -> None:
    """Draw arteries, veins and the bronchi beside the arteries of one lung."""
    hilum = np.array([side * 33.0 - 2, -12, 12])
    arteries = grow_tree(hilum, _draw_targets(patient, side, rng), TERMINAL_RADIUS_MM, rng)
    veins = grow_tree(
        hilum + np.array([-6.0 * side, 10, -22]),
        _draw_targets(patient, side, rng),
        TERMINAL_RADIUS_MM,
        rng,
    )
    bronchi = list(_beside(arteries, hilum + np.array([0.0, -2, 2])))
    for tube in bronchi:
        wall = tuple(0.45 + 1.1 * radius for radius in tube.radii_mm)
        canvas.draw(Tube(tube.start, tube.end, (wall[0], wall[1])), -120.0, over_hu=LUNG)
    for tube in bronchi:
        canvas.draw(tube, AIRWAY)
    for tube in [*arteries, *veins]:
        canvas.draw(tube, BLOOD, over_hu=LUNG)


def _beside(arteries: list[Tube], root: Floats) -> Iterator[Tube]:
    """Yield the lumen of a bronchus beside each artery that is wide enough to have one."""
    ends: dict[int, Floats] = {-1: root}
    for index, artery in enumerate(arteries):
        first, last = artery.radii_mm
        if last < 1.7:
            continue
        ahead = artery.end - artery.start
        aside = np.cross(ahead, [0.3, 0.8, 0.5])
        aside /= np.linalg.norm(aside) + 1e-9
        ends[index] = artery.end + aside * (1.9 * last + 0.6)
        yield Tube(ends[artery.parent], ends[index], (0.75 * first, 0.75 * last))
