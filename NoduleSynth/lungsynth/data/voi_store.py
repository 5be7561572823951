"""Nodule cubes of any source, cut once and kept as memory-mapped files.

A store is a folder with ``<split>.hu8.npy`` and ``<split>.mask.npy`` (as in ``data.nodule_cubes``,
not compressed), ``<split>.csv`` with one row for each cube, and ``store.json``: source, settings,
fingerprint, patients of each split, and the report. ``NoduleCubes.load`` reads it. While it is
built each finished case lies in ``parts``, so that a build that was stopped goes on from there;
``store.json`` is written last, so that a store is whole or not one.
"""

from __future__ import annotations

import csv
import hashlib
import json
import multiprocessing
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from pathlib import Path
from typing import Any, cast

import numpy as np

from lungsynth.core.errors import LungSynthError
from lungsynth.core.temporary import replacing
from lungsynth.data.cut_cases import ROW_COLUMNS, CutCase, cut_case
from lungsynth.data.nodule_cubes import CUBE_VOXELS, SPLITS
from lungsynth.data.records import Case, Problem, Source, Trouble
from lungsynth.data.report import report_on
from lungsynth.data.stored_cubes import CARD, is_store

FORMAT = 1
"""Changes whenever the same source would give other cubes."""
PARTS = "parts"
OnProgress = Callable[[int, int], None]
_Outcome = tuple[list[dict[str, str]], list[Problem]]


def build_store(
    source: Source, folder: Path, *, workers: int = 1, on_progress: OnProgress | None = None
) -> Mapping[str, Any]:
    """Cut the cubes of a source into a store, unless that is there already.

    Args:
        source: What to cut.
        folder: Where the store goes.
        workers: How many processes read cases at once.
        on_progress: Called with cases done and cases in all.

    Returns:
        What ``store.json`` holds.

    Raises:
        LungSynthError: If the folder cannot be written, or holds something else.
    """
    keys = {case.name: case_key(case, source.settings) for case in source}
    fingerprint = _digest(str(FORMAT), source.form, *sorted(keys.values()))
    if is_store(folder):
        card = json.loads((folder / CARD).read_text(encoding="utf-8"))
        if card["fingerprint"] == fingerprint:
            return cast("Mapping[str, Any]", card)
    elif folder.is_dir() and any(folder.iterdir()) and not (folder / PARTS).is_dir():
        msg = f"{folder}: holds other files; name an empty folder for the cut cubes"
        raise LungSynthError(msg)
    try:
        (folder / PARTS).mkdir(parents=True, exist_ok=True)
        (folder / CARD).unlink(missing_ok=True)
        wanted = [(case, folder / PARTS / f"{keys[case.name]}.npz") for case in source]
        _cut_all(wanted, workers, on_progress)
        card = _assemble(source, folder, [path for _, path in wanted], fingerprint)
        shutil.rmtree(folder / PARTS)
    except OSError as error:
        msg = f"{folder}: cannot write the cut cubes: {error.strerror or error}"
        raise LungSynthError(msg) from error
    return card


def case_key(case: Case, settings: Mapping[str, str]) -> str:
    """Return what changes whenever a case may give other cubes: its files, rows and settings."""
    stamps = []
    for path in case.files:
        for file in sorted(path.iterdir()) if path.is_dir() else [path]:
            if file.is_file():
                state = file.stat()
                stamps.append(f"{file}|{state.st_size}|{state.st_mtime_ns}")
    return _digest(str(FORMAT), repr(case), json.dumps(dict(settings)), *stamps)[:32]


def cut_cases(
    cases: Sequence[Case], workers: int, on_progress: OnProgress | None = None
) -> Iterator[_Outcome]:
    """Yield rows and problems of each case without keeping cubes, in the order of the cases."""
    jobs = [(case, None) for case in cases]
    for number, result in enumerate(_run(jobs, workers), start=1):
        if on_progress is not None:
            on_progress(number, len(cases))
        yield result


def _cut_all(
    wanted: Sequence[tuple[Case, Path]], workers: int, on_progress: OnProgress | None
) -> None:
    left = [(case, path) for case, path in wanted if not path.is_file()]
    done = len(wanted) - len(left)
    if on_progress is not None:
        on_progress(done, len(wanted))
    for _ in _run(left, workers):
        done += 1
        if on_progress is not None:
            on_progress(done, len(wanted))


def _run(jobs: Sequence[tuple[Case, Path | None]], workers: int) -> Iterator[_Outcome]:
    if workers <= 1 or len(jobs) < 2:
        for case, path in jobs:
            yield _job(case, path)
        return
    # spawned, for the parent may run threads (torch, Qt) that a fork would break
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(min(workers, len(jobs)), mp_context=context)
    try:
        # few at a time, so that a stop does not wait for thousands
        waiting: dict[Future[_Outcome], int] = {}
        results: dict[int, _Outcome] = {}
        next_out = 0
        upcoming = iter(enumerate(jobs))
        while next_out < len(jobs):
            while len(waiting) < 2 * workers and (item := next(upcoming, None)) is not None:
                waiting[pool.submit(_job, *item[1])] = item[0]
            finished, _ = wait(waiting, return_when=FIRST_COMPLETED)
            for future in finished:
                results[waiting.pop(future)] = future.result()
            while next_out in results:
                yield results.pop(next_out)
                next_out += 1
    finally:
        pool.shutdown(cancel_futures=True)


def _job(case: Case, path: Path | None) -> _Outcome:
    """Cut a case; keep it at ``path`` if there is one."""
    cut = cut_case(case)
    if path is not None:
        _write_part(cut, path)
    return list(cut.rows), list(cut.problems)


def _write_part(cut: CutCase, path: Path) -> None:
    problems = [[p.case, p.trouble.name, p.message, p.nodules] for p in cut.problems]
    text = json.dumps({"rows": list(cut.rows), "problems": problems})
    with replacing(path) as temporary, temporary.open("wb") as file:
        words = np.frombuffer(text.encode(), np.uint8)
        np.savez(file, hu8=cut.hu8, mask=cut.mask, text=words)


def _read_part(path: Path) -> CutCase:
    with np.load(path, allow_pickle=False) as part:
        known = json.loads(part["text"].tobytes())
        problems = [Problem(c, Trouble[t], m, n) for c, t, m, n in known["problems"]]
        return CutCase(part["hu8"], part["mask"], known["rows"], problems)


def _assemble(
    source: Source, folder: Path, parts: Sequence[Path], fingerprint: str
) -> dict[str, Any]:
    """Put the parts together, a split at a time, and return what ``store.json`` now holds."""
    texts = [_part_text(path) for path in parts]
    rows = [row for part_rows, _ in texts for row in part_rows]
    problems = [*source.problems, *(p for _, part_problems in texts for p in part_problems)]
    for split in SPLITS:
        chosen = [row for row in rows if row["split"] == split]
        names = [f"{split}.hu8.npy", f"{split}.mask.npy", f"{split}.csv"]
        if not chosen:
            for name in names:
                (folder / name).unlink(missing_ok=True)
            continue
        with replacing(folder / names[0]) as hu_path, replacing(folder / names[1]) as mask_path:
            _fill(parts, split, len(chosen), hu_path, mask_path)
        with (
            replacing(folder / names[2]) as path,
            path.open("w", newline="", encoding="utf-8") as file,
        ):
            table = csv.DictWriter(file, ROW_COLUMNS, restval="")
            table.writeheader()
            table.writerows(chosen)
    patients = {s: sorted({r["patient"] for r in rows if r["split"] == s}) for s in SPLITS}
    card = {
        "format": FORMAT,
        "fingerprint": fingerprint,
        "source": str(source.path),
        "form": source.form,
        "settings": dict(source.settings),
        "patients": patients,
        "report": report_on(source.path, source.form, rows, problems, source.notes).to_json(),
    }
    text = json.dumps(card, indent=1)
    with replacing(folder / CARD) as path:
        path.write_text(text + "\n", encoding="utf-8")
    return cast("dict[str, Any]", json.loads(text))  # as it is read back


def _part_text(path: Path) -> tuple[Sequence[dict[str, str]], Sequence[Problem]]:
    part = _read_part(path)
    return part.rows, part.problems


def _fill(parts: Sequence[Path], split: str, count: int, hu_path: Path, mask_path: Path) -> None:
    """Write the cubes of one split, a part at a time, so that memory never holds them all."""
    create = np.lib.format.open_memmap
    hu8 = create(hu_path, "w+", np.uint8, (count, *(CUBE_VOXELS,) * 3))
    mask = create(mask_path, "w+", np.uint8, (count, CUBE_VOXELS**3 // 8))
    at = 0
    for path in parts:
        part = _read_part(path)
        chosen = [n for n, row in enumerate(part.rows) if row["split"] == split]
        hu8[at : at + len(chosen)] = part.hu8[chosen]
        mask[at : at + len(chosen)] = part.mask[chosen]
        at += len(chosen)
    hu8.flush()
    mask.flush()


def _digest(*texts: str) -> str:
    return hashlib.sha256("\0".join(texts).encode()).hexdigest()
