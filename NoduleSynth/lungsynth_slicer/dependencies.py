"""Packages that Slicer does not bring: looked for without importing, asked for on first use.

torch comes through the PyTorch extension, which knows the build for the user's GPU; everything
else through ``slicer.packaging``. To be called from a user's action alone.
"""

from __future__ import annotations

import logging
from pathlib import Path
from subprocess import CalledProcessError

import slicer
import slicer.packaging
import slicer.util

from lungsynth.core.errors import LungSynthError

logger = logging.getLogger(__name__)

TORCH_VERSIONS = ">=2.4"
REASON = {
    "torch": "runs the networks; 0.2 GB for the CPU, up to 3 GB with CUDA",
    "safetensors": "reads weights; 1 MB",
    "typer": "the worker's command line; 1 MB",
    "rich": "the worker's messages; 1 MB",
    "lightning-fabric": "fine-tuning; 2 MB and what it needs itself",
    "matplotlib": "pictures of fine-tuning; 10 MB",
}
RESOURCES = Path(__file__).resolve().parents[1] / "Resources"
REQUIREMENTS = RESOURCES / "NoduleSynth-requirements.txt"
TRAINING_REQUIREMENTS = RESOURCES / "NoduleSynth-training-requirements.txt"


class Declined(LungSynthError):
    """The user does not want anything installed."""


def torchMissing() -> bool:
    """Return whether torch is not there, or too old. Never imports it."""
    return not slicer.packaging.pip_check(f"torch{TORCH_VERSIONS}")


def missingRequirements(*, training: bool = False) -> list[str]:
    """Return what else is not there or too old, as pip calls it."""
    listed = slicer.packaging.load_requirements(REQUIREMENTS)
    if training:
        listed += slicer.packaging.load_requirements(TRAINING_REQUIREMENTS)
    return [str(one) for one in listed if not slicer.packaging.pip_check(one)]


def ensure(*, torch: bool = True, training: bool = False) -> None:
    """See to it that all packages are there, asking once, with sizes and reasons.

    Slicer's own windows show the progress of the installation.

    Args:
        torch: Whether torch is needed; the formula synthesizer works without.
        training: Whether fine-tuning is wanted.

    Raises:
        Declined: If the user says no; nothing is installed then.
        LungSynthError: If something can't be installed; says what to do.
    """
    wanted = missingRequirements(training=training)
    wantTorch = torch and torchMissing()
    if not wanted and not wantTorch:
        return
    names = [*(["torch" + TORCH_VERSIONS] if wantTorch else []), *wanted]
    if slicer.app.testingEnabled():
        logger.info("testing mode: not installing %s", ", ".join(names))
        return
    if not slicer.util.confirmOkCancelDisplay(_question(names), "NoduleSynth"):
        msg = f"nothing was installed; still missing: {', '.join(names)}"
        raise Declined(msg)
    if wanted:
        _installRequirements(wanted)
    if wantTorch:
        _installTorch()


def ensureTorch() -> None:
    """See to torch and what the worker needs beside it; see ``ensure``."""
    ensure()


def ensureRequirements(*, training: bool = False) -> None:
    """See to everything but torch; see ``ensure``."""
    ensure(torch=False, training=training)


def _question(names: list[str]) -> str:
    lines = [f"- {name}: {_reason(name)}" for name in names]
    return "\n".join(
        [
            "NoduleSynth needs Python packages that are not installed yet:",
            *lines,
            "They are downloaded now and added to Slicer's own Python, which may take minutes. "
            "Nothing of your data is sent. Continue?",
        ]
    )


def _reason(name: str) -> str:
    known = [reason for package, reason in REASON.items() if name.startswith(package)]
    return known[0] if known else "needed by the worker"


def _installRequirements(wanted: list[str]) -> None:
    try:
        slicer.packaging.pip_ensure(wanted, prompt_install=False, requester="NoduleSynth")
    except (CalledProcessError, RuntimeError, OSError) as error:
        raise _failed(wanted, error) from error


def _installTorch() -> None:
    """Let the PyTorch extension choose and install the build."""
    try:
        import PyTorchUtils
    except ImportError:
        msg = (
            "torch comes through Slicer's PyTorch extension, which is not installed: install "
            "'PyTorch' in View > Extensions Manager, restart Slicer and try again"
        )
        raise LungSynthError(msg) from None
    try:
        installed = PyTorchUtils.PyTorchUtilsLogic().installTorch(
            askConfirmation=False, torchVersionRequirement=TORCH_VERSIONS
        )
    except Exception as error:  # whatever the extension and its installer raise
        raise _failed(["torch" + TORCH_VERSIONS], error) from error
    if installed is None:
        msg = f"torch{TORCH_VERSIONS} was not installed; see the PyTorch Utils module"
        raise LungSynthError(msg)


def _failed(wanted: list[str], error: Exception) -> LungSynthError:
    """Return the one line for an installation that failed: most often there is no network."""
    how = " ".join(str(error).split())[:200] or type(error).__name__
    return LungSynthError(
        f"{', '.join(wanted)} could not be installed ({how}); check the internet connection and "
        "the proxy (HTTPS_PROXY); Slicer's error log has pip's own words"
    )
