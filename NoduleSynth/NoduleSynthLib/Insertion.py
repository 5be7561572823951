"""Inserting: made by the worker, put into a copy of the volume, or taken back as a whole."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import slicer
from slicer.i18n import tr as _

from lungsynth.cli.protocol import seed_values
from lungsynth.core.errors import LungSynthError
from lungsynth.imaging.attempt import Attempt
from lungsynth.imaging.insertion import undo
from lungsynth.imaging.radiograph_insertion import CxrAttempt
from lungsynth_slicer import segments, table
from lungsynth_slicer.changes import readChanges
from lungsynth_slicer.history import Step
from lungsynth_slicer.kinds import RADIOGRAPH_KIND, kindOf
from lungsynth_slicer.nodes import markSynthetic, removeWithParts
from lungsynth_slicer.records import checksum, nodulesIn, recordOf, setNodulesIn
from lungsynth_slicer.seeds import SeedList, SeedPoint
from lungsynth_slicer.steps import Steps
from lungsynth_slicer.volumes import startClone, volumeFromNode, voxelsChanged, voxelsOf
from NoduleSynthLib.Console import ScriptCase
from NoduleSynthLib.Outputs import (
    OUTPUT_NAME,
    Case,
    isOutputOf,
    link,
    makeSegmentation,
    makeTable,
)
from NoduleSynthLib.SeedChecks import earlierIn, owner, problemsOf, renew, seedsOf, settle
from NoduleSynthLib.Session import Session
from NoduleSynthLib.UndoRedo import UndoRedo

logger = logging.getLogger(__name__)

STOPPED = _("Stopped. Nothing was changed.")


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
    steps: list[Step] = field(default_factory=list)
    made: list[Any] = field(default_factory=list)  # nodes added on the way
    work: Steps | None = None


class Inserting(UndoRedo):
    """The part of the logic that inserts; one insertion at a time.

    Args:
        session: The worker.
    """

    def __init__(self, session: Session) -> None:
        super().__init__()
        self.session = session
        self._run: Run | None = None

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
            if run is not self._run:
                return
            try:
                self._request(run, failed)
            except LungSynthError as error:  # the volume was put under a transform, say
                failed(str(error))

        self.session.prepare(run.case, ready, failed)

    def _readyPoints(self, p: Case) -> list[SeedPoint]:
        """Return the seeds to insert.

        Raises:
            LungSynthError: If something is missing or in the way.
        """
        if self.running:
            msg = _("an insertion is running already; wait for it or cancel it")
            raise LungSynthError(msg)
        kindOf(p.inputVolume).image(p.inputVolume)
        if p.outputVolume is not None and not isOutputOf(p.outputVolume, p.inputVolume):
            said = _(
                "'{output}' was not made from '{ct}'; choose None as output, and a new one is made"
            )
            msg = said.format(output=p.outputVolume.GetName(), ct=p.inputVolume.GetName())
            raise LungSynthError(msg)
        points = []
        if p.seeds is not None:
            seeds = seedsOf(p)
            seeds.specifyAll()
            if p.outputVolume is None:
                renew(seeds)
            points = seeds.points()
        new = [point for point in points if point.state == "new"]
        if not new:
            msg = _("no new seed; place one in a slice view first")
            raise LungSynthError(msg)
        problems = problemsOf(p)
        for point in new:
            if point.id in problems:
                raise LungSynthError(problems[point.id])
        return new

    def _request(self, run: Run, failed: Callable[[str], None]) -> None:
        file = self.session.answerFile("changes")

        def made(answer: dict[str, Any]) -> None:
            if run is not self._run:
                return
            try:
                inRadiograph = kindOf(run.case.inputVolume) is RADIOGRAPH_KIND
                attempts = readChanges(answer["file"], inRadiograph=inRadiograph)
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
            earlier=earlierIn(run.case),
            output=str(file),
        )

    def _put(self, run: Run, attempts: list[Attempt] | list[CxrAttempt]) -> None:
        """Make the output if there is none yet, then put the nodules in."""
        volume = run.scene.GetNodeByID(run.inputId)
        if volume is None:
            self._fail(_("the volume was removed from the scene; nothing was inserted"))
            return
        output = run.case.outputVolume
        if output is not None and output.GetScene() is None:
            self._fail(_("the output was removed from the scene; nothing was inserted"))
            return
        if output is not None:
            self._apply(run, output, attempts)
            return

        def cloned(node: slicer.vtkMRMLScalarVolumeNode) -> None:
            run.made.append(node)
            markSynthetic(node)
            self._apply(run, node, attempts)

        name = OUTPUT_NAME.format(name=volume.GetName())
        run.work = startClone(volume, name, cloned, self._fail)

    def _apply(
        self,
        run: Run,
        output: slicer.vtkMRMLScalarVolumeNode,
        attempts: list[Attempt] | list[CxrAttempt],
    ) -> None:
        def done() -> None:
            self._run = None
            run.onDone(run.steps)

        run.work = Steps(self._applying(run, output, attempts), done, self._fail)

    def _applying(
        self,
        run: Run,
        output: slicer.vtkMRMLScalarVolumeNode,
        attempts: list[Attempt] | list[CxrAttempt],
    ) -> Iterator[None]:
        """Put in one nodule after the other; a failure takes all of them out again."""
        try:
            yield from self._putOneByOne(run, output, attempts)
        except LungSynthError:
            raise
        except Exception as error:
            logger.exception("an insertion failed")
            said = _("a defect in NoduleSynth, please report it: {kind}: {error}")
            msg = said.format(kind=type(error).__name__, error=error)
            raise LungSynthError(msg) from error

    def _putOneByOne(
        self,
        run: Run,
        output: slicer.vtkMRMLScalarVolumeNode,
        attempts: list[Attempt] | list[CxrAttempt],
    ) -> Iterator[None]:
        case = run.case
        inputVolume = run.scene.GetNodeByID(run.inputId)
        kind, volume = kindOf(inputVolume), volumeFromNode(inputVolume)
        image = kind.image(inputVolume)
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
            insertion = kind.paste(voxels, image, point.seed, attempt)
            number = nodulesIn(output) + 1
            segmentId, rows = "", case.table.GetNumberOfRows()
            try:
                record = recordOf(insertion, number, volume.voxels, voxels)
                segmentId = segments.addNodule(case.segmentation, output, insertion, number, record)
                table.addRow(case.table, insertion)
                settle(SeedList(case.seeds), point)
            except Exception:  # of this nodule no step tells yet
                undo(voxels, insertion)
                voxelsChanged(output)
                segments.removeNodule(case.segmentation, segmentId)
                table.removeRow(case.table, rows)
                raise
            after = checksum(voxels[insertion.slices])
            asker = owner(case.seeds, point.id)
            step = Step(insertion, attempt, asker, segmentId, number, after)
            history.push(step)
            setNodulesIn(output, number)
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
        for _step in run.steps:
            self._takeOut(run.case)
        if run.steps:
            self.history(run.case).undone.clear()
        for node in reversed(run.made):
            removeWithParts(node)
        run.onError(message)
