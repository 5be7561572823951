"""Stand-in of slicer.packaging: parses and checks for real, records what it would install.

A test looks at ``installed`` and sets ``failure`` to an exception to play a machine that is
offline.
"""

from __future__ import annotations

import importlib.metadata
from pathlib import Path

import slicer
from packaging.requirements import Requirement

installed = []
failure = None


def load_requirements(path):
    """Return the requirements in a file; comments and options are passed over."""
    lines = (line.strip() for line in Path(path).read_text(encoding="utf-8").splitlines())
    return [Requirement(line) for line in lines if line and line[0] not in "#-"]


def _as_list(requirements):
    if isinstance(requirements, str):
        requirements = requirements.split()
    if isinstance(requirements, Requirement):
        requirements = [requirements]
    return [r if isinstance(r, Requirement) else Requirement(r) for r in requirements]


def pip_check(requirements):
    """Return whether every requirement is met here."""
    for requirement in _as_list(requirements):
        if requirement.marker is not None and not requirement.marker.evaluate():
            continue
        try:
            version = importlib.metadata.version(requirement.name)
        except importlib.metadata.PackageNotFoundError:
            return False
        if version not in requirement.specifier:
            return False
    return True


def pip_install(requirements, **_options):
    """Record what would be installed, or fail as the test has said."""
    if failure is not None:
        raise failure
    installed.extend(str(r) for r in _as_list(requirements))


def pip_ensure(
    requirements,
    constraints=None,
    skip_packages=None,
    prompt_install=True,
    prompt_restart=True,
    requester=None,
    skip_in_testing=True,
    show_progress=True,
):
    """Install what is missing, after asking with Slicer's words; RuntimeError when refused."""
    missing = [r for r in _as_list(requirements) if not pip_check(r)]
    if not missing or (skip_in_testing and slicer.app.testingEnabled()):
        return
    count = (
        "1 Python package needs" if len(missing) == 1 else f"{len(missing)} Python packages need"
    )
    if prompt_install and not slicer.util.confirmOkCancelDisplay(
        f"{count} to be installed.\n\nThis will modify Slicer's Python environment. Continue?",
        f"{requester} - Install Python Packages" if requester else "Install Python Packages",
        detailedText="\n".join(f"- {r}" for r in missing),
    ):
        msg = "User declined package installation"
        raise RuntimeError(msg)
    pip_install(missing)
