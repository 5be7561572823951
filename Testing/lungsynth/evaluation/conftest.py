"""Made-up nodules and synthesizers, so that the studies can be tested without data or weights."""

import csv

import numpy as np
import pytest

from lungsynth.core.contracts import BOX_VOXELS, Inpainting
from lungsynth.core.errors import LungSynthError
from lungsynth.core.nodule import Attenuation
from lungsynth.data.nodule_cubes import NoduleCubes

HU = {Attenuation.SOLID: -200.0, Attenuation.PART_SOLID: -440.0, Attenuation.GROUND_GLASS: -660.0}


class BallSynthesizer:
    """A ball of one density, of the diameter asked; counts how often it is called."""

    name = "ball"
    weights_sha256 = "b" * 64
    device = "cpu"

    def __init__(self, scale=1.0, refuses=None):
        self.scale, self.refuses, self.calls = scale, refuses, 0

    def box_mm(self, diameter_mm):
        return 1.6 * diameter_mm + 3

    def inpaint(self, context_hu, specs, box_mm):
        self.calls += 1
        margin = (context_hu.shape[1] - BOX_VOXELS) // 2
        centre = slice(margin, margin + BOX_VOXELS)
        hu = context_hu[:, centre, centre, centre].copy()
        masks = np.zeros_like(hu)
        for n, (spec, side) in enumerate(zip(specs, box_mm, strict=True)):
            if spec.attenuation is self.refuses:
                msg = f"no {spec.attenuation} balls here"
                raise LungSynthError(msg)
            line = (np.arange(BOX_VOXELS) - (BOX_VOXELS - 1) / 2) * side / BOX_VOXELS
            distance = np.sqrt(
                line[:, None, None] ** 2 + line[None, :, None] ** 2 + line[None, None, :] ** 2
            )
            radius = self.scale * spec.diameter_mm / 2 * side / self.box_mm(spec.diameter_mm)
            masks[n] = np.clip(0.5 + radius - distance, 0, 1)
            hu[n] += masks[n] * (HU[spec.attenuation] - hu[n])
        return Inpainting(hu=hu, mask=masks)


def make_cubes(count, seed=0, patients=None):
    """Noisy lung with an ellipsoid in each cube; texture 5, 3 and 1.5 in turn."""
    rng = np.random.default_rng(seed)
    z, y, x = np.mgrid[:48, :48, :48].astype(np.float32)
    hu = rng.normal(-850, 40, (count, 48, 48, 48)).astype(np.float32)
    mask = np.zeros(hu.shape, bool)
    table = []
    for n in range(count):
        cz, cy, cx = rng.uniform(22, 25, 3)
        radius = rng.uniform(3, 6)
        distance = np.sqrt((z - cz) ** 2 + ((y - cy) / 1.2) ** 2 + (x - cx) ** 2)
        mask[n] = distance < radius
        texture = (5.0, 3.0, 1.5)[n % 3]
        density = {5.0: -150, 3.0: -450, 1.5: -650}[texture]
        hu[n] += np.clip(radius - distance + 0.5, 0, 1) * (density - hu[n])
        patient = f"P{seed}-{n if patients is None else patients[n]}"
        rated = {"texture": str(texture), "ambiguous": "0.0", "malignancy": "3"}
        table.append({"patient": patient, "series_uid": f"1.2.{n}", **rated})
    hu8 = np.clip(np.rint((hu + 1024) / 8), 0, 255)
    return NoduleCubes(hu=(hu8 * 8 - 1024).astype(np.int16), mask=mask, table=table)


def write_cubes(cubes, folder, split):
    hu8 = ((cubes.hu.astype(np.int32) + 1024) // 8).astype(np.uint8)
    packed = np.packbits(cubes.mask.reshape(len(cubes), -1), axis=1)
    np.savez_compressed(folder / f"{split}.npz", hu8=hu8, mask=packed)
    with (folder / f"{split}.csv").open("w", newline="", encoding="utf-8") as lines:
        writer = csv.DictWriter(lines, list(cubes.table[0]))
        writer.writeheader()
        writer.writerows(cubes.table)


@pytest.fixture
def ball():
    return BallSynthesizer


@pytest.fixture(scope="session")
def nine_cubes():
    return make_cubes(9)


@pytest.fixture
def nodule_data(awkward_path):
    """A folder with three small splits, whose name has spaces and letters beyond ASCII."""
    folder = awkward_path / "ct_nodules"
    folder.mkdir()
    for seed, (split, count) in enumerate({"train": 9, "val": 6, "test": 6}.items(), start=1):
        write_cubes(make_cubes(count, seed), folder, split)
    return awkward_path


@pytest.fixture
def rated_data(nodule_data):
    """The same with every other nodule malignant."""
    for path in (nodule_data / "ct_nodules").glob("*.csv"):
        lines = path.read_text(encoding="utf-8").splitlines()
        rows = [line.rsplit(",", 1)[0] + f",{(2, 4.5)[n % 2]}" for n, line in enumerate(lines[1:])]
        path.write_text("\n".join([lines[0], *rows]) + "\n", encoding="utf-8")
    return nodule_data
