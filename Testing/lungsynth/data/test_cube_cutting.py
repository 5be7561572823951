"""Cubes out of oblique and anisotropic volumes, against values known in closed form."""

import numpy as np
import pytest

from lungsynth.core.volume import Volume
from lungsynth.data.cube_cutting import cut_cube, cut_mask
from lungsynth.data.nodule_cubes import NoduleCubes
from lungsynth.data.records import VoxelMask
from lungsynth.io.reading import read_ct

AT = (-33.4, 27.1, -101.3)


def linear(ras):
    """A field that linear interpolation gives back exactly; steeper in each direction."""
    return np.asarray(ras) @ [1.0, -3.0, 7.0] + 40


def in_ras(z, y, x):
    """Where a voxel of the cube around AT lies: z to S, y to P, x to L."""
    return AT[0] - (x - 23.5), AT[1] - (y - 23.5), AT[2] + (z - 23.5)


@pytest.mark.parametrize("oblique", [True, False])
def test_each_voxel_has_the_value_at_its_place_in_the_patient(make_phantom, oblique):
    phantom = make_phantom([], shape=(60, 90, 100), oblique=oblique)
    volume = Volume(linear(phantom.ras).astype(np.float32), phantom.matrix)
    cube = cut_cube(volume, AT)

    assert cube.shape == (48, 48, 48)
    for index in [(0, 0, 0), (47, 5, 20), (3, 44, 47), (24, 23, 11), (40, 0, 46)]:
        assert cube[index] == pytest.approx(linear(in_ras(*index)), abs=0.01)


def test_fine_voxels_are_averaged_but_stay_in_place(make_phantom):
    phantom = make_phantom([], shape=(140, 130, 150), spacing=(0.5, 0.45, 0.5), oblique=False)
    volume = Volume(linear(phantom.ras).astype(np.float32), phantom.matrix)
    noisy = Volume(
        np.random.default_rng(1).normal(0, 100, phantom.voxels.shape).astype(np.float32),
        phantom.matrix,
    )

    assert cut_cube(volume, AT)[20, 30, 10] == pytest.approx(linear(in_ras(20, 30, 10)), abs=0.05)
    # taking every second voxel would leave about 100 * (2/3)^1.5 = 54 of linear interpolation
    assert cut_cube(noisy, AT)[10:38, 10:38, 10:38].std() < 40


def test_a_mask_keeps_place_and_size(make_phantom):
    at = (-36.0, 25.0, -100.0)
    phantom = make_phantom([(at, 15.0, 0)])
    mask = VoxelMask.cropped(phantom.labels == 1)
    volume = Volume(phantom.voxels, phantom.matrix)
    cube = cut_mask(volume, mask, AT)

    z, y, x = np.argwhere(cube).mean(axis=0)
    assert in_ras(z, y, x) == pytest.approx(at, abs=0.15)
    assert np.cbrt(6 * cube.sum() / np.pi) == pytest.approx(15.0, abs=0.4)
    assert mask.diameter_mm(volume) == pytest.approx(15.0, abs=0.3)
    assert mask.centroid_ras_mm(volume) == pytest.approx(at, abs=0.15)
    assert mask.middle_ras_mm(volume) == pytest.approx(at, abs=0.6)


def test_beyond_the_volume_lies_its_mirror_image(make_phantom):
    phantom = make_phantom([], shape=(30, 60, 66), spacing=(1, 1, 1), oblique=False)
    volume = Volume(linear(phantom.ras).astype(np.float32), phantom.matrix)
    top = phantom.ras[-1, 0, 0, 2]
    at = (AT[0], AT[1], top - 3.5)
    cube = cut_cube(volume, at)

    # the last slice is voxel 27: what is n slices beyond its face equals what is n before it
    np.testing.assert_allclose(cube[28], cube[27], atol=0.01)
    np.testing.assert_allclose(cube[33], cube[22], atol=0.01)
    assert cube[22, 23, 23] == pytest.approx(cube[27, 23, 23] - 5 * 7, abs=0.01)


def test_a_mask_is_not_mirrored_and_may_be_elsewhere(make_phantom):
    at = (-31.0, 30.0, -88.0)
    phantom = make_phantom([(at, 10.0, 0)], shape=(30, 60, 66), spacing=(1, 1, 1), oblique=False)
    volume = Volume(phantom.voxels, phantom.matrix)
    mask = VoxelMask.cropped(phantom.labels == 1)  # cut by the top of the volume

    assert cut_mask(volume, mask, at).sum() == pytest.approx(mask.voxels.sum(), rel=0.05)
    assert not cut_mask(volume, mask, (at[0] + 60, at[1], at[2])).any()


def test_a_real_nodule_is_cut_as_others_cut_it(shared_data):
    """The cubes at hand were made by NODE21's organisers from the same CT."""
    cubes = NoduleCubes.load(shared_data / "ct_nodules", "train")
    volume = read_ct(shared_data / "ct" / "LIDC-IDRI-0063" / "ct.nii.gz")
    chosen = [n for n, row in enumerate(cubes.table) if row["patient"] == "LIDC-IDRI-0063"]

    assert len(chosen) == 2
    for n in chosen:
        row = cubes.table[n]
        x, y, z = (float(row[f"centre_{axis}_lps_mm"]) for axis in "xyz")
        ours = cut_cube(volume, (-x, -y, z)).clip(-1024, 1016)
        assert np.corrcoef(ours.ravel(), cubes.hu[n].ravel())[0, 1] > 0.9999
        aside = cut_cube(volume, (-x + 0.5, -y, z)).clip(-1024, 1016)
        assert np.corrcoef(aside.ravel(), cubes.hu[n].ravel())[0, 1] < 0.9995
