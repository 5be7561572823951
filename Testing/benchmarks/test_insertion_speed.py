"""How long inserting takes and how much memory, on 2 CPU cores (``make bench``).

Array to array, warm: reading, writing and loading weights are not in it.
"""

import threading
import time
from pathlib import Path

import numpy as np
import pytest

from lungsynth.imaging.insertion import insert

ONE_NODULE_S = 0.5
TWENTY_NODULES_S = 5.0
EXTRA_MEMORY_MB = 300
LONG_OVER_SHORT = 1.2
COPY_S = 0.1  # what 450 slices more may cost where nothing else takes time

pytestmark = pytest.mark.timeout(1800)


def test_one_nodule_into_300_slices(benchmark, warm, ct_of, seeds_for):
    ct = ct_of(300)
    seeds = seeds_for(ct, 20)[:1]

    result = benchmark.pedantic(insert, (ct, seeds, warm), rounds=7, iterations=1, warmup_rounds=1)

    assert len(result.insertions) == 1
    assert (result.volume.voxels != ct.voxels).any()
    assert benchmark.stats.stats.median <= ONE_NODULE_S


def test_twenty_nodules_in_one_call(benchmark, warm, ct_of, seeds_for):
    ct = ct_of(300)
    seeds = seeds_for(ct, 20)

    result = benchmark.pedantic(insert, (ct, seeds, warm), rounds=3, iterations=1, warmup_rounds=1)

    benchmark.extra_info["nodules_per_second"] = 20 / benchmark.stats.stats.median
    assert len(result.insertions) == 20
    assert benchmark.stats.stats.median <= TWENTY_NODULES_S


@pytest.mark.parametrize("count", [1, 20])
def test_time_hardly_grows_with_the_volume(warm, ct_of, seeds_for, count):
    """Only the output's copy grows with the volume; the least disturbed of some runs counts.

    The long CT begins with the short one and goes on as its mirror image: the same nodules in the
    same tissue, so that the length alone differs.
    """
    cts = {slices: ct_of(slices) for slices in (150, 600)}
    seeds = seeds_for(cts[150], 20)[:count]
    times, done = {slices: [] for slices in cts}, {}
    for _ in range(9 if count == 1 else 3):  # in turns: a change of speed meets both
        for slices, ct in cts.items():
            started = time.perf_counter()
            made = insert(ct, seeds, warm)
            times[slices].append(time.perf_counter() - started)
            done[slices] = [insertion.measured for insertion in made.insertions]

    assert done[150] == done[600]
    short, long = (min(times[slices]) for slices in cts)

    print(  # noqa: T201 - the benchmark's result
        f"{warm.name}, {count} nodules: {short:.3f} s in 150 slices, {long:.3f} s in 600 "
        f"({long / short:.2f})"
    )
    if warm.name == "procedural" and count == 1:  # drawn faster than the output is copied
        assert long - short <= COPY_S
    else:
        assert long / short <= LONG_OVER_SHORT


def resident_mb():
    """Return the memory that this process holds, in MB."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * 4096 / 1e6


class PeakMemory:
    """Looks at the process's memory every 2 ms while it is entered."""

    def __enter__(self):
        self.peak_mb, self._stop = resident_mb(), threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()
        return self

    def _watch(self):
        while not self._stop.wait(0.002):
            self.peak_mb = max(self.peak_mb, resident_mb())

    def __exit__(self, *_):
        self._stop.set()
        self._thread.join()


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="needs Linux's /proc")
def test_memory_beyond_input_and_output(warm, ct_of, seeds_for):
    """The output's pages are touched before, so all that is added is the work's own memory."""
    ct = ct_of(300)
    out = np.ones_like(ct.voxels)
    seeds = seeds_for(ct, 20)
    before = resident_mb()

    with PeakMemory() as memory:
        insert(ct, seeds, warm, out=out)

    extra = memory.peak_mb - before
    print(f"{warm.name}: {extra:.0f} MB beyond input and output")  # noqa: T201 - the benchmark's result
    assert extra <= EXTRA_MEMORY_MB
