"""How much memory the states kept for a backward pass may take."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from topo_search.engine.call import Call

__all__ = ["available_memory", "state_budgets"]

SHARE = 4
"""One part in so many of the free memory."""

# Below this the system is not even asked.
SMALL = 1 << 26
FLOAT = 4


def available_memory() -> int:
    """Bytes that could be had without swapping: what the system says, or a container's limit leaves."""
    free = _meminfo()
    limit, used = _number("/sys/fs/cgroup/memory.max"), _number("/sys/fs/cgroup/memory.current")
    return free if limit is None or used is None else max(0, min(free, limit - used))


def _meminfo() -> int:
    try:
        for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines():
            if line.startswith("MemAvailable"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _number(path: str) -> int | None:
    try:
        return int(Path(path).read_text(encoding="ascii"))
    except (OSError, ValueError):
        return None


def state_budgets(calls: Sequence[Call], budget: int | None) -> tuple[int, ...]:
    """Bytes of states for each call, in proportion to what it would like to keep; 0 for no limit.

    Args:
        calls: that run together.
        budget: for all of them; a quarter of the free memory where ``None``, no limit where 0.
    """
    wanted = [FLOAT * call.inputs.shape[0] * call.inputs.shape[1] * call.dynamics.layout.n_units for call in calls]
    total = sum(wanted)
    if budget is None:
        budget = available_memory() // SHARE if total > SMALL else 0
    return tuple(max(1, budget * each // total) if budget else 0 for each in wanted)
