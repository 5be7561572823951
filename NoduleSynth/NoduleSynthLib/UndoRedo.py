"""Undo and redo of single insertions, exact to the voxel."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import vtk
from slicer.i18n import tr as _

from lungsynth.core.errors import LungSynthError
from lungsynth.core.insertion import Insertion
from lungsynth.imaging.insertion import undo
from lungsynth_slicer import segments, table
from lungsynth_slicer.history import History, Step
from lungsynth_slicer.kinds import kindOf
from lungsynth_slicer.records import checksum, nodulesIn, rebuilt, recordOf, setNodulesIn
from lungsynth_slicer.seeds import SeedList
from lungsynth_slicer.volumes import volumeFromNode, voxelsChanged, voxelsOf
from NoduleSynthLib.Outputs import Case, seedListsOf
from NoduleSynthLib.SeedChecks import SAME_MM, owner, settle


class UndoRedo:
    """The part of the logic that remembers; a history for each output."""

    def __init__(self) -> None:
        self._histories: dict[str, tuple[vtk.vtkWeakReference, History]] = {}

    def history(self, p: Case) -> History:
        """Return what was done to the output of this session.

        A closed scene's ids are given again to the nodes of the next: an id alone would hand the
        voxels of one patient to another.
        """
        output = p.outputVolume
        for known, (node, _history) in list(self._histories.items()):
            if node.Get() is None or node.Get().GetScene() is None:
                self.forget(known)
        if output is None:
            return History()
        if output.GetID() not in self._histories:
            node = vtk.vtkWeakReference()
            node.Set(output)
            self._histories[output.GetID()] = (node, History())
        history = self._histories[output.GetID()][1]
        known = [step.number for step in history.done] or [s.number - 1 for s in history.undone]
        if known and known[-1] != nodulesIn(output):  # another script has been at it
            history.clear()
        return history

    def forget(self, outputId: str) -> None:
        """Drop the history of an output that is gone."""
        self._histories.pop(outputId, None)

    def whyNotUndo(self, p: Case) -> str:
        """Return what keeps the last nodule in the output, as a sentence; empty if nothing does."""
        try:
            self._last(p)
        except LungSynthError as error:
            return f"{str(error)[:1].upper()}{str(error)[1:]}."
        return ""

    def _last(self, p: Case) -> Step:
        """Return the step to take out; a loaded scene's is made from what it holds.

        Raises:
            LungSynthError: If there is none, or it can't be taken out exactly.
        """
        history = self.history(p)
        if history.canUndo:
            step = history.done[-1]
            now = checksum(voxelsOf(p.outputVolume)[step.insertion.slices])
            if step.checksum not in (None, now):
                msg = _(
                    "the last nodule can't be taken out exactly: voxels of the output were edited "
                    "there since; take that edit back, or choose None as output, and a new one is "
                    "made"
                )
                raise LungSynthError(msg)
            return step
        if not nodulesIn(p.outputVolume):
            msg = _("nothing to undo")
            raise LungSynthError(msg)
        insertion, attempt, segmentId, number = rebuilt(
            p.inputVolume, p.outputVolume, p.segmentation
        )
        return Step(insertion, attempt, _pointOf(p, insertion), segmentId, number)

    def undo(self, p: Case) -> Step:
        """Take the last nodule out again: voxels, segment, row; its seed is new again.

        Raises:
            LungSynthError: If there is nothing to undo, or it can't be undone exactly.
        """
        last, history = self._last(p), self.history(p)
        if not history.canUndo:
            history.resume(last)
        return self._takeOut(p)

    def _takeOut(self, p: Case) -> Step:
        """Take the last nodule out, whatever was done to its voxels since."""
        step = self.history(p).undo()
        setNodulesIn(p.outputVolume, step.number - 1)
        undo(voxelsOf(p.outputVolume), step.insertion)
        voxelsChanged(p.outputVolume)
        if p.segmentation is not None:
            segments.removeNodule(p.segmentation, step.segmentId)
        if p.table is not None:
            table.removeRow(p.table)
        self._setState(p, step, "new")
        return step

    def redo(self, p: Case) -> Step:
        """Put back what was undone last.

        Raises:
            LungSynthError: If there is nothing to redo.
        """
        history = self.history(p)
        if not history.canRedo:
            msg = _("nothing to redo")
            raise LungSynthError(msg)
        kind, volume = kindOf(p.inputVolume), volumeFromNode(p.inputVolume)
        image = kind.image(p.inputVolume)  # before anything is changed
        step = history.redo()
        voxels = voxelsOf(p.outputVolume)
        insertion = kind.paste(voxels, image, step.insertion.seed, step.attempt)
        voxelsChanged(p.outputVolume)
        setNodulesIn(p.outputVolume, step.number)
        segmentId = step.segmentId
        if p.segmentation is not None:
            record = recordOf(insertion, step.number, volume.voxels, voxelsOf(p.outputVolume))
            segmentId = segments.addNodule(
                p.segmentation, p.outputVolume, insertion, step.number, record
            )
        if p.table is not None:
            table.addRow(p.table, insertion)
        self._setState(p, step, "inserted")
        after = checksum(voxelsOf(p.outputVolume)[insertion.slices])
        step = Step(insertion, step.attempt, step.pointId, segmentId, step.number, after)
        history.replaceLast(step)
        return step

    def _setState(self, p: Case, step: Step, state: str) -> None:
        """Say of a step's point whether its nodule is in; the point may be gone by now."""
        for node in seedListsOf(p.outputVolume, p.seeds):
            seeds = SeedList(node)
            for point in seeds.points():
                if owner(node, point.id) != step.pointId:
                    continue
                if state == "inserted":
                    seed = step.insertion.seed
                    was = replace(point, position_ras_mm=seed.position_ras_mm, spec=seed.spec)
                    settle(seeds, was)
                else:
                    seeds.setState(point.id, "new")


def _pointOf(p: Case, insertion: Insertion) -> str:
    """Return the name of the point that a nodule of a loaded scene was asked by; empty if gone."""
    for node in seedListsOf(p.outputVolume, p.seeds):
        for point in SeedList(node).points():
            away = np.subtract(point.position_ras_mm, insertion.seed.position_ras_mm)
            if point.state == "inserted" and np.abs(away).max() < SAME_MM:
                return owner(node, point.id)
    return ""
