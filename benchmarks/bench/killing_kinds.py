"""Executors whose runs are killed, and what of a run can be."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from bench.tables import Columns, number

__all__ = ["EXECUTORS", "KILLS", "Kind"]


@dataclass(frozen=True)
class Kind:
    """How runs of an executor are started, and what of them is killed.

    Attributes:
        flags: of ``evolve`` and ``resume``.
        targets: ``driver``, ``worker``, ``raylet`` or ``group``.
        worker: whether a command line is a worker's.
        gone_seconds: until no process of a killed run may be left. Workers ask every second whether their driver is
            still there.
    """

    flags: tuple[str, ...]
    targets: tuple[str, ...]
    worker: Callable[[str], bool] = lambda command: "multiprocessing" in command and "resource_tracker" not in command
    gone_seconds: float = 30.0


EXECUTORS: Mapping[str, Kind] = {
    "serial": Kind(("--workers", "1"), ("driver", "group")),
    "processes": Kind(("--workers", "2"), ("driver", "worker", "group")),
    "ray": Kind(
        ("--ray", "local", "--workers", "2"),
        ("driver", "worker", "raylet", "group"),
        # A raylet ends with its agents, which bear such titles too.
        lambda command: command.startswith("ray::") and "Agent" not in command,
        # Ray's agents tell the driver that their raylet is gone, and give up after 60 s.
        gone_seconds=120.0,
    ),
}

KILLS: Columns = {
    "executor": lambda row: row["executor"],
    "kills": number("kills", "d"),
    "of driver": number("driver", "d"),
    "of a worker": number("worker", "d"),
    "of a raylet": number("raylet", "d"),
    "of all": number("group", "d"),
    "at start": number("start", "d"),
    "in search": number("search", "d"),
    "after it": number("after", "d"),
    "resumes": number("resumes", "d"),
    "runs": number("runs", "d"),
    "seconds": number("seconds", ".0f"),
    "violations": number("violations", "d"),
}
