"""Adversarial losses, one function for each equation.

[lsgan] Mao et al., Least Squares Generative Adversarial Networks, ICCV 2017, Eq. 9 with a = 0 and
b = c = 1.
[r1] Mescheder et al., Which Training Methods for GANs do actually Converge?, ICML 2018, Eq. 9.
[rgan] Jolicoeur-Martineau, The relativistic discriminator, arXiv:1807.00734v3, Eqs. 4 and 5.
[wgangp] Gulrajani et al., Improved Training of Wasserstein GANs, NeurIPS 2017, Eq. 3.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.functional import softplus


def discriminator_least_squares_loss(real_scores: Tensor, fake_scores: Tensor) -> Tensor:
    """Return V(D) of [lsgan, Eq. 9]: half the squared distance to 1 for real, to 0 for fake."""
    return 0.5 * (real_scores - 1).square().mean() + 0.5 * fake_scores.square().mean()


def generator_least_squares_loss(fake_scores: Tensor) -> Tensor:
    """Return V(G) of [lsgan, Eq. 9]: half the squared distance of the fake scores to 1."""
    return 0.5 * (fake_scores - 1).square().mean()


def critic_wasserstein_loss(real_scores: Tensor, fake_scores: Tensor) -> Tensor:
    """Return the critic's part of [wgangp, Eq. 3] without the penalty: E[D(fake)] - E[D(real)]."""
    return fake_scores.mean() - real_scores.mean()


def generator_wasserstein_loss(fake_scores: Tensor) -> Tensor:
    """Return the generator's Wasserstein loss: -E[D(fake)]."""
    return -fake_scores.mean()


def gradient_penalty(
    critic: Callable[[Tensor], Tensor], real: Tensor, fake: Tensor, mix: Tensor
) -> Tensor:
    """Return the penalty of [wgangp, Eq. 3] without its weight: E[(|grad D(x)| - 1)^2].

    Args:
        critic: From a batch to scores, any shape that starts with the batch.
        real: Batch (B, ...).
        fake: Batch of the same shape.
        mix: Where between fake (0) and real (1) each item's x lies, shape (B,), drawn from U[0, 1].
    """
    weight = mix.view(-1, *[1] * (real.ndim - 1))
    between = (weight * real + (1 - weight) * fake).detach().requires_grad_()
    (gradient,) = torch.autograd.grad(critic(between).sum(), between, create_graph=True)
    penalty: Tensor = (gradient.flatten(1).norm(dim=1) - 1).square().mean()
    return penalty


def discriminator_relativistic_loss(real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    """Return [rgan, Eq. 4]: the real one of each pair shall score above its fake one.

    Args:
        real_logits: Any shape.
        fake_logits: Same shape, each one's partner in its place.
    """
    return softplus(fake_logits - real_logits).mean()


def generator_relativistic_loss(real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    """Return [rgan, Eq. 5]: the fake one of each pair shall score above its real one."""
    return softplus(real_logits - fake_logits).mean()


def zero_centred_penalty(scores: Tensor, real: Tensor) -> Tensor:
    """Return R1 of [r1, Eq. 9] without gamma / 2: the mean squared norm of the gradient at real.

    The same at fake ones is that paper's R2.

    Args:
        scores: One for each item, (B,), computed from ``real``.
        real: Batch (B, ...) that requires a gradient.
    """
    (gradient,) = torch.autograd.grad(scores.sum(), real, create_graph=True)
    return gradient.float().flatten(1).square().sum(dim=1).mean()
