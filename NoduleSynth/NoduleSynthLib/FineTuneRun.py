"""A training run as its folder tells it; Slicer may have been closed since it was begun."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any

from lungsynth.core.errors import LungSynthError
from lungsynth.core.run_lock import who_trains
from lungsynth.core.shipped import shipped_file

SYSTEM = "mcgan"
CARD, CHECKPOINT, LOSSES, SAMPLES = "run.json", "checkpoint.pt", "losses.jsonl", "samples.png"
WEIGHTS = f"{SYSTEM}.safetensors"
PAUSE = "pause"
PANEL = "panel.json"
"""What the panel adds to the folder, so that a run can be resumed knowing the folder alone."""


class Stage(Enum):
    """How far a run is."""

    NONE = "none"
    UNFINISHED = "unfinished"
    FINISHED = "finished"


@dataclass(frozen=True)
class Run:
    """What a folder holds.

    Args:
        folder: Of the run; it need not exist.
        stage: How far it is.
        doneSteps: Steps that were logged; a resumed run may repeat those after its checkpoint.
        totalSteps: What it was begun for; 0 if there is none.
        settings: Options that must stay as they were begun.
        data: Folder of the training data, if the panel wrote it down.
        weights: The finished weights, or None.
        busy: Who trains there now and what to do, as one line; empty if nobody does.
    """

    folder: Path
    stage: Stage
    doneSteps: int = 0
    totalSteps: int = 0
    settings: tuple[tuple[str, str], ...] = ()
    data: str = ""
    weights: Path | None = None
    busy: str = ""


def readRun(folder: Path, stopped: frozenset[int] = frozenset()) -> Run:
    """Return what a folder holds.

    Args:
        folder: Of the run.
        stopped: Numbers of processes that were killed but may not have gone yet.

    Raises:
        LungSynthError: If it holds a run that cannot be understood.
    """
    card, busy = folder / CARD, who_trains(folder, but=stopped)
    if not card.is_file():
        return Run(folder, Stage.NONE, busy=busy)
    known = _json(card)
    if known.get("system") != SYSTEM:
        msg = f"{folder}: holds a run of '{known.get('system')}'; choose another run folder"
        raise LungSynthError(msg)
    steps = [int(row["step"]) for row in readLosses(folder)]
    weights, checkpoint = folder / WEIGHTS, folder / CHECKPOINT
    finished = weights.is_file() and (
        not checkpoint.is_file() or weights.stat().st_mtime >= checkpoint.stat().st_mtime
    )
    panel = _json(folder / PANEL) if (folder / PANEL).is_file() else {}
    return Run(
        folder,
        Stage.FINISHED if finished else Stage.UNFINISHED,
        doneSteps=steps[-1] if steps else 0,
        totalSteps=max(int(known.get("total_steps", 0)), int(panel.get("steps", 0))),
        settings=(
            ("--preset", str(known.get("preset", "default"))),
            ("--random-seed", str(known.get("seed", 0))),
            ("--precision", str(known.get("precision", "32-true"))),
        ),
        data=str(panel.get("data", "")),
        weights=weights if finished else None,
        busy=busy,
    )


def readLosses(folder: Path) -> list[dict[str, float]]:
    """Return the logged steps; a last line that is still being written is left out."""
    try:
        text = (folder / LOSSES).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return []
    rows = []
    for line in text.splitlines():
        try:
            rows.append(json.loads(line))
        except json.JSONDecodeError:
            break
    return rows


def trainArguments(
    run: Run, data: str, weights: str, steps: int, *, device: str, preset: str
) -> list[str]:
    """Return the command that begins a run or goes on with it.

    Args:
        run: What the folder holds now.
        data: Folder of the training data.
        weights: To start from; those that ship where empty. Without meaning for a resumed run.
        steps: Steps in all.
        device: "auto", "cpu" or "cuda".
        preset: Of a new run.
    """
    command = ["-m", "lungsynth", "train", SYSTEM, "--data", data, "--output", str(run.folder)]
    command += ["--steps", str(steps), "--device", device, "--progress", "json"]
    if run.stage is not Stage.NONE:
        return [*command, "--resume", *(word for option in run.settings for word in option)]
    start = weights or shipped_file(WEIGHTS)
    return [*command, "--preset", preset, *(["--init", str(start)] if start else [])]


def checkArguments(data: str) -> list[str]:
    """Return the command that sums up a folder of training data."""
    return ["-m", "lungsynth", "data", "check", "--data", data, "--progress", "json"]


def notePanel(folder: Path, data: str, steps: int) -> None:
    """Write down what the run's own card does not hold.

    Raises:
        LungSynthError: If the folder cannot be made or written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        text = json.dumps({"data": data, "steps": steps}) + "\n"
        (folder / PANEL).write_text(text, encoding="utf-8")
    except OSError as error:
        msg = f"{folder}: cannot be written ({error.strerror}); choose another run folder"
        raise LungSynthError(msg) from None


def askToPause(folder: Path) -> None:
    """Ask a run to end after its step with a checkpoint.

    Raises:
        LungSynthError: If the folder cannot be written.
    """
    try:
        (folder / PAUSE).touch()
    except OSError as error:
        msg = f"{folder}: cannot be written ({error.strerror}); press Cancel to stop at once"
        raise LungSynthError(msg) from None


def takeBackPause(folder: Path) -> None:
    """Remove a request that nobody waits for any more."""
    with suppress(OSError):
        (folder / PAUSE).unlink(missing_ok=True)


def _json(path: Path) -> dict[str, Any]:
    try:
        known = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        msg = f"{path}: cannot be understood ({error}); choose another run folder"
        raise LungSynthError(msg) from None
    return known if isinstance(known, dict) else {}
