"""What the benchmarks share: a CT as large as the bars speak of, and warm synthesizers."""

import numpy as np
import pytest

from lungsynth.core.errors import LungSynthError
from lungsynth.core.nodule import Attenuation, NoduleSpec, Seed
from lungsynth.core.volume import Volume
from lungsynth.imaging.phantom import thorax_phantom
from lungsynth.synthesizers import load_synthesizer

SLAB_SLICES = 75


def tiled(slab, slices):
    """Stack a slab of phantom, every second one upside down so that slices meet."""
    halves = [slab.voxels, slab.voxels[::-1]]
    count = -(-slices // len(slab.voxels))
    voxels = np.concatenate([halves[n % 2] for n in range(count)])[:slices]
    return Volume(np.ascontiguousarray(voxels), slab.ijk_to_ras)


@pytest.fixture(scope="session")
def slab():
    """75 slices of a phantom chest, 512 x 512, 0.7 x 0.7 x 1 mm."""
    return thorax_phantom(0, shape=(SLAB_SLICES, 512, 512), spacing_mm=(0.7, 0.7, 1.0))


@pytest.fixture(scope="session")
def ct_of(slab):
    """Make a CT of so many slices, 512 x 512, int16."""
    return lambda slices: tiled(slab, slices)


@pytest.fixture(scope="session", params=["mcgan", "procedural"])
def warm(request, slab):
    """Each synthesizer that ships, after its first nodule."""
    from lungsynth.imaging.insertion import insert

    try:
        synthesizer = load_synthesizer(request.param, device="cpu")
    except LungSynthError as error:
        pytest.skip(f"{request.param}: {error}")
    insert(slab, seeds_in(slab, 1), synthesizer)
    return synthesizer


def seeds_in(volume, count):
    """Return seeds of 6 to 14 mm in both lungs, 45 mm apart along z and y."""
    shape = np.array(volume.voxels.shape[::-1])
    seeds = []
    for n in range(count):
        # rows of four (two in each lung) from the bottom to the top
        row, column = divmod(n, 4)
        x_mm = (-70.0, 70.0, -70.0, 70.0)[column]
        y_mm = (-30.0, -30.0, 15.0, 15.0)[column]
        ijk = volume.ras_to_ijk((x_mm, y_mm, 0.0))
        ijk[2] = (row + 0.5) * shape[2] / max(1, -(-count // 4))
        ras = volume.ijk_to_ras_mm(ijk)
        kinds = tuple(Attenuation)
        spec = NoduleSpec(6.0 + 2 * (n % 5), kinds[n % 3], latent_seed=n)
        seeds.append(Seed((float(ras[0]), float(ras[1]), float(ras[2])), spec, name=str(n)))
    return seeds


@pytest.fixture(scope="session")
def seeds_for():
    return seeds_in
