"""Whether the class that was asked is the class that came out.

A classifier that knows real nodules alone (train split) is shown pairs of generated nodules: same
site, size, attenuation and noise, one asked to be benign and one to be malignant. Since both are
of one size, it cannot go by that, which parts real nodules best. Beside it stand measures of both
classes, generated and real: size, density, margin, and surrogates for lobulation and spiculation.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import lungsynth
from lungsynth.core.contracts import CtSynthesizer
from lungsynth.core.errors import LungSynthError
from lungsynth.data.nodule_cubes import NoduleCubes
from lungsynth.evaluation.class_measures import MEASURES, by_class, measure_all, real_measures
from lungsynth.evaluation.classes import Labelled, labelled_splits, malignancy_class
from lungsynth.evaluation.classifier_cache import kept_classifier
from lungsynth.evaluation.figures import Table, check_picture, figured
from lungsynth.evaluation.generated import Asked, Generated, ask, generate
from lungsynth.evaluation.malignancy_net import (
    Classifier,
    ClassifierConfig,
    area_of,
)
from lungsynth.evaluation.pairs import draw_latent_seed
from lungsynth.evaluation.realism import Progress, load_for_study, write_json
from lungsynth.evaluation.splits import nodule_folder
from lungsynth.evaluation.statistics import Estimate, bootstrap_by_group, wilson_interval
from lungsynth.synthesizers import KNOW_MALIGNANCY

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class ClassControlConfig:
    """How the study is made.

    Args:
        classifier: How each classifier is trained, on benign nodules rated up to 2 and malignant
            ones from 4: what the classes mean that are asked for.
        seeds: Classifiers, whose opinions are averaged.
        pairs: How many pairs are asked for.
        random_seed: Decides sites and noise.
        resamples: Of the bootstrap.
        device: "auto", "cpu" or "cuda".
        cache: Folder that keeps generated nodules and classifiers.
    """

    classifier: ClassifierConfig = field(default_factory=ClassifierConfig)
    seeds: tuple[int, ...] = (0, 1, 2)
    pairs: int = 200
    random_seed: int = 0
    resamples: int = 2000
    device: str = "auto"
    cache: Path | None = None

    def __post_init__(self) -> None:
        if self.pairs < 1 or not self.seeds:
            msg = f"class control needs pairs and a seed; got {self.pairs} and {self.seeds}"
            raise LungSynthError(msg)


def check_knows_classes(names: Sequence[str]) -> None:
    """Refuse synthesizers that leave the class unused.

    Raises:
        LungSynthError: If one does; says which do not.
    """
    for name in names:
        if name not in KNOW_MALIGNANCY:
            others = ", ".join(sorted(KNOW_MALIGNANCY))
            msg = f"'{name}' makes the same nodule whatever class is asked; take one of {others}"
            raise LungSynthError(msg)


def plan_pairs(cubes: NoduleCubes, split: str, config: ClassControlConfig) -> list[Asked]:
    """Return the questions: for each pair the benign nodule, then the malignant one.

    The sites are the split's usable nodules in turn; each turn has other noise.
    """
    usable = np.flatnonzero(cubes.usable).tolist()
    return [
        ask(cubes, split, site, latent, malignancy_class(malignant=malignant))
        for n in range(config.pairs)
        for site in [usable[n % len(usable)]]
        for latent in [draw_latent_seed(split, n, config.random_seed + 1)]
        for malignant in (False, True)
    ]


def whole_pairs(made: Generated) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the rows of benign and malignant nodules of the pairs of which both were made."""
    row = {asked: n for n, asked in enumerate(made.asked.tolist())}
    both = [a for a in row if a % 2 == 0 and a + 1 in row]
    return np.array([row[a] for a in both], dtype=np.int64), np.array(
        [row[a + 1] for a in both], dtype=np.int64
    )


def share_ordered(
    benign: Floats, malignant: Floats, patient: NDArray[np.str_], config: ClassControlConfig
) -> dict[str, Any]:
    """Return how often the malignant nodule of a pair scores higher, ties counting half.

    The score interval takes the pairs as independent; that by patient takes whole patients.
    """
    above = (malignant > benign) + 0.5 * (malignant == benign)
    wilson = wilson_interval(int(np.floor(above.sum())), len(above))
    by_patient = bootstrap_by_group(
        lambda rows: float(above[rows].mean()),
        patient,
        np.random.default_rng(config.random_seed),
        resamples=config.resamples,
    )
    return {
        "value": float(above.mean()),
        "interval_95": [wilson.low, wilson.high],
        "interval_95_by_patient": [by_patient.low, by_patient.high],
    }


def study(
    splits: Mapping[str, NoduleCubes],
    split: str,
    synthesizers: Sequence[CtSynthesizer],
    config: ClassControlConfig = ClassControlConfig(),
    on_progress: Progress | None = None,
) -> dict[str, Any]:
    """Train the classifiers on real nodules and ask them about generated pairs.

    Args:
        splits: train, val, and the one whose sites are used.
        split: Which that is; also the classifiers' own quality is measured there.
        synthesizers: Who makes the pairs.
        config: How.
        on_progress: Told what is being done.

    Returns:
        The values as JSON has them.

    Raises:
        LungSynthError: If a split lacks a class or shares a patient with another, or a synthesizer
            can make no nodule.
    """
    started = time.perf_counter()
    names = dict.fromkeys(("train", "val", split))
    real = labelled_splits({name: splits[name] for name in names}, undecided=False)
    tell = on_progress or (lambda _stage, _done, _total: None)
    classifiers = _classifiers(real, config, tell)

    def opinion(hu: NDArray[np.int16], centre: Floats) -> Floats:
        return np.asarray(np.mean([c.logits(hu, centre) for c in classifiers], axis=0))

    held = real[split]
    values: dict[str, Any] = {
        "version": lungsynth.__version__,
        "study": "class-control",
        "split": split,
        "random_seed": config.random_seed,
        "classifier": {
            "network": config.classifier.network,
            "steps": config.classifier.steps,
            "seeds": list(config.seeds),
            "best_val_auc": [c.val_auc for c in classifiers],
            "auc": area_of(opinion(held.hu, held.centre), held.malignant),
        },
        "real": real_measures(splits[split]),
        "synthesizers": {},
    }
    for synthesizer in synthesizers:
        made = generate(
            splits[split],
            plan_pairs(splits[split], split, config),
            synthesizer,
            cache=config.cache,
            on_progress=partial(tell, f"{synthesizer.name}: pairs at sites of {split}"),
        )
        values["synthesizers"][synthesizer.name] = {
            "weights_sha256": synthesizer.weights_sha256,
            **_asked_about(made, opinion(made.hu, made.centre), splits[split], config),
        }
    values["seconds"] = time.perf_counter() - started
    values["table"] = class_table(values).to_json()
    return values


def _classifiers(
    real: Mapping[str, Labelled], config: ClassControlConfig, tell: Progress
) -> list[Classifier]:
    """Return a classifier of real nodules for each seed."""
    steps = config.classifier.steps

    def on_step(step: int, before: int) -> None:
        total = len(config.seeds) * steps
        tell("training the classifier on real nodules", before + step, total)

    return [
        kept_classifier(
            real["train"],
            real["val"],
            config.classifier,
            seed,
            device=config.device,
            cache=config.cache,
            on_step=partial(on_step, before=turn * steps),
        )
        for turn, seed in enumerate(config.seeds)
    ]


def _asked_about(
    made: Generated, scores: Floats, cubes: NoduleCubes, config: ClassControlConfig
) -> dict[str, Any]:
    benign, malignant = whole_pairs(made)
    if not len(benign):
        msg = f"of none of the {config.pairs} pairs both nodules could be made"
        raise LungSynthError(msg)
    patient = np.array([cubes.table[n]["patient"] for n in made.index[benign].tolist()])
    rows = np.concatenate([benign, malignant])
    is_malignant = np.arange(len(rows)) >= len(benign)
    measured = measure_all(made.hu[rows], made.mask[rows])
    return {
        "pairs": len(benign),
        "refused": list(made.refused),
        "malignant_scores_higher": share_ordered(
            scores[benign], scores[malignant], patient, config
        ),
        "within_tolerance": float(made.within_tolerance[rows].mean()),
        "measures": by_class(measured, is_malignant),
        "each": [
            {"nodule": int(n), "benign": float(b), "malignant": float(m)}
            for n, b, m in zip(made.index[benign], scores[benign], scores[malignant], strict=True)
        ],
    }


def class_table(values: Mapping[str, Any]) -> Table:
    """Return medians of both classes, and how often a malignant nodule is above a benign one."""
    sources = {f"real, {values['split']}": values["real"]}
    sources |= {name: found["measures"] for name, found in values["synthesizers"].items()}
    rows = []
    for name, found in values["synthesizers"].items():
        share = found["malignant_scores_higher"]
        cell = figured(Estimate(share["value"], *share["interval_95"]))
        rows.append([name, f"classifier, {found['pairs']} pairs", "", "", cell])
    for name, measures in sources.items():
        for measure in MEASURES:
            if measure in measures:
                one = measures[measure]
                medians = (f"{one[kind]:.3g}" for kind in ("benign", "malignant"))
                rows.append([name, measure, *medians, f"{one['above']:.3f}"])
    return Table(
        "Malignant above benign (the paper's Fig. 2 says: benign are smaller, with clear borders)",
        ("nodules", "measure", "benign", "malignant", "malignant above"),
        rows,
    )


def run_class_control(
    data: Path,
    split: str,
    synthesizers: Sequence[str],
    weights: Path | None = None,
    json_path: Path | None = None,
    *,
    report_path: Path | None = None,
    on_progress: Progress | None = None,
    config: ClassControlConfig = ClassControlConfig(),
) -> dict[str, Any]:
    """Run the study from files to files; what the command line calls.

    Args:
        data: Folder with the nodule cubes, or whose ``ct_nodules`` is it.
        split: Whose sites are used: "test" or "val".
        synthesizers: Names of such as know classes.
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
    from lungsynth.evaluation.class_control_figure import draw_class_control

    check_picture(report_path)
    check_knows_classes(synthesizers)
    if split == "train":
        msg = "class control trains its classifier on train; choose --split test or val"
        raise LungSynthError(msg)
    folder = nodule_folder(data)
    loaded = [load_for_study(name, weights, config.device, folder) for name in synthesizers]
    names = dict.fromkeys(("train", "val", split))
    splits = {name: NoduleCubes.load(folder, name) for name in names}
    values = study(splits, split, loaded, config, on_progress)
    write_json(values, json_path)
    if report_path is not None:
        draw_class_control(values, report_path)
    return values
