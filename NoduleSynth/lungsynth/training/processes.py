"""Several processes on this machine that train together: started, watched, ended together.

Lightning's own launcher kills the first process with the others when one of them ends, before it
can say what happened; so they are started here, and Fabric is told that they are there.
"""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from lungsynth.core.temporary import remove_temporary

GRACE_S = 15.0
"""How long the first process may take to notice by itself that another one has ended."""
_NOT_INHERITED = ("LUNGSYNTH_END_WITH_STDIN",)


class Processes:
    """The other processes of a run on this machine.

    Args:
        count: How many processes train on this machine, this one counted.
        nodes: Machines.
        log: An open file that takes what they print.
    """

    def __init__(self, count: int, nodes: int, log: tempfile._TemporaryFileWrapper[bytes]) -> None:
        self.count, self._log = count, log
        self.environment = {
            "LOCAL_RANK": "0",
            "NODE_RANK": os.environ.get("NODE_RANK", "0"),
            "WORLD_SIZE": str(count * nodes),
            "MASTER_ADDR": os.environ.get("MASTER_ADDR", "127.0.0.1"),
            "MASTER_PORT": os.environ.get("MASTER_PORT") or str(_free_port()),
        }
        inherited = {k: v for k, v in os.environ.items() if k not in _NOT_INHERITED}
        self._started = [
            subprocess.Popen(
                [sys.executable, *sys.orig_argv[1:]],
                env={**inherited, **self.environment, "LOCAL_RANK": str(rank)},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
            for rank in range(1, count)
        ]
        self._ended = threading.Event()
        threading.Thread(target=self._watch, daemon=True).start()

    def lost(self, wait_s: float = 20.0) -> str:
        """Say which process has failed, and how; empty if none has."""
        until = time.monotonic() + wait_s
        while True:
            for rank, process in enumerate(self._started, start=1):
                status = process.poll()
                if status:
                    return f"process {rank + 1} of {self.count} ended {self._how(status)}"
            if time.monotonic() >= until:
                return ""
            time.sleep(0.05)

    def _how(self, status: int) -> str:
        if status < 0:
            return f"by {signal.Signals(-status).name}"
        text = ""
        with suppress(OSError):  # Windows does not let an open file be read twice
            text = Path(self._log.name).read_text(encoding="utf-8", errors="replace")
        said = next((line for line in reversed(text.splitlines()) if line.strip()), "")
        said = re.sub(r"^(\[rank\d+\]|lungsynth): ", "", said)  # torch's prefix, and our own
        return f"with status {status}" + (f" ({said})" if said else "")

    def _watch(self) -> None:
        """End this process should it not notice that another has failed."""
        while not self._ended.wait(0.5):
            if not self.lost(0):
                continue
            if self._ended.wait(GRACE_S):
                return
            self._kill()
            remove_temporary()
            line = f"lungsynth: {lost_line(self.lost(0))}\n"
            os.write(2, line.encode(errors="replace"))
            os._exit(2)

    def end(self, wait_s: float) -> None:
        """Wait for the others to end, and kill those that do not."""
        self._ended.set()
        until = time.monotonic() + wait_s
        for process in self._started:
            try:
                process.wait(max(0.0, until - time.monotonic()))
            except subprocess.TimeoutExpired:
                self._kill()
        for process in self._started:
            process.wait()

    def _kill(self) -> None:
        for process in self._started:
            if process.poll() is None:
                process.kill()


def lost_line(what: str) -> str:
    """Return the line about a run that has lost a process."""
    return (
        f"the run has lost a process: {what or 'another closed its connection or did not answer'}; "
        "the last checkpoint is whole: go on with --resume"
    )


@contextmanager
def started(count: int, nodes: int) -> Iterator[Processes | None]:
    """Run the block with the other processes of this machine; None where there are none to start.

    They run this program anew, with the same arguments.
    """
    if count == 1 or started_by_another():
        yield None
        return
    with tempfile.NamedTemporaryFile(prefix="lungsynth-", suffix=".log") as log:
        processes = Processes(count, nodes, log)
        before = {name: os.environ.get(name) for name in processes.environment}
        os.environ.update(processes.environment)
        done = False
        try:
            yield processes
            done = True
        finally:
            processes.end(30.0 if done else 0.0)
            for name, value in before.items():
                os.environ.pop(name, None)
                if value is not None:
                    os.environ[name] = value


def started_by_another() -> bool:
    """Return whether torchrun, SLURM or the first process of a run has started this one."""
    return any(name in os.environ for name in ("LOCAL_RANK", "SLURM_LOCALID"))


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port
