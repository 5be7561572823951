"""What was inserted, in order, and what was taken out again. Knows neither Slicer nor Qt."""

from __future__ import annotations

from dataclasses import dataclass

from lungsynth.core.insertion import Insertion
from lungsynth.imaging.attempt import Attempt


@dataclass(frozen=True, eq=False)
class Step:
    """One nodule that was put into the output volume.

    Args:
        insertion: With the voxels that were there before, for undoing.
        attempt: The nodule, for putting it back.
        pointId: The fiducial point it was asked by.
        segmentId: Its segment.
        number: Counted from 1 within the output volume.
        checksum: Of the box's voxels with the nodule in; None where they were checked otherwise.
    """

    insertion: Insertion
    attempt: Attempt
    pointId: str
    segmentId: str
    number: int
    checksum: int | None = None


class History:
    """A stack of steps with a way back: the last that was done is the first to be undone."""

    def __init__(self) -> None:
        self.done: list[Step] = []
        self.undone: list[Step] = []

    @property
    def canUndo(self) -> bool:
        """Whether there is something to undo."""
        return bool(self.done)

    @property
    def canRedo(self) -> bool:
        """Whether there is something to redo."""
        return bool(self.undone)

    def push(self, step: Step) -> None:
        """Note a new step; what was undone before can't be redone any more."""
        self.done.append(step)
        self.undone.clear()

    def resume(self, step: Step) -> None:
        """Note the step before all others, known again from a scene that was loaded."""
        self.done.insert(0, step)

    def undo(self) -> Step:
        """Return the step to take out now.

        Raises:
            IndexError: If there is none.
        """
        step = self.done.pop()
        self.undone.append(step)
        return step

    def redo(self) -> Step:
        """Return the step to put back now; ``replaceLast`` it if it comes out as another value.

        Raises:
            IndexError: If there is none.
        """
        step = self.undone.pop()
        self.done.append(step)
        return step

    def replaceLast(self, step: Step) -> None:
        """Replace the step done last: put back, it has a new segment, say.

        Raises:
            IndexError: If there is none.
        """
        self.done[-1] = step

    def clear(self) -> None:
        """Forget all: the output volume is another now, or gone."""
        self.done.clear()
        self.undone.clear()
