"""Weights as safetensors: never a pickle, always checked, stored as float16."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import safetensors
import torch
from safetensors.torch import save
from torch import Tensor

from lungsynth.core.errors import LungSynthError
from lungsynth.core.shipped import shipped_file
from lungsynth.core.temporary import replacing

FORMAT = "lungsynth-weights-1"


@dataclass(frozen=True, eq=False)
class Weights:
    """A weights file as read.

    Args:
        tensors: Parameters and buffers by name, float32.
        config: The configuration of the networks they belong to.
        sha256: Of the file, in hexadecimal.
    """

    tensors: dict[str, Tensor]
    config: dict[str, object]
    sha256: str


def shipped_weights(file_name: str) -> Path:
    """Return where a weights file that ships lies.

    Raises:
        LungSynthError: If it is not installed.
    """
    path = shipped_file(file_name)
    if path is not None:
        return path
    msg = f"{file_name}: the weights that ship are not installed; name a file with --weights"
    raise LungSynthError(msg)


def save_weights(
    path: Path, system: str, config: Mapping[str, object], tensors: Mapping[str, Tensor]
) -> None:
    """Write weights of a system as float16 with their configuration.

    Raises:
        LungSynthError: If a weight is not a finite number, or too large for float16.
    """
    half = {
        name: value.detach().cpu().half().contiguous() if value.is_floating_point() else value
        for name, value in tensors.items()
    }
    _check_finite(path, half)
    metadata = {"format": FORMAT, "system": system, "config": json.dumps(dict(config))}
    with replacing(path) as temporary:
        temporary.write_bytes(_with_sorted_header(save(half, metadata)))


def _check_finite(path: Path, tensors: Mapping[str, Tensor]) -> None:
    """Refuse NaN and infinity, which would come out as voxels."""
    spoilt = [name for name, value in tensors.items() if not value.isfinite().all()]
    if spoilt:
        msg = (
            f"{path}: {len(spoilt)} of {len(tensors)} tensors hold NaN or infinity, "
            f"'{spoilt[0]}' for one; weights must be finite numbers"
        )
        raise LungSynthError(msg)


def _with_sorted_header(stored: bytes) -> bytes:
    """Return a safetensors file with its metadata in order: safetensors writes them in any.

    The same weights are then the same bytes, and have the same sha256.
    """
    size = int.from_bytes(stored[:8], "little")
    header = json.loads(stored[8 : 8 + size])
    header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text + stored[8 + size :]


def load_weights(path: Path, system: str) -> Weights:
    """Read weights of a system.

    Raises:
        LungSynthError: If the file is missing, is no safetensors file (a pickle, say), is cut
            short, belongs to another system, or holds NaN or infinity.
    """
    if not path.is_file():
        msg = f"{path}: no such weights file"
        raise LungSynthError(msg)
    try:
        with safetensors.safe_open(path, framework="pt") as opened:
            metadata = opened.metadata() or {}
            tensors = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118
    except (safetensors.SafetensorError, OSError) as error:
        msg = f"{path}: not a readable safetensors file, the only kind that is loaded ({error})"
        raise LungSynthError(msg) from None
    if metadata.get("format") != FORMAT or metadata.get("system") != system:
        msg = (
            f"{path}: weights of '{metadata.get('system', 'an unknown system')}' in format "
            f"'{metadata.get('format', 'unknown')}'; '{system}' in '{FORMAT}' are needed"
        )
        raise LungSynthError(msg)
    try:
        config = dict(json.loads(metadata["config"]))
    except (KeyError, TypeError, ValueError):
        msg = f"{path}: the file does not say how the networks of its weights are built"
        raise LungSynthError(msg) from None
    _check_finite(path, tensors)
    return Weights(
        tensors={
            name: value.float() if value.dtype == torch.float16 else value
            for name, value in tensors.items()
        },
        config=config,
        sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
    )
