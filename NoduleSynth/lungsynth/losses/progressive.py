"""Losses of progressively grown networks, one function for each equation.

[1] Karras et al., Progressive Growing of GANs, ICLR 2018, arXiv:1710.10196v3, appendix A.1.
[2] Goodfellow et al., Generative Adversarial Networks, NeurIPS 2014, Eq. 1 and
section 3.

The Wasserstein loss and its penalty are those of ``losses.adversarial``.
"""

from __future__ import annotations

from torch import Tensor
from torch.nn.functional import softplus


def drift_penalty(real_scores: Tensor) -> Tensor:
    """Return E[D(x)^2] of [1, A.1], which keeps the scores near 0; its weight is not in it."""
    return real_scores.square().mean()


def discriminator_logistic_loss(real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    """Return minus V of [2, Eq. 1]: -E[log s(D(x))] - E[log(1 - s(D(G(z))))]."""
    return softplus(-real_logits).mean() + softplus(fake_logits).mean()


def generator_logistic_loss(fake_logits: Tensor) -> Tensor:
    """Return the non-saturating loss of [2, section 3]: -E[log s(D(G(z)))]."""
    return softplus(-fake_logits).mean()
