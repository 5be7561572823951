"""``lungsynth generate``: what it writes, and what it refuses in one line."""

import json
from dataclasses import asdict

import numpy as np
import pytest
import torch

from lungsynth.nn.weights import save_weights
from lungsynth.synthesizers.pggan.config import PRESETS
from lungsynth.synthesizers.pggan.networks import Generator

TINY = PRESETS["tiny"]


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    torch.manual_seed(2)
    path = tmp_path_factory.mktemp("weights") / "p.safetensors"
    described = {**asdict(TINY), "grown_side": 16, "alpha": 1.0}
    save_weights(path, "pggan", described, Generator(TINY).state_dict())
    return path


def test_images_a_film_and_a_manifest_are_written(lungsynth, weights, tmp_path):
    arguments = ("--count", 3, "--film", 2, "--film-frames", 2, "--random-seed", 7)
    found = lungsynth(
        "generate", "pggan", "--weights", weights, "--output", tmp_path / "new" / "x",
        *arguments, "--device", "cpu", "--progress", "json",
    )  # fmt: skip

    assert (found.status, found.err) == (0, "")
    done = found.events[-1]
    assert (done["event"], done["images"], done["image_size"]) == ("done", 3, 16)
    folder = tmp_path / "new" / "x"
    assert sorted(path.name for path in folder.iterdir()) == [
        "film", "film.gif", "grid.png", "images", "latents.npy", "manifest.csv", "manifest.json",
    ]  # fmt: skip
    assert len(list((folder / "images").iterdir())) == 3
    assert len(list((folder / "film").iterdir())) == 4
    assert json.loads((folder / "manifest.json").read_text())["random_seed"] == 7


def test_more_images_begin_with_the_same(lungsynth, weights, tmp_path):
    for count in (2, 4):
        lungsynth(
            "generate", "pggan", "--weights", weights, "--output", tmp_path / str(count),
            "--count", count, "--device", "cpu",
        )  # fmt: skip

    few, many = (np.load(tmp_path / name / "latents.npy") for name in ("2", "4"))
    np.testing.assert_array_equal(few, many[:2])
    first, second = (tmp_path / name / "images" / "000001.png" for name in ("2", "4"))
    assert first.read_bytes() == second.read_bytes()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("pgan",), "unknown generator of radiographs 'pgan'; there are pggan"),
        (("pggan", "--bits", "12"), "an image of 12 bits; allowed are 8 and 16"),
        (("pggan", "--film", "5", "--count", "3"), "--film 5: a film goes through 2 or more"),
        (("pggan", "--count", "0"), "'0' is not allowed; give a whole number, 1 or more"),
        (("pggan", "--weights", "no.safetensors"), "no.safetensors: no such weights file"),
    ],
)
def test_what_cannot_be_done_is_one_line(lungsynth, weights, tmp_path, arguments, message):
    if "--weights" not in arguments:
        arguments = (*arguments, "--weights", weights)

    found = lungsynth("generate", *arguments, "--output", tmp_path / "out", "--device", "cpu")

    assert found.status == 2
    assert message in found.err
    assert found.err.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_folder_with_generated_images_stays_as_it_was(lungsynth, weights, tmp_path):
    arguments = ("generate", "pggan", "--weights", weights, "--output", tmp_path)
    lungsynth(*arguments, "--count", 2, "--device", "cpu")
    before = {path: path.read_bytes() for path in tmp_path.rglob("*.*")}

    found = lungsynth(*arguments, "--count", 1, "--random-seed", 3, "--device", "cpu")

    assert found.status == 2
    assert "holds generated images already" in found.err
    assert {path: path.read_bytes() for path in tmp_path.rglob("*.*")} == before
