"""Volumes survive writing and reading, judged by independent readers."""

from __future__ import annotations

import nibabel
import numpy as np
import pytest
import SimpleITK as sitk

from lungsynth.core.errors import LungSynthError
from lungsynth.core.volume import Volume
from lungsynth.io.reading import read_ct, read_volume
from lungsynth.io.writing import write_volume

SUFFIXES = [".nii", ".nii.gz", ".nrrd", ".mha", ".mhd"]
LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def rotation(x, y, z):
    """Return a rotation matrix from three angles in radians, about x, then y, then z."""
    (cx, sx), (cy, sy), (cz, sz) = ((np.cos(a), np.sin(a)) for a in (x, y, z))
    about_x = np.array([[1, 0, 0], [0, cx, -sx], [0, sx, cx]])
    about_y = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    about_z = np.array([[cz, -sz, 0], [sz, cz, 0], [0, 0, 1]])
    return about_z @ about_y @ about_x


def oblique(dtype, *, flip=(1, 1, 1), header=None):
    """Return a small CT-like volume: asymmetric, anisotropic, oblique, far from the origin."""
    rng = np.random.default_rng(5)
    voxels = rng.uniform(-1000, 1500, (7, 11, 13))
    if np.dtype(dtype).kind == "u":
        voxels += 1024
    matrix = np.eye(4)
    matrix[:3, :3] = rotation(0.3, -0.2, 0.5) @ np.diag([0.7, -0.8, 2.5] * np.array(flip))
    matrix[:3, 3] = [-112.5, 87.25, -301.125]
    return Volume(voxels.astype(dtype), matrix, header or {})


@pytest.mark.parametrize("flip", [(1, 1, 1), (-1, 1, 1), (1, 1, -1)])
@pytest.mark.parametrize("dtype", [np.int16, np.uint16, np.float32])
@pytest.mark.parametrize("suffix", SUFFIXES)
def test_voxels_dtype_and_oblique_flipped_geometry_survive(tmp_path, suffix, dtype, flip):
    volume = oblique(dtype, flip=flip)
    path = tmp_path / f"größer als 1{suffix}"

    write_volume(volume, path)
    again = read_volume(path)

    assert again.voxels.dtype == dtype
    assert again.voxels.flags.c_contiguous
    np.testing.assert_array_equal(again.voxels, volume.voxels)
    # NIfTI keeps its geometry in float32
    np.testing.assert_allclose(again.ijk_to_ras, volume.ijk_to_ras, rtol=0, atol=2e-4)


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
def test_nibabel_sees_the_same_affine_and_voxels(tmp_path, suffix):
    volume = oblique(np.int16, flip=(-1, 1, 1))

    write_volume(volume, tmp_path / f"ct{suffix}")
    image = nibabel.load(tmp_path / f"ct{suffix}")

    np.testing.assert_allclose(image.affine, volume.ijk_to_ras, atol=1e-4)
    np.testing.assert_array_equal(np.asarray(image.dataobj).T, volume.voxels)
    assert image.get_data_dtype() == np.int16


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_simpleitk_puts_a_voxel_at_the_same_point(tmp_path, suffix):
    volume = oblique(np.int16, flip=(1, 1, -1))

    write_volume(volume, tmp_path / f"ct{suffix}")
    image = sitk.ReadImage(str(tmp_path / f"ct{suffix}"))

    left, posterior, superior = image.TransformIndexToPhysicalPoint((12, 3, 5))
    expected = volume.ijk_to_ras @ [12, 3, 5, 1]
    np.testing.assert_allclose([-left, -posterior, superior], expected[:3], atol=1e-3)
    assert image[12, 3, 5] == volume.voxels[5, 3, 12]


@pytest.mark.parametrize("flip", [1, -1])
def test_nibabel_written_volume_is_read_at_its_place(tmp_path, flip):
    volume = oblique(np.int16, flip=(flip, 1, 1))
    nibabel.save(nibabel.Nifti1Image(volume.voxels.T, volume.ijk_to_ras), tmp_path / "a.nii.gz")

    again = read_ct(tmp_path / "a.nii.gz")

    np.testing.assert_allclose(again.ijk_to_ras, volume.ijk_to_ras, atol=2e-4)
    np.testing.assert_array_equal(again.voxels, volume.voxels)


@pytest.mark.parametrize(
    ("slope", "inter", "dtype"), [(1, -1024, np.int16), (0.5, -900, np.float32)]
)
def test_nifti_scaling_is_applied_and_stays_integer_where_exact(tmp_path, slope, inter, dtype):
    stored = np.arange(0, 4096, 17, dtype=np.uint16)[:240].reshape(6, 5, 8)
    image = nibabel.Nifti1Image(stored, np.eye(4))
    image.header.set_slope_inter(slope, inter)
    image.to_filename(tmp_path / "a.nii")
    raw = bytearray((tmp_path / "a.nii").read_bytes())
    raw[352:] = stored.tobytes(order="F")  # nibabel rescales on saving: put ours back
    (tmp_path / "a.nii").write_bytes(raw)

    voxels = read_volume(tmp_path / "a.nii").voxels

    assert voxels.dtype == dtype
    np.testing.assert_array_equal(voxels, stored.T.astype(np.float64) * slope + inter)


def test_big_endian_nifti_is_read(tmp_path):
    volume = oblique(np.int16)
    header = nibabel.Nifti1Header(endianness=">")
    image = nibabel.Nifti1Image(volume.voxels.T, volume.ijk_to_ras, header)
    image.to_filename(tmp_path / "big.nii")
    assert (tmp_path / "big.nii").read_bytes()[:4] == b"\x00\x00\x01\x5c"

    np.testing.assert_array_equal(read_ct(tmp_path / "big.nii").voxels, volume.voxels)


@pytest.mark.parametrize("suffix", [".nrrd", ".mha", ".mhd"])
def test_header_keys_survive_and_the_output_is_marked_synthetic(tmp_path, suffix):
    header = {"DICOM_PatientID": "Müller 7", "site": "left lower lobe"}

    write_volume(oblique(np.int16, header=header), tmp_path / f"a{suffix}")
    image = sitk.ReadImage(str(tmp_path / f"a{suffix}"))

    assert image.GetMetaData("lungsynth_synthetic") == "true"
    assert image.GetMetaData("lungsynth_version")
    assert read_volume(tmp_path / f"a{suffix}").header == header


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
def test_nifti_codes_and_description_survive_behind_the_synthetic_mark(tmp_path, suffix):
    header = {"descrip": "thin slices, ü", "qform_code": "1", "sform_code": "2"}

    write_volume(oblique(np.int16, header=header), tmp_path / f"a{suffix}")
    stored = nibabel.load(tmp_path / f"a{suffix}").header

    assert stored["descrip"].item().decode().startswith("SYNTHETIC (lungsynth ")
    assert stored["descrip"].item().decode().endswith("; thin slices, ü")
    assert (int(stored["qform_code"]), int(stored["sform_code"])) == (1, 2)


def test_writing_twice_gives_the_same_bytes_and_one_mark(tmp_path):
    write_volume(oblique(np.int16), tmp_path / "a.nii.gz")
    write_volume(read_volume(tmp_path / "a.nii.gz"), tmp_path / "b.nii.gz")

    assert (tmp_path / "a.nii.gz").read_bytes() == (tmp_path / "b.nii.gz").read_bytes()


def test_single_trailing_axis_is_dropped(tmp_path):
    volume = oblique(np.int16)
    nibabel.save(
        nibabel.Nifti1Image(volume.voxels.T[..., None], volume.ijk_to_ras), tmp_path / "a.nii"
    )

    again = read_ct(tmp_path / "a.nii")

    np.testing.assert_array_equal(again.voxels, volume.voxels)
    np.testing.assert_allclose(again.ijk_to_ras, volume.ijk_to_ras, atol=2e-4)


def test_array_outlives_the_reader(tmp_path):
    """The array looks into ITK's memory, which must stay until the array is gone."""
    volume = oblique(np.int16)
    write_volume(volume, tmp_path / "a.nrrd")
    arrays = [read_volume(tmp_path / "a.nrrd").voxels for _ in range(20)]

    for array in arrays:
        np.testing.assert_array_equal(array, volume.voxels)
    arrays[0][0, 0, 0] = 7
    assert arrays[1][0, 0, 0] == volume.voxels[0, 0, 0]


def test_mhd_pair_stands_together(tmp_path):
    write_volume(oblique(np.int16), tmp_path / "a.mhd")

    assert names(tmp_path) == ["a.mhd", "a.raw"]


@pytest.mark.parametrize("name", ["out.dcm", "out", "out.png", "out.nii.zip"])
def test_other_suffix_is_refused_with_the_allowed_ones(tmp_path, name):
    with pytest.raises(LungSynthError, match=r"\.nii, \.nii\.gz, \.nrrd, \.mha, \.mhd"):
        write_volume(oblique(np.int16), tmp_path / name)

    assert names(tmp_path) == []


def test_sheared_geometry_is_refused(tmp_path):
    volume = oblique(np.int16)
    matrix = volume.ijk_to_ras.copy()
    matrix[0, 2] += 0.5

    with pytest.raises(LungSynthError, match="right angles"):
        write_volume(Volume(volume.voxels, matrix), tmp_path / "a.nrrd")

    assert names(tmp_path) == []


def test_real_cases_read_as_simpleitk_reads_them(shared_data):
    paths = sorted(shared_data.glob("ct/*/ct.nii.gz"))
    assert paths
    for path in paths:
        volume = read_ct(path)
        image = sitk.ReadImage(str(path))

        assert volume.voxels.dtype == np.int16
        np.testing.assert_array_equal(volume.voxels, sitk.GetArrayViewFromImage(image))
        point = LPS_TO_RAS @ [*image.TransformIndexToPhysicalPoint((9, 20, 31)), 1]
        np.testing.assert_allclose(volume.ijk_to_ras @ [9, 20, 31, 1], point, atol=1e-4)
