"""MCGAN with weights, from its file to voxels in a volume."""

import hashlib

import numpy as np
import pytest
import torch

from lungsynth.core.errors import LungSynthError
from lungsynth.core.nodule import NoduleSpec, Seed
from lungsynth.core.volume import Volume
from lungsynth.imaging.insertion import insert
from lungsynth.nn.weights import save_weights
from lungsynth.synthesizers import load_synthesizer
from lungsynth.synthesizers.mcgan.config import PRESETS
from lungsynth.synthesizers.mcgan.networks import MCGANNetworks


@pytest.fixture(scope="module", params=["tiny", "paper-tiny"])
def weights_file(request, make_recipe, tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / f"{request.param}.safetensors"
    make_recipe(request.param).save_weights(path)
    return path


@pytest.fixture
def mcgan(weights_file):
    return load_synthesizer("mcgan", weights=weights_file, device="cpu")


def cubes(count):
    rng = np.random.default_rng(0)
    return rng.normal(-840, 40, (count, 64, 64, 64)).astype(np.float32)


SPECS = [NoduleSpec(8.0, latent_seed=1), NoduleSpec(15.0, "ground-glass", latent_seed=2)]


def test_weights_of_a_recipe_are_those_that_are_used(mcgan, weights_file, make_recipe):
    trained = make_recipe(weights_file.stem).trained_networks().state_dict()
    loaded = mcgan.networks.state_dict()

    assert trained.keys() == loaded.keys()
    for name, value in trained.items():
        expected = value.half().float() if value.is_floating_point() else value
        assert torch.equal(loaded[name], expected), name
    assert mcgan.weights_sha256 == hashlib.sha256(weights_file.read_bytes()).hexdigest()
    assert (mcgan.name, mcgan.device) == ("mcgan", "cpu")
    assert mcgan.box_mm(10.0) == pytest.approx(19.0)


def test_same_spec_same_voxels_in_whatever_batch(mcgan):
    context, sides = cubes(2), [mcgan.box_mm(s.diameter_mm) for s in SPECS]
    both = mcgan.inpaint(context, SPECS, sides)
    alone = mcgan.inpaint(context[1:], SPECS[1:], sides[1:])

    assert both.hu.shape == both.mask.shape == (2, 32, 32, 32)
    assert both.hu.dtype == both.mask.dtype == np.float32
    np.testing.assert_array_equal(both.hu[1], alone.hu[0])
    np.testing.assert_array_equal(both.mask[1], alone.mask[0])


@pytest.mark.parametrize(
    "other", [NoduleSpec(8.0, latent_seed=7), NoduleSpec(8.0, "ground-glass", latent_seed=1)]
)
def test_seed_and_attenuation_are_heard(mcgan, other):
    context = cubes(1)
    one = mcgan.inpaint(context, SPECS[:1], [15.8])
    two = mcgan.inpaint(context, [other], [15.8])

    assert np.abs(one.hu - two.hu).max() > 0.01


def test_weights_work_from_end_to_end(mcgan):
    voxels = np.rint(np.random.default_rng(1).normal(-840, 30, (50, 60, 60))).astype(np.int16)
    volume = Volume(voxels, np.diag([-0.8, -0.8, 1.5, 1.0]))
    seeds = [Seed((-24.0, -24.0, 37.0), NoduleSpec(8.0, latent_seed=3))]
    one, two = (insert(volume, seeds, mcgan) for _ in range(2))

    np.testing.assert_array_equal(one.volume.voxels, two.volume.voxels)
    (done,) = one.insertions
    outside = np.ones(voxels.shape, bool)
    outside[done.slices] = False
    np.testing.assert_array_equal(one.volume.voxels[outside], voxels[outside])
    assert (one.volume.voxels != voxels).any()
    # untrained weights keep no promise, and must not say that they do
    off = abs(done.measured.diameter_mm - 8) > 1
    assert done.within_tolerance is (done.note == "")
    assert not (off and done.within_tolerance)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"width": 6}, "do not fit the networks of this version"),
        ({"kind": "paper"}, "do not fit the networks"),
        ({"colour": 3}, "do not fit the networks .*colour"),
    ],
)
def test_weights_that_do_not_fit_are_refused(tmp_path, config, message):
    small = {"width": 4, "segmenter_width": 2, "critic_width": 4}
    networks = MCGANNetworks(PRESETS["tiny"])
    path = tmp_path / "odd.safetensors"
    save_weights(path, "mcgan", {**small, **config}, networks.state_dict())
    with pytest.raises(LungSynthError, match=rf"odd.safetensors: the weights {message}"):
        load_synthesizer("mcgan", weights=path, device="cpu")


def test_starting_from_weights_of_another_preset_is_refused(weights_file, make_recipe, mcgan):
    own, other = ("tiny", "paper-tiny")[:: 1 if weights_file.stem == "tiny" else -1]
    made = make_recipe(own, seed=5)
    made.load_weights(mcgan.networks)
    name = "generator.out.weight"
    assert torch.equal(made.networks.state_dict()[name], mcgan.networks.state_dict()[name])
    with pytest.raises(LungSynthError, match=r"of another preset"):
        make_recipe(other).load_weights(mcgan.networks)


def test_a_gpu_that_is_not_there_is_refused_before_reading(tmp_path, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(LungSynthError, match=r"'cuda' asked for"):
        load_synthesizer("mcgan", weights=tmp_path / "none.safetensors", device="cuda")
