"""Which device the networks run on."""

from __future__ import annotations

import logging

import torch

from lungsynth.core.errors import LungSynthError

logger = logging.getLogger(__name__)


def choose_device(wanted: str) -> torch.device:
    """Return the device for "auto", "cpu", "cuda" or "cuda:N".

    Raises:
        LungSynthError: If a GPU is asked for that is not there.
    """
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if wanted == "auto":
        if not count:
            logger.info("no usable GPU found; the CPU is used")
        return torch.device("cuda:0" if count else "cpu")
    if wanted == "cpu":
        return torch.device("cpu")
    kind, _, index = wanted.partition(":")
    if kind != "cuda" or (index and not index.isdigit()):
        msg = f"unknown device '{wanted}'; allowed are auto, cpu, cuda and cuda:N"
        raise LungSynthError(msg)
    if int(index or 0) >= count:
        build = f"CUDA {torch.version.cuda}" if torch.version.cuda else "no CUDA"
        msg = (
            f"device '{wanted}' asked for, but torch {torch.__version__} ({build}) finds "
            f"{count} usable GPUs; use --device cpu or auto"
        )
        raise LungSynthError(msg)
    return torch.device("cuda", int(index or 0))
