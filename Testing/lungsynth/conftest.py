"""Nodules made by formula, in the format of the real cubes."""

import csv

import numpy as np
import pytest

SIDE = 48
COLUMNS = ("patient", "series_uid", "mask_equivalent_diameter_mm", "ambiguous", "texture")


def ball(diameter_mm, centre=(23.5, 23.5, 23.5)):
    points = np.indices((SIDE,) * 3) - np.reshape(centre, (3, 1, 1, 1))
    return np.square(points).sum(axis=0) <= (diameter_mm / 2) ** 2


@pytest.fixture(scope="session")
def write_cubes():
    """Write nodule cubes to a folder as one split: masks, HU and rows."""

    def write(folder, split, hu, masks, rows):
        folder.mkdir(parents=True, exist_ok=True)
        packed = np.packbits(np.stack(masks).reshape(len(masks), -1), axis=1)
        hu8 = np.rint((np.stack(hu) + 1024) / 8).clip(0, 255).astype(np.uint8)
        np.savez(folder / f"{split}.npz", hu8=hu8, mask=packed)
        with (folder / f"{split}.csv").open("w", newline="", encoding="utf-8") as lines:
            table = csv.DictWriter(lines, COLUMNS, restval="")
            table.writeheader()
            table.writerows(rows)

    return write


@pytest.fixture(scope="session")
def cubes_folder(write_cubes, tmp_path_factory):
    """A folder with a train split of nine noisy balls: three sizes of each attenuation."""
    rng = np.random.default_rng(3)
    hu, masks, rows = [], [], []
    for texture, level in (("5.0", -50), ("3.0", -430), ("1.0", -650)):
        for n, diameter in enumerate((6.0, 9.0, 14.0)):
            mask = ball(diameter, (23.5, 23 + 0.5 * n, 24))
            lung = rng.normal(-840, 40, mask.shape)
            hu.append(np.where(mask, level + rng.normal(0, 25, mask.shape), lung))
            masks.append(mask)
            rows.append(
                {
                    "patient": f"P{len(rows) // 2}",
                    "series_uid": f"1.2.{len(rows)}",
                    "texture": texture,
                    "ambiguous": "0.0",
                }
            )
    folder = tmp_path_factory.mktemp("cubes")
    write_cubes(folder, "train", hu, masks, rows)
    return folder


@pytest.fixture(scope="session")
def patches_folder(cubes_folder, tmp_path_factory):
    """What textures are learnt from: two radiographs, the cubes, a DRR of each split."""
    import shutil

    import SimpleITK as sitk

    folder = tmp_path_factory.mktemp("patches")
    shutil.copytree(cubes_folder, folder / "ct_nodules")
    (folder / "ct_nodules" / "test.csv").write_text("patient,series_uid\nT1,9.9\n")
    rng = np.random.default_rng(11)

    def write(name, pixels):
        path = folder / name
        path.parent.mkdir(exist_ok=True)
        sitk.WriteImage(sitk.GetImageFromArray(pixels.astype(np.uint8)), str(path))

    row, column = np.indices((160, 128))
    lines = ["image,labels,patient,split"]
    for n, finding in enumerate(["No Finding", "No Finding", "Mass"]):
        smooth = 110 + 60 * np.sin(row / (30 + 9 * n)) * np.cos(column / 25 + n)
        write(f"cxr/{n}.png", smooth + rng.normal(0, 4, smooth.shape))
        lines.append(f"{n}.png,{finding},C{n},train")
    (folder / "cxr" / "labels.csv").write_text("\n".join(lines) + "\n")
    for patient, at in (("P0", (70, 40)), ("T1", (90, 80))):
        shadow = (row - at[0]) ** 2 + (column - at[1]) ** 2 <= 36
        write(f"drr/{patient}_a_drr.png", 60 + row / 2 + 20 * shadow)
        write(f"drr/{patient}_a_drr_mask.png", 255 * shadow)
    return folder


@pytest.fixture(scope="session")
def study_folder(cubes_folder, tmp_path_factory):
    """Four radiographs without findings and the cubes, in each of three splits."""
    import shutil

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
