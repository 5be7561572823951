"""DICOM series are put together right or refused by name."""

from __future__ import annotations

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import CTImageStorage, EnhancedCTImageStorage, ExplicitVRLittleEndian, generate_uid

from lungsynth.core.errors import LungSynthError
from lungsynth.io.reading import read_ct
from lungsynth.io.writing import write_volume

ROW = np.array([np.cos(0.3), np.sin(0.3), 0.0])
COLUMN = np.cross([0.0, 0.0, 1.0], ROW) * np.cos(0.2) + np.array([0, 0, np.sin(0.2)])
NORMAL = np.cross(ROW, COLUMN)
ORIGIN = np.array([-80.5, -61.25, 40.0])
STEP_MM = 2.5


def dataset(stored, uid=CTImageStorage):
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = uid
    meta.MediaStorageSOPInstanceUID = generate_uid()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    one = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    one.SOPClassUID, one.SOPInstanceUID = uid, meta.MediaStorageSOPInstanceUID
    one.SeriesInstanceUID = "1.2.3.4"
    one.StudyInstanceUID = "1.2.3"
    one.PatientID = "Пациент 1"
    one.SpecificCharacterSet = "ISO_IR 192"
    one.Modality = "CT"
    one.SamplesPerPixel, one.PhotometricInterpretation = 1, "MONOCHROME2"
    one.Rows, one.Columns = stored.shape[-2:]
    one.BitsAllocated = one.BitsStored = 16
    one.HighBit, one.PixelRepresentation = 15, int(stored.dtype.kind == "i")
    one.PixelData = stored.tobytes()
    return one


def place(one, number):
    one.ImagePositionPatient = [f"{x:.8f}" for x in ORIGIN + number * STEP_MM * NORMAL]
    one.ImageOrientationPatient = [f"{x:.10f}" for x in (*ROW, *COLUMN)]
    one.PixelSpacing = ["0.8", "0.7"]  # between rows, between columns


def stack(count=6, dtype=np.uint16):
    return np.random.default_rng(2).integers(0, 2500, (count, 9, 11)).astype(dtype)


def save_series(folder, stored, *, change=None, order=None):
    """Write a series of oblique slices; ``change(number, slice)`` may edit or drop (False) one."""
    folder.mkdir(exist_ok=True)
    order = list(order if order is not None else range(len(stored)))
    for number, plane in enumerate(stored):
        one = dataset(plane)
        place(one, number)
        one.RescaleSlope, one.RescaleIntercept = "1", "-1024"
        one.InstanceNumber = order[number]
        if change is None or change(number, one) is not False:
            one.save_as(folder / f"IM{order[number]:03d}", enforce_file_format=True)
    return folder


def refuse(path, match, capfd):
    with pytest.raises(LungSynthError, match=match) as caught:
        read_ct(path)

    assert "\n" not in str(caught.value)
    assert capfd.readouterr().err == ""
    return str(caught.value)


@pytest.mark.parametrize("order", [range(6), [5, 4, 3, 2, 1, 0], [3, 0, 5, 1, 4, 2]])
def test_slices_are_sorted_by_place_and_rescaled(awkward_path, order):
    stored = stack()
    folder = save_series(awkward_path / "série 1", stored, order=order)
    (folder / "readme.txt").write_text("not DICOM")

    volume = read_ct(folder)

    assert volume.voxels.dtype == np.int16
    np.testing.assert_array_equal(volume.voxels, stored.astype(np.int32) - 1024)
    # by hand: index (i, j, k) lies at origin + 0.7 i row + 0.8 j column + 2.5 k normal, in LPS
    left, posterior, superior = ORIGIN + 3 * 0.7 * ROW + 2 * 0.8 * COLUMN + 4 * STEP_MM * NORMAL
    np.testing.assert_allclose(
        volume.ijk_to_ras @ [3, 2, 4, 1], [-left, -posterior, superior, 1], atol=1e-5
    )
    assert volume.header["DICOM_PatientID"] == "Пациент 1"
    assert volume.header["DICOM_SeriesInstanceUID"] == "1.2.3.4"


def test_fractional_rescale_gives_float32(tmp_path):
    stored = stack()

    def halve(_number, one):
        one.RescaleSlope, one.RescaleIntercept = "0.5", "-1000.25"

    voxels = read_ct(save_series(tmp_path / "s", stored, change=halve)).voxels

    assert voxels.dtype == np.float32
    np.testing.assert_allclose(voxels, stored * 0.5 - 1000.25, atol=1e-3)


def test_each_slice_has_its_own_rescale(tmp_path):
    stored = stack()

    def shift(number, one):
        one.RescaleIntercept = str(-1000 - number)

    voxels = read_ct(save_series(tmp_path / "s", stored, change=shift)).voxels

    np.testing.assert_array_equal(voxels[5], stored[5].astype(int) - 1005)


def test_series_in_a_subfolder_is_found(tmp_path):
    save_series(tmp_path / "series", stack())

    assert read_ct(tmp_path).voxels.shape == (6, 9, 11)


def test_localizer_beside_the_slices_is_passed_over(tmp_path):
    folder = save_series(tmp_path / "s", stack())
    scout = dataset(stack(1)[0])
    scout.ImageType = ["ORIGINAL", "PRIMARY", "LOCALIZER"]
    scout.ImagePositionPatient, scout.ImageOrientationPatient = [0, 0, 0], [1, 0, 0, 0, 0, -1]
    scout.PixelSpacing = [1, 1]
    scout.save_as(folder / "scout", enforce_file_format=True)

    assert read_ct(folder).voxels.shape == (6, 9, 11)


def test_missing_slice_is_named_by_its_neighbours(tmp_path, capfd):
    folder = save_series(tmp_path / "s", stack(), change=lambda n, _: n != 3)

    message = refuse(folder, "missing slice", capfd)

    assert "IM002" in message
    assert "IM004" in message
    assert "2.50 mm" in message


def test_duplicate_slices_are_named(tmp_path, capfd):
    folder = save_series(tmp_path / "s", stack(), change=lambda n, one: place(one, min(n, 4)))

    assert "IM004 and IM005" in refuse(folder, "duplicate slices", capfd)


def test_mixed_series_are_listed(tmp_path, capfd):
    def other(number, one):
        if number > 3:
            one.SeriesInstanceUID, one.SeriesDescription = "9.8.7", "bone"

    message = refuse(save_series(tmp_path / "s", stack(), change=other), "2 series", capfd)

    assert "1.2.3.4 (CT, '', 4 files)" in message
    assert "9.8.7 (CT, 'bone', 2 files)" in message


def test_uneven_spacing_is_refused(tmp_path, capfd):
    def drift(number, one):
        place(one, number + (0.3 if number == 2 else 0))

    refuse(save_series(tmp_path / "s", stack(), change=drift), "unevenly spaced", capfd)


def test_differing_orientation_is_refused(tmp_path, capfd):
    def turn(number, one):
        if number == 2:
            one.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]

    refuse(save_series(tmp_path / "s", stack(), change=turn), "differ in orientation", capfd)


def test_gantry_tilt_is_refused_with_its_angle(tmp_path, capfd):
    def tilt(number, one):
        shifted = ORIGIN + number * STEP_MM * (NORMAL + np.tan(np.radians(12)) * COLUMN)
        one.ImagePositionPatient = [f"{x:.8f}" for x in shifted]

    refuse(save_series(tmp_path / "s", stack(), change=tilt), "tilted by 12.0 degrees", capfd)


def test_other_modality_and_missing_geometry_are_refused(tmp_path, capfd):
    def to_mr(_number, one):
        one.Modality = "MR"

    def unplaced(_number, one):
        del one.ImagePositionPatient

    refuse(save_series(tmp_path / "m", stack(), change=to_mr), "modality MR; a CT is needed", capfd)
    refuse(save_series(tmp_path / "p", stack(), change=unplaced), "no ImagePositionPatient", capfd)


def test_zero_pixel_spacing_is_refused(tmp_path, capfd):
    def flatten(_number, one):
        one.PixelSpacing = [0, 0.7]

    refuse(save_series(tmp_path / "s", stack(), change=flatten), "must be positive", capfd)


def test_truncated_slice_is_named(tmp_path, capfd):
    folder = save_series(tmp_path / "s", stack())
    data = (folder / "IM003").read_bytes()
    (folder / "IM003").write_bytes(data[:-80])

    assert "IM003" in refuse(folder, "truncated or damaged", capfd)


def test_one_slice_is_no_volume(tmp_path, capfd):
    folder = save_series(tmp_path / "s", stack(1))
    (folder / "IM000").rename(tmp_path / "one.dcm")

    refuse(tmp_path / "one.dcm", "a 2-D image .*name the folder", capfd)
    refuse(tmp_path, "a 2-D image", capfd)


def test_values_without_rescale_are_told_from_hounsfield_units(tmp_path, capfd):
    def strip(_number, one):
        del one.RescaleSlope, one.RescaleIntercept

    refuse(save_series(tmp_path / "s", stack(), change=strip), "offset of 1024", capfd)


def test_file_with_all_slices_is_read(tmp_path):
    stored = stack()
    one = dataset(stored, EnhancedCTImageStorage)
    one.NumberOfFrames = len(stored)
    one.ImageType = ["ORIGINAL", "PRIMARY", "VOLUME", "NONE"]
    shared, single = Dataset(), Dataset()
    single.ImageOrientationPatient = [f"{x:.10f}" for x in (*ROW, *COLUMN)]
    shared.PlaneOrientationSequence = Sequence([single])
    measures = Dataset()
    measures.PixelSpacing, measures.SliceThickness = ["0.8", "0.7"], "2.5"
    shared.PixelMeasuresSequence = Sequence([measures])
    rescale = Dataset()
    rescale.RescaleSlope, rescale.RescaleIntercept, rescale.RescaleType = "1", "-1024", "HU"
    shared.PixelValueTransformationSequence = Sequence([rescale])
    one.SharedFunctionalGroupsSequence = Sequence([shared])
    frames = []
    for number in (2, 0, 1, 5, 3, 4):  # frames need not be in order
        at, frame = Dataset(), Dataset()
        at.ImagePositionPatient = [f"{x:.8f}" for x in ORIGIN + number * STEP_MM * NORMAL]
        frame.PlanePositionSequence = Sequence([at])
        frames.append(frame)
    one.PerFrameFunctionalGroupsSequence = Sequence(frames)
    one.save_as(tmp_path / "all.dcm", enforce_file_format=True)

    volume = read_ct(tmp_path / "all.dcm")

    np.testing.assert_array_equal(volume.voxels, stored[[1, 2, 0, 4, 5, 3]].astype(int) - 1024)
    expected = ORIGIN + STEP_MM * NORMAL * 5
    np.testing.assert_allclose(
        (volume.ijk_to_ras @ [0, 0, 5, 1])[:3] * [-1, -1, 1], expected, atol=1e-5
    )


def test_real_slices_agree_with_simpleitk_and_go_through_nrrd(shared_data, tmp_path):
    folder = next(shared_data.glob("dicom_slab/*/*/*"))
    volume = read_ct(shared_data / "dicom_slab")
    names = sitk.ImageSeriesReader.GetGDCMSeriesFileNames(str(folder))
    image = sitk.ReadImage(names)

    assert volume.voxels.dtype == np.int16
    np.testing.assert_array_equal(volume.voxels, sitk.GetArrayViewFromImage(image))
    left, posterior, superior = image.TransformIndexToPhysicalPoint((100, 200, 15))
    np.testing.assert_allclose(
        volume.ijk_to_ras @ [100, 200, 15, 1], [-left, -posterior, superior, 1], atol=1e-4
    )
    stored = pydicom.dcmread(names[0])
    np.testing.assert_array_equal(volume.voxels[0], stored.pixel_array.astype(int) - 1024)
    write_volume(volume, tmp_path / "a.nrrd")
    assert (
        read_ct(tmp_path / "a.nrrd").header["DICOM_SeriesInstanceUID"] == stored.SeriesInstanceUID
    )
