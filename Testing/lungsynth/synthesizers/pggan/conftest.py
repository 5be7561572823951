"""A folder of radiographs made by formula, and what trains on them."""

import csv

import numpy as np
import pytest
import SimpleITK as sitk
from lightning_fabric import Fabric

COUNT = 12


def film(seed, side=32):
    """A chest by formula: two dark fields beside a bright middle, a little different each time."""
    rng = np.random.default_rng(seed)
    j, i = np.indices((side, side)) / side
    shift = rng.uniform(-0.04, 0.04, 2)
    picture = np.full((side, side), 190.0)
    for middle in (0.3, 0.7):
        field = ((i - middle - shift[0]) / 0.16) ** 2 + ((j - 0.5 - shift[1]) / 0.3) ** 2
        picture -= 130 * np.exp(-(field**2))
    return np.clip(picture + rng.normal(0, 4, picture.shape), 0, 255).astype(np.uint8)


@pytest.fixture(scope="session")
def films(tmp_path_factory):
    """A folder with 12 normals to train on, one with a finding, and one normal to test on."""
    folder = tmp_path_factory.mktemp("films")
    rows = []
    for n in range(COUNT + 2):
        sitk.WriteImage(sitk.GetImageFromArray(film(n)), str(folder / f"{n}.png"))
        finding = "Mass" if n == COUNT else "No Finding"
        split = "test" if n == COUNT + 1 else "train"
        rows.append({"image": f"{n}.png", "labels": finding, "patient": n, "split": split})
    with (folder / "labels.csv").open("w", newline="", encoding="utf-8") as lines:
        table = csv.DictWriter(lines, ("image", "labels", "patient", "split"))
        table.writeheader()
        table.writerows(rows)
    return folder


@pytest.fixture(scope="session")
def fabric():
    fabric = Fabric(accelerator="cpu", devices=1)
    fabric.launch()
    return fabric
