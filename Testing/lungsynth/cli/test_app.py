"""What holds for every command."""

import errno
import json
import os
import subprocess
import sys

import pytest
import SimpleITK as sitk

import lungsynth as package
from lungsynth.imaging.phantom import SMALL, thorax_phantom
from lungsynth.synthesizers import CXR_SYNTHESIZERS, SYNTHESIZERS, TRAINABLE


def test_the_version_is_printed(lungsynth):
    outcome = lungsynth("--version")

    assert (outcome.status, outcome.out) == (0, f"{package.__version__}\n")


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["--help"],
        ["insert", "--help"],
        ["demo", "-h"],
        ["train", "--help"],
        ["evaluate", "--help"],
        ["models", "--help"],
    ],
)
def test_help_is_shown(lungsynth, arguments):
    outcome = lungsynth(*arguments)

    assert outcome.status == 0
    assert "Usage" in outcome.out
    assert outcome.err == ""


def test_the_help_of_training_names_all_that_can_be_trained(lungsynth):
    said = lungsynth("train", "--help").out

    assert all(name in said for name in TRAINABLE)


def test_the_command_line_starts_without_torch():
    """Help that takes seconds is no help."""
    script = (
        "import sys; from lungsynth.cli.app import run; run(['insert', '--help']); "
        "sys.exit('torch' in sys.modules or 'SimpleITK' in sys.modules)"
    )

    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0


def test_models_are_listed(lungsynth):
    outcome = lungsynth("models", "list")

    assert outcome.status == 0
    expected = [("CT", name) for name in sorted(SYNTHESIZERS)]
    expected += [("radiograph", name) for name in sorted(CXR_SYNTHESIZERS)]
    expected += [("generator", "pggan"), ("classifier", "cxr-classifier")]
    expected += [("detector", name) for name in ("anogan-encoder", "anomaly-scan")]
    expected += [("detector", name) for name in ("faster-rcnn", "retinanet")]
    expected += [("segmenter", "lung-fields")]
    assert [tuple(line.split()[:2]) for line in outcome.out.splitlines()] == expected
    rows = json.loads(lungsynth("models", "list", "--json").out)
    assert [(row["kind"], row["name"]) for row in rows] == expected


def test_the_list_says_what_each_model_needs(lungsynth):
    lines = lungsynth("models", "list").out.splitlines()
    said = {name: needs for _, name, needs in (line.split(maxsplit=2) for line in lines)}

    assert said["procedural"] == "ready; needs no weights"
    assert said["copy-paste"] == "needs no weights, but nodules to copy: --bank"
    assert said["mcgan"] == "ready; weights of 5.4 MB"
    assert said["lung-fields"] == "ready; weights of 0.2 MB"
    trained = ("ready; weights of ", "has no weights yet: ")
    assert set(TRAINABLE) - set(said) == {"shape-texture-shape"}
    assert all(said[name].startswith(trained) for name in TRAINABLE if name in said)


def test_a_model_without_card_says_so(lungsynth):
    outcome = lungsynth("models", "show", "procedural")

    assert outcome.status == 0
    assert "no card" in outcome.out


def test_an_unknown_model_is_named(lungsynth):
    outcome = lungsynth("models", "show", "magic")

    assert outcome.status == 2
    assert outcome.err.startswith("lungsynth: unknown model 'magic'; there are ")


def test_the_demo_leaves_its_five_files(lungsynth, awkward_path):
    folder = awkward_path / "new" / "demo"
    outcome = lungsynth("demo", "--output", folder, "--synthesizer", "procedural")

    assert outcome.status == 0, outcome.err
    names = {path.name for path in folder.iterdir()}
    assert names == {
        "phantom.nrrd",
        "phantom_with_nodules.nrrd",
        "nodules.seg.nrrd",
        "report.json",
        "preview.png",
    }
    assert outcome.out.splitlines()[-1] == f"Look at the picture: {folder / 'preview.png'}"
    report = json.loads((folder / "report.json").read_text(encoding="utf-8"))
    sizes = [insertion["asked"]["diameter_mm"] for insertion in report["insertions"]]
    assert sizes == [12, 8, 16]
    preview = sitk.ReadImage(str(folder / "preview.png"))
    assert min(preview.GetSize()) > 200


def test_a_demo_that_cannot_be_written_is_refused(lungsynth, tmp_path):
    (tmp_path / "file").write_text("x")
    outcome = lungsynth("demo", "--output", tmp_path / "file" / "demo")

    assert outcome.status == 2
    assert outcome.err.startswith(f"lungsynth: --output {tmp_path / 'file' / 'demo'}: can't make")


def test_a_demo_without_its_synthesizer_leaves_no_folder(lungsynth, tmp_path):
    outcome = lungsynth(
        *("demo", "--output", tmp_path / "new" / "demo", "--weights", tmp_path / "no.safetensors")
    )

    assert outcome.status == 2
    assert "no such weights file" in outcome.err
    assert list(tmp_path.iterdir()) == []


def test_a_demo_that_fails_at_its_last_file_leaves_none(lungsynth, tmp_path, monkeypatch):
    """The phantom is written before the others."""
    written = []

    def no_room(_before, _after, _insertions, path):
        written.extend(sorted(file.name for file in path.parent.iterdir()))
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))

    monkeypatch.setattr("lungsynth.io.preview.write_preview", no_room)
    monkeypatch.setattr(
        "lungsynth.imaging.phantom.thorax_phantom", lambda seed: thorax_phantom(seed, **SMALL)
    )
    outcome = lungsynth("demo", "--output", tmp_path / "demo", "--synthesizer", "procedural")

    assert outcome.status == 2, outcome
    assert "preview.png: the disk is full" in outcome.err
    assert "phantom.nrrd" in written
    assert list(tmp_path.iterdir()) == []
