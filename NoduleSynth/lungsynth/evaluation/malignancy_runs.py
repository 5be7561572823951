"""What the networks of the malignancy study said, kept so that a study that was stopped goes on."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lungsynth.evaluation import malignancy_net
from lungsynth.evaluation.classes import Labelled
from lungsynth.evaluation.malignancy_net import ClassifierConfig
from lungsynth.io.atomic import atomic_path

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Run:
    """What one network said.

    Args:
        arm: How it was trained.
        network: Which it is.
        seed: Of its training.
        best_step: The step that the validation split chose.
        val_auc: Area under the ROC curve there.
        test_logits: Of the test nodules, (N,).
    """

    arm: str
    network: str
    seed: int
    best_step: int
    val_auc: float
    test_logits: Floats

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON has it."""
        return {
            "arm": self.arm,
            "network": self.network,
            "seed": self.seed,
            "best_step": self.best_step,
            "val_auc": self.val_auc,
            "test_logits": self.test_logits.tolist(),
        }


def run_name(arm: str, seed: int, classifier: ClassifierConfig, nodules: Sequence[Labelled]) -> str:
    """Return the name of the file, which changes with all that could change what is in it."""
    digest = hashlib.sha256(repr((arm, seed, classifier)).encode())
    for several in nodules:
        digest.update(np.ascontiguousarray(several.hu).data)
        digest.update(several.centre.tobytes())
        digest.update(several.malignant.tobytes())
    digest.update(Path(malignancy_net.__file__).read_bytes())
    return f"malignancy-{arm}-{classifier.network}-{seed}-{digest.hexdigest()[:16]}.json"


def load_run(path: Path | None, arm: str, network: str, seed: int) -> Run | None:
    """Return what is kept; None where nothing is, or the file is broken."""
    if path is None or not path.is_file():
        return None
    try:
        kept = json.loads(path.read_text(encoding="utf-8"))
        logits = np.array(kept["test_logits"], dtype=np.float64)
        return Run(arm, network, seed, int(kept["best_step"]), float(kept["val_auc"]), logits)
    except (OSError, ValueError, KeyError):
        return None


def store_run(path: Path | None, run: Run) -> None:
    """Keep what a network said; with no path do nothing."""
    if path is None:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    kept = {
        "best_step": run.best_step,
        "val_auc": run.val_auc,
        "test_logits": run.test_logits.tolist(),
    }
    with atomic_path(path) as temporary:
        temporary.write_text(json.dumps(kept) + "\n", encoding="utf-8")
