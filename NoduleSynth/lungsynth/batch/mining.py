"""Mining hard examples in one go: train, find the misses, make more of them, train on, compare.

[shen2022, III.D]. What is done stays done: given the same folder, it goes on where it stopped.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from lungsynth.batch.fitting import WEIGHTS, fitter
from lungsynth.core.errors import LungSynthError
from lungsynth.core.run_lock import locked
from lungsynth.core.temporary import replacing
from lungsynth.evaluation.cxr_cases import bank_for
from lungsynth.evaluation.cxr_detection import PRESETS, DetectionStudy, DetectionStudyConfig
from lungsynth.evaluation.cxr_detection_report import draw_study
from lungsynth.evaluation.figures import check_picture
from lungsynth.synthesizers import load_cxr_synthesizer

OnProgress = Callable[[str, int, int], None]


def study_config(preset: str, **changed: Any) -> DetectionStudyConfig:  # noqa: ANN401 - fields of the configuration
    """Return a preset with what is not None in its place.

    Raises:
        LungSynthError: If there is no such preset.
    """
    if preset not in PRESETS:
        msg = f"unknown preset '{preset}'; there are {', '.join(PRESETS)}"
        raise LungSynthError(msg)
    given = {name: value for name, value in changed.items() if value is not None}
    return replace(PRESETS[preset], **given)


def run_study(
    data: Path,
    output: Path,
    config: DetectionStudyConfig,
    *,
    synthesizer: str,
    weights: Path | None = None,
    bank: Path | None = None,
    device: str = "auto",
    on_progress: OnProgress = lambda *_: None,
) -> dict[str, Any]:
    """Do a study of detection in a folder, or what is left of it.

    Args:
        data: Folder with ``cxr``, ``ct_nodules`` and, where there are any, ``drr``.
        output: Folder of the study.
        config: What is compared.
        synthesizer: Who makes the nodules, a name in ``CXR_SYNTHESIZERS``.
        weights: Of it; None takes those that ship.
        bank: Nodules for those that project or copy them; None takes what the folder has (cubes
            of the train split; DRRs for copies).
        device: "auto", "cpu", "cuda" or "cuda:N".
        on_progress: Called with what is done, how much, and of how much.

    Returns:
        The report; it is also written there (report.json, report.png).
    """
    check_picture(output / "report.png")
    nodules = bank or bank_for(synthesizer, data)
    with locked(output):
        study = DetectionStudy(
            output,
            data,
            config,
            load_cxr_synthesizer(synthesizer, weights=weights, device=device, bank=nodules),
            load_cxr_synthesizer("ct-projection", bank=bank_for("ct-projection", data)),
            fitter(device, on_progress),
            on_progress,
        )
        report = study.run()
        draw_study(report, output / "report.png")
    return report


def mine(
    data: Path,
    output: Path,
    config: DetectionStudyConfig,
    *,
    synthesizer: str,
    weights: Path | None = None,
    bank: Path | None = None,
    device: str = "auto",
    on_progress: OnProgress = lambda *_: None,
) -> dict[str, Any]:
    """Mine for one detector and one number, beside none and random; see ``run_study``.

    The detector trained on with mined nodules is then ``detector.safetensors`` in the folder.
    """
    config = replace(config, arms=("none", "random", "mined"), counts=config.counts[:1])
    config = replace(config, detectors=config.detectors[:1])
    report = run_study(
        data,
        output,
        config,
        synthesizer=synthesizer,
        weights=weights,
        bank=bank,
        device=device,
        on_progress=on_progress,
    )
    made = output / config.detectors[0] / f"mined-{config.counts[0]}" / WEIGHTS
    with replacing(output / WEIGHTS) as temporary:
        temporary.write_bytes(made.read_bytes())
    return report
