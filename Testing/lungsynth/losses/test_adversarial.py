"""Adversarial losses against values done by hand."""

import math

import pytest
import torch

from lungsynth.losses import adversarial as losses


def t(*values):
    return torch.tensor(values, dtype=torch.float64)


def sigmoid(x):
    return 1 / (1 + math.exp(-x))


def close(found, expected):
    torch.testing.assert_close(found, torch.tensor(expected, dtype=found.dtype))


@pytest.mark.parametrize(
    ("real", "fake", "expected"),
    [((1.0,), (0.0,), 0.0), ((0.0,), (1.0,), 1.0), ((3.0, 1.0), (-1.0, 2.0), 1.0 + 1.25)],
)
def test_least_squares_discriminator(real, fake, expected):
    close(losses.discriminator_least_squares_loss(t(*real), t(*fake)), expected)


@pytest.mark.parametrize(("fake", "expected"), [((1.0,), 0.0), ((0.0,), 0.5), ((3.0, -1.0), 2.0)])
def test_least_squares_generator(fake, expected):
    close(losses.generator_least_squares_loss(t(*fake)), expected)


def test_wasserstein_losses_have_their_signs():
    close(losses.critic_wasserstein_loss(t(3.0, 1.0), t(-4.0, 2.0)), -3.0)
    close(losses.generator_wasserstein_loss(t(-4.0, 2.0)), 1.0)


@pytest.mark.parametrize(("real", "fake"), [(3.0, -3.0), (0.0, 0.0), (-1.0, 2.0)])
def test_relativistic_losses_are_minus_the_log_of_the_sigmoid_of_the_difference(real, fake):
    close(losses.discriminator_relativistic_loss(t(real), t(fake)), -math.log(sigmoid(real - fake)))
    close(losses.generator_relativistic_loss(t(real), t(fake)), -math.log(sigmoid(fake - real)))


def test_relativistic_losses_compare_each_fake_with_its_own_partner():
    """The mean of the real ones against the mean of the fake ones would give log 2 here."""
    expected = (math.log1p(math.exp(10)) + math.log1p(math.exp(-10))) / 2
    close(losses.discriminator_relativistic_loss(t(5.0, -5.0), t(-5.0, 5.0)), expected)


def test_gradient_penalty_of_a_linear_critic_is_in_closed_form():
    """The gradient of w.x is w wherever it is taken: (|w| - 1)^2, the same for each item."""
    weight = torch.randn(1, 4, 4, 4, dtype=torch.float64)
    real, fake = torch.randn(2, 3, 1, 4, 4, 4, dtype=torch.float64)
    found = losses.gradient_penalty(
        lambda x: (weight * x).flatten(1).sum(1), real, fake, t(0.1, 0.5, 0.9)
    )

    close(found, (float(weight.norm()) - 1) ** 2)


def test_gradient_penalty_agrees_with_finite_differences():
    def critic(x):
        return torch.sin(x).prod(dim=1) + (x**3).sum(dim=1)

    torch.manual_seed(2)
    real, fake = torch.randn(2, 4, 3, dtype=torch.float64)
    mix = t(0.0, 0.25, 0.6, 1.0)
    between = mix[:, None] * real + (1 - mix[:, None]) * fake
    step = 1e-6 * torch.eye(3, dtype=torch.float64)
    slopes = [(critic(between + s) - critic(between - s)) / 2e-6 for s in step]
    expected = (torch.stack(slopes).norm(dim=0) - 1).square().mean()

    torch.testing.assert_close(
        losses.gradient_penalty(critic, real, fake, mix), expected, rtol=1e-6, atol=1e-8
    )


def test_gradient_penalty_takes_real_at_one_and_fake_at_zero():
    """For x^2 / 2 the gradient is x itself."""
    real, fake = t(5.0)[:, None], t(2.0)[:, None]

    def half_square(x):
        return (x**2 / 2).sum(1)

    close(losses.gradient_penalty(half_square, real, fake, t(1.0)), 16.0)
    close(losses.gradient_penalty(half_square, real, fake, t(0.0)), 1.0)


def test_gradient_penalty_trains_the_critic_not_the_images():
    weight = t(3.0).requires_grad_()
    fake = t(2.0)[:, None].requires_grad_()
    losses.gradient_penalty(lambda x: (weight * x).sum(1), t(5.0)[:, None], fake, t(0.5)).backward()

    close(weight.grad, [4.0])  # d/dw (|w| - 1)^2
    assert fake.grad is None


def test_r1_of_a_linear_and_of_a_quadratic_critic():
    weight = t(1.0, -2.0, 3.0)
    real = t(1.0, 2.0, 3.0, 4.0, 0.0, -1.0).view(2, 3).requires_grad_()

    close(losses.zero_centred_penalty(real @ weight, real), 14.0)
    close(losses.zero_centred_penalty(real.square().sum(1), real), (4 * 14 + 4 * 17) / 2)


def test_r1_trains_the_critic():
    weight = t(3.0).requires_grad_()
    real = t(5.0, 7.0)[:, None].requires_grad_()
    losses.zero_centred_penalty((weight * real).sum(1), real).backward()

    close(weight.grad, [6.0])
