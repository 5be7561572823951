"""Bad input: one clear line, status 2, no output, the input untouched."""

import pickle
import re
import resource
import shutil
import subprocess

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

GOOD_SEED = "75,20,-20"  # in the phantom's right lung, 25 mm from all else


# --- inputs that are wrong ------------------------------------------------------------------


def ct_values(shape=(12, 20, 24)):
    rng = np.random.default_rng(5)
    return rng.normal(-850, 40, shape).round().astype(np.int16)


def save(array, path, spacing=(0.8, 0.7, 2.5)):
    image = sitk.GetImageFromArray(array)
    image.SetSpacing(spacing[: image.GetDimension()])
    sitk.WriteImage(image, str(path))
    return path


def missing(folder):
    return folder / "nothing.nrrd"


def not_an_image(folder):
    path = folder / "ct.nrrd"
    path.write_text("this is a letter to my aunt\n")
    return path


def unknown_kind(folder):
    path = folder / "ct.txt"
    path.write_text("this is a letter to my aunt\n")
    return path


def flat(folder):
    return save(ct_values()[0], folder / "ct.nrrd")


def empty_folder(folder):
    path = folder / "series"
    path.mkdir()
    return path


def write_slice(path, number, values, series_uid):
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = CTImageStorage
    meta.MediaStorageSOPInstanceUID = generate_uid()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset = FileDataset(str(path), {}, file_meta=meta, preamble=b"\0" * 128)
    dataset.SOPClassUID = CTImageStorage
    dataset.SOPInstanceUID = meta.MediaStorageSOPInstanceUID
    dataset.SeriesInstanceUID = series_uid
    dataset.StudyInstanceUID = generate_uid(entropy_srcs=["study"])
    dataset.Modality = "CT"
    dataset.PatientID = "PHANTOM"
    dataset.InstanceNumber = number + 1
    dataset.ImagePositionPatient = [-100.0, -90.0, 2.5 * number]
    dataset.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    dataset.PixelSpacing = [0.7, 0.8]
    dataset.SliceThickness = 2.5
    dataset.Rows, dataset.Columns = values.shape
    dataset.SamplesPerPixel = 1
    dataset.PhotometricInterpretation = "MONOCHROME2"
    dataset.BitsAllocated = dataset.BitsStored = 16
    dataset.HighBit = 15
    dataset.PixelRepresentation = 1
    dataset.RescaleSlope, dataset.RescaleIntercept = 1, -1024
    dataset.PixelData = (values + 1024).astype("<i2").tobytes()
    pydicom.dcmwrite(path, dataset, enforce_file_format=True)


def series(folder):
    path = folder / "series"
    path.mkdir(exist_ok=True)
    uid = generate_uid()
    for number, values in enumerate(ct_values()):
        write_slice(path / f"{uid[-6:]}-{number:03}.dcm", number, values, uid)
    return path


def series_with_a_gap(folder):
    path = series(folder)
    sorted(path.iterdir())[5].unlink()
    return path


def series_with_a_double(folder):
    path = series(folder)
    slices = sorted(path.iterdir())
    shutil.copy(slices[4], path / "copy of 4.dcm")
    return path


def two_series(folder):
    series(folder)
    return series(folder)


def with_value(value):
    def make(folder):
        array = ct_values().astype(np.float32)
        array[3, 4, 5] = value
        return save(array, folder / "ct.nrrd")

    return make


def zero_spacing(folder):
    path = save(ct_values(), folder / "ct.mha")
    path.write_bytes(re.sub(rb"(ElementSpacing = )\S+", rb"\g<1>0", path.read_bytes()))
    return path


def radiograph_values(folder):
    return save((ct_values() % 256).astype(np.uint8), folder / "ct.nrrd")


def cut_short(folder):
    path = save(ct_values(), folder / "ct.nii.gz")
    path.write_bytes(path.read_bytes()[:-2000])
    return path


INPUTS = [
    (missing, r"nothing\.nrrd"),
    (not_an_image, r"ct\.nrrd.*(not|no) "),
    (unknown_kind, r"ct\.txt.*allowed are"),
    (flat, r"ct\.nrrd.*2-?D"),
    (empty_folder, r"series.*no DICOM"),
    (series_with_a_gap, r"series.*missing"),
    (series_with_a_double, r"series.*(duplicate|twice|same)"),
    (two_series, r"series.*2 series"),
    (with_value(np.nan), r"ct\.nrrd.*(NaN|finite)"),
    (with_value(np.inf), r"ct\.nrrd.*(Inf|finite)"),
    (zero_spacing, r"ct\.mha.*spacing"),
    (radiograph_values, r"ct\.nrrd.*(HU|Hounsfield)"),
    (cut_short, r"ct\.nii\.gz.*truncated"),
]


@pytest.fixture
def refused(lungsynth, fingerprint, tmp_path):
    """Run ``insert`` and check all that holds for every refusal; return the line on stderr."""
    inputs, outputs = tmp_path / "in", tmp_path / "out"
    inputs.mkdir()
    outputs.mkdir()

    def check(source, *options, runner=lungsynth, seed=GOOD_SEED, output=None):
        before = fingerprint(source)
        places = () if seed is None else (f"--seed-ras={seed}",)
        outcome = runner(
            *("insert", "--input", source, "--output", output or outputs / "ct.nrrd"),
            *("--mask", outputs / "mask.seg.nrrd", "--report", outputs / "report.json"),
            *("--preview", outputs / "preview.png", "--synthesizer", "procedural"),
            *(*places, *options),
        )
        assert outcome.status == 2, outcome
        assert outcome.out == ""
        assert outcome.err.startswith("lungsynth: ")
        assert outcome.err.count("\n") == 1
        assert "Traceback" not in outcome.err
        assert list(outputs.iterdir()) == []
        assert fingerprint(source) == before
        return outcome.err

    return check


@pytest.mark.parametrize(("make", "message"), INPUTS, ids=[message for _, message in INPUTS])
def test_a_wrong_input_is_named(refused, tmp_path, make, message):
    assert re.search(message, refused(make(tmp_path / "in")))


def test_a_single_slice_of_dicom_is_no_volume(refused, tmp_path):
    path = tmp_path / "in" / "one.dcm"
    write_slice(path, 0, ct_values()[0], generate_uid())

    assert "2-D image" in refused(path)


# --- seeds and nodules that are wrong -------------------------------------------------------


@pytest.mark.parametrize(
    ("seed", "message"),
    [
        ("0,200,0", r"seed 1 at RAS \(0\.0, 200\.0, 0\.0\).*outside"),
        ("150,110,100", r"seed 1 at RAS .*(air|body)"),
        ("2,-4,-140", r"seed 1 at RAS .*edge"),
        ("1,2", r"--seed-ras '1,2': give three numbers"),
        ("1,2,x", r"--seed-ras '1,2,x': give three numbers"),
        ("1,2,nan", r"three finite coordinates"),
    ],
)
def test_a_seed_that_cannot_be_is_named(refused, phantom_file, seed, message):
    assert re.search(message, refused(phantom_file, seed=seed))


def test_a_seed_that_overlaps_an_earlier_one_is_named(refused, phantom_file):
    line = refused(phantom_file, "--seed-ras", "77,21,-20")

    assert re.search(r"seed 2 at RAS \(77\.0, 21\.0, -20\.0\).*overlap", line)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--diameter-mm", "0"), "diameter_mm must be from 3 to 40 mm; got 0"),
        (("--diameter-mm", "-3"), "diameter_mm must be from 3 to 40 mm; got -3"),
        (("--diameter-mm", "500"), "diameter_mm must be from 3 to 40 mm; got 500"),
        (("--diameter-mm", "nan"), "diameter_mm must be from 3 to 40 mm; got nan"),
        (("--diameter-mm", "abc"), r"--diameter-mm.*abc.*lungsynth insert --help"),
        (("--attenuation", "gas"), r"--attenuation.*gas.*solid.*part-solid.*ground-glass"),
        (("--malignancy", "evil"), r"--malignancy.*evil.*benign.*malignant"),
        (("--random-seed", "-1"), r"--random-seed.*-1"),
        (("--synthesizer", "magic"), r"unknown synthesizer 'magic'; there are .*mcgan.*procedural"),
        (("--device", "tpu"), r"--device.*tpu.*auto.*cpu.*cuda"),
        (("--colour", "red"), r"--colour"),
        (("--auto", "3"), "exactly one of --seed-ras, --seeds and --auto"),
        (("--synthesizer", "copy-paste"), r"bank"),
    ],
)
def test_an_option_that_cannot_be_is_named(refused, phantom_file, options, message):
    assert re.search(message, refused(phantom_file, *options))


def test_no_seed_at_all_is_told(refused, phantom_file):
    assert "exactly one of --seed-ras, --seeds and --auto" in refused(phantom_file, seed=None)


@pytest.mark.parametrize("number", ["0", "-2", "1001"])
def test_a_wrong_number_of_automatic_seeds_is_refused(refused, phantom_file, number):
    assert re.search(rf"--auto.*{number}", refused(phantom_file, "--auto", number, seed=None))


def test_missing_options_are_named(lungsynth):
    outcome = lungsynth("insert", "--auto", "1")

    assert outcome.status == 2
    assert re.fullmatch(r"lungsynth: .*--input.*\n", outcome.err)


def test_an_unknown_command_is_named(lungsynth):
    outcome = lungsynth("insret")

    assert outcome.status == 2
    assert re.fullmatch(r"lungsynth: .*insret.*\n", outcome.err)


# --- outputs that can't be ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("output", "message"),
    [
        ("/proc/ct.nrrd", r"--output /proc/ct\.nrrd: can't write in /proc"),
        ("/no/such/folder/ct.nrrd", "no folder /no/such/folder"),
        ("ct.png", r"--output ct\.png: the name must end in \.nii\.gz"),
    ],
)
def test_an_output_that_cannot_be_written_is_named(refused, phantom_file, output, message):
    assert re.search(message, refused(phantom_file, output=output))


def test_the_input_is_never_the_output(refused, phantom_file):
    assert "is the input" in refused(phantom_file, output=phantom_file)


def small_files_only():
    """Let this process write no file of more than 1 MB, as if the disk were full."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, 1_000_000))


def test_a_file_that_cannot_grow_leaves_nothing(refused, lungsynth_process, phantom_file):
    def runner(*arguments):
        return lungsynth_process(*arguments, preexec_fn=small_files_only)

    assert re.search(r"ct\.nrrd", refused(phantom_file, runner=runner))


def test_a_full_disk_leaves_nothing(refused, lungsynth_process, phantom_file, tmp_path):
    disk = tmp_path / "out"
    mount = ["mount", "-t", "tmpfs", "-o", "size=200k", "tmpfs", str(disk)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("needs the right to mount a small file system")
    try:
        line = refused(phantom_file, runner=lungsynth_process)
    finally:
        subprocess.run(["umount", str(disk)], check=True)

    assert re.search(r"ct\.nrrd.*(disk|space)", line, re.IGNORECASE)


# --- weights and devices --------------------------------------------------------------------


class Trap:
    """Leaves a file behind if it is ever unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (open, (str(self.path), "w"))


def weights_missing(folder):
    return folder / "none.safetensors"


def weights_truncated(folder):
    from safetensors.numpy import save_file

    path = folder / "short.safetensors"
    save_file({"a": np.zeros(1000, np.float32)}, path)
    path.write_bytes(path.read_bytes()[:-500])
    return path


def weights_foreign(folder):
    from safetensors.numpy import save_file

    path = folder / "foreign.safetensors"
    save_file({"resnet.conv1": np.zeros((3, 3), np.float32)}, path)
    return path


def weights_pickled(folder):
    path = folder / "pickle.safetensors"
    path.write_bytes(pickle.dumps(Trap(folder / "sprung")))
    return path


@pytest.mark.parametrize(
    "make", [weights_missing, weights_truncated, weights_foreign, weights_pickled]
)
def test_wrong_weights_are_named_and_never_run(refused, phantom_file, tmp_path, make):
    weights = make(tmp_path / "in")

    line = refused(phantom_file, "--synthesizer", "mcgan", "--weights", weights)

    assert weights.name in line
    assert not (tmp_path / "in" / "sprung").exists()


def test_a_gpu_that_is_absent_is_told(refused, lungsynth_process, phantom_file):
    def runner(*arguments):
        return lungsynth_process(*arguments, environment={"CUDA_VISIBLE_DEVICES": ""})

    line = refused(phantom_file, "--synthesizer", "mcgan", "--device", "cuda", runner=runner)

    assert re.search(r"cuda.*(no|not|found|without)", line, re.IGNORECASE)
