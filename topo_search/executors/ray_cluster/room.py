"""How many evaluations fit into a cluster, which may change while it runs."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from topo_search.errors import InputError
from topo_search.search.resources import TrialResources

__all__ = ["Room"]

REFRESH_SECONDS = 2.0
GB = 1e9


class Room:
    """Nodes that are there, looked up again every few seconds.

    Args:
        nodes: looks them up, as Ray describes them.
        resources: of one evaluation.
    """

    def __init__(self, nodes: Callable[[], Sequence[Mapping[str, Any]]], resources: TrialResources) -> None:
        self._look_up, self._resources = nodes, resources
        self._nodes: list[Mapping[str, Any]] = []
        self._looked = -math.inf

    def refresh(self, *, now: bool = False) -> None:
        """Look the nodes up, if that was not done lately."""
        if now or time.monotonic() - self._looked >= REFRESH_SECONDS:
            self._nodes = [node["Resources"] for node in self._look_up()]
            self._looked = time.monotonic()

    @property
    def evaluations(self) -> int:
        """How many fit side by side; 0 where no node has room for one."""
        self.refresh()
        return sum(self._fitting(node) for node in self._nodes)

    def _fitting(self, node: Mapping[str, Any]) -> int:
        wanted = self._resources
        fitting = [int(node.get("CPU", 0) // wanted.cpus)]
        if 0 < wanted.gpus < 1:
            fitting.append(int(node.get("GPU", 0)) * int(1 / wanted.gpus + 1e-9))
        elif wanted.gpus:
            fitting.append(int(node.get("GPU", 0) // wanted.gpus))
        if wanted.memory_gb is not None:
            fitting.append(int(node.get("memory", 0) // (wanted.memory_gb * GB)))
        return min(fitting)

    def check(self) -> None:
        """Refuse evaluations for which no node has room.

        A cluster that has no CPU at all is a head that workers have yet to join: they are waited for.

        Raises:
            InputError: if there are nodes, and all are too small.
        """
        self.refresh(now=True)
        if self.evaluations or not self._largest("CPU"):
            return
        raise InputError(
            f"no node of the Ray cluster has room for one evaluation: it asks for {self._asked()}; "
            f"the largest has {self._largest('CPU'):g} CPUs, {self._largest('GPU'):g} GPUs and "
            f"{self._largest('memory') / GB:.3g} GB of memory"
        )

    def _asked(self) -> str:
        wanted = self._resources
        memory = "" if wanted.memory_gb is None else f", {wanted.memory_gb:g} GB of memory"
        return f"{wanted.cpus} CPUs, {wanted.gpus:g} GPUs{memory}"

    def _largest(self, resource: str) -> float:
        return max((float(node.get(resource, 0)) for node in self._nodes), default=0.0)

    def options(self, memory_factor: float) -> dict[str, Any]:
        """What a task of Ray is to reserve.

        Args:
            memory_factor: how many times the memory of a first try; a further try gets no more than the largest node
                has, since more would be waited for without end, and no less than the first, whatever nodes are gone
                now. Where no memory was asked for, so many times the CPUs are reserved: fewer evaluations run beside
                it then.
        """
        wanted = self._resources
        reserved: dict[str, Any] = {"num_cpus": wanted.cpus, "num_gpus": wanted.gpus}
        if wanted.memory_gb is not None:
            most = self._largest("memory") or math.inf
            own = wanted.memory_gb * GB
            reserved["memory"] = int(max(own, min(own * memory_factor, most)))
        elif memory_factor > 1:
            most = max(self._largest("CPU"), wanted.cpus)
            reserved["num_cpus"] = int(min(wanted.cpus * memory_factor, most))
        return reserved
