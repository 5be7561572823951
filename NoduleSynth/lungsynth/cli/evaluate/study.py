"""What all studies of nodules in CT are asked, as options of each command."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, get_type_hints

from lungsynth.cli.evaluate.options import (
    CacheOption,
    DataOption,
    JsonOption,
    NamesOption,
    PictureOption,
    Split,
    SplitOption,
    check_cache,
    checked,
    written,
)
from lungsynth.cli.options import (
    Device,
    DeviceOption,
    ProgressOption,
    RandomSeedOption,
    WeightsOption,
)
from lungsynth.cli.progress import ProgressMode, Reporter


@dataclass(frozen=True, kw_only=True)
class Study:
    """Options of any study; each field is one."""

    random_seed: RandomSeedOption = 0
    weights: WeightsOption = None
    json_path: JsonOption = None
    report: PictureOption = None
    device: DeviceOption = Device.AUTO
    progress: ProgressOption = ProgressMode.AUTO

    def checked(self, names: list[str] | None, report_suffixes: tuple[str, ...]) -> list[str]:
        """Return the synthesizers' names, after all that can be checked at once is."""
        return checked(names, self.json_path, self.report, report_suffixes)

    @contextmanager
    def reporter(self) -> Iterator[Reporter]:
        """Report progress, from loading on."""
        with Reporter(self.progress) as reporter:
            reporter.stage("loading")
            yield reporter

    @property
    def written(self) -> dict[str, object]:
        """The outputs that were asked for, as the last line of JSON names them."""
        return written(self.json_path, self.report)


@dataclass(frozen=True, kw_only=True)
class CubeStudy(Study):
    """Options of a study of nodule cubes."""

    data: DataOption
    cache: CacheOption = None

    def checked(
        self, names: list[str] | None, report_suffixes: tuple[str, ...] = (".png",)
    ) -> list[str]:
        """Return the synthesizers' names, after all that can be checked at once is."""
        chosen = super().checked(names, report_suffixes)
        check_cache(self.cache)
        return chosen

    @property
    def drawn(self) -> dict[str, Any]:
        """What every study's configuration takes of these."""
        return {
            "random_seed": self.random_seed,
            "device": self.device.value,
            "cache": self.cache,
        }


@dataclass(frozen=True, kw_only=True)
class SplitStudy(CubeStudy):
    """Options of a study of some synthesizers on one split."""

    synthesizer: NamesOption = None
    split: SplitOption = Split.TEST

    def arguments(self) -> tuple[Path, str, list[str], Path | None, Path | None]:
        """Return the arguments that every such study begins with, checked."""
        names = self.checked(self.synthesizer)
        return self.data, self.split.value, names, self.weights, self.json_path


def study_command(command: Callable[..., None]) -> Callable[..., None]:
    """Return a command that takes the fields of its parameter ``study`` as options of its own.

    Typer reads a command's signature: this one's is the study's fields and then the command's.
    """
    own = inspect.signature(command, eval_str=True).parameters
    kind: type[Study] = own["study"].annotation
    hints = get_type_hints(kind, include_extras=True)  # each by the module of its own class
    taken = [
        one.replace(kind=inspect.Parameter.KEYWORD_ONLY, annotation=hints.get(name, one.annotation))
        for name, one in {**inspect.signature(kind).parameters, **own}.items()
        if name != "study"
    ]

    @functools.wraps(command)
    def run(**given: Any) -> None:  # noqa: ANN401 - as declared by the fields
        study = kind(**{field.name: given.pop(field.name) for field in fields(kind)})
        command(study, **given)

    taken.sort(key=lambda one: one.default is not one.empty)  # what must be given comes first
    run.__signature__ = inspect.Signature(taken)  # type: ignore[attr-defined]
    run.__annotations__ = {one.name: one.annotation for one in taken}
    return run
