"""Losses of grown networks match values computed by hand."""

import math

import torch

from lungsynth.losses.progressive import (
    discriminator_logistic_loss,
    drift_penalty,
    generator_logistic_loss,
)


def test_drift_is_the_mean_square_of_real_scores():
    torch.testing.assert_close(drift_penalty(torch.tensor([3.0, -1.0])), torch.tensor(5.0))


def test_logistic_losses_are_minus_log_probabilities():
    real, fake = torch.tensor([math.log(3)]), torch.tensor([-math.log(4)])  # 3/4 and 1/5 real

    expected = -math.log(3 / 4) - math.log(4 / 5)
    torch.testing.assert_close(discriminator_logistic_loss(real, fake), torch.tensor(expected))
    torch.testing.assert_close(generator_logistic_loss(fake), torch.tensor(math.log(5)))


def test_critic_at_chance_loses_two_log_two():
    nothing = torch.zeros(3)

    torch.testing.assert_close(
        discriminator_logistic_loss(nothing, nothing), torch.tensor(2 * math.log(2))
    )
