"""Evaluations in worker processes, one a core, each with the data in memory and one thread of its own."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any

from topo_search.errors import RunFailedError
from topo_search.executors.guard import guarded, to_finished
from topo_search.search.evaluate import Evaluator, Request
from topo_search.search.executor import Finished
from topo_search.search.space import SearchSpace

__all__ = ["ProcessExecutor", "WorkersCannotStartError"]

PARENT_POLL_SECONDS = 1.0
# So many pools in a row that broke before any evaluation ended: workers do not start here at all.
START_TRIES = 3

_evaluators: dict[str, Evaluator] = {}
"""This worker's evaluator; filled by the initialiser of the worker process, empty everywhere else."""


def _exit_with_parent(parent: int) -> None:
    # A driver killed with SIGKILL cannot stop its workers, and an orphan would train on for nobody.
    while os.getppid() == parent:
        time.sleep(PARENT_POLL_SECONDS)
    os._exit(1)


def _start_worker(parent: int, space_json: str, data_dir: str | None, device: str) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the driver's: it decides what to keep.
    threading.Thread(target=_exit_with_parent, args=(parent,), daemon=True).start()
    from topo_search.tasks import load_task

    space = SearchSpace.model_validate_json(space_json)
    _evaluators["this"] = Evaluator(space, load_task(space.task, data_dir=data_dir), device=device)


def _evaluate(request: Request) -> dict[str, Any]:
    return guarded(_evaluators["this"].evaluate, request)


class WorkersCannotStartError(RunFailedError):
    """Worker processes end before they evaluate anything, again and again."""


class ProcessExecutor:
    """A pool of warm workers; a worker that dies costs its evaluations one more attempt, not the search.

    Args:
        space: the search space.
        workers: processes.
        data_dir: where the task's data lie.
        device: where to train.
    """

    def __init__(self, space: SearchSpace, *, workers: int, data_dir: Path | None = None, device: str = "cpu") -> None:
        # One more than the workers, so that none idles while the driver decides.
        self.slots = workers + 1
        self._workers = workers
        self._arguments = (os.getpid(), space.model_dump_json(), None if data_dir is None else str(data_dir), device)
        self._pool = self._new_pool()
        self._futures: dict[Future[dict[str, Any]], int] = {}
        self._worked, self._broken = False, 0

    def _new_pool(self) -> ProcessPoolExecutor:
        return ProcessPoolExecutor(
            self._workers,
            mp_context=multiprocessing.get_context("spawn"),
            initializer=_start_worker,
            initargs=self._arguments,
        )

    def submit(self, ticket: int, request: Request, *, memory_factor: float = 1.0) -> None:  # noqa: ARG002
        """Hand an evaluation to the pool."""
        try:
            future = self._pool.submit(_evaluate, request)
        except BrokenProcessPool:
            self._restart()
            future = self._pool.submit(_evaluate, request)
        self._futures[future] = ticket

    def wait(self, timeout: float | None = None) -> list[Finished]:
        """All evaluations that ended; those of a broken pool come back without a result.

        Raises:
            WorkersCannotStartError: if pools break again and again before any evaluation ended.
        """
        done, _ = wait(self._futures, timeout=timeout, return_when=FIRST_COMPLETED)
        finished, broken = [], False
        for future in sorted(done, key=self._futures.__getitem__):
            ticket = self._futures.pop(future)
            try:
                finished.append(to_finished(ticket, future.result()))
                self._worked = True
            except BrokenProcessPool as error:
                broken = True
                finished.append(Finished(ticket, None, "worker lost", str(error)))
        if broken:
            # Every future of a broken pool is lost; give all of them back together.
            finished += [
                Finished(ticket, None, "worker lost", "the worker pool broke") for ticket in self._futures.values()
            ]
            self._futures.clear()
            self._restart()
        return finished

    def close(self) -> None:
        """Stop the workers without waiting for what they do."""
        processes = list((self._pool._processes or {}).values())
        self._pool.shutdown(wait=False, cancel_futures=True)
        for process in processes:
            process.terminate()
        for process in processes:
            process.join(timeout=5)
        self._futures.clear()

    def _restart(self) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)
        self._broken += 1
        if not self._worked and self._broken >= START_TRIES:
            raise WorkersCannotStartError(
                "no worker process could start: see its error above; with workers=1 everything runs in this process"
            )
        self._pool = self._new_pool()
