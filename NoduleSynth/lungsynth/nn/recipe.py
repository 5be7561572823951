"""What recipes of any system share: state, optimizers, several processes, gradient accumulation.

A recipe says how a system is trained; what a run asks of one stands in ``training.loop``.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

Part = TypeVar("Part")
Made = TypeVar("Made")


class NetworkRecipe(ABC):
    """Base of recipes; a subclass makes networks and optimizers and says what a step does.

    Args:
        config: A frozen dataclass of plain values, ``total_steps`` among them.
        fabric: A launched ``lightning_fabric.Fabric``.
    """

    config: Any
    stateful: tuple[str, ...]
    """Attributes whose state the next step depends on."""
    learns_in_parts = False
    """Whether a step heeds ``accumulate``: draws that many times as much, and goes down the mean of
    the parts (``descend_over``)."""
    critic_chance: ClassVar[Mapping[str, float]] = {}
    """Losses that fall to nothing once a critic cannot be fooled, with the value of each where
    the critic cannot tell real from drawn; ``training.guard`` watches them."""

    def __init__(self, config: Any, fabric: Any) -> None:  # noqa: ANN401 - Fabric is optional
        self.config, self.fabric = config, fabric
        self.step_count = 0
        self.rate_factor = 1.0  # of every learning rate
        self.accumulate = 1  # parts that a batch is learnt from in; see ``learns_in_parts``

    @abstractmethod
    def step(self, rng: np.random.Generator) -> dict[str, float]:
        """Train on one batch drawn from ``rng`` and return the losses by name."""

    @abstractmethod
    def data_summary(self) -> dict[str, object]:
        """Return what it is trained on, as JSON can hold it."""

    @abstractmethod
    def save_weights(self, path: Path) -> None:
        """Write the networks to be used as safetensors."""

    def own_part(self, items: int) -> slice:
        """Return which items this process takes, when each takes ``items`` of those drawn for all.

        Every process draws ``items * fabric.world_size``, from the same generator.
        """
        first = int(self.fabric.global_rank) * items
        return slice(first, first + items)

    def adam(
        self, parameters: Iterable[nn.Parameter], rate: float, betas: tuple[float, float]
    ) -> Any:  # noqa: ANN401 - Fabric's wrapper of an optimizer
        """Return an Adam that steps as the precision asks."""
        return self.fabric.setup_optimizers(torch.optim.Adam(parameters, rate, betas))

    def descend(
        self,
        optimizer: Any,  # noqa: ANN401 - see ``adam``
        loss: Tensor,
        *,
        largest_gradient: float | None = None,
    ) -> None:
        """Take one step of an optimizer down a loss, the mean over all processes."""
        self.descend_over(
            optimizer, [loss], lambda whole: (whole, {}), largest_gradient=largest_gradient
        )

    def descend_over(
        self,
        optimizer: Any,  # noqa: ANN401 - see ``adam``
        parts: Sequence[Part],
        losses_of: Callable[[Part], tuple[Tensor, dict[str, Tensor]]],
        *,
        largest_gradient: float | None = None,
    ) -> dict[str, Tensor]:
        """Take one step down the mean of a loss over the parts of a batch, one after another.

        Args:
            optimizer: Which steps.
            parts: Of equal size; memory is needed for one at a time.
            losses_of: From a part to the loss and to what is logged.
            largest_gradient: Norm to which the gradient over all parameters is cut, if any.

        Returns:
            The mean of what is logged, detached.
        """
        optimizer.zero_grad()
        logged: dict[str, Tensor] = {}
        learns = False  # nothing is learnt where all is frozen
        for part in parts:
            loss, named = losses_of(part)
            if loss.requires_grad:
                learns = True
                self.fabric.backward(loss / len(parts) if len(parts) > 1 else loss)
            for name, value in named.items():
                share = value.detach() / len(parts)
                logged[name] = logged[name] + share if name in logged else share
        if learns:
            self._step(optimizer, largest_gradient)
        return logged

    def _step(self, optimizer: Any, largest_gradient: float | None) -> None:  # noqa: ANN401 - see ``adam``
        parameters = [p for group in optimizer.param_groups for p in group["params"]]
        if self.fabric.world_size > 1:
            mean_gradients(self.fabric, parameters)
        if largest_gradient is not None:
            # the mean is cut, not each process's own; Fabric takes half precision's scale off first
            self.fabric.clip_gradients(
                nn.ParameterList(parameters),
                optimizer,
                max_norm=largest_gradient,
                error_if_nonfinite=False,
            )
        with scaled_rates(optimizer, self.rate_factor):
            optimizer.step()

    def decay_rates(self, rates: Mapping[Any, float], last_steps: int) -> None:
        """Set learning rates by the step: over the last steps they fall to a tenth.

        Args:
            rates: From an optimizer to its rate before that.
            last_steps: How many steps before ``config.total_steps`` they begin to fall.
        """
        left = self.config.total_steps - self.step_count
        part = float(np.clip(left / last_steps, 0.1, 1.0))
        for optimizer, rate in rates.items():
            for group in optimizer.param_groups:
                group["lr"] = part * rate

    def state_dict(self) -> dict[str, Any]:
        """Return everything that the next step depends on."""
        parts = {name: getattr(self, name).state_dict() for name in self.stateful}
        return {"step_count": self.step_count, **parts}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take up where ``state_dict`` was called."""
        self.step_count = int(state["step_count"])
        for name in self.stateful:
            getattr(self, name).load_state_dict(state[name])


def mean_gradients(fabric: Any, parameters: Iterable[nn.Parameter]) -> None:  # noqa: ANN401 - Fabric is optional
    """Give every process the mean of the gradients of all, in one exchange.

    Torch's own wrapper of a module would hook into each backward pass; a recipe with gradient
    penalties has passes that are none of its business.
    """
    gradients = [p.grad for p in parameters if p.grad is not None]
    if not gradients:
        return
    flat = torch.cat([gradient.flatten() for gradient in gradients])
    flat = fabric.all_reduce(flat, reduce_op="mean")
    for gradient, mean in zip(gradients, flat.split([g.numel() for g in gradients]), strict=True):
        gradient.copy_(mean.view_as(gradient))


def kept_if_one(function: Callable[[Part], Made], parts: Sequence[Part]) -> Callable[[Part], Made]:
    """Return a function that keeps what it makes of a batch in one part.

    Of several parts none is kept: memory is needed for one at a time, and each is made again.
    """
    if len(parts) > 1:
        return function
    made = function(parts[0])
    return lambda _: made


@contextmanager
def frozen(*modules: nn.Module) -> Iterator[None]:
    """Keep gradients from the parameters of modules for the length of the block."""
    trained = [p for module in modules for p in module.parameters() if p.requires_grad]
    for parameter in trained:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in trained:
            parameter.requires_grad_(True)


@contextmanager
def scaled_rates(optimizer: Any, factor: float) -> Iterator[None]:  # noqa: ANN401 - Fabric's wrapper or torch's
    """Multiply the learning rates for the length of the block."""
    before = [group["lr"] for group in optimizer.param_groups]
    try:
        if factor != 1:
            for group in optimizer.param_groups:
                group["lr"] = group["lr"] * factor
        yield
    finally:
        for group, rate in zip(optimizer.param_groups, before, strict=True):
            group["lr"] = rate


@torch.no_grad()
def update_average(average: nn.Module, networks: nn.Module, decay: float, step: int) -> None:
    """Move a moving average of parameters towards those of the networks.

    Args:
        average: Of the same kind as ``networks``.
        networks: Which were just trained.
        decay: Part of the average that stays.
        step: Steps done; at first the memory is short, so that the untrained start is forgotten.
    """
    decay = min(decay, (1 + step) / (10 + step))
    for mean, value in zip(average.parameters(), networks.parameters(), strict=True):
        mean.lerp_(value, 1 - decay)
