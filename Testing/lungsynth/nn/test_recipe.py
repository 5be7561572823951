"""The base of recipes: parts of a batch, shares of processes, rates, averages."""

from types import SimpleNamespace

import pytest
import torch
from torch import nn

from lungsynth.nn.recipe import NetworkRecipe, frozen, kept_if_one, mean_gradients, update_average


class Fabric:
    """One process of several, each with gradients twice those of the one before."""

    def __init__(self, rank=0, world_size=1):
        self.global_rank, self.world_size = rank, world_size

    def backward(self, loss):
        loss.backward()

    def setup_optimizers(self, optimizer):
        return optimizer

    def clip_gradients(self, module, optimizer, *, max_norm, error_if_nonfinite):
        assert not error_if_nonfinite
        assert [*module.parameters()] == optimizer.param_groups[0]["params"]
        nn.utils.clip_grad_norm_(module.parameters(), max_norm)

    def all_reduce(self, tensor, reduce_op):
        assert reduce_op == "mean"
        return tensor * sum(2.0**n for n in range(self.world_size)) / self.world_size


class Slope(NetworkRecipe):
    stateful = ("networks",)

    def __init__(self, fabric):
        super().__init__(SimpleNamespace(total_steps=100), fabric)
        self.networks = nn.Linear(1, 1, bias=False)
        nn.init.constant_(self.networks.weight, 1.0)
        self.sgd = torch.optim.SGD(self.networks.parameters(), 0.25)

    def step(self, rng):
        raise NotImplementedError

    def data_summary(self):
        raise NotImplementedError

    def save_weights(self, path):
        raise NotImplementedError


def squares(recipe):
    def losses_of(part):
        loss = recipe.networks(part).square().mean()
        return loss, {"square": loss, "items": torch.tensor(float(len(part)))}

    return losses_of


def test_a_step_over_parts_is_that_over_the_whole():
    """By hand: loss w^2 mean(x^2), x = 1 2 3 4: mean 7.5, gradient 15, w = 1 - 0.25 * 15."""
    x = torch.tensor([[1.0], [2], [3], [4]])
    for parts, items in (([x], 4), ([x[:2], x[2:]], 2)):
        made = Slope(Fabric())
        logged = made.descend_over(made.sgd, parts, squares(made))

        assert made.networks.weight.item() == -2.75
        assert {k: v.item() for k, v in logged.items()} == {"square": 7.5, "items": items}
        assert not logged["square"].requires_grad


def test_processes_step_down_the_mean_of_their_gradients():
    """Two with gradients 2 and 4: 3; the rate is 0.25, half of it with a factor of a half."""
    for factor, expected in ((1.0, 0.25), (0.5, 0.625)):
        made = Slope(Fabric(world_size=2))
        made.rate_factor = factor
        made.descend(made.sgd, made.networks(torch.ones(1, 1)).square().mean())

        assert made.networks.weight.item() == expected
        assert made.sgd.param_groups[0]["lr"] == 0.25


def test_the_mean_of_all_processes_is_cut_not_each_gradient():
    """Gradients 2 and 4, mean 3: cut to 2.5; each cut by itself they would be 2 and 2.5."""
    for largest, expected in ((2.5, 1 - 0.25 * 2.5), (3.5, 0.25)):
        made = Slope(Fabric(world_size=2))
        loss = made.networks(torch.ones(1, 1)).square().mean()
        made.descend(made.sgd, loss, largest_gradient=largest)

        assert made.networks.weight.item() == pytest.approx(expected, rel=1e-5)


def test_gradients_of_several_parameters_keep_their_places():
    one, two, unused = (nn.Parameter(torch.zeros(shape)) for shape in ((2, 3), (4,), (1,)))
    one.grad, two.grad = torch.arange(6.0).view(2, 3), torch.arange(4.0) + 10
    mean_gradients(Fabric(world_size=3), [one, unused, two])  # (1 + 2 + 4) / 3

    torch.testing.assert_close(one.grad, torch.arange(6.0).view(2, 3) * 7 / 3)
    torch.testing.assert_close(two.grad, (torch.arange(4.0) + 10) * 7 / 3)
    assert unused.grad is None


def test_each_process_takes_its_own_items():
    drawn = list(range(6))
    assert [drawn[Slope(Fabric(rank, 3)).own_part(2)] for rank in range(3)] == [
        [0, 1],
        [2, 3],
        [4, 5],
    ]


@pytest.mark.parametrize(
    ("step", "rate"), [(0, 0.8), (60, 0.8), (80, 0.4), (90, 0.2), (99, 0.08), (100, 0.08)]
)
def test_rates_fall_to_a_tenth_over_the_last_steps(step, rate):
    made = Slope(Fabric())
    made.step_count = step
    made.decay_rates({made.sgd: 0.8}, last_steps=40)

    assert made.sgd.param_groups[0]["lr"] == pytest.approx(rate)


def test_what_is_made_is_kept_for_one_part_only():
    made = []
    make = lambda part: made.append(part) or len(made)  # noqa: E731
    kept = kept_if_one(make, ["a"])
    assert (kept("a"), kept("a"), made) == (1, 1, ["a"])
    again = kept_if_one(make, ["b", "c"])
    assert (again("b"), again("c"), again("b")) == (2, 3, 4)


def test_frozen_parameters_are_as_they_were_afterwards():
    """One that had no gradient before has none after, also when the block fails."""
    module = nn.Linear(2, 2)
    module.bias.requires_grad_(False)

    with pytest.raises(KeyError), frozen(module):
        assert not module.weight.requires_grad
        raise KeyError
    assert module.weight.requires_grad
    assert not module.bias.requires_grad


@pytest.mark.parametrize(("step", "kept"), [(0, 0.1), (8, 0.5), (10_000, 0.9)])
def test_the_average_forgets_its_start(step, kept):
    """min(0.9, (1 + n) / (10 + n)) of 4 stays, and the rest is 2."""
    average, networks = nn.Linear(1, 1, bias=False), nn.Linear(1, 1, bias=False)
    nn.init.constant_(average.weight, 4.0)
    nn.init.constant_(networks.weight, 2.0)
    update_average(average, networks, 0.9, step)

    assert average.weight.item() == pytest.approx(2 + 2 * kept)
