"""The latent vectors whose images are nearest to given ones, by gradient descent.

[1] Kim, Image synthesis and anomaly detection on chest radiographs using generative adversarial
networks, University of Ulsan, 2021, section 4.2.
[2] Schlegl et al., f-AnoGAN, Medical Image Analysis 54:30-44 (2019), Eq. 5.

Departures from [1], which gives neither optimizer nor number of steps: Adam, restarts, the stopping
rule, the weight of pixels, the feature loss (after [2]) and the length of the latent vectors are
(ours).
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from lungsynth.detectors.contracts import ImageGenerator

Features = Callable[[Tensor], Tensor]
"""From images (B, 1, S, S) to features (B, F), differentiable."""


@dataclass(frozen=True)
class InversionConfig:
    """How the latent vectors are searched; all (ours).

    Args:
        steps: At the most.
        restarts: Searches of each image, from as many places; the best counts.
        learning_rate: Of Adam, on entries that are standard normal; falls to a tenth by a cosine.
        feature_weight: Of the feature loss beside the residual loss; 0 leaves it out.
        patience: An image's search ends if for so many steps ...
        tolerance: ... its best loss has not fallen by this share of itself.
    """

    steps: int = 500
    restarts: int = 2
    learning_rate: float = 0.05
    feature_weight: float = 0.0
    patience: int = 60
    tolerance: float = 0.01

    def __post_init__(self) -> None:
        for name in ("steps", "restarts", "patience"):
            if getattr(self, name) < 1:
                msg = f"{name} must be at least 1; got {getattr(self, name)}"
                raise ValueError(msg)


PLAIN = InversionConfig()
"""As [1] does it: from anywhere in the latent space."""
FAST = InversionConfig(steps=40, restarts=1, patience=40)
"""From where an encoder says."""


@dataclass(eq=False)
class Inversion:
    """What a search found.

    Args:
        latents: (B, L), the best of all restarts and steps.
        images: Their images (B, 1, S, S).
        residual: Their residual losses (B,).
        steps: Steps that the search of each image took (B,).
        curve: The best residual loss so far, the mean over the images, after each step; begins
            with that of the starts.
        seconds: Since the search began, at each entry of ``curve``.
    """

    latents: Tensor
    images: Tensor
    residual: Tensor
    steps: Tensor
    curve: list[float] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)


def residual_loss(first: Tensor, second: Tensor, weight: Tensor) -> Tensor:
    """Return the mean pairwise squared error [1, section 4.2] of each pair of images (B,).

    With d = first - second it is the mean of (d_i - d_j)^2 over all pairs of pixels i != j, each
    pair weighted by w_i w_j; that is 2 (W sum(w d^2) - sum(w d)^2) / (W^2 - sum(w^2)), W = sum(w).
    So a difference in brightness of the whole image costs nothing.

    Args:
        first: Images (B, 1, S, S).
        second: The same.
        weight: How far each pixel counts, 0 to 1, same shape.
    """
    difference, w = (first - second).flatten(1), weight.flatten(1)
    total = w.sum(1)
    squares = (w * difference.square()).sum(1)
    pairs = (total.square() - w.square().sum(1)).clamp(min=1e-6)
    return 2 * (total * squares - (w * difference).sum(1).square()) / pairs


def draw_starts(latent_size: int, count: int, seeds: list[int]) -> Tensor:
    """Draw latent vectors (count, B, L), each image's from its own seed."""
    starts = [
        np.random.default_rng([seed, 0xA607A]).standard_normal((count, latent_size))
        for seed in seeds
    ]
    return torch.from_numpy(np.stack(starts, axis=1)).float()


def invert(
    generator: ImageGenerator,
    images: Tensor,
    weight: Tensor,
    starts: Tensor,
    config: InversionConfig,
    *,
    features: Features | None = None,
    on_step: Callable[[int], None] | None = None,
    stop: Callable[[], bool] = lambda: False,
) -> Inversion:
    """Search the latent vectors whose images are nearest.

    Each image is searched by itself: its result does not depend on the others of its batch.

    Args:
        generator: Of normal images; its parameters stay as they are.
        images: (B, 1, S, S) in [-1, 1].
        weight: How far each pixel counts, 0 to 1, same shape.
        starts: Latent vectors to start from, (R, B, L).
        config: How; its ``restarts`` is not looked at here.
        features: For the feature loss.
        on_step: Called with the steps done.
        stop: Asked after each step; True ends all searches there.
    """
    count, batch, size = starts.shape
    began = time.perf_counter()
    search = _Search(generator, images, weight, features, config.feature_weight)
    latents = starts.reshape(count * batch, size).clone()
    owner = torch.arange(batch, device=images.device).repeat(count)
    best = search.evaluate(latents, owner)
    best_latents, best_loss, best_residual = latents.clone(), best.loss, best.residual
    milestone, since = best_loss.clone(), torch.zeros_like(owner)
    steps, active = torch.zeros_like(owner), torch.ones_like(owner, dtype=torch.bool)
    first, second = torch.zeros_like(latents), torch.zeros_like(latents)
    gradient, outcome = best.gradient, Inversion(latents, latents, best_residual, steps)

    def note() -> None:
        least = best_residual.reshape(count, batch).amin(dim=0)
        outcome.curve.append(float(least.mean()))
        outcome.seconds.append(time.perf_counter() - began)

    note()
    for step in range(1, config.steps + 1):
        rows = active.nonzero()[:, 0]
        _adam(latents, (first, second), gradient, rows, (step, _rate(config, step)))
        found = search.evaluate(latents[rows], owner[rows])
        gradient = torch.zeros_like(latents)
        gradient[rows] = found.gradient
        steps[rows] += 1
        better = found.loss < best_loss[rows]
        at = rows[better]
        best_loss[at], best_residual[at] = found.loss[better], found.residual[better]
        best_latents[at] = latents[at]
        note()
        fallen = best_loss < (1 - config.tolerance) * milestone
        milestone = torch.where(fallen, best_loss, milestone)
        since = torch.where(fallen, 0, since + 1)
        active &= since < config.patience
        if on_step is not None:
            on_step(step)
        if stop() or not bool(active.any()):
            break
    winner = best_loss.reshape(count, batch).argmin(dim=0)
    rows = winner * batch + torch.arange(batch, device=winner.device)
    outcome.latents, outcome.residual = best_latents[rows], best_residual[rows]
    outcome.steps = steps.reshape(count, batch).amax(dim=0)
    with torch.no_grad():
        outcome.images = generator(outcome.latents)
    return outcome


@dataclass(frozen=True, eq=False)
class _Evaluation:
    loss: Tensor
    residual: Tensor
    gradient: Tensor


class _Search:
    """The losses of latent vectors and their gradients."""

    def __init__(
        self,
        generator: ImageGenerator,
        images: Tensor,
        weight: Tensor,
        features: Features | None,
        feature_weight: float,
    ) -> None:
        self.generator, self.images, self.weight = generator, images, weight
        self.features = features if feature_weight else None
        self.feature_weight = feature_weight
        if self.features is not None:
            with torch.no_grad():
                self.wanted = self.features(images)

    def evaluate(self, latents: Tensor, owner: Tensor) -> _Evaluation:
        """Return loss, residual loss (R,) and gradient (R, L) of latents (R, L) of images."""
        at = latents.detach().requires_grad_()
        drawn = self.generator(at)
        residual = residual_loss(drawn, self.images[owner], self.weight[owner])
        loss = residual
        if self.features is not None:
            error = (self.features(drawn) - self.wanted[owner]).square().mean(dim=1)
            loss = loss + self.feature_weight * error
        (gradient,) = torch.autograd.grad(loss.sum(), at)
        return _Evaluation(loss.detach(), residual.detach(), gradient)


def _rate(config: InversionConfig, step: int) -> float:
    part = 0.55 + 0.45 * math.cos(math.pi * (step - 1) / config.steps)
    return config.learning_rate * part


def _adam(
    latents: Tensor,
    moments: tuple[Tensor, Tensor],
    gradient: Tensor,
    rows: Tensor,
    when: tuple[int, float],
) -> None:
    """Take a step of Adam in some of the rows, in place.

    torch's own would step in all rows, and a gradient of zero still moves what has momentum.
    """
    step, rate = when
    first, second = moments
    g = gradient[rows]
    first[rows] = 0.9 * first[rows] + 0.1 * g
    second[rows] = 0.999 * second[rows] + 0.001 * g.square()
    mean, square = first[rows] / (1 - 0.9**step), second[rows] / (1 - 0.999**step)
    latents[rows] -= rate * mean / (square.sqrt() + 1e-8)
