"""Checkpoints: tensors and plain values, written whole or not at all."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from lungsynth.core.errors import LungSynthError
from lungsynth.core.temporary import replacing

FORMAT = "lungsynth-checkpoint-1"


def all_finite(state: Any) -> bool:  # noqa: ANN401 - tensors and plain values, nested
    """Return whether no tensor in a recipe's state holds NaN or infinity."""
    if isinstance(state, torch.Tensor):
        return not state.is_floating_point() or bool(state.isfinite().all())
    if isinstance(state, Mapping):
        return all(map(all_finite, state.values()))
    return not isinstance(state, list | tuple) or all(map(all_finite, state))


def save_checkpoint(
    path: Path, system: str, state: dict[str, Any], session: Mapping[str, Any] | None = None
) -> None:
    """Write a recipe's state under a temporary name, then rename it.

    Args:
        path: Of the file.
        system: Whose recipe it is.
        state: Of the recipe.
        session: What of the run itself the next step depends on, plain values; readers of earlier
            versions pass over it.

    Raises:
        OSError: If it cannot be written, such as on a full disk.
    """
    # torch, writing to a file by itself, hides a full disk behind a RuntimeError of its own
    packed = io.BytesIO()
    whole = {"format": FORMAT, "system": system, "state": state, "session": dict(session or {})}
    torch.save(whole, packed)
    with replacing(path) as temporary:
        temporary.write_bytes(packed.getbuffer())


def load_checkpoint(path: Path, system: str) -> dict[str, Any]:
    """Read a recipe's state; see ``read_checkpoint``."""
    return read_checkpoint(path, system)[0]


def read_checkpoint(path: Path, system: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Read a recipe's state and that of its run; nothing in the file is executed.

    Raises:
        LungSynthError: If the file is missing, is no checkpoint, or belongs to another system.
    """
    if not path.is_file():
        msg = f"{path}: no checkpoint to resume from"
        raise LungSynthError(msg)
    try:
        data = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # noqa: BLE001 - whatever a foreign file makes torch raise
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        msg = f"{path}: not a readable checkpoint ({reason})"
        raise LungSynthError(msg) from None
    found = data.get("format") if isinstance(data, dict) else None
    if found != FORMAT:
        msg = f"{path}: checkpoint format {found}, this version reads {FORMAT}"
        raise LungSynthError(msg)
    if data["system"] != system:
        msg = f"{path}: a checkpoint of '{data['system']}', not of '{system}'"
        raise LungSynthError(msg)
    return data["state"], data.get("session", {})
