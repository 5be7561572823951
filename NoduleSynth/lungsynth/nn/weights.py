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
    """Return where a weights file that ships lies: beside the package, or in a wheel inside it.

    Raises:
        LungSynthError: If it is at neither place.
    """
    package = Path(__file__).resolve().parents[1]
    places = (package.parent / "Resources" / "Weights", package / "weights")
    for folder in places:
        if (folder / file_name).is_file():
            return folder / file_name
    msg = f"{file_name}: the weights that ship are not installed; name a file with --weights"
    raise LungSynthError(msg)


def save_weights(
    path: Path, system: str, config: Mapping[str, object], tensors: Mapping[str, Tensor]
) -> None:
    """Write weights of a system as float16 with their configuration."""
    half = {
        name: value.detach().cpu().half().contiguous() if value.is_floating_point() else value
        for name, value in tensors.items()
    }
    metadata = {"format": FORMAT, "system": system, "config": json.dumps(dict(config))}
    temporary = path.with_name(path.name + ".part")
    temporary.write_bytes(_with_sorted_header(save(half, metadata)))
    temporary.replace(path)


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
            short, or belongs to another system.
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
    return Weights(
        tensors={
            name: value.float() if value.dtype == torch.float16 else value
            for name, value in tensors.items()
        },
        config=config,
        sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
    )
