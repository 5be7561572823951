"""Real and generated nodules on one map, by class: t-SNE of features learnt from real ones.

[1] van der Maaten and Hinton, Visualizing data using t-SNE, J. Mach. Learn. Res. 9:2579 (2008).
[2] Lopez-Paz and Oquab, Revisiting classifier two-sample tests, ICLR 2017.

Maps deceive, so three figures of the features themselves go with each: how often the nearest
neighbour of a nodule is of its own kind, real or generated ([2]; .5 where they can't be told
apart), how often the nearest real neighbours of a generated nodule are of the class that was
asked, and the same of real nodules, which is the most that can be hoped for.
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
from lungsynth.evaluation.classes import Labelled, labelled, malignancy_class
from lungsynth.evaluation.feature_cache import feature_nets
from lungsynth.evaluation.figures import Table, figured
from lungsynth.evaluation.file_study import FileStudy
from lungsynth.evaluation.frechet import FeatureConfig
from lungsynth.evaluation.generated import Generated, ask, generate
from lungsynth.evaluation.neighbours import class_shares, own_kind_share
from lungsynth.evaluation.pairs import draw_latent_seed
from lungsynth.evaluation.realism import Progress
from lungsynth.evaluation.statistics import Estimate

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class TsneConfig:
    """How the map is made.

    Args:
        perplexity: Of t-SNE [1]; lowered where there are few nodules.
        max_nodules: Take only so many nodules of the split, evenly; None takes all.
        undecided: Whether nodules rated above 2 and below 4 take part, as benign [yang2019].
        features: Of the feature network; its first seed is used.
        random_seed: Decides noise and map.
        device: "auto", "cpu" or "cuda".
        cache: Folder that keeps generated nodules and networks.
    """

    perplexity: float = 30.0
    max_nodules: int | None = None
    undecided: bool = True
    features: FeatureConfig = field(default_factory=lambda: FeatureConfig(seeds=(0,)))
    random_seed: int = 0
    device: str = "auto"
    cache: Path | None = None


def embed(features: Floats, *, perplexity: float, random_seed: int) -> Floats:
    """Return places (N, 2) on a map of features (N, F) [1].

    Raises:
        LungSynthError: If scikit-learn is not installed.
    """
    try:
        from sklearn.manifold import TSNE
    except ImportError:
        msg = "t-SNE needs scikit-learn; install lungsynth[study]"
        raise LungSynthError(msg) from None
    limit = max(1.0, (len(features) - 1) / 3)
    map_of = TSNE(
        perplexity=min(perplexity, limit), init="pca", random_state=random_seed % 2**32, n_jobs=1
    )
    return np.asarray(map_of.fit_transform(features.astype(np.float32)), dtype=np.float64)


@dataclass(frozen=True, eq=False)
class TsneMap:
    """A map of one synthesizer's nodules among the real ones.

    Args:
        real: Places of the real ones, (N, 2).
        real_malignant: Their classes.
        generated: Places of the generated ones, (M, 2).
        generated_malignant: What was asked of them.
    """

    real: Floats
    real_malignant: NDArray[np.bool_]
    generated: Floats
    generated_malignant: NDArray[np.bool_]


def study(
    splits: Mapping[str, NoduleCubes],
    split: str,
    synthesizers: Sequence[CtSynthesizer],
    config: TsneConfig = TsneConfig(),
    on_progress: Progress | None = None,
) -> tuple[dict[str, Any], dict[str, TsneMap]]:
    """Map the rated nodules of a split with as many generated ones, at their sites.

    Each generated nodule is asked to be of its site's size, attenuation and class.

    Returns:
        The values as JSON has them, and the map of each synthesizer.

    Raises:
        LungSynthError: If a class is empty, or a synthesizer can make no nodule.
    """
    tell = on_progress or (lambda _stage, _done, _total: None)
    started = time.perf_counter()
    real = _limited(labelled(splits[split], split, undecided=config.undecided), config.max_nodules)
    nets = feature_nets(
        splits["train"],
        config.features,
        device=config.device,
        cache=config.cache,
        on_epoch=partial(tell, "learning features of real nodules"),
    )
    net = nets[config.features.seeds[0]]
    real_features = net.features(real.hu, real.centre)
    found: dict[str, Any] = {}
    maps: dict[str, TsneMap] = {}
    for synthesizer in synthesizers:
        made = _make(splits[split], split, real, synthesizer, (config, tell))
        features = net.features(made.hu, made.centre)
        tell(f"{synthesizer.name}: drawing the map", 0, 1)
        places = embed(
            np.concatenate([real_features, features]),
            perplexity=config.perplexity,
            random_seed=config.random_seed,
        )
        malignant = real.malignant[made.asked]
        drawn = TsneMap(places[: len(real)], real.malignant, places[len(real) :], malignant)
        maps[synthesizer.name] = drawn
        found[synthesizer.name] = {
            "weights_sha256": synthesizer.weights_sha256,
            **_described(made, drawn, real_features, features),
        }
    values = {
        "version": lungsynth.__version__,
        "study": "tsne",
        "split": split,
        "random_seed": config.random_seed,
        "perplexity": config.perplexity,
        "real": {
            "benign": int((~real.malignant).sum()),
            "malignant": int(real.malignant.sum()),
            "malignant_among_real_neighbours": class_shares(real_features, real.malignant),
        },
        "synthesizers": found,
        "seconds": time.perf_counter() - started,
    }
    values["table"] = tsne_table(values).to_json()
    return values, maps


def _make(
    cubes: NoduleCubes,
    split: str,
    real: Labelled,
    synthesizer: CtSynthesizer,
    how: tuple[TsneConfig, Progress],
) -> Generated:
    """Return a nodule for each real one, of its site, size, attenuation and class."""
    config, tell = how
    asked = [
        ask(
            cubes,
            split,
            n,
            draw_latent_seed(split, n, config.random_seed),
            malignancy_class(malignant=malignant),
        )
        for n, malignant in zip(real.index.tolist(), real.malignant.tolist(), strict=True)
    ]
    return generate(
        cubes,
        asked,
        synthesizer,
        cache=config.cache,
        on_progress=partial(tell, f"{synthesizer.name}: nodules of {split}"),
    )


def _described(
    made: Generated, drawn: TsneMap, real_features: Floats, features: Floats
) -> dict[str, Any]:
    """Return what JSON has of one synthesizer's nodules."""
    asked = drawn.generated_malignant
    return {
        "nodules": len(made),
        "refused": list(made.refused),
        "nearest_of_own_kind": own_kind_share(real_features, features).to_json(),
        "malignant_among_real_neighbours": class_shares(
            real_features, drawn.real_malignant, features, asked
        ),
        "map": [
            {"nodule": int(n), "malignant": bool(m), "x": float(x), "y": float(y)}
            for n, m, (x, y) in zip(made.index, asked, drawn.generated, strict=True)
        ],
    }


def _limited(nodules: Labelled, max_nodules: int | None) -> Labelled:
    """Return so many of each class, evenly spread, in proportion."""
    if max_nodules is None or max_nodules >= len(nodules):
        return nodules
    rows = []
    for kind in (False, True):
        own = np.flatnonzero(nodules.malignant == kind)
        count = min(len(own), max(2, round(max_nodules * len(own) / len(nodules))))
        rows.append(own[np.linspace(0, len(own) - 1, count).astype(int)])
    kept = np.sort(np.concatenate(rows))
    return Labelled(
        nodules.hu[kept],
        nodules.centre[kept],
        nodules.malignant[kept],
        nodules.patient[kept],
        nodules.index[kept],
    )


def tsne_table(values: Mapping[str, Any]) -> Table:
    """Return the study's table; [yang2019] gives no map."""
    real = values["real"]["malignant_among_real_neighbours"]
    rows = [["real", "0.5 where alike", f"{real['benign']:.3f}", f"{real['malignant']:.3f}"]]
    for name, found in values["synthesizers"].items():
        own = found["nearest_of_own_kind"]
        near = found["malignant_among_real_neighbours"]
        rows.append(
            [
                name,
                figured(Estimate(own["value"], *own["interval_95"])),
                f"{near['benign']:.3f}",
                f"{near['malignant']:.3f}",
            ]
        )
    return Table(
        f"Among nearest neighbours of {values['split']} nodules (the paper has no such figures)",
        ("nodules", "of own kind", "malignant, near benign", "malignant, near malignant"),
        rows,
    )


def _draw(values: dict[str, Any], made: dict[str, TsneMap], _: NoduleCubes, path: Path) -> None:
    from lungsynth.evaluation.tsne_figure import draw_maps  # which builds on this module

    draw_maps(values, made, path)


run_tsne = FileStudy(study, _draw, TsneConfig())
