"""Insert, undo, redo, propose: what the panel's buttons do, for scripts too."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import slicer
from slicer.ScriptedLoadableModule import ScriptedLoadableModuleLogic

from lungsynth.cli.protocol import seed_values, taken_values
from lungsynth.core.errors import LungSynthError
from lungsynth.core.insertion import Taken
from lungsynth.core.nodule import NoduleSpec, Seed
from lungsynth.core.volume import Volume
from lungsynth.imaging.insertion import Attempt, paste, undo
from lungsynth.imaging.placement import check_seeds
from lungsynth.imaging.proposal import box_side_mm
from lungsynth.imaging.voi import locate_voi
from lungsynth_slicer import segments, table
from lungsynth_slicer.changes import readChanges
from lungsynth_slicer.history import History, Step
from lungsynth_slicer.seeds import SeedList, SeedPoint
from lungsynth_slicer.steps import Steps
from lungsynth_slicer.volumes import startClone, volumeFromNode, voxelsChanged, voxelsOf
from NoduleSynthLib.Console import ConsoleMixin, ScriptCase
from NoduleSynthLib.Outputs import Case, isOutputOf, link, makeSeedList, makeSegmentation, makeTable
from NoduleSynthLib.ParameterNode import NoduleSynthParameterNode
from NoduleSynthLib.Session import Session

logger = logging.getLogger(__name__)

STOPPED = "Stopped. Nothing was changed."
DRAWN_SEEDS = 100_000
"""Latent seeds are drawn below this, so that a person can read and type them."""


class _Boxes:
    """How large a box a nodule needs: all that a check has to know about a synthesizer."""

    box_mm = staticmethod(box_side_mm)


@dataclass(eq=False)
class Run:
    """An insertion on its way.

    Args:
        asked: Whose nodes these are; the user may turn it to others meanwhile.
        case: The nodes and settings as they were when it started.
        points: The seeds as they were then.
    """

    asked: Case
    case: ScriptCase
    points: list[SeedPoint]
    inputId: str
    scene: slicer.vtkMRMLScene
    onProgress: Callable[[int, int, str], None]
    onDone: Callable[[list[Step]], None]
    onError: Callable[[str], None]
    started: float = field(default_factory=time.monotonic)
    steps: list[Step] = field(default_factory=list)
    made: list[Any] = field(default_factory=list)  # nodes added on the way
    work: Steps | None = None


class NoduleSynthLogic(ConsoleMixin, ScriptedLoadableModuleLogic):
    """Works on the nodes of a ``Case``: the panel's parameter node, or a script's own.

    Args:
        session: The worker; tests hand in their own.
    """

    def __init__(self, session: Session | None = None) -> None:
        super().__init__()
        self.session = session or Session()
        self._histories: dict[str, History] = {}
        self._run: Run | None = None

    def getParameterNode(self) -> NoduleSynthParameterNode:
        """Return the scene's settings of this module."""
        return NoduleSynthParameterNode(super().getParameterNode())

    def cleanup(self) -> None:
        """Stop what runs and end the worker."""
        self.cancel()
        self.session.close()
        self._histories.clear()

    # --- seeds ---------------------------------------------------------------------------------

    def problems(self, p: Case) -> dict[str, str]:
        """Return, for each seed that cannot work, its point id and why.

        A seed is checked against the inserted ones and the new ones before it; nothing but the
        volume is needed, so that it works before a synthesizer is loaded.

        Raises:
            LungSynthError: If the volume can't be used.
        """
        if p.inputVolume is None or p.seeds is None:
            return {}
        volume = volumeFromNode(p.inputVolume)
        points = SeedList(p.seeds).points()
        taken = self._taken(p, volume, points)
        found = {}
        for point in points:
            if point.state == "inserted":
                continue
            try:
                check_seeds(volume, [point.seed], _Boxes, earlier=taken)
            except LungSynthError as error:
                found[point.id] = str(error)
            else:
                taken.append(_taken(volume, point.seed))
        return found

    def propose(
        self,
        p: Case,
        count: int,
        site: str,
        spec: NoduleSpec,
        *,
        randomSeed: int,
        onDone: Callable[[list[str]], None],
        onError: Callable[[str], None],
    ) -> None:
        """Add seeds in the lungs; ``onDone`` gets the ids of their points.

        Args:
            p: With the volume; gets a list of seeds if it has none.
            count: How many.
            site: "parenchyma", "juxta-pleural" or "juxta-vascular".
            spec: Size and kind of the nodules; each gets a latent seed of its own.
            randomSeed: What the places follow from.
            onDone: Called when they are in the list.
            onError: Called with one line.
        """
        if p.inputVolume is None:
            onError("no volume is chosen; choose a chest CT first")
            return
        scene, volumeId = p.inputVolume.GetScene(), p.inputVolume.GetID()

        def found(answer: dict[str, Any]) -> None:
            volume = scene.GetNodeByID(volumeId)
            if volume is None:
                onError("the volume was removed from the scene")
                return
            if p.seeds is None:
                p.seeds = makeSeedList(scene, volume)
            seeds = SeedList(p.seeds)
            ids = [seeds.add(tuple(place["position_ras_mm"]), spec) for place in answer["seeds"]]
            for pointId in ids:
                latent = drawLatentSeed(pointId, randomSeed)
                seeds.setSpec(pointId, replace(spec, latent_seed=latent))
            onDone(ids)

        def ready() -> None:
            self.session.request(
                "propose",
                onDone=found,
                onError=onError,
                count=count,
                site=site,
                random_seed=randomSeed,
                diameter_mm=spec.diameter_mm,
                attenuation=str(spec.attenuation),
                earlier=self.earlier(p, andNew=True),
            )

        self.session.prepare(p, ready, onError)

    def earlier(self, p: Case, *, andNew: bool = False) -> list[dict[str, Any]]:
        """Return what the volume's boxes are taken by already, as the worker wants it."""
        if p.seeds is None:
            return []
        volume = volumeFromNode(p.inputVolume)
        points = SeedList(p.seeds).points()
        taken = self._taken(p, volume, points)
        if andNew:
            taken += [_taken(volume, point.seed) for point in points if point.state == "new"]
        return [taken_values(place) for place in taken]

    def _taken(self, p: Case, volume: Volume, points: Sequence[SeedPoint]) -> list[Taken]:
        """Return the boxes of the nodules in the output: its segments know them."""
        if p.outputVolume is None:
            return []
        if p.segmentation is not None:
            return segments.takenBy(p.segmentation)
        return [_taken(volume, point.seed) for point in points if point.state == "inserted"]

    # --- insert --------------------------------------------------------------------------------

    @property
    def running(self) -> bool:
        """Whether an insertion is on its way."""
        return self._run is not None

    def insert(
        self,
        p: Case,
        *,
        onDone: Callable[[list[Step]], None],
        onError: Callable[[str], None],
        onProgress: Callable[[int, int, str], None] | None = None,
    ) -> None:
        """Insert a nodule at each new seed, into a copy of the volume; returns at once.

        Nothing in the scene changes before all nodules are made.

        Args:
            p: Gets an output, a segmentation and a table if it has none.
            onDone: Called with what was inserted.
            onError: Called with one line if nothing was.
            onProgress: Called with how many are done, of how many, and words.
        """
        try:
            points = self._readyPoints(p)
        except LungSynthError as error:
            onError(str(error))
            return
        run = Run(
            asked=p,
            case=ScriptCase.of(p),
            points=points,
            inputId=p.inputVolume.GetID(),
            scene=p.inputVolume.GetScene(),
            onProgress=onProgress or (lambda *_: None),
            onDone=onDone,
            onError=onError,
        )
        self._run = run
        run.onProgress(0, len(points), "preparing")

        def failed(message: str) -> None:
            if run is self._run:
                self._fail(message)

        def ready() -> None:
            if run is self._run:
                self._request(run, failed)

        self.session.prepare(run.case, ready, failed)

    def _readyPoints(self, p: Case) -> list[SeedPoint]:
        """Return the seeds to insert.

        Raises:
            LungSynthError: If something is missing or in the way.
        """
        if self.running:
            msg = "an insertion is running already; wait for it or cancel it"
            raise LungSynthError(msg)
        volumeFromNode(p.inputVolume)
        if p.outputVolume is not None and not isOutputOf(p.outputVolume, p.inputVolume):
            msg = (
                f"'{p.outputVolume.GetName()}' was not made from '{p.inputVolume.GetName()}'; "
                "choose None as output, and a new one is made"
            )
            raise LungSynthError(msg)
        points = []
        if p.seeds is not None:
            seeds = SeedList(p.seeds)
            seeds.specifyAll()
            if p.outputVolume is None:
                renew(seeds)
            points = seeds.points()
        new = [point for point in points if point.state == "new"]
        if not new:
            msg = "no new seed; place one in a slice view first"
            raise LungSynthError(msg)
        problems = self.problems(p)
        for point in new:
            if point.id in problems:
                raise LungSynthError(problems[point.id])
        return new

    def _request(self, run: Run, failed: Callable[[str], None]) -> None:
        file = self.session.folder / "changes.npz"

        def made(answer: dict[str, Any]) -> None:
            if run is not self._run:
                return
            try:
                attempts = readChanges(answer["file"])
            except LungSynthError as error:
                self._fail(str(error))
                return
            self._put(run, attempts)

        self.session.request(
            "insert",
            onDone=made,
            onError=failed,
            onProgress=run.onProgress,
            seeds=[seed_values(point.seed) for point in run.points],
            earlier=self.earlier(run.case),
            output=str(file),
        )

    def _put(self, run: Run, attempts: list[Attempt]) -> None:
        """Make the output if there is none yet, then put the nodules in."""
        volume = run.scene.GetNodeByID(run.inputId)
        if volume is None:
            self._fail("the volume was removed from the scene; nothing was inserted")
            return
        output = run.case.outputVolume
        if output is not None:
            self._apply(run, output, attempts)
            return

        def cloned(node: slicer.vtkMRMLScalarVolumeNode) -> None:
            run.made.append(node)
            self._apply(run, node, attempts)

        name = f"{volume.GetName()} with nodules"
        run.work = startClone(volume, name, cloned, self._fail)

    def _apply(
        self, run: Run, output: slicer.vtkMRMLScalarVolumeNode, attempts: list[Attempt]
    ) -> None:
        def done() -> None:
            self._run = None
            run.onDone(run.steps)

        run.work = Steps(self._applying(run, output, attempts), done, self._fail)

    def _applying(
        self, run: Run, output: slicer.vtkMRMLScalarVolumeNode, attempts: list[Attempt]
    ) -> Iterator[None]:
        """Put in one nodule after the other; a failure takes all of them out again."""
        try:
            yield from self._putOneByOne(run, output, attempts)
        except LungSynthError:
            raise
        except Exception as error:
            logger.exception("an insertion failed")
            msg = f"a defect in NoduleSynth, please report it: {type(error).__name__}: {error}"
            raise LungSynthError(msg) from error

    def _putOneByOne(
        self, run: Run, output: slicer.vtkMRMLScalarVolumeNode, attempts: list[Attempt]
    ) -> Iterator[None]:
        case = run.case
        volume = volumeFromNode(run.scene.GetNodeByID(run.inputId))
        case.outputVolume = output
        for role, make in (("segmentation", makeSegmentation), ("table", makeTable)):
            node = getattr(case, role)
            if node is None or node.GetScene() is None:
                setattr(case, role, make(output))
                run.made.append(getattr(case, role))
        link(case)
        history = self.history(case)
        voxels = voxelsOf(output)
        for point, attempt in zip(run.points, attempts, strict=True):
            insertion = paste(voxels, volume, point.seed, attempt)
            number = len(history.done) + 1
            segmentId = segments.addNodule(case.segmentation, output, insertion, number)
            table.addRow(case.table, insertion)
            _settle(SeedList(case.seeds), point)
            step = Step(insertion, attempt, _owner(case.seeds, point.id), segmentId, number)
            history.push(step)
            run.steps.append(step)
            yield
        voxelsChanged(output)
        if run.asked.inputVolume is case.inputVolume:
            run.asked.outputVolume = output
            run.asked.segmentation, run.asked.table = case.segmentation, case.table

    def cancel(self, message: str = STOPPED) -> None:
        """Stop a running insertion; the scene is as it was before it."""
        run, self._run = self._run, None
        if run is not None:
            self.session.stop()
            self._takeBack(run, message)

    def _fail(self, message: str) -> None:
        run, self._run = self._run, None
        if run is not None:
            self._takeBack(run, message)

    def _takeBack(self, run: Run, message: str) -> None:
        """Leave the scene as it was before the run, and say why."""
        if run.work is not None:
            run.work.cancel()
        for _ in run.steps:
            self.undo(run.case)
        if run.steps:
            self.history(run.case).undone.clear()
        for node in reversed(run.made):
            _removeWithDisplay(node)
        run.onError(message)

    # --- undo, redo ----------------------------------------------------------------------------

    def history(self, p: Case) -> History:
        """Return what was done to the output of this session."""
        if p.outputVolume is None:
            return History()
        return self._histories.setdefault(p.outputVolume.GetID(), History())

    def forget(self, outputId: str) -> None:
        """Drop the history of an output that is gone."""
        self._histories.pop(outputId, None)

    def undo(self, p: Case) -> Step:
        """Take the last nodule out again: voxels, segment, row; its seed is new again.

        Raises:
            LungSynthError: If there is nothing to undo.
        """
        history = self.history(p)
        if not history.canUndo:
            msg = "nothing to undo"
            raise LungSynthError(msg)
        step = history.undo()
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
            msg = "nothing to redo"
            raise LungSynthError(msg)
        step = history.redo()
        volume = volumeFromNode(p.inputVolume)
        insertion = paste(voxelsOf(p.outputVolume), volume, step.insertion.seed, step.attempt)
        voxelsChanged(p.outputVolume)
        segmentId = step.segmentId
        if p.segmentation is not None:
            segmentId = segments.addNodule(p.segmentation, p.outputVolume, insertion, step.number)
        if p.table is not None:
            table.addRow(p.table, insertion)
        self._setState(p, step, "inserted")
        step = Step(insertion, step.attempt, step.pointId, segmentId, step.number)
        history.replaceLast(step)
        return step

    def _setState(self, p: Case, step: Step, state: str) -> None:
        """Say of a step's point whether its nodule is in; the point may be gone by now."""
        if p.seeds is None:
            return
        seeds = SeedList(p.seeds)
        for point in seeds.points():
            if _owner(p.seeds, point.id) == step.pointId:
                if state == "inserted":
                    _settle(
                        seeds,
                        SeedPoint(
                            point.id,
                            point.label,
                            step.insertion.seed.position_ras_mm,
                            step.insertion.spec,
                            "new",
                        ),
                    )
                else:
                    seeds.setState(point.id, "new")


def renew(seeds: SeedList) -> None:
    """Say of all seeds that they are still to be inserted: for a new output they are."""
    for point in seeds.points():
        if point.state == "inserted":
            seeds.setState(point.id, "new")


def drawLatentSeed(pointId: str, randomSeed: int) -> int:
    """Draw the latent seed of a point of a list: the same clicks give the same nodules."""
    rng = np.random.default_rng([randomSeed, *pointId.encode()])
    return int(rng.integers(DRAWN_SEEDS))


def _taken(volume: Volume, seed: Seed) -> Taken:
    voi = locate_voi(volume, seed.position_ras_mm, box_side_mm(seed.spec.diameter_mm))
    return Taken(seed, voi.box)


def _owner(node: slicer.vtkMRMLMarkupsFiducialNode, pointId: str) -> str:
    """Return a name for a point that no point of another list has."""
    return f"{node.GetID()}/{pointId}"


def _settle(seeds: SeedList, point: SeedPoint) -> None:
    """Lock a point as it was when its nodule was made, even if it was moved since."""
    index = seeds.node.GetNthControlPointIndexByID(point.id)
    if index < 0:  # removed meanwhile; its nodule is in the output all the same
        return
    seeds.node.SetNthControlPointPositionWorld(index, *point.position_ras_mm)
    seeds.setSpec(point.id, point.spec)
    seeds.setState(point.id, "inserted")


def _removeWithDisplay(node: slicer.vtkMRMLDisplayableNode) -> None:
    """Remove a node with what only it uses."""
    scene = node.GetScene()
    if scene is None:
        return
    own = []
    if node.IsA("vtkMRMLDisplayableNode"):
        own += [node.GetNthDisplayNode(n) for n in range(node.GetNumberOfDisplayNodes())]
    if node.IsA("vtkMRMLStorableNode"):
        own += [node.GetNthStorageNode(n) for n in range(node.GetNumberOfStorageNodes())]
    scene.RemoveNode(node)
    for part in own:
        if part is not None and part.GetScene() is not None:
            scene.RemoveNode(part)
