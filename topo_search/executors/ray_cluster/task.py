"""What runs on a worker of the cluster."""

from __future__ import annotations

import os
import socket
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

from topo_search.engine.native import native_status
from topo_search.executors.guard import guarded
from topo_search.executors.memory_limit import memory_limit
from topo_search.executors.ray_cluster.data import unpack_split, unpack_task
from topo_search.executors.ray_cluster.files import Files, collect_files, own_names, unpack_files
from topo_search.search.evaluate import Evaluator, Request
from topo_search.search.history import Evaluation
from topo_search.search.space import SearchSpace
from topo_search.search.versions import versions
from topo_search.tasks import Split

__all__ = ["evaluate", "traits"]

_BIT_FOR_BIT = ("topo_search", "torch")


@cache
def traits(device: str) -> dict[str, str]:
    """What must be the same in driver and workers for the same digits."""
    found = {name: version for name, version in versions().items() if name in _BIT_FOR_BIT}
    # The engine is for CPUs alone.
    return {**found, "engine": native_status().engine} if device == "cpu" else found


class _Worker:
    """A worker process with the data at hand."""

    def __init__(self, data: dict[str, Any]) -> None:
        settings = data["settings"]
        self.test: Split | None = None
        task = unpack_task(data, self._read_test)
        space = SearchSpace.model_validate_json(data["space"])
        make: Callable[..., Evaluator] = settings["evaluator"]
        self.evaluator = make(space, task, device=settings["device"], threads=settings["threads"])
        self.gpus = _visible_gpus()

    def _read_test(self) -> Split:
        assert self.test is not None, "the test part goes with every request that reads it"
        return self.test


_workers: dict[tuple[Any, ...], _Worker] = {}
"""Of this worker process, by what they evaluate: a task that finds its own here begins at once."""


def _worker(data: dict[str, Any]) -> _Worker:
    settings = data["settings"]
    key = (data["digest"], settings["device"], settings["threads"], settings["evaluator"].__qualname__)
    if key not in _workers:
        _workers.clear()  # One at a time: the data of another may be large.
        _workers[key] = _Worker(data)
    return _workers[key]


def evaluate(data: dict[str, Any], test: dict[str, Any] | None, jobs: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Evaluate requests, one after another.

    Args:
        data: of :func:`topo_search.executors.ray_cluster.data.pack_task`, and under ``settings`` how to evaluate.
        test: the test part, where a request reads it.
        jobs: of each the ``request``, the ``files`` that go with it, the ``memory`` that it may take, and how many
            seconds a part of it takes (``part_seconds``), where it can be done in parts.

    Yields:
        Where it runs, once it does: a driver cannot know otherwise when the time of a request begins. Then each result.
    """
    settings = data["settings"]
    os.environ.update(settings["variables"])
    yield _greeting(settings)
    worker = _worker(data)
    if settings["device"] != "cpu" and worker.gpus != _visible_gpus():
        # A process is bound to its first GPU for good, and Ray has given it another: a new process takes the requests.
        yield {"moved": True}
        raise SystemExit
    if test is not None:
        worker.test = unpack_split(test)
    for job in jobs:
        yield _evaluate(worker, job)


def _greeting(settings: dict[str, Any]) -> dict[str, Any]:
    import ray

    return {
        "node": ray.get_runtime_context().get_node_id(),
        "host": socket.gethostname(),
        "gpus": _visible_gpus(),
        "traits": traits(settings["device"]),
    }


def _visible_gpus() -> str:
    return os.environ.get("CUDA_VISIBLE_DEVICES", "")


def _evaluate(worker: _Worker, job: dict[str, Any]) -> dict[str, Any]:
    request, sent = Request(**job["request"]), job["files"]
    begin = time.perf_counter()
    unfinished = False
    files: Files = {}

    def run(request: Request) -> Evaluation:
        nonlocal unfinished, files
        with tempfile.TemporaryDirectory(prefix="topo_search-", ignore_cleanup_errors=True) as folder:
            here = unpack_files(request, sent, Path(folder))
            try:
                with memory_limit(job["memory"]):
                    if here.checkpoint is None:
                        return worker.evaluator.evaluate(here)
                    part = worker.evaluator.evaluate_part(here, seconds=job["part_seconds"])
                unfinished = part is None
                return part or Evaluation.failure("unfinished")
            except Exception as error:
                error.args = tuple(own_names(arg, request, here) if isinstance(arg, str) else arg for arg in error.args)
                raise
            finally:
                files = collect_files(here)

    result = guarded(run, request)
    if unfinished:
        result = {"unfinished": True}
    return {**result, "files": files, "seconds": time.perf_counter() - begin}
