"""How different nodules are that one context gives with different noise [yang2019, Fig. 3].

At each site several nodules are made that differ in nothing but their noise, and each is compared
with each; so are real nodules of like size and the same attenuation, of different patients. Where
real nodules differ, so do their contexts, and therefore both are compared only within the ball
that holds the nodule, its middle in its middle. The generated nodules of *different* sites are
compared too, in the very pairs in which the real ones of these sites are: that ratio is free of
what the context adds.

Two distances: the root mean square of the difference in HU within the ball, and the Euclidean
distance between the features that the Fréchet distance is computed on.
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
from lungsynth.evaluation.feature_cache import feature_nets
from lungsynth.evaluation.figures import Table, figured
from lungsynth.evaluation.file_study import FileStudy
from lungsynth.evaluation.frechet import FeatureConfig, FeatureNet
from lungsynth.evaluation.generated import Generated, ask, generate
from lungsynth.evaluation.nodule_distances import (
    DISTANCES,
    Measured,
    PairList,
    draw_real_pairs,
    noise_pairs,
    site_pairs,
)
from lungsynth.evaluation.nodule_net import crop
from lungsynth.evaluation.pairs import chosen_nodules, draw_latent_seed, quantised
from lungsynth.evaluation.realism import Progress
from lungsynth.evaluation.statistics import Estimate, bootstrap_by_group

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class DiversityConfig:
    """How the study is made.

    Args:
        noises: Nodules made at each site.
        max_nodules: Sites, evenly spread over the split; None takes all.
        pairs_per_site: Real nodules that each is compared with, at most.
        features: Of the feature network; its first seed is used.
        random_seed: Decides noise and pairs.
        resamples: Of the bootstrap.
        device: "auto", "cpu" or "cuda".
        cache: Folder that keeps generated nodules and networks.
    """

    noises: int = 6
    max_nodules: int | None = None
    pairs_per_site: int = 6
    features: FeatureConfig = field(default_factory=lambda: FeatureConfig(seeds=(0,)))
    random_seed: int = 0
    resamples: int = 2000
    device: str = "auto"
    cache: Path | None = None

    def __post_init__(self) -> None:
        if self.noises < 2:
            msg = f"diversity needs two nodules at a site at least; got noises = {self.noises}"
            raise LungSynthError(msg)


@dataclass(frozen=True, eq=False)
class Reference:
    """The real nodules that generated ones are compared with.

    Args:
        cubes: The split.
        chosen: Which of its nodules take part, (N,).
        patient: Whose each of them is, (N,).
        pairs: Those that are alike, as positions in ``chosen``.
        distances: Of these pairs.
    """

    cubes: NoduleCubes
    chosen: NDArray[np.int64]
    patient: NDArray[np.str_]
    pairs: PairList
    distances: Mapping[str, Floats]

    @property
    def owner(self) -> NDArray[np.str_]:
        """The patient that each pair is counted for."""
        return np.asarray(self.patient[[a for a, _ in self.pairs]])


def reference(
    cubes: NoduleCubes, split: str, net: FeatureNet, config: DiversityConfig
) -> Reference:
    """Choose real nodules and measure how different those are that are alike.

    Raises:
        LungSynthError: If no two are alike.
    """
    chosen = chosen_nodules(cubes, config.max_nodules)
    rng = np.random.default_rng([config.random_seed, 3])
    pairs = draw_real_pairs(cubes, chosen, config.pairs_per_site, rng)
    if not pairs:
        msg = f"no two of the {len(chosen)} real nodules of {split} are alike enough to compare"
        raise LungSynthError(msg)
    centre = np.array([cubes.centre(n) for n in chosen.tolist()])
    real = _measured(quantised(cubes.hu[chosen]), centre, cubes.diameter_mm[chosen], net)
    patient = np.array([cubes.table[n]["patient"] for n in chosen.tolist()])
    return Reference(cubes, chosen, patient, pairs, real.distances(pairs))


def study(
    splits: Mapping[str, NoduleCubes],
    split: str,
    synthesizers: Sequence[CtSynthesizer],
    config: DiversityConfig = DiversityConfig(),
    on_progress: Progress | None = None,
) -> tuple[dict[str, Any], dict[str, Generated]]:
    """Measure how different nodules are that differ by their noise alone.

    Returns:
        The values as JSON has them, and what each synthesizer made, for pictures.

    Raises:
        LungSynthError: If a synthesizer can make no nodule, or no two real ones are alike.
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
    net = nets[config.features.seeds[0]]
    real = reference(splits[split], split, net, config)
    values: dict[str, Any] = {
        "version": lungsynth.__version__,
        "study": "diversity",
        "split": split,
        "random_seed": config.random_seed,
        "noises": config.noises,
        "sites": len(real.chosen),
        "real": {
            "pairs": len(real.pairs),
            **{
                name: _mean(found, real.owner, config).to_json()
                for name, found in real.distances.items()
            },
        },
        "synthesizers": {},
    }
    made: dict[str, Generated] = {}
    for synthesizer in synthesizers:
        made[synthesizer.name] = _make(real, split, synthesizer, config, tell)
        values["synthesizers"][synthesizer.name] = {
            "weights_sha256": synthesizer.weights_sha256,
            **compare_with_real(made[synthesizer.name], real, net, config),
        }
    values["seconds"] = time.perf_counter() - started
    values["table"] = diversity_table(values).to_json()
    return values, made


def _make(
    real: Reference,
    split: str,
    synthesizer: CtSynthesizer,
    config: DiversityConfig,
    tell: Progress,
) -> Generated:
    """Return all nodules of all sites, those of a site one after the other."""
    asked = [
        ask(real.cubes, split, n, draw_latent_seed(split, n, config.random_seed + 1 + turn))
        for n in real.chosen.tolist()
        for turn in range(config.noises)
    ]
    return generate(
        real.cubes,
        asked,
        synthesizer,
        cache=config.cache,
        on_progress=partial(tell, f"{synthesizer.name}: nodules of {split}"),
    )


def compare_with_real(
    made: Generated, real: Reference, net: FeatureNet, config: DiversityConfig
) -> dict[str, Any]:
    """Return distances between generated nodules and what part of the real ones' they are."""
    found = _measured(made.hu, made.centre, real.cubes.diameter_mm[made.index], net)
    owner_of = dict(zip(real.chosen.tolist(), real.patient.tolist(), strict=True))
    values: dict[str, Any] = {"nodules": len(made), "refused": list(made.refused)}
    for name, pairs in (
        ("same_context", noise_pairs(made.index)),
        ("other_contexts", site_pairs(made.index, real.chosen, real.pairs)),
    ):
        owner = np.array([owner_of[int(made.index[a])] for a, _ in pairs])
        distances = found.distances(pairs)
        values[name] = {
            "pairs": len(pairs),
            **{
                distance: {
                    **_mean(distances[distance], owner, config).to_json(),
                    "of_real": _ratio(
                        (distances[distance], owner),
                        (real.distances[distance], real.owner),
                        config,
                    ).to_json(),
                }
                for distance in DISTANCES
            },
        }
    return values


def _measured(
    hu: NDArray[np.int16], centre: Floats, diameter_mm: Floats, net: FeatureNet
) -> Measured:
    crops = crop(hu, centre).astype(np.float64)
    return Measured(crops, net.features(hu, centre), diameter_mm)


def _mean(values: Floats, owner: NDArray[np.str_], config: DiversityConfig) -> Estimate:
    if not len(values):
        return Estimate(float("nan"), float("nan"), float("nan"))
    rng = np.random.default_rng(config.random_seed)
    return bootstrap_by_group(
        lambda rows: float(values[rows].mean()), owner, rng, resamples=config.resamples
    )


def _ratio(
    generated: tuple[Floats, NDArray[np.str_]],
    real: tuple[Floats, NDArray[np.str_]],
    config: DiversityConfig,
) -> Estimate:
    """Return the ratio of two means; patients are drawn with what they have of either."""
    values = np.concatenate([generated[0], real[0]])
    owner = np.concatenate([generated[1], real[1]])
    is_real = np.arange(len(values)) >= len(generated[0])

    def ratio(rows: NDArray[np.int64]) -> float:
        of_real, of_generated = rows[is_real[rows]], rows[~is_real[rows]]
        if not len(of_real) or not len(of_generated):
            return float("nan")
        return float(values[of_generated].mean() / values[of_real].mean())

    rng = np.random.default_rng(config.random_seed)
    return bootstrap_by_group(ratio, owner, rng, resamples=config.resamples)


def diversity_table(values: Mapping[str, Any]) -> Table:
    """Return the study's table; [yang2019] shows pictures and no figures."""

    def cell(found: Mapping[str, Any], digits: int = 3) -> str:
        return figured(Estimate(found["value"], *found["interval_95"]), digits)

    real = values["real"]
    rows = [["real, alike", cell(real["rms_hu"], 0), "1", cell(real["features"], 2), "1"]]
    for name, found in values["synthesizers"].items():
        for place in ("same_context", "other_contexts"):
            rms, features = (found[place][distance] for distance in DISTANCES)
            rows.append(
                [
                    f"{name}, {place.replace('_', ' ')}",
                    cell(rms, 0),
                    cell(rms["of_real"]),
                    cell(features, 2),
                    cell(features["of_real"]),
                ]
            )
    return Table(
        f"Distance between nodules, {values['noises']} at each of {values['sites']} sites of "
        f"{values['split']} (the paper's Fig. 3 has no figures)",
        ("nodules", "RMS, HU", "of real", "features", "of real"),
        rows,
    )


def _draw(
    values: dict[str, Any], made: dict[str, Generated], cubes: NoduleCubes, path: Path
) -> None:
    from lungsynth.evaluation.diversity_figure import draw_diversity  # which builds on this module

    draw_diversity(values, made, cubes, path)


run_diversity = FileStudy(study, _draw, DiversityConfig())
