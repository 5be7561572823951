"""A phantom on disk, and the command line as a function."""

import hashlib
import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from lungsynth.cli.app import run
from lungsynth.imaging.phantom import SMALL, thorax_phantom
from lungsynth.io.writing import write_volume

SOURCES = Path(__file__).resolve().parents[3] / "NoduleSynth"


@dataclass(frozen=True)
class Outcome:
    """What a command left."""

    status: int
    out: str
    err: str

    @property
    def events(self):
        return [json.loads(line) for line in self.out.splitlines()]


@pytest.fixture(scope="session")
def phantom():
    return thorax_phantom(**SMALL)


@pytest.fixture(scope="session")
def phantom_file(phantom, tmp_path_factory):
    path = tmp_path_factory.mktemp("phantom") / "phantom.nrrd"
    write_volume(phantom, path)
    path.chmod(0o444)
    return path


@pytest.fixture
def lungsynth(capfd):
    """Run a command in this process; the streams are caught below Python."""

    def command(*arguments):
        capfd.readouterr()
        status = run([str(argument) for argument in arguments])
        captured = capfd.readouterr()
        return Outcome(status, captured.out, captured.err)

    return command


@pytest.fixture(scope="session")
def lungsynth_process():
    """Run a command as users do, in a process of its own."""

    def command(*arguments, environment=None, **options):
        process = subprocess.run(
            [sys.executable, "-m", "lungsynth", *map(str, arguments)],
            env={**os.environ, "PYTHONPATH": str(SOURCES), **(environment or {})},
            capture_output=True,
            text=True,
            encoding="utf-8",
            timeout=300,
            check=False,
            **options,
        )
        return Outcome(process.returncode, process.stdout, process.stderr)

    return command


@pytest.fixture(scope="session")
def fingerprint():
    """Sum up a file, or a folder with all that is in it."""

    def digest(path):
        files = [path] if path.is_file() else sorted(path.rglob("*")) if path.is_dir() else []
        return [
            (file.name, hashlib.sha256(file.read_bytes()).hexdigest() if file.is_file() else "")
            for file in files
        ]

    return digest
