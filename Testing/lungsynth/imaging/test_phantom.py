"""The phantom is a chest in HU, the same for the same seed, at the same place on any grid."""

from __future__ import annotations

import numpy as np
import pytest

from lungsynth.core.errors import LungSynthError
from lungsynth.imaging.branching import Canvas, Tube, grow_tree
from lungsynth.imaging.phantom import SMALL, thorax_phantom


@pytest.fixture(scope="module")
def phantom():
    return thorax_phantom(0, **SMALL)


def hu_at(volume, ras_mm, radius_mm=4.0):
    """Median HU of the voxels around a point."""
    grid = np.stack(np.meshgrid(*[np.arange(n) for n in volume.voxels.shape[::-1]], indexing="ij"))
    away = np.linalg.norm(volume.ijk_to_ras_mm(grid.reshape(3, -1).T) - ras_mm, axis=1)
    i, j, k = grid.reshape(3, -1)[:, away < radius_mm]
    return float(np.median(volume.voxels[k, j, i]))


def test_tissues_lie_where_a_chest_has_them(phantom):
    assert phantom.voxels.dtype == np.int16
    assert hu_at(phantom, (85, 20, 0)) == pytest.approx(-860, abs=40)  # right lung
    assert hu_at(phantom, (-85, -30, 0)) == pytest.approx(-845, abs=40)  # left lung
    assert hu_at(phantom, (-24, 22, -52), 12) == pytest.approx(42, abs=15)  # heart
    assert hu_at(phantom, (70, 10, -110), 12) == pytest.approx(58, abs=15)  # liver
    assert hu_at(phantom, (0, -4, 115)) < -900  # trachea
    assert hu_at(phantom, (-62, 22, -108), 8) < -900  # gas in the stomach
    assert hu_at(phantom, (0, 122, 0)) < -950  # in front of the chest
    assert hu_at(phantom, (0, -75, 90), 6) > 100  # spine


def test_lung_gets_denser_towards_the_back(phantom):
    assert hu_at(phantom, (75, -60, 10), 10) - hu_at(phantom, (75, 50, 10), 10) > 20


def test_same_seed_same_voxels_and_other_seed_other_chest(phantom):
    np.testing.assert_array_equal(thorax_phantom(0, **SMALL).voxels, phantom.voxels)

    other = thorax_phantom(1, **SMALL)
    assert np.mean(np.abs(other.voxels - phantom.voxels) > 200) > 0.01


def test_anatomy_stays_in_place_on_another_grid(phantom):
    """Noise and vessels in part aside, a coarse and a fine grid show the same body."""
    fine = thorax_phantom(0, shape=(48, 128, 160), spacing_mm=(2.0, 2.0, 2.5))
    for place in [(85, 20, 0), (-24, 22, -50), (0, -75, 20), (40, 0, 50)]:
        assert hu_at(fine, place, 9) == pytest.approx(hu_at(phantom, place, 9), abs=60)


@pytest.mark.parametrize(
    "bad", [{"shape": (8, 64, 64)}, {"spacing_mm": (1.0, 0.0, 1.0)}, {"spacing_mm": (1, 1, 25)}]
)
def test_refuses_grids_without_a_chest(bad):
    with pytest.raises(LungSynthError, match="at least 16 voxels"):
        thorax_phantom(0, **bad)


def test_tree_reaches_every_target_and_keeps_murrays_law():
    rng = np.random.default_rng(3)
    targets = rng.uniform(-40, 40, size=(50, 3)) + np.array([60, 0, 0])

    tubes = grow_tree(np.zeros(3), targets, 0.5, rng)

    ends = np.array([tube.end for tube in tubes])
    assert max(np.linalg.norm(ends - target, axis=1).min() for target in targets) < 1e-9
    assert tubes[0].radii_mm[0] == pytest.approx(0.5 * 50 ** (1 / 3))
    for index, tube in enumerate(tubes):
        children = [child for child in tubes if child.parent == index]
        if children:
            assert sum(c.radii_mm[0] ** 3 for c in children) == pytest.approx(tube.radii_mm[0] ** 3)
            assert all(np.array_equal(c.start, tube.end) for c in children)


def test_tube_has_its_radius_on_an_anisotropic_flipped_grid():
    axes = (np.arange(30.0, -30, -1.0), np.arange(-30.0, 30, 1.0), np.arange(-20.0, 20, 2.0))
    canvas = Canvas(np.full((20, 60, 60), -850, np.float32), axes)

    canvas.draw(Tube(np.array([0, 0, -50.0]), np.array([0, 0, 50.0]), (5.0, 5.0)), 50.0)

    area = ((canvas.hu + 850) / 900).sum(axis=(1, 2))
    np.testing.assert_allclose(area, np.pi * 25, rtol=0.06)
