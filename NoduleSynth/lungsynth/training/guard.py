"""A watch over the health of a GAN: numbers that are none, saturated critics, collapsed modes.

What it looks at is what a recipe offers: ``critic_chance`` (losses of critics, and what each is
where the critic cannot tell real from drawn) and ``draw_variants``. Losses that are not finite
numbers end the step in ``training.loop``, whatever the recipe.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

VARIANTS = 6


class Varied(Protocol):
    """A recipe whose networks may be asked for the same thing several times."""

    def draw_variants(
        self, rng: np.random.Generator, count: int
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return what is drawn from one condition with other noise each time, and real ones.

        Both (count, ...), on one scale; the real ones are of any conditions. The next training
        step is the same, whether this was called or not.
        """


@dataclass(frozen=True)
class GuardConfig:
    """When the watch speaks; all ours.

    Args:
        window_steps: Over which losses are averaged.
        saturated_part: A critic whose mean loss is under this part of what chance gives cannot be
            fooled, and so teaches nothing.
        collapsed_part: What is drawn from other noise differs by less than this part of what real
            ones differ: the noise is not heeded. (A healthy default MCGAN: 0.14 to 0.23.)
        settled_step: Before it nothing is called collapsed, for the untrained heed no noise yet.
    """

    window_steps: int = 200
    saturated_part: float = 0.05
    collapsed_part: float = 0.02
    settled_step: int = 500


class Guard:
    """Watches the losses of each step, and at times the diversity of what is drawn.

    Args:
        recipe: Which is watched.
        config: When it speaks.
    """

    def __init__(self, recipe: Any, config: GuardConfig = GuardConfig()) -> None:  # noqa: ANN401 - any recipe
        self.recipe, self.config = recipe, config
        self.chance: Mapping[str, float] = getattr(recipe, "critic_chance", {})
        self.means = dict(self.chance)
        self.steps = 0

    def look_at(self, losses: Mapping[str, float]) -> str:
        """Take in the losses of a step; return what is wrong, or nothing.

        What was said is said again after another window at the earliest.
        """
        config = self.config
        self.steps += 1
        part = 1 / config.window_steps
        for name in self.means:
            self.means[name] += part * (losses.get(name, self.chance[name]) - self.means[name])
        low = [
            name
            for name, mean in self.means.items()
            if mean < config.saturated_part * self.chance[name]
        ]
        if not low or self.steps < config.window_steps:
            return ""
        self.steps = 0
        numbers = ", ".join(
            f"{name} is {self.means[name]:.3g} ({self.chance[name]:.3g} where it cannot tell)"
            for name in low
        )
        return f"a critic is saturated and teaches the generator nothing: {numbers}"

    def look_at_diversity(self, diversity: float | None, step: int) -> str:
        """Take in how far drawn variants differ; return what is wrong, or nothing."""
        config = self.config
        if diversity is None or step < config.settled_step or diversity >= config.collapsed_part:
            return ""
        return (
            "the modes have collapsed: what is drawn from other noise differs by "
            f"{100 * diversity:.2g} % of what real ones differ (below "
            f"{100 * config.collapsed_part:g} %)"
        )

    def state_dict(self) -> dict[str, Any]:
        """Return everything that the next look depends on."""
        return {"means": dict(self.means), "steps": self.steps}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take up where ``state_dict`` was called."""
        self.means = {name: float(state["means"].get(name, c)) for name, c in self.chance.items()}
        self.steps = int(state["steps"])


def measured_diversity(recipe: Any, count: int = VARIANTS) -> float | None:  # noqa: ANN401 - any recipe
    """Return how far drawn variants differ as a part of what real ones differ; None if unknown."""
    if not hasattr(recipe, "draw_variants"):
        return None
    varied: Varied = recipe
    drawn, real = varied.draw_variants(np.random.default_rng(0), count)
    return mean_pairwise_distance(drawn) / max(mean_pairwise_distance(real), 1e-12)


def mean_pairwise_distance(items: NDArray[np.float32]) -> float:
    """Return the mean absolute difference of all pairs among items (N, ...), N at least 2."""
    flat = items.reshape(len(items), -1).astype(np.float64)
    pairs = [np.abs(flat[i] - flat[j]).mean() for i in range(len(flat)) for j in range(i)]
    return float(np.mean(pairs))
