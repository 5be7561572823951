"""The losses of class-aware lung nodule synthesis, one function for each equation.

[1] Yang et al., Class-Aware Adversarial Lung Nodule Synthesis in CT Images, ISBI 2019,
arXiv:1812.11204v1, Eqs. 1 to 5.

Signs: as printed, Eqs. 4 and 5 would have the critics lower what Eq. 2 has them raise (and raise
their own gradient penalty). Everything here is to be lowered, so L_adv enters Eq. 4 with a minus
and Eq. 5 with a plus.
"""

from __future__ import annotations

from torch import Tensor
from torch.nn.functional import cross_entropy

FAKE, BENIGN, MALIGNANT = 0, 1, 2
"""The classes c' of [1, Eq. 3]."""


def reconstruction_loss(filled: Tensor, real: Tensor, mask: Tensor, global_weight: float) -> Tensor:
    """Return L_recon of [1, Eq. 1]: L1 over the masked area plus that over the entire patch.

    Args:
        filled: What a generator gave, (B, 1, D, H, W).
        real: Same shape.
        mask: Where the noise was, 0 to 1, same shape.
        global_weight: lambda_1.
    """
    distance = (filled - real).abs()
    masked = (distance * mask).sum() / mask.expand_as(distance).sum()
    return masked + global_weight * distance.mean()


def adversarial_value(
    real_scores: Tensor, fake_scores: Tensor, penalty: Tensor, penalty_weight: float
) -> Tensor:
    """Return L_adv of [1, Eq. 2], which a critic raises: real above fake, less the penalty.

    Args:
        real_scores: D(x), any shape.
        fake_scores: D(G(x_masked, z, c)), any shape.
        penalty: E[(|grad D| - 1)^2], see ``adversarial.gradient_penalty``.
        penalty_weight: lambda_gp.
    """
    return real_scores.mean() - fake_scores.mean() - penalty_weight * penalty


def class_loss(class_logits: Tensor, target: Tensor) -> Tensor:
    """Return L_cls of [1, Eq. 3]: E[-log D_cls(c' | x)].

    Args:
        class_logits: (B, 3): fake, benign, malignant.
        target: c' (B,), or probabilities of the classes (B, 3) where readers are undecided.
    """
    return cross_entropy(class_logits.float(), target)


def critic_objective(adversarial: Tensor, classes: Tensor, class_weight: float) -> Tensor:
    """Return L_D of [1, Eq. 4] to be lowered: -L_adv + lambda_cls L_cls."""
    return -adversarial + class_weight * classes


def generator_objective(
    adversarial: Tensor,
    classes: Tensor,
    reconstruction: Tensor,
    class_weight: float,
    reconstruction_weight: float,
) -> Tensor:
    """Return L_G of [1, Eq. 5] to be lowered: L_adv + lambda_cls L_cls + lambda_recon L_recon.

    Args:
        adversarial: What of Eq. 2 depends on the generator: -E[D(G(x_masked, z, c))].
        classes: L_cls of its patches with the class that was asked as c'.
        reconstruction: Sum of Eq. 1 over both generators.
        class_weight: lambda_cls^(G).
        reconstruction_weight: lambda_recon.
    """
    return adversarial + class_weight * classes + reconstruction_weight * reconstruction
