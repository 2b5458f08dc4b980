"""Checks of the machine: cores, threads and memory."""

from __future__ import annotations

import os
from pathlib import Path

from topo_search.doctor.check import Outcome
from topo_search.executors.control_group import control_group_limits

__all__ = ["check_cores", "check_memory"]

# A worker that has imported torch takes some 0.4 GB before it trains anything.
WORKER_GB = 0.5
MEMORY_INFO = Path("/proc/meminfo")


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def check_cores() -> Outcome:
    """Cores that this process may run on, against the CPU time that it is given."""
    import torch

    cores, present = _cores(), os.cpu_count() or 1
    parts = [f"{cores}: as many evaluations run side by side, one thread each"]
    if cores != present:
        parts.append(f"the machine has {present}")
    parts.append(f"torch takes {torch.get_num_threads()} by itself")
    parts.append(f"OMP_NUM_THREADS is {os.environ.get('OMP_NUM_THREADS') or 'not set'}")
    quota = control_group_limits().cpus
    if quota is not None and quota < cores:
        parts.append(f"but the control group grants the time of {quota:g}: give --workers {max(1, int(quota))}")
        return "warn", ", ".join(parts)
    return "ok", ", ".join(parts)


def _available() -> tuple[int | None, int]:
    """Bytes that are free or can be freed, where the system says so, and bytes of the machine."""
    try:
        lines = MEMORY_INFO.read_text(encoding="ascii").splitlines()
    except OSError:
        return None, os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    values = {name: 1024 * int(rest.split()[0]) for name, _, rest in (line.partition(":") for line in lines)}
    return values.get("MemAvailable"), values["MemTotal"]


def check_memory() -> Outcome:
    """Memory for one worker a core, within the limit of the control group."""
    available, total = _available()
    limits = control_group_limits()
    detail = f"of {total / 1e9:.1f} GB"
    if limits.memory is not None and limits.memory < total:
        detail += f", limited to {limits.memory / 1e9:.1f} GB by the control group"
        within = max(0, limits.memory - (limits.memory_used or 0))
        available = within if available is None else min(available, within)
    if available is None:
        return "ok", f"{total / 1e9:.1f} GB; how much is free is not known on this system"
    free = f"{available / 1e9:.1f} GB available {detail}"
    workers = int(available / 1e9 / WORKER_GB)
    if workers < _cores():
        return "warn", f"{free}: enough for {workers} workers of {WORKER_GB} GB, fewer than cores: give --workers"
    return "ok", free
