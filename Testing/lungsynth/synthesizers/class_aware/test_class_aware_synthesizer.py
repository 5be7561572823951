"""Class-aware synthesis with weights, from its file to voxels in a volume."""

import hashlib
from dataclasses import asdict

import numpy as np
import pytest
import torch

from lungsynth.core.errors import LungSynthError
from lungsynth.core.nodule import NoduleSpec, Seed
from lungsynth.core.volume import Volume
from lungsynth.imaging.insertion import insert
from lungsynth.nn.weights import save_weights
from lungsynth.synthesizers import load_synthesizer
from lungsynth.synthesizers.class_aware.config import PRESETS
from lungsynth.synthesizers.class_aware.networks import ClassAwareNetworks


@pytest.fixture(scope="module", params=["tiny", "paper-tiny"])
def weights_file(request, make_recipe, tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / f"{request.param}.safetensors"
    make_recipe(request.param).save_weights(path)
    return path


@pytest.fixture
def class_aware(weights_file):
    return load_synthesizer("class-aware", weights=weights_file, device="cpu")


def cubes(count):
    rng = np.random.default_rng(0)
    return rng.normal(-840, 40, (count, 64, 64, 64)).astype(np.float32)


SPECS = [
    NoduleSpec(8.0, malignancy="benign", latent_seed=1),
    NoduleSpec(15.0, "ground-glass", latent_seed=2),
]


def test_weights_of_a_recipe_are_those_that_are_used(class_aware, weights_file, make_recipe):
    trained = make_recipe(weights_file.stem).trained_networks().state_dict()
    loaded = class_aware.networks.state_dict()

    assert trained.keys() == loaded.keys()
    for name, value in trained.items():
        assert torch.equal(loaded[name], value.half().float()), name
    sha256 = hashlib.sha256(weights_file.read_bytes()).hexdigest()
    assert (class_aware.weights_sha256, class_aware.name) == (sha256, "class-aware")


def test_same_spec_same_voxels_in_whatever_batch(class_aware):
    context, sides = cubes(2), [class_aware.box_mm(s.diameter_mm) for s in SPECS]
    both = class_aware.inpaint(context, SPECS, sides)
    alone = class_aware.inpaint(context[1:], SPECS[1:], sides[1:])

    assert both.hu.shape == both.mask.shape == (2, 32, 32, 32)
    assert both.hu.dtype == both.mask.dtype == np.float32
    np.testing.assert_array_equal(both.hu[1], alone.hu[0])
    np.testing.assert_array_equal(both.mask[1], alone.mask[0])
    assert both.details[1] == alone.details[0]


def test_malignancy_and_seed_are_heard(class_aware):
    context = cubes(1)
    others = [
        NoduleSpec(8.0, malignancy="malignant", latent_seed=1),
        NoduleSpec(8.0, malignancy="benign", latent_seed=7),
    ]
    one = class_aware.inpaint(context, SPECS[:1], [15.8])
    for other in others:
        two = class_aware.inpaint(context, [other], [15.8])
        assert (one.hu != two.hu).any()


def test_what_was_drawn_is_recorded(class_aware):
    asked, left_open = class_aware.inpaint(cubes(2), SPECS, [15.8, 27.0]).details

    assert (asked["malignancy"], asked["malignancy_from"]) == ("benign", "asked")
    assert 1 <= float(asked["malignancy_rating"]) <= 2
    assert left_open["malignancy_from"] == "drawn"
    assert 1 <= float(left_open["malignancy_rating"]) <= 5
    assert -799 <= float(left_open["drawn_mean_hu"]) <= -534


def test_weights_work_from_end_to_end(class_aware):
    voxels = np.rint(np.random.default_rng(1).normal(-840, 30, (50, 70, 70))).astype(np.int16)
    volume = Volume(voxels, np.diag([-0.8, -0.8, 1.5, 1.0]))
    spec = NoduleSpec(8.0, malignancy="malignant", latent_seed=3)
    seeds = [Seed((-28.0, -27.0, 37.0), spec)]
    one, two = (insert(volume, seeds, class_aware) for _ in range(2))

    np.testing.assert_array_equal(one.volume.voxels, two.volume.voxels)
    (done,) = one.insertions
    outside = np.ones(voxels.shape, bool)
    outside[done.slices] = False
    np.testing.assert_array_equal(one.volume.voxels[outside], voxels[outside])
    assert (one.volume.voxels != voxels).any()
    assert done.details["malignancy"] == "malignant"
    assert done.within_tolerance is (done.note == "")


@pytest.mark.parametrize(
    ("system", "config", "message"),
    [
        ("class-aware", {"width": 6}, "the weights do not fit the networks of this version"),
        ("class-aware", {"kind": "paper"}, "the weights do not fit the networks"),
        ("class-aware", {"colour": 3}, "the weights do not fit the networks .*colour"),
        ("mcgan", {}, "weights of 'mcgan'.*'class-aware' .* needed"),
    ],
)
def test_weights_that_do_not_fit_are_refused(tmp_path, system, config, message):
    networks = ClassAwareNetworks(PRESETS["tiny"])
    path = tmp_path / "odd.safetensors"
    save_weights(path, system, {**asdict(PRESETS["tiny"]), **config}, networks.state_dict())
    with pytest.raises(LungSynthError, match=rf"odd.safetensors: {message}"):
        load_synthesizer("class-aware", weights=path, device="cpu")


def test_starting_from_weights_of_another_preset_is_refused(weights_file, make_recipe, class_aware):
    own, other = ("tiny", "paper-tiny")[:: 1 if weights_file.stem == "tiny" else -1]
    made = make_recipe(own, seed=5)
    made.load_weights(class_aware.networks)
    name = next(iter(class_aware.networks.state_dict()))
    assert torch.equal(made.networks.state_dict()[name], class_aware.networks.state_dict()[name])
    with pytest.raises(LungSynthError, match=r"of another preset"):
        make_recipe(other).load_weights(class_aware.networks)
