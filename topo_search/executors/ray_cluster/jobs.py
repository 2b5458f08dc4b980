"""Evaluations on their way to a cluster and back, as the driver keeps them."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Any

from topo_search.executors.ray_cluster.files import take_files
from topo_search.search.evaluate import Request

__all__ = ["Job", "Running"]


@dataclass
class Job:
    """An evaluation that was submitted.

    Attributes:
        ticket: of it.
        request: what is asked.
        options: what a task with it reserves, as Ray takes it.
        spent: what its earlier parts took, in s.
        alone: whether it was lost before or turned out to be long, so that it must share no task.
    """

    ticket: int
    request: Request
    options: dict[str, Any]
    spent: float = 0.0
    alone: bool = False

    def goes_with(self, other: Job) -> bool:
        """Whether both may be in one task: neither must be alone, trains a winner, or reads the test part."""
        return self.options == other.options and not any(
            one.alone or one.request.save_to is not None or one.request.read_test for one in (self, other)
        )

    def packed(self, *, part_seconds: float) -> dict[str, Any]:
        """As :func:`topo_search.executors.ray_cluster.task.evaluate` takes it."""
        return {
            "request": self.request.as_dict(),
            "files": take_files(self.request),
            "memory": self.options.get("memory"),
            "part_seconds": part_seconds,
        }


@dataclass
class Running:
    """A task of Ray with those of its evaluations that have no result.

    Attributes:
        jobs: the first of them runs.
        started: since when, by the monotonic clock; ``None``: its task has not begun.
        node: id of the node that it runs on.
        host: name of that.
    """

    jobs: deque[Job]
    started: float | None = None
    node: str | None = None
    host: str = ""
