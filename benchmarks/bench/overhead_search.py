"""A search without training through the real driver, study, log and folder, with a clock."""

from __future__ import annotations

import contextlib
import os
import resource
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.tables import Columns, number
from topo_search.errors import InputError
from topo_search.search import (
    EvaluationLog,
    Finished,
    Progress,
    Request,
    RunFolder,
    SearchDriver,
    SearchSpace,
    SearchStudy,
    open_storage,
)
from topo_search.testing import FormulaExecutor

__all__ = ["STAGES", "measure_search"]

SLOTS = 2
STAGE = 1000
# Memory is compared with that after so many trials: all modules are loaded and caches are warm by then.
WARM = 500

STAGES: Columns = {
    "trials": number("trials", "d"),
    "ms a trial": number("wall_ms", ".2f"),
    "of the processor": number("cpu_ms", ".2f"),
    "in fsync": number("fsync_ms", ".2f"),
    "fsyncs a trial": number("fsyncs", ".2f"),
    "resident MB": number("rss_mb", ".0f"),
}


@dataclass
class _Fsyncs:
    """How often a file was synced to disk, and how long that took."""

    count: int = 0
    seconds: float = 0.0


@contextlib.contextmanager
def _counted_fsyncs() -> Iterator[_Fsyncs]:
    counted, sync = _Fsyncs(), os.fsync

    def fsync(descriptor: int) -> None:
        begin = time.perf_counter()
        sync(descriptor)
        counted.seconds += time.perf_counter() - begin
        counted.count += 1

    os.fsync = fsync
    try:
        yield counted
    finally:
        os.fsync = sync


class _TimedExecutor:
    """Evaluates by formula and knows how long that took: what remains is the driver's."""

    def __init__(self, space: SearchSpace, seed: int) -> None:
        self._formula = FormulaExecutor(space.constraints, slots=SLOTS, seed=seed)
        self.slots = SLOTS
        self.wall = self.cpu = 0.0
        self.evaluations = 0

    def submit(self, ticket: int, request: Request, *, memory_factor: float = 1.0) -> None:
        self._formula.submit(ticket, request, memory_factor=memory_factor)

    def wait(self, timeout: float | None = None) -> list[Finished]:
        wall, cpu = time.perf_counter(), time.process_time()
        finished = self._formula.wait(timeout)
        # The formula's own memory would be taken for the driver's.
        self._formula.evaluated.clear()
        self.evaluations += len(finished)
        self.wall += time.perf_counter() - wall
        self.cpu += time.process_time() - cpu
        return finished

    def close(self) -> None:
        self._formula.close()


def _resident_mb() -> float:
    """Resident memory of this process now, in MB (10^6 bytes); its peak where the system does not tell."""
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") * 1e-6
    except OSError:
        unit = 1 if sys.platform == "darwin" else 1024
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit * 1e-6


class _Clock:
    """Cuts a search into stages of so many trials."""

    def __init__(self, executor: _TimedExecutor, fsyncs: _Fsyncs, on_stage: Callable[[dict[str, Any]], None]) -> None:
        self._executor, self._fsyncs, self._on_stage = executor, fsyncs, on_stage
        self._begin = self._last = self._now(0)
        self.stages: list[dict[str, Any]] = []
        self.memory: dict[int, float] = {}

    def _now(self, done: int) -> tuple[int, float, float, int, float]:
        executor, fsyncs = self._executor, self._fsyncs
        wall, cpu = time.perf_counter() - executor.wall, time.process_time() - executor.cpu
        return done, wall, cpu, fsyncs.count, fsyncs.seconds

    def look(self, progress: Progress) -> None:
        done = progress.done
        if done >= WARM and not self.memory:
            self.memory[done] = _resident_mb()
        if done - self._last[0] >= STAGE or (done == progress.total and done > self._last[0]):
            now = self._now(done)
            self.stages.append(self._row(self._last, now))
            self._last = now
            self._on_stage(self.stages[-1])

    def end(self, trials: int) -> dict[str, Any]:
        """The whole, with what follows the last trial."""
        return self._row(self._begin, self._now(trials))

    @staticmethod
    def _row(begin: tuple[int, float, float, int, float], end: tuple[int, float, float, int, float]) -> dict[str, Any]:
        trials = end[0] - begin[0]
        wall, cpu, fsyncs, syncing = ((b - a) / trials for a, b in zip(begin[1:], end[1:], strict=True))
        return {
            "trials": end[0],
            "wall_ms": 1e3 * wall,
            "cpu_ms": 1e3 * cpu,
            "fsync_ms": 1e3 * syncing,
            "fsyncs": fsyncs,
            "rss_mb": _resident_mb(),
        }


def _drive(
    path: Path,
    space: SearchSpace,
    executor: _TimedExecutor,
    *,
    trials: int,
    seed: int,
    on_progress: Callable[[Progress], None] | None,
) -> tuple[SearchDriver, float]:
    """Run a search in a folder, or go on with it; the driver, and the seconds until it could begin."""
    begin = time.perf_counter()
    folder = RunFolder(path)
    folder.create()
    with contextlib.ExitStack() as stack:
        lock = folder.lock()
        stack.callback(folder.unlock)
        study = SearchStudy(open_storage(folder.journal), "overhead", space=space, lock=lock)
        log = stack.enter_context(contextlib.closing(EvaluationLog(folder.log, lock=lock)))
        driver = SearchDriver(
            space, seed=seed, study=study, log=log, executor=executor, folder=folder, on_progress=on_progress
        )
        opened = time.perf_counter() - begin
        driver.run([trials])
    return driver, opened


def measure_search(
    space: SearchSpace,
    *,
    trials: int,
    seed: int,
    parent: Path | None,
    keep: Path | None,
    on_stage: Callable[[dict[str, Any]], None],
) -> dict[str, Any]:
    """A search of so many trials, then a resume of it; times in ms a trial are without those of the formula.

    Raises:
        InputError: if the folder to measure in does not exist.
    """
    if parent is not None and not parent.is_dir():
        raise InputError(f"no folder {parent}: expected one to measure in")
    with tempfile.TemporaryDirectory(prefix="overhead-", dir=parent) as name:
        path = Path(name)
        executor = _TimedExecutor(space, seed)
        with _counted_fsyncs() as fsyncs:
            clock = _Clock(executor, fsyncs, on_stage)
            driver, _ = _drive(path, space, executor, trials=trials, seed=seed, on_progress=clock.look)
            done = len(driver.decisions.trials)
            whole = clock.end(done)
        if keep is not None:
            shutil.copyfile(path / "trials.csv", keep)
        first = next(iter(clock.memory), done)
        sizes = {entry.name: entry.stat().st_size for entry in sorted(path.iterdir()) if entry.is_file()}
        del driver
        again = _TimedExecutor(space, seed)
        begin = time.perf_counter()
        _, opened = _drive(path, space, again, trials=trials, seed=seed, on_progress=None)
        seconds = time.perf_counter() - begin
    return {
        "whole": whole,
        "stages": clock.stages,
        "rss_from": first,
        "rss_growth_mb": clock.stages[-1]["rss_mb"] - clock.memory.get(first, clock.stages[-1]["rss_mb"]),
        "bytes": sizes,
        "resume": {"seconds": seconds, "open_seconds": opened, "evaluations": again.evaluations},
    }
