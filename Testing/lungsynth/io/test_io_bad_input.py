"""What is no readable CT is refused in one line that says why."""

from __future__ import annotations

import errno
import gzip
import os
import re
import struct
from pathlib import Path

import nibabel
import numpy as np
import pytest
import SimpleITK as sitk

from lungsynth.core.errors import LungSynthError
from lungsynth.core.volume import Volume
from lungsynth.io.atomic import atomic_path, check_output
from lungsynth.io.reading import read_ct
from lungsynth.io.writing import write_volume

ALL = [".nii", ".nii.gz", ".nrrd", ".mha"]


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def ct(dtype=np.int16, low=-1000, high=1500):
    rng = np.random.default_rng(3)
    return Volume(rng.uniform(low, high, (9, 10, 12)).astype(dtype), np.diag([0.7, 0.8, 2.5, 1]))


def refuse(path, match, capfd):
    """Check that ``path`` is refused in one line that names it, and nothing else is printed."""
    with pytest.raises(LungSynthError, match=match) as caught:
        read_ct(path)

    assert "\n" not in str(caught.value)
    assert Path(path).name in str(caught.value)
    captured = capfd.readouterr()
    assert captured.err == ""
    assert captured.out == ""


def test_missing_file(tmp_path, capfd):
    refuse(tmp_path / "no such ü.nii.gz", "there is no file or folder", capfd)


@pytest.mark.parametrize("suffix", [*ALL, ".mhd", ".dcm", ".txt", ""])
def test_text_under_any_suffix(tmp_path, suffix, capfd):
    (tmp_path / f"a{suffix}").write_text("this is no image\n" * 50)

    refuse(tmp_path / f"a{suffix}", "not an? ", capfd)


@pytest.mark.parametrize("suffix", [*ALL, ".dcm"])
def test_empty_file(tmp_path, suffix, capfd):
    (tmp_path / f"a{suffix}").touch()

    refuse(tmp_path / f"a{suffix}", "not an? ", capfd)


@pytest.mark.parametrize("part", [0.02, 0.3, 0.6, 0.97])
@pytest.mark.parametrize("suffix", ALL)
def test_truncated_file(tmp_path, suffix, part, capfd):
    path = tmp_path / f"a{suffix}"
    write_volume(ct(), path)
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * part)])

    refuse(path, "truncated|not a", capfd)


def test_damaged_gzip_is_noticed_by_its_checksum(tmp_path, capfd):
    path = tmp_path / "a.nii.gz"
    write_volume(ct(), path)
    data = bytearray(path.read_bytes())
    data[-8] ^= 1
    path.write_bytes(data)

    refuse(path, "damaged", capfd)


def test_mhd_without_its_raw_file(tmp_path, capfd):
    write_volume(ct(), tmp_path / "a.mhd")
    (tmp_path / "a.raw").unlink()

    refuse(tmp_path / "a.mhd", "truncated or damaged|not a readable", capfd)


@pytest.mark.parametrize("suffix", ALL)
@pytest.mark.parametrize("shape", [(10, 12), (1, 10, 12)])
def test_two_dimensional_image(tmp_path, suffix, shape, capfd):
    sitk.WriteImage(sitk.GetImageFromArray(np.zeros(shape, np.int16)), str(tmp_path / f"a{suffix}"))

    refuse(tmp_path / f"a{suffix}", "a 2-D image .*a CT volume is needed", capfd)


@pytest.mark.parametrize("suffix", ALL)
def test_four_dimensional_image(tmp_path, suffix, capfd):
    image = sitk.GetImageFromArray(np.zeros((3, 4, 5, 6), np.int16), isVector=False)
    sitk.WriteImage(image, str(tmp_path / f"a{suffix}"))

    refuse(tmp_path / f"a{suffix}", "a 4-D image", capfd)


@pytest.mark.parametrize("suffix", ALL)
def test_colour_image(tmp_path, suffix, capfd):
    image = sitk.GetImageFromArray(np.zeros((4, 5, 6, 3), np.uint8), isVector=True)
    sitk.WriteImage(image, str(tmp_path / f"a{suffix}"))

    refuse(tmp_path / f"a{suffix}", "vector|5-D|values a voxel", capfd)


@pytest.mark.parametrize("suffix", ALL)
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_voxels_that_are_not_finite(tmp_path, suffix, value, capfd):
    volume = ct(np.float32)
    volume.voxels[3, 4, 5] = value
    write_volume(volume, tmp_path / f"a{suffix}")

    refuse(tmp_path / f"a{suffix}", "1 voxels are NaN or infinite", capfd)


@pytest.mark.parametrize("value", [0.0, -2.5, float("nan")])
def test_impossible_nifti_spacing(tmp_path, value, capfd):
    write_volume(ct(), tmp_path / "a.nii")
    data = bytearray((tmp_path / "a.nii").read_bytes())
    struct.pack_into("<f", data, 88, value)
    (tmp_path / "a.nii").write_bytes(data)

    refuse(tmp_path / "a.nii", "spacing in the header", capfd)


@pytest.mark.parametrize("value", [b"0", b"-2.5", b"nan"])
def test_impossible_metaimage_spacing(tmp_path, value, capfd):
    write_volume(ct(), tmp_path / "a.mha")
    data = (tmp_path / "a.mha").read_bytes()
    data = re.sub(rb"(ElementSpacing = \S+ \S+) \S+", rb"\1 " + value, data)
    (tmp_path / "a.mha").write_bytes(data)

    refuse(tmp_path / "a.mha", "spacing", capfd)


@pytest.mark.parametrize("value", [b"(0,0,0)", b"(nan,0,0)"])
def test_impossible_nrrd_spacing(tmp_path, value, capfd):
    write_volume(ct(), tmp_path / "a.nrrd")
    data = (tmp_path / "a.nrrd").read_bytes()
    data = re.sub(rb"space directions: \(\S+?\)", b"space directions: " + value, data)
    (tmp_path / "a.nrrd").write_bytes(data)

    refuse(tmp_path / "a.nrrd", "pacing|not a readable", capfd)


@pytest.mark.parametrize(
    ("volume", "match"),
    [
        (ct(np.float32, 0, 1), "scaled to 0..1"),
        (ct(np.float32, -1, 1), "scaled to 0..1 or -1..1"),
        (ct(np.uint8, 0, 255), "8-bit grey levels"),
        (ct(np.uint16, 0, 2500), "offset of 1024"),
        (ct(np.int16, 0, 2500), "offset of 1024"),
        (ct(np.int16, -250, 2500), "almost none is air"),
        (ct(np.int32, -1000, 70000), "within -10000 to 32767"),
        (ct(np.int16, -32768, 3000), "within -10000 to 32767"),
    ],
)
def test_values_that_are_no_hounsfield_units(tmp_path, volume, match, capfd):
    write_volume(volume, tmp_path / "a.nrrd")

    refuse(tmp_path / "a.nrrd", match, capfd)


def test_stored_values_with_padding_are_told_from_hounsfield_units(tmp_path, capfd):
    """GE pads with -2000; the rest is HU + 1024, so there is a negative value but no air."""
    volume = ct(np.int16, 0, 2500)
    volume.voxels[:, :2] = -2000
    write_volume(volume, tmp_path / "a.nrrd")

    refuse(tmp_path / "a.nrrd", "offset of 1024", capfd)


@pytest.mark.parametrize("padding", [-1024, -2000, -2048, -3024])
@pytest.mark.parametrize("metal", [3071, 30710])
def test_padding_and_metal_are_no_reason_to_refuse(tmp_path, padding, metal):
    volume = ct()
    volume.voxels[:, :3] = padding
    volume.voxels[4, 5, 6] = metal
    write_volume(volume, tmp_path / "a.nii.gz")

    np.testing.assert_array_equal(read_ct(tmp_path / "a.nii.gz").voxels, volume.voxels)


def test_empty_folder_and_folder_without_dicom(tmp_path, capfd):
    refuse(tmp_path, "no DICOM images", capfd)
    (tmp_path / "notes.txt").write_text("nothing here")
    refuse(tmp_path, "no DICOM images", capfd)


def test_input_stays_as_it_was(tmp_path):
    path = tmp_path / "a.nii.gz"
    write_volume(ct(), path)
    before = path.read_bytes()
    read_ct(path).voxels[:] = 0

    assert path.read_bytes() == before


def test_output_may_not_be_an_input(tmp_path):
    source = tmp_path / "a.nii.gz"
    write_volume(ct(), source)
    (tmp_path / "link.nii.gz").symlink_to(source)
    (tmp_path / "series").mkdir()

    check_output(tmp_path / "b.nii.gz", source, None)
    for output in (source, tmp_path / "series" / ".." / "a.nii.gz", tmp_path / "link.nii.gz"):
        with pytest.raises(LungSynthError, match="is the input itself"):
            check_output(output, source)
    with pytest.raises(LungSynthError, match="inside the input folder"):
        check_output(tmp_path / "series" / "out.nrrd", tmp_path / "series")
    with pytest.raises(LungSynthError, match="is a folder"):
        check_output(tmp_path / "series", source)
    with pytest.raises(LungSynthError, match="there is no folder"):
        check_output(tmp_path / "nowhere" / "out.nrrd", source)


def headers_of(folder, **named):
    for name, data_file in named.items():
        text = f"ObjectType = Image\nElementDataFile = {data_file}\n"
        (folder / f"{name}.mhd").write_text(text)
    (folder / "out.raw").write_bytes(b"voxels of someone")


@pytest.mark.parametrize(
    ("named", "message"),
    [
        ({}, r"out.mhd: its voxels would overwrite out.raw, which is there already"),
        ({"scan": "out.raw"}, "would overwrite out.raw, which is there already and not its own"),
        ({"out": "other.raw"}, "would overwrite out.raw, which is there already and not its own"),
        ({"out": "out.raw", "scan": "out.raw"}, "overwrite out.raw, which scan.mhd uses too"),
    ],
)
def test_the_voxels_of_another_header_are_never_overwritten(tmp_path, named, message):
    headers_of(tmp_path, **named)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    inside = tmp_path / ".lungsynth-outputs"
    inside.mkdir()
    for path in (tmp_path / "out.mhd", inside / "out.mhd"):  # as the command line writes it
        with pytest.raises(LungSynthError, match=message):
            write_volume(ct(), path)
    with pytest.raises(LungSynthError, match=message):
        check_output(tmp_path / "out.mhd")
    inside.rmdir()

    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_a_pair_of_header_and_voxels_is_replaced_by_its_like(tmp_path):
    write_volume(ct(), tmp_path / "out.mhd")
    later = ct(low=-900)
    write_volume(later, tmp_path / "out.mhd")

    assert names(tmp_path) == ["out.mhd", "out.raw"]
    np.testing.assert_array_equal(read_ct(tmp_path / "out.mhd").voxels, later.voxels)


def test_a_header_that_cannot_be_replaced_keeps_its_voxels(tmp_path, monkeypatch):
    write_volume(ct(), tmp_path / "out.mhd")
    before = [path.read_bytes() for path in sorted(tmp_path.iterdir())]

    def refused(_self, target):
        raise OSError(errno.EACCES, os.strerror(errno.EACCES), str(target))

    monkeypatch.setattr(type(tmp_path), "replace", refused)
    with pytest.raises(LungSynthError, match="Permission denied"):
        write_volume(ct(low=-900), tmp_path / "out.mhd")

    assert names(tmp_path) == ["out.mhd", "out.raw"]
    assert [path.read_bytes() for path in sorted(tmp_path.iterdir())] == before


def test_missing_output_folder_is_named(tmp_path):
    with pytest.raises(LungSynthError, match=r"there is no folder .*nowhere"):
        write_volume(ct(), tmp_path / "nowhere" / "a.nrrd")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_unwritable_output_folder_is_named(tmp_path):
    (tmp_path / "closed").mkdir(mode=0o500)

    with pytest.raises(LungSynthError, match="Permission denied"):
        write_volume(ct(), tmp_path / "closed" / "a.nrrd")


@pytest.mark.parametrize("suffix", [".nii.gz", ".nrrd", ".mha", ".mhd", ".nii"])
def test_full_disk_leaves_nothing_behind_and_the_earlier_file_alone(tmp_path, suffix, monkeypatch):
    (tmp_path / f"a{suffix}").write_text("earlier")

    def no_room(_image, name, **_):
        Path(name).write_bytes(b"half")
        message = "sitk::ERROR: could not write the pixel data"
        raise RuntimeError(message)

    monkeypatch.setattr(sitk, "WriteImage", no_room)
    with pytest.raises(LungSynthError, match=r"cannot write .*could not write"):
        write_volume(ct(), tmp_path / f"a{suffix}")

    assert names(tmp_path) == [f"a{suffix}"]
    assert (tmp_path / f"a{suffix}").read_text() == "earlier"


def test_disk_that_fills_while_compressing(tmp_path, monkeypatch):
    def no_room(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(gzip.GzipFile, "write", no_room)
    with pytest.raises(LungSynthError, match="No space left on device"):
        write_volume(ct(), tmp_path / "a.nii.gz")

    assert names(tmp_path) == []


def test_interruption_leaves_nothing_behind(tmp_path):
    def interrupted():
        with atomic_path(tmp_path / "a.txt") as temporary:
            temporary.write_text("half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()

    assert names(tmp_path) == []


def test_atomic_path_replaces_an_earlier_file(tmp_path):
    (tmp_path / "a.txt").write_text("earlier")
    with atomic_path(tmp_path / "a.txt") as temporary:
        assert temporary.suffix == ".txt"
        temporary.write_text("now")

    assert (tmp_path / "a.txt").read_text() == "now"
    assert names(tmp_path) == ["a.txt"]


def test_nifti_without_orientation_codes_is_read_by_its_spacing(tmp_path):
    image = nibabel.Nifti1Image(ct().voxels.T, None)
    image.header.set_zooms((0.7, 0.8, 2.5))
    image.to_filename(tmp_path / "a.nii")

    np.testing.assert_allclose(read_ct(tmp_path / "a.nii").spacing_mm, [0.7, 0.8, 2.5], atol=1e-5)
