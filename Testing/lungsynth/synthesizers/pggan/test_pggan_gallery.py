"""Drawn radiographs: the same seed is the same image, files say what they are, films go around."""

import csv
import json
import sys
from dataclasses import asdict

import numpy as np
import pytest
import SimpleITK as sitk
import torch

from lungsynth.core.errors import LungSynthError
from lungsynth.io.png import texts
from lungsynth.nn.weights import save_weights
from lungsynth.synthesizers.pggan.config import PRESETS
from lungsynth.synthesizers.pggan.gallery import write_film, write_gallery
from lungsynth.synthesizers.pggan.networks import Generator
from lungsynth.synthesizers.pggan.pictures import grid_picture, to_pixels
from lungsynth.synthesizers.pggan.synthesizer import draw_latents, interpolate, load_pggan

TINY = PRESETS["tiny"]


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """Untrained weights that have grown to 8 of their 16 pixels, half faded in."""
    torch.manual_seed(8)
    network = Generator(TINY)
    with torch.no_grad():
        for layer in network.to_image:  # so that images differ and reach beyond [-1, 1]
            layer.weight.mul_(1.5)
    path = tmp_path_factory.mktemp("weights") / "p.safetensors"
    described = {**asdict(TINY), "grown_side": 8, "alpha": 0.5, "scale_high": 98.0}
    save_weights(path, "pggan", described, network.state_dict())
    return path


@pytest.fixture
def generator(weights):
    return load_pggan(weights, "cpu")


def read(path):
    return sitk.GetArrayFromImage(sitk.ReadImage(str(path)))


def test_loaded_generator_says_what_a_search_needs(generator, weights):
    assert (generator.latent_size, generator.image_size) == (8, 8)
    assert generator.scale.high == 98
    assert len(generator.weights_sha256) == 64
    latent = torch.randn(2, 8, requires_grad=True)
    images = generator(latent)
    assert images.shape == (2, 1, 8, 8)
    images.sum().backward()
    assert latent.grad.abs().sum() > 0
    half = load_pggan(weights, "cpu").generator
    torch.testing.assert_close(images, half(latent, 8, 0.5))


def test_same_seed_is_the_same_image_whatever_else_is_drawn(generator):
    one = generator.draw(draw_latents([11], 8))
    many = generator.draw(draw_latents([5, 11, 7], 8))

    np.testing.assert_array_equal(one[0], many[1])
    assert np.abs(many[0] - many[1]).max() > 0.01
    assert one.min() >= -1
    assert one.max() <= 1


def test_gallery_holds_images_latents_and_a_manifest(generator, tmp_path):
    manifest = write_gallery(generator, [4, 9, 2], tmp_path, about={"random_seed": 6})

    said = json.loads(manifest.read_text())
    assert said["lungsynth_synthetic"] == "true"
    assert (said["weights_sha256"], said["random_seed"]) == (generator.weights_sha256, 6)
    with (tmp_path / "manifest.csv").open() as lines:
        rows = list(csv.DictReader(lines))
    assert [row["seed"] for row in rows] == ["4", "9", "2"]
    latents = np.load(tmp_path / "latents.npy")
    for row in rows:
        pixels = read(tmp_path / row["image"])
        latent = latents[int(row["latent_row"])]
        np.testing.assert_array_equal(pixels, to_pixels(generator.draw(latent[None])[0]))
        assert texts(tmp_path / row["image"])["lungsynth_synthetic"] == "true"
    assert read(tmp_path / "grid.png").shape == (128, 3 * 128)


def test_two_galleries_of_the_same_seeds_are_the_same_bytes(generator, tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        write_gallery(generator, [1, 2], tmp_path / name)

    for path in sorted((tmp_path / "a").rglob("*.*")):
        other = tmp_path / "b" / path.relative_to(tmp_path / "a")
        assert path.read_bytes() == other.read_bytes(), path


def test_images_of_16_bits_use_all_of_them(generator, tmp_path):
    write_gallery(generator, [4], tmp_path, bits=16)

    pixels = read(tmp_path / "images" / "000000.png")
    assert pixels.dtype == np.uint16
    image = generator.draw(draw_latents([4], 8))[0]
    np.testing.assert_array_equal(pixels, np.rint((image.astype(float) + 1) / 2 * 65535))


def test_folder_with_generated_images_is_refused(generator, tmp_path):
    write_gallery(generator, [4], tmp_path)

    with pytest.raises(LungSynthError, match="holds generated images already"):
        write_gallery(generator, [5], tmp_path)
    with pytest.raises(LungSynthError, match="an image of 12 bits; allowed are 8 and 16"):
        write_gallery(generator, [5], tmp_path / "other", bits=12)


def test_pixels_span_their_range():
    values = np.array([-1.5, -1, 0, 1, 2], np.float32)

    assert to_pixels(values).tolist() == [0, 0, 128, 255, 255]
    assert to_pixels(values, 16).tolist() == [0, 0, 32768, 65535, 65535]


def test_grid_shows_images_row_by_row():
    values = np.array([-1.0, -0.2, 0.6, 3.0, 0.0], np.float32)
    images = np.broadcast_to(values[:, None, None], (5, 2, 2))

    picture = grid_picture(images, 3, side=4)

    assert picture.shape == (8, 12)
    assert picture[::4, ::4].tolist() == [[0, 102, 204], [255, 128, 0]]


def test_way_between_latents_goes_along_the_great_circle_at_even_steps():
    ends = np.array([[3.0, 0.0], [0.0, 0.5]], np.float32)

    way = interpolate(ends, 3, closed=False)

    angles = np.degrees(np.arctan2(way[:, 1], way[:, 0]))
    np.testing.assert_allclose(angles, [0, 30, 60, 90], atol=1e-4)
    np.testing.assert_allclose(np.linalg.norm(way, axis=1), np.sqrt(2), rtol=1e-6)


def test_closed_way_comes_back_to_the_first():
    ends = draw_latents([1, 2, 3], 16)

    way = interpolate(ends, 4)

    assert len(way) == 12
    for number in range(3):
        along = way[4 * number] @ ends[number] / 4 / np.linalg.norm(ends[number])
        assert along == pytest.approx(1, abs=1e-6)
    steps = np.linalg.norm(np.diff(np.concatenate([way, way[:1]]), axis=0), axis=1)
    for part in steps.reshape(3, 4):
        assert part == pytest.approx(np.full(4, part[0]), rel=1e-4)


def test_film_shows_the_first_image_first(generator, tmp_path):
    pillow = pytest.importorskip("PIL.Image")

    path = write_film(generator, [3, 8], 4, tmp_path)

    frames = sorted((tmp_path / "film").iterdir())
    assert len(frames) == 8
    expected = to_pixels(generator.draw(draw_latents([3], 8))[0]).astype(int)
    assert np.abs(read(frames[0]) - expected).max() <= 1  # only the direction counts, to rounding
    with pillow.open(path) as film:
        assert film.n_frames == 8
        assert b"lungsynth_synthetic=true" in film.info["comment"]
        film.seek(5)
        np.testing.assert_array_equal(np.asarray(film.convert("L")), read(frames[5]))


def test_film_without_pillow_is_its_frames(generator, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "PIL", None)

    assert write_film(generator, [3, 8], 2, tmp_path) == tmp_path / "film"
    assert len(list((tmp_path / "film").iterdir())) == 4


def test_weights_without_their_side_are_refused(tmp_path):
    save_weights(tmp_path / "p.safetensors", "pggan", asdict(TINY), Generator(TINY).state_dict())

    with pytest.raises(LungSynthError, match=r"do not fit .*grown_side"):
        load_pggan(tmp_path / "p.safetensors", "cpu")
