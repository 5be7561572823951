"""Fabric, on as many devices and machines as there are, and what its processes tell each other."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import torch

from lungsynth.core.errors import LungSynthError
from lungsynth.training.processes import Processes, lost_line, started

if TYPE_CHECKING:
    from lungsynth.training.options import TrainOptions

Losses = dict[str, float]


@contextmanager
def launched(options: TrainOptions) -> Iterator[Any]:
    """Run the block with a launched Fabric, in each process of the run.

    A process that is lost ends the run in all: at the next exchange, or after ``timeout_s``.

    Raises:
        LungSynthError: If the training extra is not installed, the devices are not there, or
            another process of the run was lost.
    """
    devices, nodes = processes_asked(options)
    fabric = make_fabric(options, devices, nodes)
    with started(devices, nodes) as others:
        try:
            _launch(fabric)
            yield fabric
        except (RuntimeError, LungSynthError) as error:
            if devices * nodes == 1 or not is_lost_connection(error):
                raise
            if others is None and _rank() and "TORCHELASTIC_RUN_ID" not in os.environ:
                sys.exit(2)  # the first process says it; this one was started by it
            raise LungSynthError(lost_line(others.lost() if others else "")) from None
        finally:
            _leave(others)


def launch_fabric(options: TrainOptions) -> Any:  # noqa: ANN401 - Fabric is an optional extra
    """Return a launched Fabric of this process alone.

    Raises:
        LungSynthError: If the training extra is not installed or the devices are not there.
    """
    fabric = make_fabric(options, options.devices, options.nodes)
    _launch(fabric)
    return fabric


def processes_asked(options: TrainOptions) -> tuple[int, int]:
    """Return devices on each machine and machines; torchrun, where it has started this, knows.

    Raises:
        LungSynthError: If the options say otherwise than torchrun, or not where the first of
            several machines is.
    """
    if "TORCHELASTIC_RUN_ID" not in os.environ:
        known = {"MASTER_ADDR", "MASTER_PORT"} <= os.environ.keys() or "SLURM_PROCID" in os.environ
        if options.nodes > 1 and not known:
            msg = (
                f"--nodes {options.nodes}: start the command by torchrun on each machine, or set "
                "MASTER_ADDR and MASTER_PORT to those of the first, and NODE_RANK to 0, 1, ..."
            )
            raise LungSynthError(msg)
        return options.devices, options.nodes
    devices = int(os.environ["LOCAL_WORLD_SIZE"])
    nodes = int(os.environ["WORLD_SIZE"]) // devices
    for name, asked, there in (
        ("devices", options.devices, devices),
        ("nodes", options.nodes, nodes),
    ):
        if asked not in {1, there}:
            msg = f"--{name} {asked}, but torchrun has started {there}; leave --{name} away"
            raise LungSynthError(msg)
    return devices, nodes


def make_fabric(options: TrainOptions, devices: int, nodes: int) -> Any:  # noqa: ANN401 - Fabric is an optional extra
    """Return a Fabric that is not launched yet; see ``launch_fabric``."""
    try:
        from lightning_fabric import Fabric
        from lightning_fabric.strategies.ddp import DDPStrategy
    except ImportError:
        msg = "training needs Lightning Fabric: pip install 'lungsynth[train]'"
        raise LungSynthError(msg) from None
    if options.accelerator == "cuda" and not torch.cuda.is_available():
        msg = f"no usable GPU: torch {torch.__version__} finds none; train with --device cpu"
        raise LungSynthError(msg)
    accelerator = options.accelerator
    if accelerator == "auto":
        accelerator = "cuda" if torch.cuda.is_available() else "cpu"
    if accelerator == "cuda" and devices > torch.cuda.device_count():
        msg = (
            f"--devices {devices}: torch finds {torch.cuda.device_count()} usable GPUs on "
            "this machine; ask for as many or fewer"
        )
        raise LungSynthError(msg)
    several = DDPStrategy(timeout=timedelta(seconds=options.timeout_s))
    return Fabric(
        accelerator=accelerator,
        devices=devices,
        num_nodes=nodes,
        precision=options.precision,  # type: ignore[arg-type]
        strategy=several if devices * nodes > 1 else "auto",
    )


def averaged(fabric: Any, losses: Losses) -> Losses:  # noqa: ANN401 - Fabric is an optional extra
    """Return the mean of each loss over the processes, the same in all of them."""
    if fabric.world_size == 1:
        return losses
    values = torch.tensor([*losses.values()], dtype=torch.float64, device=fabric.device)
    return dict(zip(losses, fabric.all_reduce(values, reduce_op="mean").tolist(), strict=True))


def asked_of_any(fabric: Any, ask: Callable[[], bool]) -> bool:  # noqa: ANN401 - Fabric is an optional extra
    """Return whether ``ask`` is true in any of the processes: in all of them, or in none."""
    if fabric.world_size == 1:
        return ask()
    told = torch.tensor(float(ask()), device=fabric.device)
    return bool(fabric.all_reduce(told, reduce_op="sum") > 0)


def is_lost_connection(error: BaseException) -> bool:
    """Return whether an exchange between processes failed because one of them is gone."""
    if isinstance(error, torch.distributed.DistError):
        return True
    words = str(error).lower()
    return any(word in words for word in ("gloo", "nccl", "connection closed by peer"))


def _launch(fabric: Any) -> None:  # noqa: ANN401 - Fabric is an optional extra
    logging.getLogger("lightning_fabric").setLevel(logging.WARNING)  # no banner of its own
    try:
        fabric.launch()
    except ValueError as error:  # SLURM's tasks, say, are not as many as the devices
        msg = f"the processes of the run do not fit together: {error}"
        raise LungSynthError(msg) from None


def _rank() -> int:
    return int(os.environ.get("LOCAL_RANK", "0"))


def _leave(others: Processes | None) -> None:
    """End the exchange, so that a later run in this process can begin its own."""
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        if others is not None and others.lost(0):
            return  # to say goodbye to a lost one may take for ever
        torch.distributed.destroy_process_group()
