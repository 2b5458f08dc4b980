"""How much memory this machine has, and an upper limit on what one evaluation takes of it."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from topo_search.executors.control_group import control_group_limits

__all__ = ["machine_memory", "memory_limit"]

_STATUS = Path("/proc/self/status")


@contextmanager
def memory_limit(n_bytes: int | None) -> Iterator[None]:
    """Let this process take so much more memory than it has now; an allocation beyond it fails.

    It fails as ``MemoryError``, in torch as a ``RuntimeError``, long before the kernel would end a process. What counts
    is private writable memory, touched or not; files and shared memory do not. Only Linux knows such a limit, elsewhere
    nothing is limited. The limit is the whole process's: not to be used by two threads at a time.

    Args:
        n_bytes: from 0; ``None``: no limit.
    """
    if n_bytes is None or sys.platform != "linux":
        yield
        return
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_DATA)
    lowered = _data_bytes() + n_bytes
    if soft == resource.RLIM_INFINITY or lowered < soft:
        resource.setrlimit(resource.RLIMIT_DATA, (lowered, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, (soft, hard))


def _data_bytes() -> int:
    """Private writable memory of this process: what the kernel compares with the limit."""
    for line in _STATUS.read_text(encoding="utf-8").splitlines():
        if line.startswith("VmData:"):
            return int(line.split()[1]) * 1024
    raise OSError("/proc/self/status has no line VmData")


def machine_memory() -> int | None:
    """Memory that the processes here may use together, in bytes, as far as it is known.

    That of the machine, or less where a container or a job of a batch system is given less (Linux, cgroups 1 and 2).
    """
    known = [control_group_limits().memory]
    with suppress(ValueError, OSError):
        known.append(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    return min((bytes_ for bytes_ in known if bytes_ is not None), default=None)
