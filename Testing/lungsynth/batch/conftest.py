"""A small folder of radiographs and CT nodules of three splits."""

import shutil

import numpy as np
import pytest


@pytest.fixture(scope="session")
def study_folder(cubes_folder, tmp_path_factory):
    import SimpleITK as sitk

    folder = tmp_path_factory.mktemp("study")
    rng = np.random.default_rng(21)
    row, column = np.indices((160, 128))
    lines = ["image,labels,patient,split"]
    (folder / "cxr").mkdir()
    for split in ("train", "val", "test"):
        for suffix in ("npz", "csv"):
            target = folder / "ct_nodules" / f"{split}.{suffix}"
            target.parent.mkdir(exist_ok=True)
            shutil.copy(cubes_folder / f"train.{suffix}", target)
        for n in range(4):
            smooth = 110 + 50 * np.sin(row / (30 + 5 * n)) * np.cos(column / 25 + n)
            pixels = (smooth + rng.normal(0, 4, smooth.shape)).clip(0, 255).astype(np.uint8)
            sitk.WriteImage(sitk.GetImageFromArray(pixels), str(folder / "cxr" / f"{split}{n}.png"))
            lines.append(f"{split}{n}.png,No Finding,{split}-{n},{split}")
    (folder / "cxr" / "labels.csv").write_text("\n".join(lines) + "\n")
    return folder
