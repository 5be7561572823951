"""Finding an implementation by its name, without importing the others."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any

from lungsynth.core.errors import LungSynthError

IMAGE_GENERATORS: dict[str, str] = {
    "pggan": "lungsynth.synthesizers.pggan:load_pggan",
}
"""Those that draw whole radiographs: from (weights file or None, device) to a generator. It stands
here because detectors work on them too, and these depend on no synthesizer."""


def resolve(table: Mapping[str, str], name: str, kind: str = "synthesizer") -> Any:  # noqa: ANN401 - a class of any kind
    """Return the object that ``table`` names as "module:attribute".

    Raises:
        LungSynthError: If the table has no such name.
    """
    if name not in table:
        msg = f"unknown {kind} '{name}'; there are {', '.join(sorted(table))}"
        raise LungSynthError(msg)
    module, _, attribute = table[name].partition(":")
    return getattr(importlib.import_module(module), attribute)
