"""Studies of CT nodules from files to files, as the command line calls them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from lungsynth.core.contracts import CtSynthesizer
from lungsynth.data.nodule_cubes import NoduleCubes
from lungsynth.evaluation.figures import check_picture
from lungsynth.evaluation.realism import Progress, load_for_study, write_json
from lungsynth.evaluation.splits import load_splits, nodule_folder

Config = TypeVar("Config")
Made = TypeVar("Made")
Splits = Mapping[str, NoduleCubes]
Study = Callable[
    [Splits, str, Sequence[CtSynthesizer], Config, Progress | None], tuple[dict[str, Any], Made]
]
"""From the splits, the one that is looked at, the synthesizers and how, to numbers and to what
their picture is drawn of."""


@dataclass(frozen=True)
class FileStudy(Generic[Config, Made]):
    """A study that is called with files.

    Args:
        study: Which is made.
        draw: Draws its picture: the numbers, what they are of, the nodules of the split, the file.
        usual: How it is made where nothing else is asked.
    """

    study: Study[Config, Made]
    draw: Callable[[dict[str, Any], Made, NoduleCubes, Path], None]
    usual: Config

    def __call__(
        self,
        data: Path,
        split: str,
        synthesizers: Sequence[str],
        weights: Path | None = None,
        json_path: Path | None = None,
        *,
        report_path: Path | None = None,
        on_progress: Progress | None = None,
        config: Config | None = None,
    ) -> dict[str, Any]:
        """Run the study.

        Args:
            data: Folder with the nodule cubes, or whose ``ct_nodules`` is it.
            split: Whose nodules or sites are looked at.
            synthesizers: Names; copy-paste takes the training nodules as its bank.
            weights: Weights in place of those that ship.
            json_path: Where the numbers go.
            report_path: Where the picture goes, .png.
            on_progress: Told what is being done.
            config: How.

        Returns:
            The numbers.

        Raises:
            LungSynthError: If the data, a name or the weights are no good, or an output can't be
                written.
        """
        config = self.usual if config is None else config
        device = str(getattr(config, "device", "auto"))
        check_picture(report_path)
        folder = nodule_folder(data)
        loaded = [load_for_study(name, weights, device, folder) for name in synthesizers]
        splits = load_splits(folder, split)
        values, made = self.study(splits, split, loaded, config, on_progress)
        write_json(values, json_path)
        if report_path is not None:
            self.draw(values, made, splits[split], report_path)
        return values
