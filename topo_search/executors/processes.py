"""Evaluations in worker processes of this machine, each with the data in memory."""

from __future__ import annotations

import contextlib
import functools
import selectors
import time
from collections import Counter, deque
from pathlib import Path

from topo_search.errors import RunFailedError
from topo_search.executors.guard import to_finished
from topo_search.executors.memory_limit import machine_memory
from topo_search.executors.worker import Assignment, Worker
from topo_search.executors.worker_process import Start, load_evaluator
from topo_search.search.evaluate import Request
from topo_search.search.executor import Finished, Loss
from topo_search.search.resources import TrialResources
from topo_search.search.space import SearchSpace

__all__ = ["ProcessExecutor", "WorkersCannotStartError"]

# So often in a row a worker may end before it has loaded its data; then it is given up.
START_TRIES = 3
# What the evaluations of all workers may take of the machine's memory where nothing else was asked for. The rest is for
# the driver, for what the workers hold between evaluations, and for whatever else runs here.
MEMORY_SHARE = 0.8
# Of a worker whose end of the connection is closed, until it is gone.
EXIT_SECONDS = 1.0
CLOSE_SECONDS = 2.0


class WorkersCannotStartError(RunFailedError):
    """Worker processes end before they evaluate anything, again and again."""


class ProcessExecutor:
    """Warm workers of one evaluation at a time; one that dies or is ended costs its own evaluation and is replaced.

    Evaluations wait in the driver, in order, and each goes to the first worker that is free.

    Args:
        space: the search space.
        workers: processes.
        data_dir: where the task's data lie.
        device: where to train: ``cpu`` or ``cuda``, of which each worker takes one GPU in turn.
        resources: of one evaluation. Without ``memory_gb`` each may take an equal share of the machine's memory on a
            CPU.
        start: in place of loading the space's task, what makes the function that evaluates in a worker.
    """

    def __init__(
        self,
        space: SearchSpace,
        *,
        workers: int,
        data_dir: Path | None = None,
        device: str = "cpu",
        resources: TrialResources | None = None,
        start: Start | None = None,
    ) -> None:
        self._resources = TrialResources() if resources is None else resources
        self._start: Start = start or functools.partial(
            load_evaluator,
            space.model_dump_json(),
            None if data_dir is None else str(data_dir),
            device,
            self._resources.cpus,
        )
        self._machine_memory = machine_memory()
        self._memory = _first_memory(self._resources, self._machine_memory, workers, device)
        self._selector = selectors.DefaultSelector()
        self._queue: deque[Assignment] = deque()
        self._workers: list[Worker] = []
        # Numbers of workers that are not running, and how often in a row each could not start.
        self._absent = list(range(workers))
        self._failed_starts: Counter[int] = Counter()
        self._last_failure = ""

    @property
    def slots(self) -> int:
        """One more than the workers, so that none idles while the driver decides."""
        return len(self._workers) + len(self._absent) + 1

    def submit(self, ticket: int, request: Request, *, memory_factor: float = 1.0) -> None:
        """Queue an evaluation; it begins at once where a worker is free."""
        self._queue.append(Assignment(ticket, request, self._memory_for(memory_factor)))
        self._hand_out()

    def wait(self, timeout: float | None = None) -> list[Finished]:
        """All evaluations that ended, in order of their tickets.

        Raises:
            WorkersCannotStartError: if no worker could be started, each tried again and again.
        """
        until = None if timeout is None else time.monotonic() + timeout
        while True:
            self._hand_out()
            if self._queue and not self._workers and not self._absent:
                raise WorkersCannotStartError(
                    f"no worker process could start (the last one: {self._last_failure}): see its error above; with "
                    "workers=1 and no limits of time and memory everything runs in this process"
                )
            finished = self._look(until)
            if finished:
                # Before the driver decides anything: workers that became free go on.
                self._hand_out()
                return sorted(finished, key=lambda one: one.ticket)
            in_flight = self._queue or any(worker.assignment for worker in self._workers)
            if not in_flight or (until is not None and time.monotonic() >= until):
                return []

    def close(self) -> None:
        """Stop the workers without waiting for what they do."""
        for worker in self._workers:
            worker.terminate()
        until = time.monotonic() + CLOSE_SECONDS
        for worker in list(self._workers):
            self._end(worker, after=max(0.0, until - time.monotonic()))
        self._queue.clear()

    def _memory_for(self, factor: float) -> int | None:
        if self._memory is None:
            return None
        wanted = self._memory * factor
        return int(wanted if self._machine_memory is None else min(wanted, self._machine_memory))

    def _hand_out(self) -> None:
        """Give what waits to workers that are free, and start as many as there is work for."""
        for worker in self._workers:
            if self._queue and worker.idle:
                worker.give(self._queue.popleft())
                self._watch(worker)
        starting = sum(not worker.ready for worker in self._workers)
        for number in self._absent[: max(0, len(self._queue) - starting)]:
            self._start_worker(number)

    def _start_worker(self, number: int) -> None:
        try:
            worker = Worker(number, self._start)
        except OSError as error:
            self._count_failed_start(number, str(error))
            return
        self._absent.remove(number)
        self._workers.append(worker)
        self._selector.register(worker.messages, selectors.EVENT_READ, worker)
        self._selector.register(worker.sentinel, selectors.EVENT_READ, worker)

    def _count_failed_start(self, number: int, reason: str) -> None:
        self._last_failure = reason
        self._failed_starts[number] += 1
        if self._failed_starts[number] >= START_TRIES:
            self._absent.remove(number)

    def _watch(self, worker: Worker) -> None:
        """Watch for what a worker sends, and where it has not taken its whole request, for when it takes more."""
        events = selectors.EVENT_READ | (selectors.EVENT_WRITE if worker.messages.unsent else 0)
        self._selector.modify(worker.messages, events, worker)

    def _look(self, until: float | None) -> list[Finished]:
        """Wait for the next thing to happen; what ended by it."""
        seconds = self._resources.seconds
        moments = [] if until is None else [until]
        if seconds is not None:
            moments += [worker.began + seconds for worker in self._workers if worker.assignment]
        patience = max(0.0, min(moments) - time.monotonic()) if moments else None
        # A worker may be there twice: by what it sent, and by its end.
        events = self._selector.select(patience) if self._workers else []
        finished: list[Finished] = []
        for worker in dict.fromkeys(key.data for key, _ in events):
            finished += self._hear(worker)
        if seconds is not None:
            now = time.monotonic()
            for worker in [w for w in self._workers if w.assignment and now >= w.began + seconds]:
                finished += self._hear(worker) or self._lose(
                    worker, "timed out", f"it had not ended after {seconds:g} s"
                )
        return finished

    def _hear(self, worker: Worker) -> list[Finished]:
        """What a worker has to say: an evaluation that ended, by a result or with the worker, or nothing."""
        worker.messages.flush()
        ended = worker.ended  # Asked before its messages are read, so that none is missed.
        try:
            answer = worker.receive()
            finished = None if answer is None else to_finished(answer["ticket"], answer)
        except (ValueError, KeyError, TypeError) as error:
            return self._lose(worker, "worker lost", f"its worker answered with something else than a result: {error}")
        if worker.ready:
            self._failed_starts[worker.number] = 0
        if finished is None and (ended or worker.ended):
            return self._lose(worker, "worker lost", "")
        self._watch(worker)
        if finished is None:
            return []
        worker.assignment = None
        if ended or worker.ended or finished.loss is not None:
            # Where memory ran out much of the worker's may stay lost to it, in pieces: a new one begins with all.
            self._end(worker)
        return [finished]

    def _lose(self, worker: Worker, loss: Loss, detail: str) -> list[Finished]:
        """End a worker; what it evaluated is lost."""
        assignment = worker.assignment
        ended = self._end(worker, after=0.0 if detail else EXIT_SECONDS)
        if assignment is None:
            return []
        return [Finished(assignment.ticket, None, loss, detail or f"its worker ended: {ended}")]

    def _end(self, worker: Worker, *, after: float = 0.0) -> str:
        """End a worker and make room for another."""
        # An interrupt may come anywhere in here, or while it was being started; `close` then calls this once more.
        how = worker.kill(after=after)
        for watched in (worker.messages, worker.sentinel):
            with contextlib.suppress(KeyError, ValueError):
                self._selector.unregister(watched)
        self._workers.remove(worker)
        self._absent.append(worker.number)
        if not worker.ready:
            self._count_failed_start(worker.number, how)
        return how


def _first_memory(resources: TrialResources, machine: int | None, workers: int, device: str) -> float | None:
    """Bytes that an evaluation may take at its first try."""
    if resources.memory_gb is not None:
        return resources.memory_gb * 1e9
    if machine is None or device != "cpu":
        return None
    return machine * MEMORY_SHARE / workers
