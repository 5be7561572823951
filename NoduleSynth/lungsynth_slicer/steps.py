"""Long work on Slicer's own memory, cut into steps between which Qt handles its events.

In the main thread on purpose: Slicer's event loop holds Python's lock most of the time, so that
a Python thread beside it hardly runs.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Generator
from typing import Any

import qt
from numpy.typing import NDArray

from lungsynth.core.errors import LungSynthError

logger = logging.getLogger(__name__)

SLAB_BYTES = 4 << 20
AT_ONCE_S = 0.03
"""How long steps go on before events are handled; a screen is redrawn about as often."""


def slabs(voxels: NDArray[Any]) -> list[slice]:
    """Return slices along the first axis, each of about ``SLAB_BYTES``."""
    thickness = max(1, SLAB_BYTES * len(voxels) // max(1, voxels.nbytes))
    return [slice(k, k + thickness) for k in range(0, len(voxels), thickness)]


class Steps:
    """Runs the steps of a generator from Qt's event loop, starting at once.

    Args:
        steps: Does a little of the work each time it is advanced (some ms).
        onDone: Called after the last step.
        onError: Called with one line if a step fails.
    """

    def __init__(
        self,
        steps: Generator[None, None, None],
        onDone: Callable[[], None],
        onError: Callable[[str], None],
    ) -> None:
        self._steps: Generator[None, None, None] | None = steps
        self._onDone = onDone
        self._onError = onError
        self._timer = qt.QTimer()
        self._timer.timeout.connect(self._advance)
        self._timer.start(0)
        _running.add(self)

    @property
    def running(self) -> bool:
        """Whether there is work left."""
        return self._steps is not None

    def cancel(self) -> None:
        """Stop where it is; neither callback is called any more."""
        self._timer.stop()
        steps, self._steps = self._steps, None
        if steps is not None:
            steps.close()
        _running.discard(self)

    def _advance(self) -> None:
        until = time.perf_counter() + AT_ONCE_S
        steps = self._steps
        if steps is None:
            return
        try:
            while time.perf_counter() < until:
                if next(steps, self) is self:
                    self.cancel()
                    self._onDone()
                    return
        except (LungSynthError, OSError, MemoryError) as error:
            self.cancel()
            self._onError(str(error) or type(error).__name__)
        except Exception as error:  # or, the next time, what failed would look finished
            if self._steps is None:  # it is onDone that failed
                raise
            logger.exception("a step failed")
            self.cancel()
            self._onError(
                f"a defect in NoduleSynth, please report it: {type(error).__name__}: {error}"
            )


_running: set[Steps] = set()  # whoever started them need not keep them
