"""Makes tiny networks and their calibration: python make_weights.py FOLDER, in its own process.

The radiographs are two dark fields and noise; the abnormal ones have a bright block as well.
"""

import csv
import sys
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from lungsynth.cli.app import run
from lungsynth.detectors.generator import load_generator
from lungsynth.detectors.latent_axes import LatentAxes
from lungsynth.evaluation.axes_study import save_axes

SIDE = 128


def chest(rng, *, abnormal):
    """Return 128 x 128 pixels, uint8."""
    rows, columns = np.mgrid[:SIDE, :SIDE] / SIDE * 2 - 1
    a, b = 0.05 * rng.standard_normal(2)
    lungs = np.exp(-(((rows - a) / 0.5) ** 4) - ((columns + 0.45 + b) / 0.25) ** 4)
    lungs += np.exp(-(((rows - a) / 0.5) ** 4) - ((columns - 0.45 - b) / 0.25) ** 4)
    picture = 180 - 130 * lungs + 10 * rows + rng.normal(0, 4, rows.shape)
    if abnormal:
        picture[70:95, 20:50] += 90
    return np.clip(picture, 0, 255).astype(np.uint8)


def main(folder):
    """Write cxr/, a generator, its encoder, scan.safetensors and axes.safetensors."""
    data = folder / "cxr"
    data.mkdir(parents=True)
    rng = np.random.default_rng(0)
    rows = []
    for split, normal, other in (("train", 24, 12), ("val", 12, 4), ("test", 10, 6)):
        for n in range(normal + other):
            name = f"{split}{n}.png"
            pixels = chest(rng, abnormal=n >= normal)
            sitk.WriteImage(sitk.GetImageFromArray(pixels), str(data / name))
            rows.append((name, split, "PA", "Effusion" if n >= normal else "No Finding", name))
    with (data / "labels.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("image", "split", "view", "labels", "patient"), *rows])
    quiet = ["--progress", "none", "--device", "cpu"]
    pggan = folder / "pggan" / "pggan.safetensors"
    encoder = folder / "encoder" / "anogan-encoder.safetensors"
    for name, out, more in (
        ("pggan", pggan.parent, []),
        ("anogan-encoder", encoder.parent, ["--init", str(pggan)]),
    ):
        command = ["train", name, "--data", str(data), "--output", str(out), "--preset", "tiny"]
        assert run([*command, *more, *quiet]) == 0, name
    command = ["evaluate", "anomaly", "--data", data, "--weights", pggan, "--encoder", encoder]
    command += ["--steps", 40, "--calibration", folder / "scan.safetensors"]
    command += ["--json", folder / "study.json"]
    assert run([*map(str, command), *quiet]) == 0
    generator = load_generator(pggan, "cpu")
    directions = np.eye(2, generator.latent_size)  # not found, but axes all the same
    axes = LatentAxes(("Effusion", "Mass"), directions, {}, {})
    save_axes(folder / "axes.safetensors", axes, generator.weights_sha256)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
