"""Malignancy classifiers of real nodules, trained once and kept for the next synthesizer."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from lungsynth.evaluation import malignancy_net, nodule_net
from lungsynth.evaluation.classes import Labelled
from lungsynth.evaluation.malignancy_net import Classifier, ClassifierConfig, build_network
from lungsynth.io.atomic import atomic_path
from lungsynth.nn.device import choose_device

BEST_STEP, VAL_AUC = "kept.best_step", "kept.val_auc"


def kept_classifier(
    train: Labelled,
    val: Labelled,
    config: ClassifierConfig,
    seed: int,
    *,
    device: str = "auto",
    cache: Path | None = None,
    on_step: Callable[[int], None] | None = None,
) -> Classifier:
    """Return the classifier that is kept for just this, or train and keep it.

    Args:
        train: Real nodules.
        val: Real nodules of other patients.
        config: How it is trained.
        seed: Of the training.
        device: "auto", "cpu" or "cuda".
        cache: Folder in which it is kept; None keeps nothing.
        on_step: Called with how many steps are done.
    """
    path = None if cache is None else cache / _name(train, val, config, seed)
    known = None if path is None or not path.is_file() else _load(path, config, device)
    if known is not None:
        return known
    found = malignancy_net.train_classifier(
        train, val, config, seed, device=device, on_step=on_step
    )
    if path is not None:
        _store(found, path)
    return found


def _name(train: Labelled, val: Labelled, config: ClassifierConfig, seed: int) -> str:
    """Return the file's name, which changes with all that could change the classifier."""
    digest = hashlib.sha256(repr((config, seed)).encode())
    for nodules in (train, val):
        digest.update(np.ascontiguousarray(nodules.hu).data)
        digest.update(nodules.centre.tobytes())
        digest.update(nodules.malignant.tobytes())
    for module in (malignancy_net, nodule_net):
        digest.update(Path(str(module.__file__)).read_bytes())
    return f"classifier-{config.network}-{seed}-{digest.hexdigest()[:16]}.safetensors"


def _store(classifier: Classifier, path: Path) -> None:
    from safetensors.torch import save_file

    state = classifier.network.state_dict()
    tensors = {name: t.detach().cpu().contiguous() for name, t in state.items()}
    tensors[BEST_STEP] = torch.tensor(classifier.best_step)
    tensors[VAL_AUC] = torch.tensor(classifier.val_auc, dtype=torch.float64)
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(path) as temporary:
        save_file(tensors, temporary)


def _load(path: Path, config: ClassifierConfig, device: str) -> Classifier | None:
    """Return what is kept; None where the file is broken and it must be trained again."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        tensors = load_file(path)
        step, area = int(tensors.pop(BEST_STEP)), float(tensors.pop(VAL_AUC))
    except (OSError, KeyError, SafetensorError):
        return None
    network = build_network(config)
    network.load_state_dict(tensors)
    return Classifier(network.to(choose_device(device)), step, area)
