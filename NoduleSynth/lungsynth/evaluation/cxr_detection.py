"""Whether synthetic nodules make detectors better [shen2022, IV.C, Tables III and IV].

A detector is trained on radiographs with known nodules, then trained on with synthetic ones added,
and measured on held patients. Every arm is trained on for the same number of steps:

 * none: without synthetic radiographs;
 * random: nodules drawn from a population, by the synthesizer under test;
 * ct-projection: the same nodules, by projecting those of CT [shen2022, Table IV];
 * mined: nodules drawn after those that the detector missed (``hard_examples``).

Everything is kept in a folder as it is made, and not made again: a study that was stopped goes on.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from lungsynth.core.contracts import CxrSynthesizer
from lungsynth.core.errors import LungSynthError
from lungsynth.core.temporary import replacing
from lungsynth.data.nodule_cases import NoduleCase, load_cases, save_cases, summary
from lungsynth.detectors.nodules import NoduleDetector
from lungsynth.evaluation.cxr_cases import (
    NodulePopulation,
    NoduleRequest,
    draw_request,
    known_cases,
    normal_cases,
    synthesise,
)
from lungsynth.evaluation.froc import (
    JudgedCase,
    compare_scores,
    froc_curve,
    judge_case,
    score_detections,
)
from lungsynth.evaluation.hard_examples import (
    ATTRIBUTES,
    JudgedNodule,
    check_attributes,
    draw_hard_examples,
    from_rows,
    histograms,
    judge_nodules,
    to_rows,
)

ARMS = ("none", "random", "ct-projection", "mined")
STUDY_FILE = "study.json"
_CURVE_RATES = (0.0625, 0.125, 0.25, 0.5, 1.0, 2.0)


@dataclass(frozen=True)
class DetectionStudyConfig:
    """What is compared; a study is gone on with in the same configuration only.

    Args:
        detectors: Of "retinanet" and "faster-rcnn".
        detector_preset: Of ``detectors.nodules.PRESETS``.
        arms: Of ``ARMS``; "none" is always there.
        counts: How many synthetic radiographs, each above 0.
        train_steps: Of the first training; None takes the preset's.
        tune_steps: Of going on, in every arm; None takes half of that [20 and 10 epochs].
        tune_rate: Part of the learning rate that is left then; 1e-4 of 1e-3 in the paper.
        most: At most so many radiographs of each split; None takes all.
        mine_split: Whose misses are mined: the paper's own training cases, or "val" (ours: of
            what it was trained on, a detector misses little).
        attributes: Which the mined nodules follow; ("size",) is the paper's.
        population: Of what is not mined.
        resamples: Of patients, for the intervals.
        random_seed: Everything random follows from it.
    """

    detectors: tuple[str, ...] = ("retinanet", "faster-rcnn")
    detector_preset: str = "default"
    arms: tuple[str, ...] = ARMS
    counts: tuple[int, ...] = (500, 1000, 1500, 2000)
    train_steps: int | None = None
    tune_steps: int | None = None
    tune_rate: float = 0.1
    most: int | None = None
    mine_split: str = "val"
    attributes: tuple[str, ...] = ATTRIBUTES
    population: NodulePopulation = field(default_factory=NodulePopulation)
    resamples: int = 1000
    random_seed: int = 0

    def __post_init__(self) -> None:
        unknown = [arm for arm in self.arms if arm not in ARMS]
        if unknown:
            msg = f"unknown arm '{unknown[0]}'; there are {', '.join(ARMS)}"
            raise LungSynthError(msg)
        if self.mine_split not in ("train", "val"):
            msg = f"misses are mined on train or val, not on '{self.mine_split}'"
            raise LungSynthError(msg)
        check_attributes(self.attributes)
        if not all(count > 0 for count in self.counts):
            msg = f"numbers of synthetic radiographs must be positive; got {self.counts}"
            raise LungSynthError(msg)


PRESETS: dict[str, DetectionStudyConfig] = {
    "full": DetectionStudyConfig(),
    "small": DetectionStudyConfig(
        detectors=("retinanet",),
        detector_preset="small",
        counts=(150, 300),
        train_steps=1500,
        tune_steps=600,
        tune_rate=0.3,
    ),
    "tiny": DetectionStudyConfig(
        detectors=("retinanet",),
        detector_preset="tiny",
        counts=(4,),
        train_steps=4,
        tune_steps=2,
        most=6,
        resamples=20,
    ),
}
"""shen2022's numbers; one that two cores do in hours; one for tests."""


@dataclass(frozen=True, eq=False)
class FitOrder:
    """One training that a study asks for.

    Args:
        folder: Where it is kept; weights that are there already are taken.
        kind: "retinanet" or "faster-rcnn".
        preset: Of it.
        cases: What it learns from.
        start: Weights to go on from; None starts anew.
        steps: How many; None takes the preset's, or half where it goes on.
        rate_factor: Of the preset's learning rate.
        seed: Everything random follows from it.
    """

    folder: Path
    kind: str
    preset: str
    cases: Sequence[NoduleCase]
    start: NoduleDetector | None
    steps: int | None
    rate_factor: float
    seed: int


Fit = Callable[[FitOrder], NoduleDetector]
"""Trains a detector, or takes the one that is there; given, since training is another layer."""
OnProgress = Callable[[str, int, int], None]


class DetectionStudy:
    """A study in its folder.

    Args:
        folder: Of the study; made if there is none.
        data: Folder with ``cxr``, ``ct_nodules`` and, where there are any, ``drr``.
        config: What is compared.
        synthesizer: Who makes the nodules of "random" and "mined".
        projector: Who makes those of "ct-projection".
        fit: Trains.
        on_progress: Called with what is done, how much of it, and of how much.

    Raises:
        LungSynthError: If the folder holds a study of another configuration.
    """

    def __init__(  # noqa: PLR0917 - what, where and who
        self,
        folder: Path,
        data: Path,
        config: DetectionStudyConfig,
        synthesizer: CxrSynthesizer,
        projector: CxrSynthesizer,
        fit: Fit,
        on_progress: OnProgress = lambda *_: None,
    ) -> None:
        self.folder, self.data, self.config = folder, data, config
        self.synthesizer, self.projector = synthesizer, projector
        self.fit, self.on_progress = fit, on_progress
        self._claim()

    def run(self) -> dict[str, Any]:
        """Do what is not done yet and return the report, which is also written (report.json)."""
        detectors = {kind: self._one_detector(kind) for kind in self.config.detectors}
        report = {
            "study": "cxr-detection",
            "config": json.loads(json.dumps(asdict(self.config))),
            "synthesizer": self.synthesizer.name,
            "weights_sha256": self.synthesizer.weights_sha256,
            "cases": {split: summary(self.cases(split)) for split in ("train", "val", "test")},
            "detectors": detectors,
        }
        write_json(self.folder / "report.json", report)
        return report

    def cases(self, split: str) -> list[NoduleCase]:
        """Return the known radiographs of a split."""
        path = self.folder / "cases" / f"{split}.npz"
        if not path.is_file():
            rng = self._rng("cases", split)
            made = known_cases(
                self.data,
                split,
                rng,
                most=self.config.most,
                population=self.config.population,
                on_progress=lambda n, m: self.on_progress(f"{split} cases", n, m),
            )
            path.parent.mkdir(parents=True, exist_ok=True)
            save_cases(path, made)
        return load_cases(path)

    def trained(self, kind: str) -> NoduleDetector:
        """Return the detector before any synthetic nodule."""
        return self._fitted(kind, "first", self.cases("train"), None, self.config.train_steps)

    def mined_from(self, kind: str) -> list[JudgedNodule]:
        """Return what that detector finds and misses where misses are mined."""
        path = self.folder / kind / "mined_from.json"
        if not path.is_file():
            cases = self.cases(self.config.mine_split)
            judged = self._judged(self.trained(kind), cases)
            write_json(path, {"nodules": to_rows(judge_nodules(cases, judged))})
        return from_rows(json.loads(path.read_text(encoding="utf-8"))["nodules"])

    def requests(self, kind: str, arm: str, count: int) -> list[NoduleRequest]:
        """Draw the nodules of an arm; "random" and "ct-projection" have the same."""
        rng = self._rng("requests", "mined" if arm == "mined" else "random")
        config = self.config
        if arm == "mined":
            return draw_hard_examples(
                self.mined_from(kind),
                count,
                rng,
                attributes=config.attributes,
                population=config.population,
            )
        return [draw_request(config.population, rng) for _ in range(count)]

    def synthetic(self, kind: str, arm: str, count: int) -> list[NoduleCase]:
        """Return the synthetic radiographs of an arm."""
        if arm == "none":
            return []
        path = self.folder / kind / f"{arm}-{count}" / "cases.npz"
        if not path.is_file():
            normals = normal_cases(self.cases("train"))
            if not normals:
                msg = f"{self.data}: no radiograph without nodules in the train split"
                raise LungSynthError(msg)
            made = synthesise(
                normals,
                self.requests(kind, arm, count),
                self.projector if arm == "ct-projection" else self.synthesizer,
                arm,
                on_progress=lambda n, m: self.on_progress(f"{arm} nodules", n, m),
            )
            path.parent.mkdir(parents=True, exist_ok=True)
            save_cases(path, made)
        return load_cases(path)

    def augmented(self, kind: str, arm: str, count: int) -> NoduleDetector:
        """Return the detector trained on with the synthetic radiographs of an arm."""
        name = "none" if arm == "none" else f"{arm}-{count}"
        cases = [*self.cases("train"), *self.synthetic(kind, arm, count)]
        return self._fitted(kind, name, cases, self.trained(kind), self.config.tune_steps)

    def judged(self, kind: str, arm: str | None, count: int = 0) -> list[JudgedCase]:
        """Return what a detector finds on the test split; None is the one before any arm."""
        detector = self.trained(kind) if arm is None else self.augmented(kind, arm, count)
        return self._judged(detector, self.cases("test"))

    def _one_detector(self, kind: str) -> dict[str, Any]:
        cases = self.cases("test")
        patients = [case.patient for case in cases]
        before = self.judged(kind, None)
        found: dict[tuple[str, int], list[JudgedCase]] = {("none", 0): self.judged(kind, "none")}
        for arm in self.config.arms:
            for count in self.config.counts if arm != "none" else ():
                found[arm, count] = self.judged(kind, arm, count)
        rows = []
        for (arm, count), judged in found.items():
            score = score_detections(
                judged, patients, self._rng("bootstrap"), self.config.resamples
            )
            against = {
                other: compare_scores(
                    found[other, 0 if other == "none" else count],
                    judged,
                    patients,
                    self._rng("bootstrap"),
                    self.config.resamples,
                ).to_json()
                for other in ("none", "random")
                if other != arm and (other, 0 if other == "none" else count) in found
            }
            rows.append(
                {
                    "arm": arm,
                    "synthetic": count,
                    **score.to_json(),
                    "gain_over": against,
                    "froc": curve_points(judged),
                    "by_attribute": histograms(judge_nodules(cases, judged)),
                }
            )
        return {
            "before": {
                **score_detections(
                    before, patients, self._rng("bootstrap"), self.config.resamples
                ).to_json(),
                "by_attribute": histograms(judge_nodules(cases, before)),
            },
            "mined_from": histograms(self.mined_from(kind)) if "mined" in self.config.arms else {},
            "rows": rows,
        }

    def _fitted(
        self,
        kind: str,
        name: str,
        cases: Sequence[NoduleCase],
        start: NoduleDetector | None,
        steps: int | None,
    ) -> NoduleDetector:
        return self.fit(
            FitOrder(
                self.folder / kind / name,
                kind,
                self.config.detector_preset,
                cases,
                start,
                steps,
                1.0 if start is None else self.config.tune_rate,
                self.config.random_seed,
            )
        )

    def _judged(self, detector: NoduleDetector, cases: Sequence[NoduleCase]) -> list[JudgedCase]:
        found = detector.detect(
            [case.pixels for case in cases],
            on_progress=lambda n, m: self.on_progress("detecting", n, m),
        )
        return [
            judge_case(made.boxes, made.scores, case.boxes)
            for made, case in zip(found, cases, strict=True)
        ]

    def _rng(self, *names: str) -> np.random.Generator:
        """Return a generator of its own for each purpose, so that one changes no other."""
        words = [int.from_bytes(name.encode()[:8], "little") for name in names]
        return np.random.default_rng([self.config.random_seed, *words])

    def _claim(self) -> None:
        card = {
            "config": json.loads(json.dumps(asdict(self.config))),
            "data": str(self.data.resolve()),
            "synthesizer": self.synthesizer.name,
            "weights_sha256": self.synthesizer.weights_sha256,
        }
        path = self.folder / STUDY_FILE
        if path.is_file():
            known = json.loads(path.read_text(encoding="utf-8"))
            changed = [name for name in card if known.get(name) != card[name]]
            if changed:
                msg = (
                    f"{self.folder}: holds a study with another {' and '.join(changed)}; give "
                    "another folder, or the same options to go on"
                )
                raise LungSynthError(msg)
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        write_json(path, card)


def curve_points(judged: Sequence[JudgedCase]) -> list[tuple[float, float]]:
    """Return the sensitivity at usual numbers of false boxes a radiograph."""
    rates, sensitivity = froc_curve(judged)
    return [(rate, float(sensitivity[rates <= rate + 1e-12].max())) for rate in _CURVE_RATES]


def write_json(path: Path, values: object) -> None:
    """Write JSON whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(values, indent=1) + "\n", encoding="utf-8")
