"""The card of a run: what it is, written down when it begins, and checked when it goes on."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from lungsynth import __version__
from lungsynth.core.errors import LungSynthError
from lungsynth.core.temporary import replacing
from lungsynth.training.loop import Recipe
from lungsynth.training.options import TrainOptions

RUN_CARD = "run.json"
_LATER = {"fine_tune": "none", "batches_a_step": 1}
"""What cards of earlier versions do not say, and what holds for their runs."""


def read_card(output: Path) -> dict[str, Any]:
    """Return the card of a run's folder; an empty one where none is begun."""
    card = output / RUN_CARD
    if not card.exists():
        return {}
    known: dict[str, Any] = {**_LATER, **json.loads(card.read_text(encoding="utf-8"))}
    return known


def begin(
    output: Path, recipe: Recipe, options: TrainOptions, **described: str | int
) -> dict[str, Any]:
    """Make the folder and write down what the run is, or check that it is the same run.

    Args:
        output: Folder of the run.
        recipe: Of the run.
        options: Of the run.
        described: What else must be the same, ``system`` first, and ``total_steps``, which need
            not be.

    Raises:
        LungSynthError: If it is another run than the folder's.
    """
    try:
        output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        msg = f"{output}: cannot be made a folder for the run ({error.strerror})"
        raise LungSynthError(msg) from None
    total_steps = described.pop("total_steps")
    card = {
        "system": described.pop("system"),
        "preset": options.preset,
        "config": asdict(recipe.config),
        "seed": options.seed,
        "precision": options.precision,
        "data": recipe.data_summary(),
        **described,
    }
    known = read_card(output)
    changed = [key.replace("_", " ") for key, value in card.items() if known.get(key) != value]
    if known and changed:
        msg = f"{output}: was begun with another {', '.join(changed)}; resume it as it was"
        raise LungSynthError(msg)
    if not known:
        known = {**card, "version": __version__, "total_steps": total_steps}
        write_card(output, known)
    return known


def end(output: Path, steps: int, seconds: float, loader_share: float) -> None:
    """Write down what this session of the run did, and in which part of it it waited for data."""
    done = {
        "last_session_steps": steps,
        "last_session_seconds": round(seconds, 1),
        "loader_share": round(loader_share, 4),
    }
    write_card(output, {**read_card(output), **done})


def write_card(output: Path, card: dict[str, Any]) -> None:
    """Write the card."""
    with replacing(output / RUN_CARD) as temporary:
        temporary.write_text(json.dumps(card, indent=2) + "\n", encoding="utf-8")
