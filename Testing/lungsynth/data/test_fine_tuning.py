"""Plans of going on from weights: which is taken, and what it changes."""

import numpy as np
import pytest
import torch
from torch import nn

from lungsynth.data.fine_tuning import FINE_TUNING, chosen, fine_tuned, freeze
from lungsynth.data.nodule_cubes import NoduleCubes
from lungsynth.data.voi_batches import NoduleVoiSampler
from lungsynth.synthesizers.mcgan.config import PRESETS
from lungsynth.synthesizers.mcgan.paper import PAPER_PRESETS
from lungsynth.synthesizers.mcgan.paper_recipe import PaperRecipe
from lungsynth.synthesizers.mcgan.recipe import MCGANRecipe
from lungsynth.training.loop import rng_for_step


@pytest.mark.parametrize(
    ("nodules", "name"),
    [
        *((1, "small"), (20, "small"), (44, "small")),
        *((45, "medium"), (100, "medium"), (316, "medium")),
        *((317, "large"), (1000, "large"), (50_000, "large")),
    ],
)
def test_auto_takes_the_plan_for_the_nearest_number(nodules, name):
    assert chosen("auto", nodules) == name
    assert chosen("large", nodules) == "large"


def test_what_is_for_untrained_networks_is_left_out():
    config = fine_tuned(PRESETS["default"], FINE_TUNING["small"])

    assert (config.total_steps, config.decay_steps, config.promise_start) == (400, 100, 0)
    assert config.generator_learning_rate == pytest.approx(6e-5)
    assert config.critic_learning_rate == PRESETS["default"].critic_learning_rate
    assert config.l1_weight_start == config.l1_weight_end == 0.05
    paper = fine_tuned(PAPER_PRESETS["paper"], FINE_TUNING["large"])
    assert (paper.total_steps, paper.learning_rate) == (4000, pytest.approx(1.4e-4))


def test_parameters_are_frozen_by_their_names():
    networks = nn.ModuleDict(
        {
            "generator": nn.ModuleDict({"down": nn.Linear(1, 1), "up": nn.Linear(1, 1)}),
            "segmenter": nn.ModuleDict({"out": nn.Linear(1, 1)}),
        }
    )
    learning = {}
    for name, plan in FINE_TUNING.items():
        networks.requires_grad_(True)
        freeze(networks, plan)
        learning[name] = {
            n.rpartition(".")[0] for n, p in networks.named_parameters() if p.requires_grad
        }

    assert learning["small"] == {"generator.up"}
    assert learning["medium"] == {"generator.up", "generator.down"}
    assert learning["large"] == {"generator.up", "generator.down", "segmenter.out"}


@pytest.fixture
def make(cubes_folder):
    from lightning_fabric import Fabric

    fabric = Fabric(accelerator="cpu", devices=1)
    fabric.launch()
    cubes = NoduleCubes.load(cubes_folder, "train")

    def recipe(preset):
        torch.manual_seed(0)
        if preset in PRESETS:
            config = PRESETS[preset]
            return MCGANRecipe(config, NoduleVoiSampler(cubes, config.box_mm), fabric)
        config = PAPER_PRESETS[preset]
        return PaperRecipe(config, NoduleVoiSampler(cubes, config.box_mm), fabric)

    return recipe


@pytest.mark.parametrize("preset", ["tiny", "paper-tiny"])
def test_critics_have_a_head_start_and_what_is_frozen_stays(make, preset):
    made = make(preset)
    assert made.fine_tune("auto") == "small"  # nine nodules
    before = {k: v.clone() for k, v in made.networks.state_dict().items()}
    critics = {k: v.clone() for k, v in made.critics.state_dict().items()}

    def moved():
        now = made.networks.named_parameters()
        return {name for name, value in now if not torch.equal(value, before[name])}

    losses = made.step(rng_for_step(0, 0))
    assert all(np.isfinite(value) for value in losses.values())
    assert moved() == set()
    assert any(not torch.equal(v, critics[k]) for k, v in made.critics.state_dict().items())
    made.step_count = 100
    made.step(rng_for_step(0, 100))
    after = moved()
    assert any(".up." in name for name in after)
    assert not [name for name in after if ".down." in name or name.startswith("segmenter.")]
    assert [group["lr"] for group in made.generator_adam.param_groups] == [
        pytest.approx(0.2 * (3e-4 if preset == "tiny" else 2e-4))
    ]


@pytest.mark.parametrize(("steps", "start"), [(None, 100), (40, 10), (4000, 100)])
def test_of_few_steps_a_quarter_is_the_head_start(make, steps, start):
    made = make("tiny")
    made.fine_tune("small", steps)

    assert made.generator_start == start


def test_what_learns_again_after_the_head_start_is_what_learnt_before(make):
    """The block that holds the generator must not thaw what the plan froze."""
    made = make("tiny")
    made.fine_tune("small")
    learning = {n for n, p in made.networks.named_parameters() if p.requires_grad}
    with made.head_start():
        assert not any(p.requires_grad for p in made.networks.generator.parameters())

    assert {n for n, p in made.networks.named_parameters() if p.requires_grad} == learning
