"""Axes of a generator's latent space along which findings grow.

[1] Kim, Image synthesis and anomaly detection on chest radiographs using generative adversarial
networks, University of Ulsan, 2021, section 3.
[2] Guan, TL-GAN: transparent latent-space GAN, 2018, which [1] follows.

[1] draws images, reads them with a classifier, keeps those that show a single pattern or none
(section 3.3), and regresses the classifier's outputs linearly on the latent vectors, what is rare
counting more in proportion to its number (section 3.4). The slopes are the axes.

Departures from [1]: a little ridge, since with few single-pattern images there are fewer equations
than unknowns; the classifier's logits in place of its likelihoods, which are nearly 0 or 1 after
the filter, are an option; an axis counts as found if a walk along it raises the likelihood
of its finding in held latents (ours; [1] lets a reader judge).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from lungsynth.core.errors import LungSynthError
from lungsynth.detectors.contracts import Images

NORMAL = "normal"
Floats = NDArray[np.float64]
Draw = Callable[[NDArray[np.float32]], Images]
"""From latents (B, L) to images (B, S, S)."""
Read = Callable[[Images], Floats]
"""From images (B, S, S) to likelihoods of the findings (B, F)."""


@dataclass(frozen=True)
class AxesConfig:
    """How axes are looked for.

    Args:
        drawings: Images that are drawn and read [1, 3: 30,000].
        likely: The finding of a single-pattern image is at least so likely [1, section 3.3].
        unlikely: All others at most so; in a normal image, all [1, section 3.3].
        fewest: A finding with fewer single-pattern images is said not to be found (ours).
        ridge: Of the regression, in parts of the weighted number of images (ours).
        logits: Whether logits are regressed, not likelihoods (ours).
        reach: Walks go so far, in quarters of the usual length of latents (ours).
        stops: Places on a walk.
        walks: Held latents that are walked from.
        risen: An axis counts as found if the mean likelihood of its finding rises by this (ours).
        random_seed: Draws follow from it.
    """

    drawings: int = 30_000
    likely: float = 0.9
    unlikely: float = 0.1
    fewest: int = 10
    ridge: float = 0.05
    logits: bool = False
    reach: float = 4.0
    stops: int = 9
    walks: int = 20
    risen: float = 0.3
    random_seed: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.unlikely < self.likely <= 1:
            msg = (
                "a single pattern is one finding that is likely and others that are not; got "
                f"likely {self.likely}, unlikely {self.unlikely}"
            )
            raise LungSynthError(msg)


@dataclass(frozen=True, eq=False)
class LatentAxes:
    """Axes of findings.

    Args:
        names: Findings whose axis was found.
        directions: Unit vectors (A, L).
        missing: Findings without an axis, and why.
        counts: Single-pattern images of each finding, and normal ones.
        walks: For each axis, likelihoods (walks, stops) of its finding.
        any_walks: The same of at least one finding.
        steps: How far each stop is, (stops,).
    """

    names: tuple[str, ...]
    directions: Floats
    missing: Mapping[str, str]
    counts: Mapping[str, int]
    walks: Mapping[str, Floats] = field(default_factory=dict)
    any_walks: Mapping[str, Floats] = field(default_factory=dict)
    steps: Floats = field(default_factory=lambda: np.empty(0))


def single_patterns(likelihoods: Floats, config: AxesConfig) -> NDArray[np.int64]:
    """Return which finding alone each image shows (B,): -1 none, -2 several or none for sure.

    Args:
        likelihoods: Of the findings, (B, F) [1, section 3.3].
        config: The limits.
    """
    highest = likelihoods.argmax(axis=1)
    others = np.where(
        np.arange(likelihoods.shape[1])[None] == highest[:, None], -np.inf, likelihoods
    ).max(axis=1)
    top = likelihoods.max(axis=1)
    single = (top >= config.likely) & (others <= config.unlikely)
    normal = top <= config.unlikely
    return np.where(single, highest, np.where(normal, -1, -2)).astype(np.int64)


def regress(latents: Floats, outputs: Floats, pattern: NDArray[np.int64], ridge: float) -> Floats:
    """Return the slopes (F, L) of outputs on latents, classes weighted [1, section 3.4].

    Args:
        latents: (N, L).
        outputs: (N, F).
        pattern: Class of each image; each class counts as much as any other, however rare.
        ridge: In parts of the sum of the weights.
    """
    classes, member, counts = np.unique(pattern, return_inverse=True, return_counts=True)
    weight = (len(pattern) / (len(classes) * counts))[member]
    total = weight.sum()
    z = latents - (weight @ latents) / total
    y = outputs - (weight @ outputs) / total
    normal = (z * weight[:, None]).T @ z + ridge * total * np.eye(latents.shape[1])
    return np.asarray(np.linalg.solve(normal, (z * weight[:, None]).T @ y).T)


def orthogonalised(directions: Floats) -> Floats:
    """Return unit vectors (A, L) without what each shares with those of the others.

    Moving along one then leaves the projections on all others as they are: the dual basis.

    Raises:
        LungSynthError: If they are not linearly independent.
    """
    gram = directions @ directions.T
    if len(directions) and np.linalg.cond(gram) > 1e8:
        msg = "the axes are not independent of each other; leave one of them out"
        raise LungSynthError(msg)
    dual = np.linalg.solve(gram, directions) if len(directions) else directions
    return np.asarray(dual / np.maximum(np.linalg.norm(dual, axis=1, keepdims=True), 1e-12))


def find_axes(
    draw: Draw,
    read: Read,
    names: Sequence[str],
    latent_size: int,
    config: AxesConfig,
    *,
    any_finding: Callable[[Floats], Floats] | None = None,
    orthogonal: bool = False,
    batch_size: int = 64,
    on_progress: Callable[[str, int, int], None] | None = None,
) -> LatentAxes:
    """Look for an axis of each finding.

    Args:
        draw: The generator.
        read: The classifier.
        names: Its findings, without "any finding".
        latent_size: L.
        config: How.
        any_finding: From likelihoods to that of at least one finding; None takes the largest.
        orthogonal: Whether each axis shall leave the others as they are.
        batch_size: Images at once.
        on_progress: Called with stage, steps done and steps in all.
    """
    tell = on_progress or (lambda *_: None)
    latents = draw_latents(config.random_seed, config.drawings, latent_size)
    found = []
    for first in range(0, len(latents), batch_size):
        found.append(read(draw(latents[first : first + batch_size])))
        tell("reading drawings", min(first + batch_size, len(latents)), len(latents))
    likelihoods = np.concatenate(found)
    pattern = single_patterns(likelihoods, config)
    counts = {NORMAL: int((pattern == -1).sum())}
    counts |= {name: int((pattern == n).sum()) for n, name in enumerate(names)}
    enough = [n for n, name in enumerate(names) if counts[name] >= config.fewest]
    missing = {
        name: f"{counts[name]} drawings show it alone; {config.fewest} are needed"
        for n, name in enumerate(names)
        if n not in enough
    }
    if counts[NORMAL] < config.fewest:
        missing = dict.fromkeys(names, f"{counts[NORMAL]} drawings show no finding for sure")
        enough = []
    if not enough:
        return LatentAxes((), np.empty((0, latent_size)), missing, counts)
    used = np.isin(pattern, [-1, *enough])
    outputs = likelihoods[used][:, enough]
    if config.logits:
        clipped = np.clip(outputs, 1e-4, 1 - 1e-4)
        outputs = np.log(clipped / (1 - clipped))
    slopes = regress(latents[used].astype(np.float64), outputs, pattern[used], config.ridge)
    directions = slopes / np.maximum(np.linalg.norm(slopes, axis=1, keepdims=True), 1e-12)
    if orthogonal:
        directions = orthogonalised(directions)
    starts = draw_normal_starts(draw, read, latent_size, config)
    steps = np.linspace(0, config.reach, config.stops)
    walks, any_walks, kept = {}, {}, []
    for row, n in enumerate(enough):
        tell("walking", row, len(enough))
        likely = walk(draw, read, starts, directions[row], steps)
        own = likely[..., n]
        risen = float(own[:, -1].mean() - own[:, 0].mean())
        if risen < config.risen:
            missing[names[n]] = f"a walk along its slope raises its likelihood by {risen:.2f} alone"
            continue
        kept.append(row)
        walks[names[n]] = own
        flat = likely.reshape(-1, likely.shape[-1])
        at_least_one = flat.max(axis=1) if any_finding is None else any_finding(flat)
        any_walks[names[n]] = at_least_one.reshape(own.shape)
    return LatentAxes(
        names=tuple(names[enough[row]] for row in kept),
        directions=directions[kept],
        missing=missing,
        counts=counts,
        walks=walks,
        any_walks=any_walks,
        steps=steps,
    )


def draw_latents(seed: int, count: int, size: int) -> NDArray[np.float32]:
    """Draw latent vectors (count, size) from N(0, 1)."""
    return np.random.default_rng([seed, 0xA8E5]).standard_normal((count, size), dtype=np.float32)


def draw_normal_starts(
    draw: Draw, read: Read, latent_size: int, config: AxesConfig
) -> NDArray[np.float32]:
    """Return other latents than those that axes are learnt from, of normal images as in [1].

    The first of 20 times as many that show nothing; where there are too few, those with least.
    """
    pool = draw_latents(config.random_seed + 1, 20 * config.walks, latent_size)
    highest = np.concatenate(
        [read(draw(pool[n : n + 64])).max(axis=1) for n in range(0, len(pool), 64)]
    )
    order = np.argsort(np.maximum(highest, config.unlikely), kind="stable")
    return pool[order[: config.walks]]


def walk(
    draw: Draw, read: Read, starts: NDArray[np.float32], direction: Floats, steps: Floats
) -> Floats:
    """Return likelihoods (walks, stops, F) of all findings on the way along an axis.

    A step of 1 is a quarter of the usual length of latents, so that walks in spaces of any size
    turn them equally far.
    """
    return np.stack([read(draw(moved_latents(start, direction, steps))) for start in starts])


def moved_latents(
    start: NDArray[np.float32], direction: Floats, steps: Floats
) -> NDArray[np.float32]:
    """Return the latents (stops, L) on the way from one along an axis, see ``walk``."""
    unit = np.sqrt(len(start)) / 4
    moved = start[None] + unit * steps[:, None] * direction[None]
    return np.asarray(moved, dtype=np.float32)


def monotone(likelihoods: Floats, slack: float = 0.02) -> NDArray[np.bool_]:
    """Return which walks (W, stops) never fall by more than a little."""
    return np.asarray((np.diff(likelihoods, axis=1) >= -slack).all(axis=1))
