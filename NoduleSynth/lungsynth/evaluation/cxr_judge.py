"""How well a network tells generated nodules in radiographs from known ones, by patient.

As ``judge`` for CT: it learns from pairs of other patients, for a fixed number of epochs; each
batch holds both versions of its patches, moved and mirrored alike, so that what surrounds a nodule
is no clue.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

import lungsynth
from lungsynth.core.errors import LungSynthError
from lungsynth.data.cxr_patches import CxrPatchSampler
from lungsynth.evaluation.cxr_cases import bank_for
from lungsynth.evaluation.cxr_pairs import CxrPairs, draw_known, replaced
from lungsynth.evaluation.cxr_patch_net import SHIFT_PIXELS, VIEWS, PatchNet, crops_of, turned
from lungsynth.evaluation.judge import (
    Verdict,
    bootstrap_interval,
    learn_pairs,
    pair_accuracy,
)
from lungsynth.evaluation.nodule_net import seeded_torch
from lungsynth.evaluation.statistics import area_under_curve
from lungsynth.nn.device import choose_device
from lungsynth.synthesizers import load_cxr_synthesizer

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class CxrJudgeConfig:
    """How the judges are trained and what they see; all (ours).

    Args:
        fit_pairs: Of the train split, which they learn from.
        held_pairs: Of the split that is reported.
        epochs: Over the former.
        batch_pairs: In a step.
        learning_rate: Highest.
        weight_decay: Of every parameter.
        width: Of the network.
        seeds: Of one judge each.
        resamples: Of patients, for the interval.
        random_seed: Of what is drawn.
    """

    fit_pairs: int = 400
    held_pairs: int = 150
    epochs: int = 20
    batch_pairs: int = 8
    learning_rate: float = 1e-3
    weight_decay: float = 0.02
    width: int = 16
    seeds: tuple[int, ...] = (0, 1, 2)
    resamples: int = 1000
    random_seed: int = 0


CXR_JUDGE_PRESETS = {
    "full": CxrJudgeConfig(),
    "tiny": CxrJudgeConfig(
        fit_pairs=8, held_pairs=6, epochs=1, batch_pairs=4, width=4, seeds=(0,), resamples=20
    ),
}


def judge_cxr(
    fit: CxrPairs,
    held: CxrPairs,
    config: CxrJudgeConfig,
    *,
    device: str = "auto",
    on_progress: Callable[[int, int], None] | None = None,
) -> Verdict:
    """Train judges on some pairs and ask them about others; 0.5 is "can't tell".

    Args:
        fit: Pairs to learn from.
        held: Pairs of other patients.
        config: How.
        device: "auto", "cpu" or "cuda".
        on_progress: Called with judges done and in all.
    """
    real, generated, auc = [], [], []
    for n, seed in enumerate(config.seeds):
        network = train_cxr_judge(fit, config, seed, device)
        real.append(opinions(network, held.real))
        generated.append(opinions(network, held.generated))
        auc.append(area_under_curve(generated[-1], real[-1]))
        if on_progress is not None:
            on_progress(n + 1, len(config.seeds))
    mean_real, mean_generated = np.mean(real, axis=0), np.mean(generated, axis=0)
    return Verdict(
        auc=tuple(auc),
        ensemble_auc=area_under_curve(mean_generated, mean_real),
        interval_95=bootstrap_interval(
            mean_generated,
            mean_real,
            held.patient,
            np.random.default_rng(0),
            resamples=config.resamples,
        ),
        pair_accuracy=pair_accuracy(mean_generated, mean_real),
        real_logits=mean_real,
        generated_logits=mean_generated,
    )


def train_cxr_judge(
    pairs: CxrPairs, config: CxrJudgeConfig, seed: int, device: str = "auto"
) -> PatchNet:
    """Return one judge; its logit is high for what it takes to be generated."""
    target = choose_device(device)
    rng = np.random.default_rng(seed)
    with seeded_torch(seed):
        network = PatchNet(1, width=config.width).to(target)

        def output(chosen: NDArray[np.int64]) -> Tensor:
            crops = torch.from_numpy(_both_versions(pairs, chosen, rng)).to(target)
            found: Tensor = network(crops)
            return found[:, 0]

        learn_pairs(network, len(pairs), config, rng, output)
    return network


def _both_versions(
    pairs: CxrPairs, chosen: NDArray[np.int64], rng: np.random.Generator
) -> NDArray[np.float32]:
    """Return crops (2B, 2, 128, 128), the known ones first; each pair is moved alike."""
    shift = rng.integers(-SHIFT_PIXELS, SHIFT_PIXELS + 1, (len(chosen), 2))
    both = [crops_of(p[chosen], shift) for p in (pairs.real, pairs.generated)]
    for n in range(len(chosen)):
        turn, mirrored = VIEWS[int(rng.integers(len(VIEWS)))]
        for crops in both:
            crops[n : n + 1] = turned(crops[n : n + 1], turn, mirrored)
    return np.concatenate(both)


def opinions(network: PatchNet, patches: NDArray[np.float32]) -> Floats:
    """Return a judge's logits (N,), averaged over mirrored and turned views."""
    network.eval()
    device = next(network.parameters()).device
    found = []
    with torch.inference_mode():
        for first in range(0, len(patches), 32):
            crops = crops_of(patches[first : first + 32])
            seen = [network(torch.from_numpy(turned(crops, *v)).to(device)) for v in VIEWS]
            found.append(torch.stack(seen).mean(dim=0)[:, 0].double().cpu().numpy())
    return np.concatenate(found)


def run_cxr_judge(
    data: Path,
    names: list[str],
    config: CxrJudgeConfig,
    *,
    split: str = "test",
    weights: Path | None = None,
    bank: Path | None = None,
    device: str = "auto",
    on_progress: Callable[[str, int, int], None] = lambda *_: None,
) -> dict[str, Any]:
    """Return how well judges tell the nodules of each synthesizer from known ones.

    Args:
        data: Folder with ``cxr`` and ``ct_nodules``, and ``drr`` where there are any.
        names: In ``CXR_SYNTHESIZERS``; those that need CT nodules take them of the train split.
        config: How.
        split: Which patches are held, "val" or "test".
        weights: Of the one synthesizer that needs any; None takes those that ship.
        bank: Nodules that are copied or projected; None takes what the folder has. Copies come from
            its DRRs of all splits, which flatters them.
        device: "auto", "cpu" or "cuda".
        on_progress: Called with what is done, how much, and of how much.

    Raises:
        LungSynthError: If the split is "train", or a synthesizer cannot be loaded.
    """
    if split == "train":
        msg = "judges learn from the train split; report on val or test"
        raise LungSynthError(msg)
    # at first: what is missing is said before the minutes that drawing takes
    ready = {
        name: load_cxr_synthesizer(
            name,
            weights=weights if name == "shape-texture" else None,
            device=device,
            bank=bank or bank_for(name, data),
        )
        for name in names
    }
    fit_known, held_known = (
        draw_known(
            CxrPatchSampler.load(data, part), count, np.random.default_rng([config.random_seed, n])
        )
        for n, (part, count) in enumerate((("train", config.fit_pairs), (split, config.held_pairs)))
    )
    found = {}
    for name, synthesizer in ready.items():
        fit, held = (
            replaced(
                known,
                synthesizer,
                np.random.default_rng([config.random_seed, 2 + n]),
                lambda done, total, name=name: on_progress(f"{name} nodules", done, total),  # type: ignore[misc]
            )
            for n, known in enumerate((fit_known, held_known))
        )
        verdict = judge_cxr(
            fit,
            held,
            config,
            device=device,
            on_progress=lambda done, total, name=name: on_progress(f"{name} judges", done, total),  # type: ignore[misc]
        )
        found[name] = {
            "weights_sha256": synthesizer.weights_sha256,
            "auc": list(verdict.auc),
            "ensemble_auc": verdict.ensemble_auc,
            "interval_95": list(verdict.interval_95),
            "pair_accuracy": verdict.pair_accuracy,
        }
    return {
        "study": "cxr-judge",
        "version": lungsynth.__version__,
        "split": split,
        "pairs": {"fit": len(fit_known[0]), "held": len(held_known[0])},
        "synthesizers": found,
    }
