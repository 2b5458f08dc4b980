"""A driver of a study that several have joined, in a process of its own.

Scores come from a formula; each evaluation takes so many seconds and is noted in ``FOLDER/evaluated`` when it ends.
"""

from __future__ import annotations

import multiprocessing
import os
import sys
import time
import traceback
from pathlib import Path
from typing import Any

from support.saving import leave_network
from support.searching import ScrambledExecutor, formula_evaluation
from support.tiny import tiny_space
from topo_search.errors import InputError, RunFailedError
from topo_search.search import (
    Request,
    RunFolder,
    SearchDriver,
    SearchStudy,
    compare_winners,
    leading_trials,
    open_storage,
    rescore,
)
from topo_search.search.locks.database_lock import DatabaseLock
from topo_search.search.shared_evaluations import SharedEvaluationLog

BEAT_SECONDS = 0.5


def drive(url: str, path: Path, *, budget: int | None, seed: int, seconds: float) -> int:
    """Join the study ``run`` and bring it to its end; how many evaluations ran here."""
    space = tiny_space()
    folder = RunFolder(path)
    folder.create()
    folder.lock()
    noted = os.open(path / "evaluated", os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def evaluate(request: Request):
        time.sleep(seconds)
        if request.save_to is not None:
            leave_network(request.save_to, request.graph)
        else:
            os.write(noted, f"{request.key}\n".encode())
        return formula_evaluation(request)

    storage = open_storage(url)
    lock = DatabaseLock(url, "run", joins=True, interval=BEAT_SECONDS)
    try:
        study = SearchStudy(storage, "run", space=space, lock=lock)
        study.record_run({"seed": seed, "storage": url})
        study.join_budget(budget, default=30)
        log = SharedEvaluationLog(lock, study.identity)
        executor = ScrambledExecutor(slots=2, seed=os.getpid(), evaluate=evaluate)
        driver = SearchDriver(space, seed=seed, study=study, log=log, executor=executor, folder=folder)
        driver.run(study.budgets)
        leaders = leading_trials(driver.history.scored(), space.search.objectives, count=space.after.rescored)
        rescored = rescore(space, leaders, driver.pool, folder, seed=seed, on_progress=None)
        compare_winners(space, rescored, driver.pool, folder, seed=seed, on_progress=None)
        return len(executor.evaluated)
    finally:
        lock.release()
        folder.unlock()


class DriverProcess:
    """A driver beside this process, forked: it has everything imported and begins at once.

    Args:
        url: of the storage.
        folder: of the driver, which need not exist.
        budget: wanted, or ``None`` for the study's.
        seed: of the search.
        seconds: that each evaluation takes.
    """

    def __init__(self, url: str, folder: Path, *, budget: int | None, seed: int, seconds: float) -> None:
        folder.parent.mkdir(parents=True, exist_ok=True)
        self._output = folder.with_name(f"{folder.name}.output")
        self._process = multiprocessing.get_context("fork").Process(
            target=_run, args=(self._output, url, folder), kwargs={"budget": budget, "seed": seed, "seconds": seconds}
        )
        self._process.start()
        self.pid = self._process.pid

    @property
    def runs(self) -> bool:
        """Whether it has not ended."""
        return self._process.is_alive()

    def signal(self, number: int) -> None:
        """Send it a signal."""
        assert self.pid is not None
        os.kill(self.pid, number)

    def kill(self) -> None:
        """End it with SIGKILL."""
        self._process.kill()
        self._process.join()

    def end(self) -> tuple[int | None, str]:
        """Its exit status and all that it said, once it has ended."""
        self._process.join(timeout=240)
        return self._process.exitcode, self._output.read_text()


def _run(output: Path, url: str, folder: Path, **options: Any) -> None:
    # Not the parent's streams: a test runner may have put its own in their place.
    sys.stdout = sys.stderr = output.open("w")
    status = 0
    try:
        print(f"{drive(url, folder, **options)} evaluations", flush=True)
    except InputError as error:
        print(error, flush=True)
        status = 2
    except RunFailedError as error:
        print(error, flush=True)
        status = 1
    except BaseException:
        traceback.print_exc()
        sys.stderr.flush()
        status = 3
    # At once: what was forked with the process (connections above all) is not its own to close.
    os._exit(status)
