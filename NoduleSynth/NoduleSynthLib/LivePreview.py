"""One nodule in the slice views before it is inserted.

The worker makes it in the box around the seed; only that box is drawn, as a small hidden volume
in front of the CT or the output, which stay as they are. One request is on its way at a time; of
those that come meanwhile only the newest counts.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import slicer
import vtk

from lungsynth.cli.protocol import seed_values
from lungsynth.core.errors import LungSynthError
from lungsynth.core.insertion import Box
from lungsynth.core.nodule import Seed
from lungsynth.core.radiograph import CxrSeed
from lungsynth.imaging.attempt import Attempt
from lungsynth.imaging.radiograph_insertion import CxrAttempt
from lungsynth_slicer.changes import readChanges
from lungsynth_slicer.kinds import RADIOGRAPH_KIND, kindOf
from lungsynth_slicer.views import setForegroundBorder
from lungsynth_slicer.volumes import volumeFromNode, voxelsOf
from NoduleSynthLib.Logic import NoduleSynthLogic
from NoduleSynthLib.Outputs import Case

NAME = "NoduleSynth live preview"
PADDING = 1
"""Voxels of the surroundings on each side of the box."""
ROUNDS = 1
"""Tries until the size is right; the insertion itself takes more."""


class LivePreview:
    """Keeps the preview of one seed up to date.

    Args:
        logic: Whose worker makes the nodules.
        onShown: Called once the preview volume holds a new nodule.
        onError: Called with one line.
    """

    def __init__(
        self,
        logic: NoduleSynthLogic,
        *,
        onShown: Callable[[], None],
        onError: Callable[[str], None],
    ) -> None:
        self._logic = logic
        self._onShown = onShown
        self._onError = onError
        self._wanted: tuple[Case, Seed | CxrSeed] | None = None
        self._asked: Seed | CxrSeed | None = None
        self._busy = False
        self._node: slicer.vtkMRMLScalarVolumeNode | None = None
        self._round = 0

    @property
    def node(self) -> slicer.vtkMRMLScalarVolumeNode | None:
        """The preview volume while one is shown."""
        return self._node

    def request(self, p: Case, seed: Seed | CxrSeed) -> None:
        """Show this nodule as soon as it is made."""
        if self._node is not None and seed == self._asked and self._wanted is None:
            return
        self._wanted = (p, seed)
        if not self._busy:
            self._send()

    def hide(self) -> None:
        """Show no preview; what is on its way is dropped when it comes."""
        self._wanted = self._asked = None
        self._round += 1
        setForegroundBorder(True)
        node, self._node = self._node, None
        if node is not None and node.GetScene() is not None:
            scene, display = node.GetScene(), node.GetDisplayNode()
            scene.RemoveNode(node)
            if display is not None and display.GetScene() is not None:
                scene.RemoveNode(display)

    def reset(self) -> None:
        """Forget what is on its way: the worker was stopped and will not answer."""
        self._busy = False
        self.hide()

    def _send(self) -> None:
        if self._wanted is None or self._logic.running:
            return
        (p, seed), self._wanted = self._wanted, None
        self._asked = seed
        self._busy = True
        turn = self._round
        session = self._logic.session

        def done(answer: dict[str, Any]) -> None:
            self._busy = False
            if turn == self._round:
                try:
                    inRadiograph = kindOf(p.inputVolume) is RADIOGRAPH_KIND
                    self._show(p, readChanges(answer["file"], inRadiograph=inRadiograph)[0])
                except LungSynthError as error:
                    self._onError(str(error))
            self._send()

        def failed(message: str) -> None:
            self._busy = False
            if turn == self._round:
                self._asked = None
                self._onError(message)
            self._send()

        def ready() -> None:
            try:
                session.request(
                    "preview",
                    onDone=done,
                    onError=failed,
                    seed=seed_values(seed),
                    earlier=self._logic.earlier(p),
                    rounds=ROUNDS,
                    output=str(session.answerFile("preview")),
                )
            except LungSynthError as error:
                failed(str(error))

        session.prepare(p, ready, failed)

    def _show(self, p: Case, attempt: Attempt | CxrAttempt) -> None:
        made = kindOf(p.inputVolume).voxels(attempt)
        source = voxelsOf(p.inputVolume)[_slices(attempt.box)]
        behind = p.outputVolume if p.outputVolume is not None else p.inputVolume
        voxels = voxelsOf(behind)
        outer = _grown(attempt.box, voxels.shape)
        new = voxels[_slices(outer)].copy()
        inner = new[_slices(_from(outer, attempt.box))]
        # as when it is inserted: earlier nodules stay
        changed = (made != source) & (inner == source)
        inner[changed] = made[changed]
        scene = p.inputVolume.GetScene()
        if self._node is None or self._node.GetScene() is not scene:
            self._node = _hiddenVolume(scene)
        wasModified = self._node.StartModify()
        _setVoxels(self._node, new)
        self._node.SetIJKToRASMatrix(_matrix(p.inputVolume, outer))
        _lookLike(self._node.GetDisplayNode(), behind.GetDisplayNode())
        self._node.EndModify(wasModified)
        setForegroundBorder(False)
        self._onShown()


def _slices(box: Box) -> tuple[slice, slice, slice]:
    (k0, j0, i0), (k1, j1, i1) = box
    return slice(k0, k1), slice(j0, j1), slice(i0, i1)


def _grown(box: Box, shape: tuple[int, ...]) -> Box:
    """Return a box with the voxels around it that drawing between voxels looks at."""
    low = tuple(max(0, int(n) - PADDING) for n in box[0])
    high = tuple(min(size, int(n) + PADDING) for n, size in zip(box[1], shape, strict=True))
    return low, high


def _from(outer: Box, box: Box) -> Box:
    """Return a box counted from the corner of another."""
    low, high = (tuple(int(n) for n in np.subtract(corner, outer[0])) for corner in box)
    return low, high


def _matrix(node: slicer.vtkMRMLScalarVolumeNode, box: Box) -> vtk.vtkMatrix4x4:
    """Return IJK to RAS of the part of a volume that a box is."""
    k0, j0, i0 = box[0]
    matrix = volumeFromNode(node).ijk_to_ras.copy()
    matrix[:3, 3] = matrix[:3, :3] @ (i0, j0, k0) + matrix[:3, 3]
    result = vtk.vtkMatrix4x4()
    result.DeepCopy(matrix.ravel().tolist())
    return result


def _hiddenVolume(scene: slicer.vtkMRMLScene) -> slicer.vtkMRMLScalarVolumeNode:
    node = slicer.vtkMRMLScalarVolumeNode()
    node.SetName(NAME)
    display = slicer.vtkMRMLScalarVolumeDisplayNode()
    for hidden in (node, display):
        hidden.SetHideFromEditors(True)
        hidden.SetSaveWithScene(False)
    display.SetAutoWindowLevel(False)
    scene.AddNode(display)
    scene.AddNode(node)
    node.SetAndObserveDisplayNodeID(display.GetID())
    return node


def _setVoxels(node: slicer.vtkMRMLScalarVolumeNode, voxels: np.ndarray) -> None:
    image = node.GetImageData()
    if image is not None and voxelsOf(node).shape == voxels.shape:
        voxelsOf(node)[:] = voxels
        image.GetPointData().GetScalars().Modified()
        image.Modified()
        return
    slicer.util.updateVolumeFromArray(node, np.ascontiguousarray(voxels))


def _lookLike(
    display: slicer.vtkMRMLScalarVolumeDisplayNode,
    other: slicer.vtkMRMLScalarVolumeDisplayNode | None,
) -> None:
    if other is None:
        return
    display.SetWindowLevel(other.GetWindow(), other.GetLevel())
    display.SetInterpolate(other.GetInterpolate())
    if other.GetColorNodeID() != display.GetColorNodeID():
        display.SetAndObserveColorNodeID(other.GetColorNodeID())
