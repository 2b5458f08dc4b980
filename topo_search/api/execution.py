"""Where the evaluations of a call run: this process, processes beside it, or a Ray cluster."""

from __future__ import annotations

import contextlib
import math
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from topo_search.errors import InputError
from topo_search.executors import ProcessExecutor, SerialExecutor
from topo_search.executors.control_group import control_group_limits
from topo_search.executors.ray_cluster import check_address
from topo_search.search import Evaluator, Executor, SearchSpace, TrialResources
from topo_search.tasks import Task

__all__ = ["Execution", "open_executor", "plan_execution"]


@dataclass(frozen=True)
class Execution:
    """Where evaluations run. It never changes what a search finds.

    Attributes:
        workers: evaluations side by side, the most of them on a running cluster; ``None`` there: all that fit.
        device: ``cpu`` or ``cuda``, of a worker.
        ray: ``auto`` for the running Ray cluster (that of ``RAY_ADDRESS``, or of this machine), ``local`` for a private
            one, ``HOST:PORT``; ``None``: no Ray.
        resources: of one evaluation.
        data_dir: where worker processes find the data, as given; workers of a cluster are sent them.
    """

    workers: int | None
    device: str
    ray: str | None
    resources: TrialResources
    data_dir: Path | None

    @property
    def in_processes(self) -> bool:
        """Whether worker processes run the evaluations: what has limits must be ended from outside."""
        return self.ray is None and (self.workers != 1 or self.resources.limited)


def plan_execution(
    *,
    workers: int | None,
    most_workers: int | None,
    device: str,
    ray: str | None,
    resources: TrialResources,
    data_dir: Path | None,
) -> Execution:
    """Check what was asked for.

    Args:
        workers: as given.
        most_workers: more would idle.
        device: ``auto``, ``cpu`` or ``cuda``.
        ray: as given.
        resources: of one evaluation.
        data_dir: as given.

    Raises:
        InputError: if a value is wrong, or the device is not there.
    """
    if workers is not None and workers < 1:
        raise InputError(f"workers must be at least 1, got {workers}")
    if ray is not None:
        check_address(ray)
    chosen = _device(device, ray, resources)
    count = workers
    if count is None and ray in (None, "local"):
        count = _default_workers(chosen, resources)
    if count is not None and most_workers is not None:
        count = min(count, most_workers)
    return Execution(count, chosen, ray, resources, data_dir)


def _default_workers(device: str, resources: TrialResources) -> int:
    if device == "cuda":
        import torch

        return max(1, torch.cuda.device_count())
    return max(1, _available_cores() // resources.cpus)


def _available_cores() -> int:
    """Cores that this process may use: of its affinity, and no more than its control group's quota (a container's)."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota = control_group_limits().cpus
    return cores if quota is None else max(1, min(cores, math.floor(quota)))


def _device(device: str, ray: str | None, resources: TrialResources) -> str:
    import torch

    if device not in ("auto", "cpu", "cuda"):
        raise InputError(f"device must be auto, cpu or cuda, got {device!r}")
    if ray is not None:
        # The driver may have no GPU where its workers have some; Ray shows a worker those that it reserved.
        if device == "cuda" and resources.gpus == 0:
            raise InputError("device cuda on a Ray cluster needs a GPU reserved for each evaluation: give --trial-gpus")
        return "cuda" if device == "cuda" or (device == "auto" and resources.gpus > 0) else "cpu"
    if resources.gpus:
        raise InputError("trial gpus are reserved by Ray: give --ray, or --device cuda without them")
    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if device == "cuda" and not torch.cuda.is_available():
        raise InputError("device cuda is not available here: expected cpu or auto")
    return device


@contextlib.contextmanager
def open_executor(execution: Execution, space: SearchSpace, task: Task) -> Iterator[Executor]:
    """The executor, closed at the end.

    Raises:
        InputError: if the Ray cluster cannot be reached or used.
    """
    with contextlib.ExitStack() as stack:
        executor = _executor(execution, space, task, stack)
        stack.callback(executor.close)
        yield executor


def _executor(execution: Execution, space: SearchSpace, task: Task, stack: contextlib.ExitStack) -> Executor:
    if execution.ray is not None:
        from topo_search.executors.ray_cluster import RayExecutor, connect

        session = stack.enter_context(connect(execution.ray, workers=execution.workers, resources=execution.resources))
        return RayExecutor(
            space,
            task,
            session=session,
            resources=execution.resources,
            workers=execution.workers,
            device=execution.device,
        )
    if execution.in_processes:
        return ProcessExecutor(
            space,
            workers=execution.workers or 1,
            data_dir=execution.data_dir,
            device=execution.device,
            resources=execution.resources,
        )
    return SerialExecutor(Evaluator(space, task, device=execution.device, threads=execution.resources.cpus))
