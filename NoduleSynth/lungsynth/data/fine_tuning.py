"""How a CT in-painter goes on from weights, by how many nodules there are to learn from."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import log
from typing import Any

from torch import nn


@dataclass(frozen=True)
class FineTuning:
    """How to go on from weights; all ours.

    Args:
        nodules: For about how many.
        steps: In all.
        rate: Of the generator's usual learning rate.
        head_start: First steps in which the generator stands still: its critics, which are not
            stored with weights, begin from nothing, and would only spoil it.
        frozen: Parameters of the networks whose names hold one of these do not learn.
    """

    nodules: int
    steps: int
    rate: float
    head_start: int
    frozen: tuple[str, ...]


FINE_TUNING: dict[str, FineTuning] = {
    # what context looks like, and what a nodule's outline is, 20 examples cannot say anew
    "small": FineTuning(20, 400, 0.2, 100, (".down.", ".narrow.", "segmenter.")),
    "medium": FineTuning(100, 1500, 0.4, 150, ("segmenter.",)),
    "large": FineTuning(1000, 4000, 0.7, 200, ()),
}


def chosen(wanted: str, nodules: int) -> str:
    """Return the name of the plan that is wanted, or for "auto" that for the nearest number."""
    if wanted != "auto":
        return wanted
    distance = {name: abs(log(max(nodules, 1) / p.nodules)) for name, p in FINE_TUNING.items()}
    return min(distance, key=lambda name: distance[name])


def fine_tuned(config: Any, plan: FineTuning) -> Any:  # noqa: ANN401 - of any such system
    """Return a configuration that goes on as a plan says: without what is for untrained networks.

    Of the fields named here those are changed that the configuration has.
    """
    changes: dict[str, float] = {
        "total_steps": plan.steps,
        "decay_steps": plan.steps // 4,
        "promise_start": 0,
        "class_start": plan.head_start,
    }
    for rate in ("generator_learning_rate", "learning_rate"):
        changes[rate] = plan.rate * getattr(config, rate, 0)
    changes["l1_weight_start"] = getattr(config, "l1_weight_end", 0)
    return replace(config, **{k: v for k, v in changes.items() if hasattr(config, k)})


def freeze(networks: nn.Module, plan: FineTuning) -> None:
    """Keep from learning what a plan says."""
    for name, parameter in networks.named_parameters():
        if any(part in name for part in plan.frozen):
            parameter.requires_grad_(False)
