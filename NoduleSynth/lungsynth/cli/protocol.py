"""The requests that the worker takes, checked: which key, what is wrong, what is allowed."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lungsynth.core.errors import LungSynthError
from lungsynth.core.insertion import Box, Taken
from lungsynth.core.nodule import Attenuation, Malignancy, NoduleSpec, Seed
from lungsynth.core.radiograph import CxrNoduleSpec, CxrSeed
from lungsynth.core.radiograph_insertion import CxrTaken

MOST_SHOWN = 60  # letters of a value in a message


@dataclass(frozen=True)
class Request:
    """One line, taken apart.

    Args:
        id: Whatever the sender calls it by.
        do: What is wanted.
        values: The rest, as JSON gave it; the methods check it.
    """

    id: object
    do: str
    values: Mapping[str, Any]  # JSON holds anything

    def number(self, key: str) -> float | None:
        """Return a number; None where the key is missing or null."""
        value = self.values.get(key)
        if value is not None and not _is_number(value):
            raise _wrong(value, f"{self.do}, {key}", "a number")
        return None if value is None else float(value)

    def numbers(self, key: str, count: int) -> tuple[float, ...] | None:
        """Return that many numbers; None where the key is missing or null."""
        value = self.values.get(key)
        if value is None:
            return None
        if not isinstance(value, list) or len(value) != count or not all(map(_is_number, value)):
            raise _wrong(value, f"{self.do}, {key}", f"{count} numbers")
        return tuple(float(x) for x in value)

    def text(self, key: str, default: str | None = None) -> str:
        """Return a string."""
        value = self._value(key, default)
        if not isinstance(value, str):
            raise _wrong(value, f"{self.do}, {key}", "a string")
        return value

    def whole(self, key: str, default: int | None) -> int:
        """Return a whole number from 0."""
        value = self._value(key, default)
        if not isinstance(value, int) or isinstance(value, bool) or value < 0:
            raise _wrong(value, f"{self.do}, {key}", "a whole number, 0 or more")
        return value

    def matrix(self, key: str) -> NDArray[np.float64]:
        """Return a 4 x 4 matrix."""
        value = self._value(key, None)
        try:
            matrix = np.array(value, dtype=np.float64)
        except (ValueError, TypeError):
            matrix = np.empty(0)
        if matrix.shape != (4, 4):
            raise _wrong(value, f"{self.do}, {key}", "four rows of four numbers")
        return matrix

    def listed(self, key: str) -> list[Any]:
        """Return a list; empty where the key is missing or null."""
        value = self.values.get(key)
        if value is None:
            return []
        if not isinstance(value, list):
            raise _wrong(value, f"{self.do}, {key}", "a list")
        return value

    def seeds(self, key: str) -> list[Seed]:
        """Return a list of seeds."""
        self._value(key, None)
        return [parse_seed(value) for value in self.listed(key)]

    def seed(self, key: str) -> Seed:
        """Return one seed."""
        return parse_seed(self._value(key, None))

    def cxr_seeds(self, key: str) -> list[CxrSeed]:
        """Return a list of seeds in a radiograph."""
        self._value(key, None)
        return [parse_cxr_seed(value) for value in self.listed(key)]

    def cxr_taken(self, key: str) -> list[CxrTaken]:
        """Return places of earlier nodules in a radiograph; none where the key is missing."""
        places = [_parse_place(self.do, key, value) for value in self.listed(key)]
        return [CxrTaken(parse_cxr_seed(seed), box) for seed, box in places]

    def taken(self, key: str) -> list[Taken]:
        """Return places of earlier nodules; none where the key is missing."""
        places = [_parse_place(self.do, key, value) for value in self.listed(key)]
        return [Taken(parse_seed(seed), box) for seed, box in places]

    def spec_values(self, *keys: str) -> dict[str, object]:
        """Return those values of a nodule that are given, unchecked."""
        return {key: self.values[key] for key in keys if self.values.get(key) is not None}

    def _value(self, key: str, default: object) -> Any:  # noqa: ANN401 - as JSON gave it
        value = self.values.get(key)
        value = default if value is None else value
        if value is None:
            msg = f"the request '{self.do}' needs '{key}'"
            raise LungSynthError(msg)
        return value


def parse(line: str | bytes) -> Request:
    """Read one request.

    Raises:
        LungSynthError: If it is no JSON object, or does not say what to do.
    """
    try:
        values = json.loads(line)
    except (ValueError, RecursionError) as error:
        msg = f"not a JSON object: {_shown(line)} ({error})"
        raise LungSynthError(msg) from None
    if not isinstance(values, dict):
        msg = f"not a JSON object: {_shown(values)}"
        raise LungSynthError(msg)
    do = values.pop("do", None)
    return Request(values.pop("id", None), do if isinstance(do, str) else "", values)


def parse_seed(value: object) -> Seed:
    """Return a seed from what ``seed_values`` gives.

    Raises:
        LungSynthError: If a value is missing or not allowed.
    """
    if not isinstance(value, Mapping) or not {"position_ras_mm", "diameter_mm"} <= set(value):
        raise _wrong(value, "seed", "an object with position_ras_mm and diameter_mm")
    position = value["position_ras_mm"]
    if not isinstance(position, list) or not all(_is_number(x) for x in position):
        raise _wrong(position, "seed, position_ras_mm", "three numbers")
    spec = with_values(
        NoduleSpec(10.0),
        {key: value[key] for key in _SPEC_KEYS if value.get(key) is not None},
    )
    return Seed(tuple(map(float, position)), spec, str(value.get("name") or ""))  # type: ignore[arg-type] # Seed counts them


def parse_cxr_seed(value: object) -> CxrSeed:
    """Return a seed in a radiograph from what ``seed_values`` gives.

    Raises:
        LungSynthError: If a value is missing or not allowed.
    """
    if not isinstance(value, Mapping) or "position_ras_mm" not in value:
        raise _wrong(value, "seed", "an object with position_ras_mm and a diameter")
    position = value["position_ras_mm"]
    if not isinstance(position, list) or not all(_is_number(x) for x in position):
        raise _wrong(position, "seed, position_ras_mm", "three numbers")
    for key in ("diameter_mm", "diameter_px", "contrast"):
        if value.get(key) is not None and not _is_number(value[key]):
            raise _wrong(value[key], f"seed, {key}", "a number")
    latent = value.get("latent_seed", 0)
    if not isinstance(latent, int) or isinstance(latent, bool):
        raise _wrong(latent, "seed, latent_seed", "a whole number")
    spec = CxrNoduleSpec(
        value.get("diameter_mm"), value.get("diameter_px"), value.get("contrast"), latent
    )
    return CxrSeed(tuple(map(float, position)), spec, str(value.get("name") or ""))  # type: ignore[arg-type] # CxrSeed counts them


_SPEC_KEYS = ("diameter_mm", "attenuation", "malignancy", "latent_seed")


def with_values(spec: NoduleSpec, values: Mapping[str, object]) -> NoduleSpec:
    """Return a nodule with other values.

    Raises:
        LungSynthError: If one is not allowed.
    """
    diameter = values.get("diameter_mm", spec.diameter_mm)
    latent = values.get("latent_seed", spec.latent_seed)
    if not _is_number(diameter):
        raise _wrong(diameter, "seed, diameter_mm", "a number")
    if not isinstance(latent, int) or isinstance(latent, bool):
        raise _wrong(latent, "seed, latent_seed", "a whole number")
    malignancy = values.get("malignancy", spec.malignancy)
    try:
        return replace(
            spec,
            diameter_mm=float(diameter),  # type: ignore[arg-type] # _is_number says so
            attenuation=Attenuation(str(values.get("attenuation", spec.attenuation))),
            malignancy=None if malignancy is None else Malignancy(str(malignancy)),
            latent_seed=latent,
        )
    except ValueError as error:
        kinds = ", ".join([*Attenuation, *Malignancy])
        msg = f"{error}; allowed are {kinds}"
        raise LungSynthError(msg) from None


def seed_values(seed: Seed | CxrSeed) -> dict[str, object]:
    """Return a seed as JSON holds it."""
    if isinstance(seed, CxrSeed):
        return {
            "position_ras_mm": list(seed.position_ras_mm),
            "diameter_mm": seed.spec.diameter_mm,
            "diameter_px": seed.spec.diameter_px,
            "contrast": seed.spec.contrast,
            "latent_seed": seed.spec.latent_seed,
            "name": seed.name,
        }
    return {
        "position_ras_mm": list(seed.position_ras_mm),
        "diameter_mm": seed.spec.diameter_mm,
        "attenuation": str(seed.spec.attenuation),
        "malignancy": None if seed.spec.malignancy is None else str(seed.spec.malignancy),
        "latent_seed": seed.spec.latent_seed,
        "name": seed.name,
    }


def taken_values(taken: Taken | CxrTaken) -> dict[str, object]:
    """Return the place of an earlier nodule as JSON holds it."""
    return {"seed": seed_values(taken.seed), "box": [list(corner) for corner in taken.box]}


def _parse_place(do: str, key: str, value: object) -> tuple[object, Box]:
    """Return a seed as JSON holds it, and its box."""
    if not isinstance(value, Mapping) or not {"seed", "box"} <= set(value):
        raise _wrong(value, f"{do}, {key}", "objects with seed and box")
    try:
        (k0, j0, i0), (k1, j1, i1) = (map(int, corner) for corner in value["box"])
    except (TypeError, ValueError):
        raise _wrong(value["box"], f"{do}, {key}, box", "[[k0, j0, i0], [k1, j1, i1]]") from None
    return value["seed"], ((k0, j0, i0), (k1, j1, i1))


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def _wrong(value: object, where: str, allowed: str) -> LungSynthError:
    return LungSynthError(f"{where}: must be {allowed}; got {_shown(value)}")


def _shown(value: object) -> str:
    text = value if isinstance(value, str) else ascii(value)
    return text if len(text) <= MOST_SHOWN else f"{text[:MOST_SHOWN]}..."
