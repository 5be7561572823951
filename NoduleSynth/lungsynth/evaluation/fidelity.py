"""The three-step study: does a classifier learn from drawn radiographs what it learns from real?

[1] Kim, Image synthesis and anomaly detection on chest radiographs using generative adversarial
networks, University of Ulsan, 2021, section 2.

Step 1: a classifier learns normal or abnormal from real radiographs. Step 2: it labels drawn ones,
abnormal from 0.7 on and normal up to 0.3 [1, section 2.3; which prints the two the wrong way
round]; as many are taken, in the same ratio, as there are real ones [1, section 2.2], and a second
classifier of the same kind learns from them. Step 3: both read the same real test images.

[1] compares the areas by Hanley and McNeil's test and reads p < 0.0001 as "no difference"; it says
the contrary. Here DeLong's test of the same cases stands beside it, and the interval of the
difference says how large one may still be.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lungsynth import __version__
from lungsynth.core.errors import LungSynthError
from lungsynth.data.radiographs import RadiographRecord
from lungsynth.detectors.classifier import ANY_FINDING, ClassifierConfig, RadiographClassifier
from lungsynth.detectors.classifier.recipe import ClassifierRecipe
from lungsynth.detectors.contracts import Images
from lungsynth.evaluation.figures import Table, figured
from lungsynth.evaluation.nodule_net import seeded_torch
from lungsynth.evaluation.statistics import (
    Estimate,
    delong_interval,
    delong_test,
    hanley_mcneil_error,
    hanley_mcneil_test,
)

ABNORMAL_FROM, NORMAL_TO = 0.7, 0.3
"""Likelihoods that become pseudo-labels [1, section 2.3]."""
MOST_DRAWN = 50
"""(ours) For each image that is needed so many are drawn at the most."""

Draw = Callable[[int, int], Images]
"""From a seed and a number to images (N, S, S)."""
Progress = Callable[[str, int, int], None]


@dataclass(frozen=True, eq=False)
class LabelledImages:
    """Radiographs that are normal or not.

    Args:
        images: (N, S, S) in [-1, 1].
        abnormal: (N,).
    """

    images: Images
    abnormal: NDArray[np.bool_]

    @classmethod
    def of(cls, images: Images, records: Sequence[RadiographRecord]) -> LabelledImages:
        """Take the labels from records."""
        return cls(images, np.array([not record.is_normal for record in records]))

    def checked(self, what: str) -> LabelledImages:
        """Return it.

        Raises:
            LungSynthError: If there are fewer than two of either kind.
        """
        abnormal, normal = int(self.abnormal.sum()), int((~self.abnormal).sum())
        if min(abnormal, normal) < 2:
            msg = f"{what}: {normal} normal and {abnormal} abnormal radiographs; two are needed"
            raise LungSynthError(msg)
        return self


@dataclass(eq=False)
class FidelityResult:
    """What the study found.

    Args:
        values: The numbers.
        real: Classifier that learnt from real images.
        synthetic: The one that learnt from drawn ones.
        drawn: What it learnt from.
    """

    values: dict[str, Any]
    real: RadiographClassifier
    synthetic: RadiographClassifier
    drawn: LabelledImages


def run_fidelity(
    train: LabelledImages,
    test: LabelledImages,
    draw: Draw,
    config: ClassifierConfig,
    *,
    seed: int = 0,
    device: str = "auto",
    real: RadiographClassifier | None = None,
    on_progress: Progress | None = None,
) -> FidelityResult:
    """Do the three steps.

    Args:
        train: Real images to learn from.
        test: Real images that both classifiers read.
        draw: The generator.
        config: Of both classifiers.
        seed: All that is drawn follows from it.
        device: "auto", "cpu", "cuda" or "cuda:N".
        real: A classifier of the real images that was trained before; None trains one.
        on_progress: Called with stage, steps done and steps in all.

    Raises:
        LungSynthError: If a set lacks a kind, or too few drawings get a label.
    """
    train.checked("training images")
    test.checked("test images")
    tell = on_progress or (lambda *_: None)
    first = real or train_classifier(train, config, seed, device=device, on_progress=tell)
    share, extra = float(train.abnormal.mean()), len(test.images)
    wanted_test = (round(extra * share), extra - round(extra * share))
    wanted = (int(train.abnormal.sum()), int((~train.abnormal).sum()))
    drawn, counts = draw_labelled(
        draw,
        first,
        (wanted[0] + wanted_test[0], wanted[1] + wanted_test[1]),
        seed,
        on_progress=tell,
    )
    learn, read = split_labelled(drawn, wanted)
    second = train_classifier(learn, config, seed + 1, device=device, on_progress=tell)
    real_scores = first.any_finding(first.likelihoods(test.images))
    on_real = second.any_finding(second.likelihoods(test.images))
    on_drawn = second.any_finding(second.likelihoods(read.images))
    steps = {
        "real_on_real": measured(real_scores, test.abnormal),
        "synthetic_on_synthetic": measured(on_drawn, read.abnormal),
        "synthetic_on_real": measured(on_real, test.abnormal),
    }
    values: dict[str, Any] = {
        "version": __version__,
        "real_training_images": len(train.images),
        "real_test_images": len(test.images),
        "drawn": counts,
        "steps": steps,
        "difference": compared(real_scores, on_real, test.abnormal),
        "paper": {"real_on_real": 0.983, "synthetic_on_synthetic": 0.9673,
                  "synthetic_on_real": 0.881},
    }  # fmt: skip
    return FidelityResult(values, first, second, learn)


def train_classifier(
    labelled: LabelledImages,
    config: ClassifierConfig,
    seed: int,
    *,
    device: str = "auto",
    on_progress: Progress | None = None,
) -> RadiographClassifier:
    """Train a classifier of normal or abnormal.

    Raises:
        LungSynthError: If Lightning Fabric is missing.
    """
    try:
        from lightning_fabric import Fabric
    except ImportError:
        msg = "training a classifier needs Lightning Fabric: pip install 'lungsynth[train]'"
        raise LungSynthError(msg) from None
    from lungsynth.nn.device import choose_device

    target = choose_device(device)
    fabric = Fabric(accelerator=target.type, devices=1)
    config = dataclasses.replace(config, labels=ANY_FINDING)
    wanted = labelled.abnormal.astype(np.float32)[:, None]
    with seeded_torch(seed):
        recipe = ClassifierRecipe(config, labelled.images, wanted, fabric)
        for step in range(config.total_steps):
            recipe.step(np.random.default_rng([seed, step]))
            recipe.step_count = step + 1
            if on_progress is not None:
                on_progress("training a classifier", step + 1, config.total_steps)
    return RadiographClassifier(recipe.network, config, device=fabric.device)


def draw_labelled(
    draw: Draw,
    classifier: RadiographClassifier,
    wanted: tuple[int, int],
    seed: int,
    *,
    batch_size: int = 64,
    on_progress: Progress | None = None,
) -> tuple[LabelledImages, dict[str, int]]:
    """Draw until there are so many abnormal and so many normal images by pseudo-label.

    Returns:
        The images, abnormal ones first, and how many were drawn, labelled and left out.

    Raises:
        LungSynthError: If the generator draws too few of one kind.
    """
    kept: dict[bool, list[Images]] = {True: [], False: []}
    have = {True: 0, False: 0}
    goal = {True: wanted[0], False: wanted[1]}
    counts = {"drawn": 0, "abnormal": 0, "normal": 0, "unsure": 0}
    most = MOST_DRAWN * sum(wanted)
    batch = 0
    while any(have[kind] < goal[kind] for kind in goal):
        if counts["drawn"] >= most:
            msg = (
                f"of {counts['drawn']} drawings the classifier calls {counts['abnormal']} "
                f"abnormal and {counts['normal']} normal, too few for {wanted[0]} and {wanted[1]}; "
                "the study needs a generator that was trained on both"
            )
            raise LungSynthError(msg)
        images = draw(int(np.random.default_rng([seed, batch]).integers(2**31)), batch_size)
        likely = classifier.any_finding(classifier.likelihoods(images))
        labels = pseudo_labels(likely)
        batch += 1
        counts["drawn"] += len(images)
        for kind, name in ((True, "abnormal"), (False, "normal")):
            chosen = images[labels == int(kind)]
            counts[name] += len(chosen)
            missing = goal[kind] - have[kind]
            kept[kind].append(chosen[:missing])
            have[kind] += len(kept[kind][-1])
        counts["unsure"] += int((labels == -1).sum())
        if on_progress is not None:
            on_progress("drawing", have[True] + have[False], sum(wanted))
    images = np.concatenate([*kept[True], *kept[False]])
    return LabelledImages(images, np.arange(len(images)) < wanted[0]), counts


def pseudo_labels(likely: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return 1 where abnormal, 0 where normal, -1 where it is not sure [1, section 2.3]."""
    return np.where(likely >= ABNORMAL_FROM, 1, np.where(likely <= NORMAL_TO, 0, -1))


def split_labelled(
    drawn: LabelledImages, wanted: tuple[int, int]
) -> tuple[LabelledImages, LabelledImages]:
    """Return the first so many abnormal and normal images, and the rest."""
    rows = [np.flatnonzero(drawn.abnormal), np.flatnonzero(~drawn.abnormal)]
    first = np.concatenate([part[:n] for part, n in zip(rows, wanted, strict=True)])
    rest = np.concatenate([part[n:] for part, n in zip(rows, wanted, strict=True)])
    return (
        LabelledImages(drawn.images[first], drawn.abnormal[first]),
        LabelledImages(drawn.images[rest], drawn.abnormal[rest]),
    )


def measured(scores: NDArray[np.float64], abnormal: NDArray[np.bool_]) -> dict[str, Any]:
    """Return area, sensitivity, specificity and the table of a step [1, Tables 3 to 5]."""
    called = scores > 0.5
    hits, rejected = int((called & abnormal).sum()), int((~called & ~abnormal).sum())
    return {
        "auroc": delong_interval(scores, abnormal).to_json(),
        "sensitivity": hits / int(abnormal.sum()),
        "specificity": rejected / int((~abnormal).sum()),
        "abnormal_called_abnormal": hits,
        "abnormal_called_normal": int(abnormal.sum()) - hits,
        "normal_called_normal": rejected,
        "normal_called_abnormal": int((~abnormal).sum()) - rejected,
    }


def compared(
    real: NDArray[np.float64], synthetic: NDArray[np.float64], abnormal: NDArray[np.bool_]
) -> dict[str, Any]:
    """Return the area of the second classifier minus that of the first, tested in two ways."""
    positives, negatives = int(abnormal.sum()), int((~abnormal).sum())
    areas = [delong_interval(scores, abnormal).value for scores in (real, synthetic)]
    errors = [hanley_mcneil_error(area, positives, negatives) for area in areas]
    hanley = hanley_mcneil_test((areas[0], errors[0]), (areas[1], errors[1]))
    return {
        "delong": delong_test(real, synthetic, abnormal).to_json(),
        "hanley_mcneil": hanley.to_json(),
    }


def table(values: dict[str, Any]) -> Table:
    """Return the three steps as people read them."""
    rows = []
    for name, step in values["steps"].items():
        area = step["auroc"]
        shown = figured(Estimate(area["value"], *area["interval_95"]))
        rows.append(
            (
                f"classifier({name.replace('_on_', ') on ').replace('_', ' ')}",
                shown,
                f"{100 * step['sensitivity']:.1f} %",
                f"{100 * step['specificity']:.1f} %",
                f"{values['paper'][name]:.3f}",
            )
        )
    found = values["difference"]
    for name in ("delong", "hanley_mcneil"):
        one = found[name]
        shown = figured(Estimate(one["value"], *one["interval_95"]))
        rows.append((f"difference ({name})", shown, f"p {one['p_value']:.2g}", "", ""))
    head = ("step", "AUROC [95 %]", "sensitivity", "specificity", "AUROC in the paper")
    return Table("Three-step fidelity study", head, rows)
