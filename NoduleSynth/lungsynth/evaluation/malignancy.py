"""Whether generated nodules help to tell malignant from benign: [yang2019, Tab. 2] on our data.

Three ways to train the same networks on the same patients: on the real nodules (raw), with a loss
in which both classes count the same (weighted), and with generated malignant nodules added
(synthesis), each made at the site of a real malignant one, about two for each as in the paper.
The validation split chooses the step, the test split is asked once.

Each finished network is kept on disk, so that a study that was stopped goes on where it was.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import lungsynth
from lungsynth.core.contracts import CtSynthesizer
from lungsynth.core.errors import LungSynthError
from lungsynth.core.nodule import Malignancy
from lungsynth.data.nodule_cubes import NoduleCubes
from lungsynth.evaluation.classes import Labelled, labelled_splits
from lungsynth.evaluation.figures import check_picture
from lungsynth.evaluation.generated import ask, generate
from lungsynth.evaluation.malignancy_net import ClassifierConfig, train_classifier
from lungsynth.evaluation.malignancy_runs import Run, load_run, run_name, store_run
from lungsynth.evaluation.malignancy_table import compare_arms, malignancy_table
from lungsynth.evaluation.pairs import draw_latent_seed
from lungsynth.evaluation.realism import Progress, load_for_study, write_json
from lungsynth.evaluation.splits import nodule_folder
from lungsynth.evaluation.yang2019 import ARMS, SYNTHESIZED_PER_MALIGNANT

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class MalignancyConfig:
    """How the study is made.

    Args:
        classifier: How each network is trained.
        networks: Which networks; each replaces the one that ``classifier`` names.
        seeds: Networks trained of each kind in each arm.
        arms: Ways to train, keys of ``yang2019.ARMS``; "raw" is always one of them.
        per_malignant: Generated malignant nodules for each real one.
        random_seed: Decides the noise of the generated nodules.
        resamples: Of the bootstrap.
        device: "auto", "cpu" or "cuda".
        cache: Folder that keeps generated nodules and what finished networks said.
    """

    classifier: ClassifierConfig = field(default_factory=ClassifierConfig)
    networks: tuple[str, ...] = ("resnet10",)
    seeds: tuple[int, ...] = (0, 1, 2, 3, 4)
    arms: tuple[str, ...] = tuple(ARMS)
    per_malignant: float = SYNTHESIZED_PER_MALIGNANT
    random_seed: int = 0
    resamples: int = 2000
    device: str = "auto"
    cache: Path | None = None

    def __post_init__(self) -> None:
        for network in self.networks:
            replace(self.classifier, network=network)
        unknown = [arm for arm in self.arms if arm not in ARMS]
        if unknown or "raw" not in self.arms:
            msg = f"arms must be raw and others of {', '.join(ARMS)}; got {', '.join(self.arms)}"
            raise LungSynthError(msg)
        if not self.seeds or not self.networks or self.per_malignant <= 0:
            msg = "at least one seed, one network and some generated nodules are needed"
            raise LungSynthError(msg)


def synthesized(
    cubes: NoduleCubes,
    train: Labelled,
    synthesizer: CtSynthesizer,
    config: MalignancyConfig,
    on_progress: Progress | None = None,
) -> Labelled:
    """Return generated malignant nodules at the sites of the real malignant ones, all in turn.

    Raises:
        LungSynthError: If none can be made.
    """
    sites = train.index[train.malignant]
    count = round(config.per_malignant * len(sites))
    asked = [
        ask(
            cubes,
            "train",
            int(sites[n % len(sites)]),
            draw_latent_seed("train", n, config.random_seed),
            Malignancy.MALIGNANT,
        )
        for n in range(count)
    ]
    tell = None
    if on_progress is not None:
        tell = partial(on_progress, f"{synthesizer.name}: malignant nodules of train")
    made = generate(cubes, asked, synthesizer, cache=config.cache, on_progress=tell)
    return Labelled(
        hu=made.hu,
        centre=made.centre,
        malignant=np.ones(len(made), dtype=bool),
        patient=np.array([cubes.table[n]["patient"] for n in made.index.tolist()]),
        index=made.index,
    )


def joined(first: Labelled, second: Labelled) -> Labelled:
    """Return both as one."""
    names = ("hu", "centre", "malignant", "patient", "index")
    both = {name: np.concatenate([getattr(s, name) for s in (first, second)]) for name in names}
    return Labelled(**both)


def study(
    splits: Mapping[str, NoduleCubes],
    synthesizer: CtSynthesizer | None,
    config: MalignancyConfig = MalignancyConfig(),
    on_progress: Progress | None = None,
) -> dict[str, Any]:
    """Train all networks that are not kept yet, and compare the arms on the test split.

    Args:
        splits: Real nodules: train, val and test.
        synthesizer: Who makes the added nodules; needed for the arm "synthesis".
        config: How.
        on_progress: Told what is being done.

    Returns:
        The values as JSON has them.

    Raises:
        LungSynthError: If a split lacks a class, two share a patient, or no nodule can be made.
    """
    started = time.perf_counter()
    # all that can be wrong with the data is said before hours are spent on it
    real = labelled_splits({n: splits[n] for n in ("train", "val", "test")}, undecided=True)
    sets = _training_sets(splits["train"], real["train"], synthesizer, config, on_progress)
    runs = _all_runs(sets, real, config, on_progress)
    counted = {**real, **{f"train with {a}": sets[a] for a in ("synthesis",) if a in sets}}
    values: dict[str, Any] = {
        "version": lungsynth.__version__,
        "study": "malignancy",
        "random_seed": config.random_seed,
        "synthesizer": synthesizer.name if synthesizer else None,
        "weights_sha256": synthesizer.weights_sha256 if synthesizer else None,
        "classifier": asdict(config.classifier) | {"network": list(config.networks)},
        "nodules": {
            name: {"benign": int((~s.malignant).sum()), "malignant": int(s.malignant.sum())}
            for name, s in counted.items()
        },
        "patients": {name: len(np.unique(s.patient)) for name, s in real.items()},
        "networks": {
            network: compare_arms(
                {arm: _logits_of(runs, network, arm) for arm in config.arms},
                real["test"],
                resamples=config.resamples,
                random_seed=config.random_seed,
            )
            for network in config.networks
        },
        "runs": [run.to_json() for run in runs],
        "test": {
            "nodule": real["test"].index.tolist(),
            "malignant": real["test"].malignant.tolist(),
        },
        "seconds": time.perf_counter() - started,
    }
    values["table"] = malignancy_table(values).to_json()
    return values


def _training_sets(
    cubes: NoduleCubes,
    train: Labelled,
    synthesizer: CtSynthesizer | None,
    config: MalignancyConfig,
    on_progress: Progress | None,
) -> dict[str, Labelled]:
    """Return what each arm is trained on."""
    sets = {"raw": train, "weighted": train}
    if "synthesis" in config.arms:
        if synthesizer is None:
            msg = "the arm 'synthesis' needs a synthesizer"
            raise LungSynthError(msg)
        made = synthesized(cubes, train, synthesizer, config, on_progress)
        sets["synthesis"] = joined(train, made)
    return sets


def _logits_of(runs: Sequence[Run], network: str, arm: str) -> Floats:
    """Return what the networks of an arm said of the test nodules, (seeds, N)."""
    return np.stack([r.test_logits for r in runs if (r.network, r.arm) == (network, arm)])


def _all_runs(
    sets: Mapping[str, Labelled],
    real: Mapping[str, Labelled],
    config: MalignancyConfig,
    on_progress: Progress | None,
) -> list[Run]:
    """Return what every network says; seed by seed, so that a stop leaves whole comparisons."""
    wanted = [
        (seed, network, arm)
        for seed in config.seeds
        for network in config.networks
        for arm in config.arms
    ]
    runs = []
    for done, (seed, network, arm) in enumerate(wanted):
        classifier = replace(config.classifier, network=network)
        path = None
        if config.cache is not None:
            path = config.cache / run_name(arm, seed, classifier, (sets[arm], *real.values()))
        known = load_run(path, arm, network, seed)
        if known is None:

            def on_step(step: int, before: int = done, label: str = f"{arm} {network}") -> None:
                if on_progress is not None:
                    steps = config.classifier.steps
                    on_progress(f"training {label}", before * steps + step, len(wanted) * steps)

            found = train_classifier(
                sets[arm],
                real["val"],
                classifier,
                seed,
                weighted=arm == "weighted",
                device=config.device,
                on_step=on_step,
            )
            test = found.logits(real["test"].hu, real["test"].centre)
            known = Run(arm, network, seed, found.best_step, found.val_auc, test)
            store_run(path, known)
        runs.append(known)
    return runs


def run_malignancy(
    data: Path,
    synthesizer: str,
    weights: Path | None = None,
    json_path: Path | None = None,
    *,
    report_path: Path | None = None,
    on_progress: Progress | None = None,
    config: MalignancyConfig = MalignancyConfig(),
) -> dict[str, Any]:
    """Run the study from files to files; what the command line calls.

    Args:
        data: Folder with the nodule cubes, or whose ``ct_nodules`` is it.
        synthesizer: Who makes the added nodules.
        weights: Weights in place of those that ship.
        json_path: Where the numbers go.
        report_path: Where the picture goes, .png.
        on_progress: Told what is being done.
        config: How.

    Returns:
        The numbers.

    Raises:
        LungSynthError: If the data, a name or the weights are no good, or an output can't be
            written.
    """
    from lungsynth.evaluation.malignancy_figure import draw_malignancy

    check_picture(report_path)
    folder = nodule_folder(data)
    loaded = None
    if "synthesis" in config.arms:
        loaded = load_for_study(synthesizer, weights, config.device, folder)
    splits = {name: NoduleCubes.load(folder, name) for name in ("train", "val", "test")}
    values = study(splits, loaded, config, on_progress)
    write_json(values, json_path)
    if report_path is not None:
        draw_malignancy(values, report_path)
    return values
