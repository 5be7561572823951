"""How real generated nodules look: a judge, a Fréchet distance, the seam; for each synthesizer."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

import lungsynth
from lungsynth.core.contracts import CtSynthesizer
from lungsynth.data.nodule_cubes import NoduleCubes
from lungsynth.evaluation.feature_cache import feature_nets
from lungsynth.evaluation.frechet import (
    FeatureConfig,
    FeatureNet,
    frechet_distance,
    halves_distance,
    mean_over_seeds,
)
from lungsynth.evaluation.judge import JudgeConfig, Verdict, judge
from lungsynth.evaluation.pairs import Pairs, joined, make_pairs, quantised
from lungsynth.evaluation.seam import pooled
from lungsynth.evaluation.splits import LEARNT_FROM, first_half, load_splits, nodule_folder
from lungsynth.io.atomic import atomic_path
from lungsynth.synthesizers import load_synthesizer

Progress = Callable[[str, int, int], None]
"""Called with the stage, how many steps of it are done, and of how many."""


@dataclass(frozen=True)
class StudyConfig:
    """How the study is made; its parts' defaults are those that results are reported with."""

    judge: JudgeConfig = field(default_factory=JudgeConfig)
    features: FeatureConfig = field(default_factory=FeatureConfig)
    max_nodules: int | None = None
    random_seed: int = 0
    device: str = "auto"
    cache: Path | None = None


@dataclass(frozen=True, eq=False)
class RealismReport:
    """What came out.

    Args:
        values: Everything as JSON has it.
        pairs: The judged pairs of each synthesizer, for pictures.
    """

    values: dict[str, Any]
    pairs: Mapping[str, Pairs]


def study(
    splits: Mapping[str, NoduleCubes],
    split: str,
    synthesizers: Sequence[CtSynthesizer],
    config: StudyConfig = StudyConfig(),
    on_progress: Progress | None = None,
) -> RealismReport:
    """Judge synthesizers on the nodules of a split.

    Args:
        splits: The real nodules, as ``load_splits`` gives them.
        split: Which of them is judged.
        synthesizers: Who is judged.
        config: How.
        on_progress: Told what is being done.

    Raises:
        LungSynthError: If a synthesizer can make no nodule.
    """
    tell = on_progress or (lambda _stage, _done, _total: None)
    started = time.perf_counter()
    nets = feature_nets(
        splits["train"],
        config.features,
        device=config.device,
        cache=config.cache,
        on_epoch=partial(tell, "learning features of real nodules"),
    )
    values: dict[str, Any] = {
        "version": lungsynth.__version__,
        "study": "realism",
        "split": split,
        "judge_trained_on": list(LEARNT_FROM[split]),
        "random_seed": config.random_seed,
        "synthesizers": {},
    }
    held_pairs: dict[str, Pairs] = {}
    for synthesizer in synthesizers:
        begun = time.perf_counter()
        fit, held = _fit_and_held(splits, split, synthesizer, config, tell)
        made = time.perf_counter()
        verdict = judge(
            fit,
            held,
            config.judge,
            device=config.device,
            on_progress=partial(tell, f"judging {synthesizer.name}"),
        )
        found = _results(fit, held, verdict, nets)
        found["seconds"] = {"pairs": made - begun, "judge": time.perf_counter() - made}
        found["weights_sha256"] = synthesizer.weights_sha256
        values["synthesizers"][synthesizer.name] = found
        held_pairs[synthesizer.name] = held
    values["frechet_floor"] = _floors(splits, split, held_pairs, nets)
    values["seconds"] = time.perf_counter() - started
    return RealismReport(values=values, pairs=held_pairs)


def _fit_and_held(
    splits: Mapping[str, NoduleCubes],
    split: str,
    synthesizer: CtSynthesizer,
    config: StudyConfig,
    tell: Progress,
) -> tuple[Pairs, Pairs]:
    """Return the pairs to train the judge on and those to judge; no patient is in both."""
    made = {
        name: make_pairs(
            splits[name],
            name,
            synthesizer,
            max_nodules=config.max_nodules,
            random_seed=config.random_seed,
            cache=config.cache,
            on_progress=partial(tell, f"{synthesizer.name}: nodules of {name}"),
        )
        for name in (split, *LEARNT_FROM[split])
    }
    fit, held = [made[name] for name in LEARNT_FROM[split]], made[split]
    if split == "train":
        half = first_half(held.patient)
        fit, held = [*fit, held.where(half)], held.where(~half)
    return joined(fit), held


def _results(
    fit: Pairs, held: Pairs, verdict: Verdict, nets: Mapping[int, FeatureNet]
) -> dict[str, Any]:
    distances = {
        seed: frechet_distance(
            net.features(held.real, held.centre), net.features(held.generated, held.centre)
        )
        for seed, net in nets.items()
    }
    ratios = [ratio for seam in held.seams if (ratio := seam.ratio) is not None]
    return {
        "nodules": len(held),
        "patients": len(set(held.patient.tolist())),
        "judge_trained_on_nodules": len(fit),
        "refused": [*held.refused, *fit.refused],
        "auc": {
            "seeds": list(verdict.auc),
            "mean": verdict.mean_auc,
            "ensemble": verdict.ensemble_auc,
            "ensemble_interval_95": list(verdict.interval_95),
            "pair_accuracy": verdict.pair_accuracy,
        },
        "frechet": mean_over_seeds(distances),
        "seam": {
            "pooled_ratio": pooled(held.seams).ratio,
            "median_ratio": float(np.median(ratios)) if ratios else None,
            "p5_ratio": float(np.percentile(ratios, 5)) if ratios else None,
            "p95_ratio": float(np.percentile(ratios, 95)) if ratios else None,
            "each": [seam.ratio for seam in held.seams],
        },
        "within_tolerance": float(held.within_tolerance.mean()),
        "logits": {
            "nodule": held.index.tolist(),
            "real": verdict.real_logits.tolist(),
            "generated": verdict.generated_logits.tolist(),
        },
    }


def _floors(
    splits: Mapping[str, NoduleCubes],
    split: str,
    held: Mapping[str, Pairs],
    nets: Mapping[int, FeatureNet],
) -> dict[str, Any]:
    """Return how far real nodules are from other real nodules."""
    pairs = max(held.values(), key=len)
    train = splits["train"]
    usable = np.flatnonzero(train.usable)
    centre = np.array([train.centre(n) for n in usable.tolist()])
    rng = np.random.default_rng(0)
    halves, to_train = {}, {}
    for seed, net in nets.items():
        real = net.features(pairs.real, pairs.centre)
        halves[seed] = halves_distance(real, pairs.patient, rng)
        others = net.features(quantised(train.hu[usable]), centre)
        to_train[seed] = frechet_distance(real, others)
    floors = {f"halves_of_real_{split}": mean_over_seeds(halves)}
    if split != "train":
        floors[f"real_{split}_to_real_train"] = mean_over_seeds(to_train)
    return floors


def run_realism(
    data: Path,
    split: str,
    synthesizers: Sequence[str],
    weights: Path | None = None,
    json_path: Path | None = None,
    *,
    report_path: Path | None = None,
    max_nodules: int | None = None,
    on_progress: Progress | None = None,
    config: StudyConfig = StudyConfig(),
) -> dict[str, Any]:
    """Run the study from files to files; what the command line calls.

    Args:
        data: Folder with the nodule cubes, or whose ``ct_nodules`` is it.
        split: "test", "val" or "train".
        synthesizers: Names; copy-paste takes the training nodules as its bank.
        weights: Weights for mcgan in place of those that ship.
        json_path: Where the numbers go.
        report_path: Where the pictures go, .html or .png.
        max_nodules: Take only so many of each split; overrides that of ``config``.
        on_progress: Told what is being done.
        config: How.

    Returns:
        The numbers.

    Raises:
        LungSynthError: If the data, a name or the weights are no good, or an output can't be
            written.
    """
    from lungsynth.evaluation.realism_report import check_report, write_report

    if report_path is not None:
        check_report(report_path)
    folder = nodule_folder(data)
    loaded = [load_for_study(name, weights, config.device, folder) for name in synthesizers]
    splits = load_splits(folder, split)
    if max_nodules is not None:
        config = replace(config, max_nodules=max_nodules)
    report = study(splits, split, loaded, config, on_progress)
    write_json(report.values, json_path)
    if report_path is not None:
        write_report(report, report_path)
    return report.values


def load_for_study(name: str, weights: Path | None, device: str, bank: Path) -> CtSynthesizer:
    """Load a synthesizer, giving weights and bank only to those that take them.

    Raises:
        LungSynthError: If there is no such synthesizer, or its weights are no good.
    """
    return load_synthesizer(
        name,
        weights=weights if name not in {"procedural", "copy-paste"} else None,
        device=device,
        bank=bank if name == "copy-paste" else None,
    )


def write_json(values: Mapping[str, Any], path: Path | None) -> None:
    """Write a study's numbers whole or not at all; with no path do nothing.

    A number that too few nodules leave undefined is null: JSON knows no NaN.
    """
    if path is None:
        return
    with atomic_path(path) as temporary:
        finite = json.loads(json.dumps(values, default=float), parse_constant=lambda _: None)
        text = json.dumps(finite, indent=2, allow_nan=False)
        temporary.write_text(text + "\n", encoding="utf-8")
