"""The logic in a few lines of Python, for Slicer's console and for scripts.

from NoduleSynth import NoduleSynthLogic
logic = NoduleSynthLogic()
ct = slicer.util.getNode("CTChest")
seeds = logic.seedsFor(ct)
seeds.add((-62, 18, -140), diameter_mm=12, attenuation="part-solid")
result = logic.insertNow(ct, seeds).save("out.nrrd", mask="out.seg.nrrd")
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import slicer

from lungsynth.core.errors import LungSynthError
from lungsynth.core.insertion import Insertion
from lungsynth.core.nodule import NoduleSpec
from lungsynth.core.radiograph import CxrNoduleSpec
from lungsynth_slicer.kinds import RADIOGRAPH_KIND, kindOf
from lungsynth_slicer.nodes import removeWithParts
from lungsynth_slicer.seeds import DEFAULT_SPEC, SeedList
from lungsynth_slicer.volumes import volumeFromNode
from NoduleSynthLib.Outputs import madeFrom, makeSeedList
from NoduleSynthLib.ParameterNode import BEST_CXR

if TYPE_CHECKING:
    from lungsynth_slicer.history import Step


@dataclass
class ScriptCase:
    """Nodes and settings of a script; see ``Outputs.Case``."""

    inputVolume: Any = None
    outputVolume: Any = None
    seeds: Any = None
    segmentation: Any = None
    table: Any = None
    synthesizer: str = "mcgan"
    cxrSynthesizer: str = BEST_CXR
    device: str = "auto"
    weights: str = ""

    @classmethod
    def of(cls, other: Any) -> ScriptCase:  # noqa: ANN401 - a ``Case``
        """Return the nodes and settings of another case as they are now."""
        return cls(**{one.name: getattr(other, one.name) for one in fields(cls)})


class Seeds:
    """The seeds of a volume.

    Args:
        node: The point list that holds them.
        volume: The volume that they are for.
    """

    def __init__(
        self,
        node: slicer.vtkMRMLMarkupsFiducialNode,
        volume: slicer.vtkMRMLScalarVolumeNode | None = None,
    ) -> None:
        self.node = node
        self.volume = volume

    def add(
        self,
        position_ras_mm: tuple[float, float, float],
        *,
        diameter_mm: float | None = None,
        diameter_px: float | None = None,
        contrast: float | None = None,
        attenuation: str = "solid",
        malignancy: str | None = None,
        latent_seed: int = 0,
        name: str = "",
    ) -> str:
        """Add a seed and return the id of its point.

        Args:
            position_ras_mm: Where it goes.
            diameter_mm: 10 in a CT and 15 in a radiograph, where it is not given.
            diameter_px: In a radiograph, in place of ``diameter_mm``.
            contrast: In a radiograph; None leaves it to the synthesizer.
            attenuation: In a CT.
            malignancy: In a CT.
            latent_seed: What everything random follows from.
            name: As shown in the views; the next number where empty.

        Raises:
            LungSynthError: If a value is not allowed.
        """
        if kindOf(self.volume) is RADIOGRAPH_KIND:
            if diameter_mm is None and diameter_px is None:
                default = RADIOGRAPH_KIND.defaultSpec(self.volume)
                diameter_mm, diameter_px = default.diameter_mm, default.diameter_px
            spec = CxrNoduleSpec(diameter_mm, diameter_px, contrast, latent_seed)
        else:
            if diameter_px is not None or contrast is not None:
                msg = "diameter_px and contrast are for radiographs; a CT takes diameter_mm"
                raise LungSynthError(msg)
            size = DEFAULT_SPEC.diameter_mm if diameter_mm is None else diameter_mm
            spec = NoduleSpec(size, attenuation, malignancy, latent_seed)
        return SeedList(self.node).add(position_ras_mm, spec, name)


@dataclass(frozen=True, eq=False)
class Result:
    """What an insertion made: nodes of the scene, and the record of each nodule."""

    volume: slicer.vtkMRMLScalarVolumeNode
    segmentation: slicer.vtkMRMLSegmentationNode
    table: slicer.vtkMRMLTableNode
    insertions: list[Insertion] = field(default_factory=list)

    def save(self, path: str | Path, *, mask: str | Path | None = None) -> Result:
        """Write the volume, its header marked as synthetic, as the command line does.

        ``slicer.util.saveNode`` writes the same voxels, without the mark.

        Args:
            path: .nii, .nii.gz, .nrrd, .mha or .mhd.
            mask: Where the nodules' masks go: .seg.nrrd, .nrrd, .nii or .nii.gz; None writes none.

        Returns:
            Itself.

        Raises:
            LungSynthError: If one can't be written.
        """
        from lungsynth.io.writing import write_mask, write_volume

        volume = volumeFromNode(self.volume)
        write_volume(volume, Path(path))
        if mask is not None:
            write_mask(self.insertions, volume, Path(mask))
        return self


class ConsoleMixin:
    """The part of the logic that waits for its result; only for scripts."""

    def seedsFor(self, volume: slicer.vtkMRMLScalarVolumeNode) -> Seeds:
        """Return a new, empty list of seeds for a volume."""
        return Seeds(makeSeedList(volume.GetScene(), volume), volume)

    def remove(self, volume: slicer.vtkMRMLScalarVolumeNode | None) -> None:
        """Remove a volume with all that was made from it: seeds, outputs, masks and tables.

        Nothing else in the scene is touched; None, of a volume that could not be loaded, is
        nothing.
        """
        if volume is None or volume.GetScene() is None:
            return
        for node in madeFrom(volume):
            removeWithParts(node)
        removeWithParts(volume)

    def insertNow(
        self,
        volume: slicer.vtkMRMLScalarVolumeNode,
        seeds: Seeds,
        *,
        synthesizer: str | None = None,
        weights: str = "",
        device: str = "auto",
    ) -> Result:
        """Insert a nodule at each seed into a copy of the volume, and wait for it.

        Called again with the same volume, it makes another copy. Without a synthesizer it takes
        the one that the panel offers first: mcgan for a CT.

        Raises:
            LungSynthError: If nothing could be inserted; the scene is as it was then.
        """
        case = ScriptCase(
            inputVolume=volume,
            seeds=seeds.node,
            weights=weights,
            device=device,
        )
        if synthesizer is not None:
            inRadiograph = kindOf(volume) is RADIOGRAPH_KIND
            setattr(case, "cxrSynthesizer" if inRadiograph else "synthesizer", synthesizer)
        done: list[list[Step]] = []
        failed: list[str] = []
        self.insert(case, onDone=done.append, onError=failed.append)
        while not done and not failed:
            slicer.app.processEvents()
            time.sleep(0.002)
        if failed:
            raise LungSynthError(failed[0])
        return Result(
            case.outputVolume,
            case.segmentation,
            case.table,
            [step.insertion for step in done[0]],
        )
