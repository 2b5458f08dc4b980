"""A real Ray cluster on this machine: separate raylets on 127.0.0.1 that ask for a token, and can be killed."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from topo_search.executors.ray_cluster.surroundings import PrivateFolder, quiet, set_variables, stay_on_loopback

START_SECONDS = 60.0
OBJECT_STORE = 150 * 2**20


class TestCluster:
    """A head node and what joins it; made by :func:`ray_cluster`."""

    __test__ = False

    def __init__(self, folder: PrivateFolder) -> None:
        from ray.cluster_utils import Cluster

        self._folder = str(folder.ray)
        self._cluster = Cluster()

    @property
    def address(self) -> str:
        """As HOST:PORT."""
        return str(self._cluster.address)

    def add(self, *, cpus: int = 1, **options: Any) -> Any:
        """A node that joins, the head first."""
        return self._cluster.add_node(
            num_cpus=cpus,
            temp_dir=self._folder,
            include_dashboard=False,
            object_store_memory=OBJECT_STORE,
            **options,
        )

    @staticmethod
    def kill(node: Any) -> None:
        """SIGKILL a node with all of its workers at one moment, as if its machine lost power."""
        pids = _processes_of(node)
        _signal(pids, signal.SIGSTOP)  # Stopped first: none may see another one die.
        _signal(pids, signal.SIGKILL)

    @staticmethod
    @contextlib.contextmanager
    def frozen(node: Any) -> Iterator[None]:
        """Stop a node with all of its workers, and let those that are left go on in the end."""
        pids = _processes_of(node)
        _signal(pids, signal.SIGSTOP)
        try:
            yield
        finally:
            _signal(pids, signal.SIGCONT)

    def close(self) -> None:
        """End all nodes."""
        self._cluster.shutdown()


@contextlib.contextmanager
def ray_cluster(*, mode: str = "token", **head: Any) -> Iterator[TestCluster]:
    """A cluster with a head node; ``mode`` is that of its authentication."""
    with ExitStack() as undo:
        folder = PrivateFolder()
        undo.callback(folder.remove)
        (folder.path / "ray").mkdir()
        variables = {
            "RAY_ADDRESS": None,
            "RAY_AUTH_MODE": mode,
            "RAY_AUTH_TOKEN": None,
            "RAY_AUTH_TOKEN_PATH": str(folder.token),
            # There Ray leaves the address of a head, wherever else its files are.
            "RAY_TMPDIR": str(folder.path),
            "RAY_USAGE_STATS_ENABLED": "0",
            "RAY_worker_niceness": "0",
        }
        set_variables(variables, undo)
        stay_on_loopback(undo)
        quiet(undo)
        cluster = TestCluster(folder)
        undo.callback(cluster.close)
        cluster.add(**head)
        yield cluster


def _processes_of(node: Any) -> list[int]:
    raylet = node.all_processes["raylet"][0].process.pid
    return [raylet, *children(raylet)]


def _signal(pids: list[int], number: int) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)


def children(pid: int) -> list[int]:
    """Processes that a process started and that still run."""
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        with contextlib.suppress(OSError):
            parent = (entry / "stat").read_text().rsplit(")", 1)[1].split()[1]
            if int(parent) == pid:
                found.append(int(entry.name))
    return found


def descendants(pid: int) -> list[int]:
    """Processes below a process, at any depth."""
    found = children(pid)
    return found + [below for child in found for below in descendants(child)]


def listening(pids: list[int]) -> set[str]:
    """Addresses on which processes take connections, as hexadecimal IP; Linux."""
    inodes = set()
    for pid in pids:
        with contextlib.suppress(OSError):
            for link in Path(f"/proc/{pid}/fd").iterdir():
                with contextlib.suppress(OSError):
                    target = str(link.readlink())
                    if target.startswith("socket:["):
                        inodes.add(target[8:-1])
    found = set()
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == "0A" and fields[9] in inodes:
                found.add(fields[1].rpartition(":")[0])
    return found


def wait_for(condition: Any, seconds: float = START_SECONDS) -> None:
    """Wait until something holds."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come to hold"
        time.sleep(0.05)
