"""Recipes of the small presets on a few made-up nodules that readers have rated."""

import csv
import shutil
from dataclasses import replace

import pytest
import torch

from lungsynth.synthesizers.class_aware import build

MALIGNANCY = ("1.5", "2.0", "4.5", "3.25", "5.0", "", "1.0", "4.0", "3.0")


@pytest.fixture(scope="session")
def rated_folder(cubes_folder, tmp_path_factory):
    """The nine balls with readers' ratings; one was not rated, one has no spiculation."""
    folder = tmp_path_factory.mktemp("rated")
    shutil.copy(cubes_folder / "train.npz", folder)
    with (cubes_folder / "train.csv").open(newline="", encoding="utf-8") as lines:
        rows = list(csv.DictReader(lines))
    for n, (row, rating) in enumerate(zip(rows, MALIGNANCY, strict=True)):
        row |= {"malignancy": rating, "lobulation": "2.0", "margin": "4.0", "sphericity": "3.5"}
        row |= {"spiculation": "" if n == 0 else "1.5", "calcification": "6.0"}
    with (folder / "train.csv").open("w", newline="", encoding="utf-8") as lines:
        table = csv.DictWriter(lines, rows[0].keys())
        table.writeheader()
        table.writerows(rows)
    return folder


@pytest.fixture(scope="session")
def make_recipe(rated_folder):
    """Make a recipe of a preset, with some of its configuration changed."""
    from lightning_fabric import Fabric

    fabric = Fabric(accelerator="cpu", devices=1)
    fabric.launch()

    def make(preset, seed=0, **changes):
        torch.manual_seed(seed)
        table = build.PRESETS if preset in build.PRESETS else build.PAPER_PRESETS
        kept = table[preset]
        table[preset] = replace(kept, **changes)
        try:
            return build.build_recipe(rated_folder, preset, fabric, None)
        finally:
            table[preset] = kept

    return make
