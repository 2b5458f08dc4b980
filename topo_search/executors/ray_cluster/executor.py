"""Evaluations as tasks of a Ray cluster."""

from __future__ import annotations

import contextlib
import math
import os
import time
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from topo_search.engine.native.loader import VARIABLE as ENGINE_VARIABLE
from topo_search.errors import RunFailedError
from topo_search.executors.guard import to_finished
from topo_search.executors.ray_cluster.data import pack_split, pack_task
from topo_search.executors.ray_cluster.files import keep_files
from topo_search.executors.ray_cluster.jobs import Job, Running
from topo_search.executors.ray_cluster.losses import to_loss
from topo_search.executors.ray_cluster.pace import Pace
from topo_search.executors.ray_cluster.room import REFRESH_SECONDS, Room
from topo_search.executors.ray_cluster.session import RaySession, import_ray
from topo_search.executors.ray_cluster.task import evaluate, traits
from topo_search.search.evaluate import Evaluator, Request
from topo_search.search.executor import Finished, Loss
from topo_search.search.resources import TrialResources
from topo_search.search.space import SearchSpace
from topo_search.tasks import Task

__all__ = ["RayExecutor"]

PART_SECONDS = 60.0
# Of what was taken for short and is not: others of its task wait for it, while other workers may have nothing to do.
SHARED_PART_SECONDS = 1.0


class RayExecutor:
    """Keeps a bounded number of tasks with the cluster: as many as were asked for, or all that fit and one more.

    The data are put into the object store once; nodes need no data folder and no file system in common. A training that
    has a checkpoint runs in parts, so that a lost node costs one part at most. Evaluations of milliseconds share a task
    (see :class:`~topo_search.executors.ray_cluster.pace.Pace`); each of them ends, is timed and is lost by itself.

    Args:
        space: the search space.
        task: its task, loaded.
        session: the cluster; it outlives the executor.
        resources: of one evaluation.
        workers: evaluations side by side, from 1; as many as fit where not given.
        device: where to train: ``cpu`` or ``cuda``, of which Ray gives each evaluation its share.
        part_seconds: how long a part of a training takes, above 0. What ends sooner is never split.
        evaluator: makes what evaluates on a worker; called as :class:`Evaluator` is.

    Raises:
        InputError: if no node of the cluster has room for one evaluation.
    """

    def __init__(
        self,
        space: SearchSpace,
        task: Task,
        *,
        session: RaySession,
        resources: TrialResources,
        workers: int | None = None,
        device: str = "cpu",
        part_seconds: float = PART_SECONDS,
        evaluator: Callable[..., Evaluator] = Evaluator,
    ) -> None:
        ray = import_ray()
        self._room = Room(session.nodes, resources)
        self._room.check()
        self._session, self._task, self._resources, self._workers = session, task, resources, workers
        self._part_seconds = part_seconds
        self._traits = traits(device)
        # A stream, so that a task says when and where it begins; Ray's own retries know neither classes nor bounds.
        self._remote = ray.remote(max_retries=0, num_returns="streaming")(evaluate)
        settings = {
            "device": device,
            "threads": resources.cpus,
            "evaluator": evaluator,
            "variables": {name: os.environ[name] for name in (ENGINE_VARIABLE,) if name in os.environ},
        }
        self._data = ray.put({**pack_task(space, task), "settings": settings})
        self._test: Any = None
        self._queue: deque[Job] = deque()
        self._running: dict[Any, Running] = {}
        self._pace = Pace()
        # Of evaluations that were lost, by the key of their request: the seconds of parts that were not.
        self._lost_after: dict[str, float] = {}

    @property
    def slots(self) -> int:
        """What runs side by side now, and a task more, so that no worker idles while the driver decides."""
        return (self._side_by_side + 1) * self._pace.evaluations

    @property
    def _side_by_side(self) -> int:
        """Tasks that run at a time."""
        fitting = self._room.evaluations
        return fitting if self._workers is None else min(fitting, self._workers)

    @property
    def _most_tasks(self) -> int:
        """Tasks that the cluster is handed: one waits there, unless there is room for it, so that it would run too."""
        return self._side_by_side + (self._side_by_side == self._room.evaluations)

    def submit(self, ticket: int, request: Request, *, memory_factor: float = 1.0) -> None:
        """Hand an evaluation to the cluster, or keep it while the cluster has enough."""
        spent = self._lost_after.pop(request.key, None)
        options = self._room.options(memory_factor)
        self._queue.append(Job(ticket, request, options, spent or 0.0, alone=spent is not None))
        # A free worker begins at once. What will wait does so here, to be sent together with what comes after it.
        self._start(self._side_by_side)

    def wait(self, timeout: float | None = None) -> list[Finished]:
        """All evaluations that ended.

        Raises:
            RunFailedError: if the cluster cannot run evaluations, a worker's versions differ from the driver's, or a
                result cannot be written.
        """
        until = math.inf if timeout is None else time.monotonic() + timeout
        while self._queue or self._running:
            self._room.refresh()
            self._start(self._most_tasks)
            now = time.monotonic()
            finished = self._take_in(max(0.0, min(until, self._next_deadline(), now + REFRESH_SECONDS) - now))
            finished += self._end_overdue()
            if finished or time.monotonic() >= until:
                return finished
        return []

    def close(self) -> None:
        """Stop what runs and let go of the data; the session stays."""
        for stream in self._running:
            self._cancel(stream)
        self._running.clear()
        self._queue.clear()
        self._data = self._test = None

    def _start(self, tasks: int) -> None:
        """Hand out what waits, up to so many tasks."""
        while self._queue and len(self._running) < tasks:
            jobs = self._next_task()
            first = jobs[0]
            part_seconds = self._part_seconds if len(jobs) == 1 else min(self._part_seconds, SHARED_PART_SECONDS)
            stream = self._remote.options(**first.options).remote(
                # References at top level: Ray fetches what they stand for first, and prefers nodes that have it.
                self._data,
                self._test_part() if first.request.read_test else None,
                [job.packed(part_seconds=part_seconds) for job in jobs],
            )
            self._running[stream] = Running(jobs)

    def _next_task(self) -> deque[Job]:
        """Evaluations that go together, in the order in which they wait; other free workers have their share too."""
        free = max(1, self._side_by_side - len(self._running))
        share = math.ceil(len(self._queue) / free)
        taken = deque([self._queue.popleft()])
        while self._queue and len(taken) < share and taken[0].goes_with(self._queue[0]):
            if not self._pace.fit([one.request for one in (*taken, self._queue[0])]):
                break
            taken.append(self._queue.popleft())
        return taken

    def _test_part(self) -> Any:
        if self._test is None:
            self._test = import_ray().put(pack_split(self._task.test()))
        return self._test

    def _take_in(self, seconds: float) -> list[Finished]:
        """Wait so long for something to come, and take in all that is there."""
        ray, finished = import_ray(), []
        ready, _ = ray.wait(list(self._running), timeout=seconds)
        if ready:
            ready, _ = ray.wait(list(self._running), num_returns=len(self._running), timeout=0)
        for stream in ready:
            finished += self._take(stream)
        return finished

    def _take(self, stream: Any) -> list[Finished]:
        from ray.exceptions import RayError

        running = self._running[stream]
        try:
            message = import_ray().get(next(stream))
        except RayError as error:
            del self._running[stream]
            loss, detail = to_loss(error, node=running.node, is_alive=self._is_alive)
            return [self._lost(running, loss, detail)]
        except StopIteration:
            del self._running[stream]
            return [self._lost(running, "worker lost", "the task ended without a result")]
        if "traits" in message:
            self._check_traits(message)
            running.started, running.node, running.host = time.monotonic(), message["node"], message["host"]
            return []
        if "moved" in message:
            del self._running[stream]
            self._queue.extendleft(reversed(running.jobs))
            return []
        job = running.jobs.popleft()
        running.started = time.monotonic()
        if not running.jobs:
            del self._running[stream]
        return self._keep(job, message)

    def _keep(self, job: Job, message: dict[str, Any]) -> list[Finished]:
        keep_files(job.request, message.pop("files"))
        seconds = message.pop("seconds")
        if "unfinished" in message:
            job.spent += seconds
            job.alone = True
            self._queue.appendleft(job)
            return []
        finished = to_finished(job.ticket, message)
        if finished.evaluation is None:
            self._lost_after[job.request.key] = job.spent
            return [finished]
        self._pace.note(job.request, seconds + job.spent)
        if job.spent:
            whole = replace(finished.evaluation, seconds=finished.evaluation.seconds + job.spent)
            finished = replace(finished, evaluation=whole)
        return [finished]

    def _lost(self, running: Running, loss: Loss, detail: str) -> Finished:
        """The loss of the first that has no result; what was to come after it in its task waits again.

        That is what ran, or one whose result went down with the worker. None of them shares a task any more: should one
        have been about to end the worker, that is held against no other a second time.
        """
        first, *others = running.jobs
        self._lost_after[first.request.key] = first.spent
        for one in others:
            one.alone = True
        self._queue.extendleft(reversed(others))
        where = f" (node {running.host})" if running.host else ""
        return Finished(first.ticket, None, loss, f"{detail}{where}")

    def _check_traits(self, message: dict[str, Any]) -> None:
        odd = [name for name, own in self._traits.items() if message["traits"].get(name) != own]
        if odd:
            name = odd[0]
            raise RunFailedError(
                f"node {message['host']} has {name} {message['traits'].get(name, 'unknown')}, the driver has "
                f"{self._traits[name]}: results would differ in their digits; expected the same everywhere"
            )

    def _is_alive(self, node: str) -> bool:
        return any(there["NodeID"] == node for there in self._session.nodes())

    def _deadline(self, running: Running) -> float:
        """When it is overdue; only what has begun can be."""
        if self._resources.seconds is None or running.started is None:
            return math.inf
        return running.started + self._resources.seconds - running.jobs[0].spent

    def _next_deadline(self) -> float:
        return min((self._deadline(running) for running in self._running.values()), default=math.inf)

    def _end_overdue(self) -> list[Finished]:
        now = time.monotonic()
        overdue = [stream for stream, running in self._running.items() if self._deadline(running) <= now]
        finished = []
        for stream in overdue:
            self._cancel(stream)
            running = self._running.pop(stream)
            running.jobs[0].spent = 0.0
            finished.append(self._lost(running, "timed out", f"longer than {self._resources.seconds:g} s"))
        return finished

    @staticmethod
    def _cancel(stream: Any) -> None:
        # What cannot be cancelled has ended, or the cluster is gone.
        with contextlib.suppress(Exception):
            import_ray().cancel(stream, force=True)
