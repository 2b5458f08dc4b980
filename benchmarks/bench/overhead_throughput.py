"""Evaluations a second of Ray and of worker processes, on the same requests."""

from __future__ import annotations

import math
import statistics
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from bench.tables import Columns, number
from topo_search.config import load_space
from topo_search.errors import RunFailedError
from topo_search.executors import ProcessExecutor
from topo_search.graph import make_family
from topo_search.search import Executor, Request, SearchSpace, TrialResources
from topo_search.search.settings import SearchConfig
from topo_search.seeds import generator
from topo_search.tasks import load_task

__all__ = ["SPACES", "THROUGHPUT", "measure_throughput"]

_SHORT = str(Path(__file__).with_name("killing_space.yaml"))

# Epochs of one evaluation: of the first rung of the default space, and as little as there can be. Then how many are in
# flight at most: as many as the executor takes, or what the lag of a search allows by default.
SPACES: Mapping[str, tuple[str, int, float]] = {
    "trainings of milliseconds": (_SHORT, 1, math.inf),
    "the same, 8 in flight at most": (_SHORT, 1, SearchConfig().lag),
    "the first rung of digits": ("digits", 6, SearchConfig().lag),
}

THROUGHPUT: Columns = {
    "evaluations": lambda row: row["name"],
    "in number": number("requests", "d"),
    "processes, ms each": number("processes_ms", ".1f"),
    "ray, ms each": number("ray_ms", ".1f"),
    "ray's throughput": number("ray_share", ".0%"),
}


def _requests(space: SearchSpace, count: int, epochs: int) -> list[Request]:
    graphs = (make_family("random_density", space.constraints, generator(0, "throughput", i)) for i in range(count))
    return [Request(graph.to_json(), epochs, 0) for graph in graphs]


def _seconds(executor: Executor, requests: Sequence[Request], most: float) -> float:
    """Time of all requests, each with a checkpoint as in a search, with no more than so many in flight."""
    submitted = running = 0
    with tempfile.TemporaryDirectory() as folder:
        begin = time.perf_counter()
        while submitted < len(requests) or running:
            while submitted < len(requests) and running < min(executor.slots, most):
                checkpoint = str(Path(folder) / f"{submitted}.safetensors")
                executor.submit(submitted, replace(requests[submitted], checkpoint=checkpoint))
                submitted, running = submitted + 1, running + 1
            finished = executor.wait()
            for one in finished:
                if one.evaluation is None or one.evaluation.failed:
                    raise RunFailedError(f"an evaluation failed: {one.loss or one.evaluation}")
            running -= len(finished)
        return time.perf_counter() - begin


def measure_throughput(name: str, *, count: int, workers: int, rounds: int) -> dict[str, Any]:
    """A row of the table ``THROUGHPUT``: medians of some rounds.

    Both executors are warm before anything is timed, and take turns: what else the machine does meets both alike.

    Raises:
        RunFailedError: if an evaluation fails.
    """
    from topo_search.executors.ray_cluster import RayExecutor, connect

    place, epochs, most = SPACES[name]
    space = load_space(place)
    task, resources = load_task(space.task), TrialResources()
    requests = _requests(space, count, epochs)
    taken: dict[str, list[float]] = {"processes": [], "ray": []}
    processes = ProcessExecutor(space, workers=workers, resources=resources)
    try:
        with connect("local", workers=workers, resources=resources) as session:
            ray = RayExecutor(space, task, session=session, resources=resources)
            executors: dict[str, Executor] = {"processes": processes, "ray": ray}
            for executor in executors.values():
                _seconds(executor, requests[: 10 * workers], most)
            for _ in range(rounds):
                for kind, executor in executors.items():
                    taken[kind].append(_seconds(executor, requests, most) / count)
            ray.close()
    finally:
        processes.close()
    median = {kind: 1e3 * statistics.median(values) for kind, values in taken.items()}
    return {
        "name": name,
        "requests": count,
        "processes_ms": median["processes"],
        "ray_ms": median["ray"],
        "ray_share": median["processes"] / median["ray"],
        "rounds_ms": {kind: [1e3 * value for value in values] for kind, values in taken.items()},
    }
