"""How long inserting into a radiograph takes, on 2 CPU cores, array to array, warm."""

import time

import numpy as np
import pytest

from lungsynth.core.radiograph import CxrNoduleSpec, CxrSeed, Radiograph, image_plane_matrix
from lungsynth.core.shipped import shipped_file
from lungsynth.imaging.lung_fields import find_lung_fields
from lungsynth.imaging.radiograph_insertion import insert_into_radiograph
from lungsynth.synthesizers import load_cxr_synthesizer

ONE_NODULE_S = 1.0  # into 2,048 x 2,048
OVER_BASELINE = 2.0  # into 1,024 x 1,024, next to ct-projection
LUNG_FIELDS_S = 0.3

pytestmark = pytest.mark.timeout(1800)
NEED_WEIGHTS = pytest.mark.skipif(
    shipped_file("shape-texture.safetensors") is None, reason="shape-texture has no weights yet"
)


def radiograph(side):
    pixels = np.random.default_rng(side).integers(0, 4000, (side, side)).astype(np.uint16)
    spacing = (410 / side, 410 / side)
    return Radiograph(pixels, image_plane_matrix(spacing), spacing)


def once(synthesizer, side, latent_seed=0):
    """Return the time of one nodule; the image is new, so that nothing of it is kept."""
    image = radiograph(side)
    spec = CxrNoduleSpec(diameter_mm=15, contrast=0.1, latent_seed=latent_seed)
    seed = CxrSeed((-150.0, -200.0, 0.0), spec)
    started = time.perf_counter()
    insert_into_radiograph(image, [seed], synthesizer)
    return time.perf_counter() - started


@pytest.mark.parametrize(
    "name",
    ["procedural", "ct-projection", pytest.param("shape-texture", marks=NEED_WEIGHTS)],
)
def test_one_nodule_into_2048_pixels(name):
    synthesizer = load_cxr_synthesizer(name)
    once(synthesizer, 2048)

    assert float(np.median([once(synthesizer, 2048, n) for n in range(5)])) <= ONE_NODULE_S


@NEED_WEIGHTS
def test_the_network_is_not_much_slower_than_the_projection():
    both = [load_cxr_synthesizer(name) for name in ("ct-projection", "shape-texture")]
    times = [[], []]
    for n in range(7):  # in turns: a change of speed meets both
        for one, kept in zip(both, times, strict=True):
            kept.append(once(one, 1024, n))

    projection, network = (float(np.median(kept[1:])) for kept in times)
    assert network <= OVER_BASELINE * projection


def test_lung_fields_of_a_large_radiograph():
    image = radiograph(2048)
    rows, columns = np.mgrid[0:2048, 0:2048] / 2048
    for middle in (0.3, 0.7):
        inside = ((rows - 0.45) / 0.3) ** 2 + ((columns - middle) / 0.13) ** 2 < 1
        image.pixels[inside] //= 4
    find_lung_fields(radiograph_with(image))
    started = time.perf_counter()

    find_lung_fields(radiograph_with(image)).mask(image.pixels.shape)

    assert time.perf_counter() - started <= LUNG_FIELDS_S


def radiograph_with(image):
    """Return the same radiograph as a new value, with nothing of it kept."""
    return image.with_pixels(image.pixels)
