"""Leases and results of evaluations, one JSON line each, beside the study.

The study holds trials of which nothing more will come. What lies between, leases of evaluations in flight, results that
are not in view yet, and the trainings after the search, is here, so that a driver that dies loses no finished
evaluation. It is a cache of pure functions: without it a resumed search reaches the same end, only later.
"""

from __future__ import annotations

import contextlib
import json
import os
from dataclasses import asdict
from pathlib import Path
from typing import Any, Protocol

from topo_search.errors import InputError
from topo_search.search.evaluate import Request
from topo_search.search.history import Evaluation
from topo_search.search.locks.driver_lock import DriverLock

__all__ = ["EvaluationLog", "Evaluations"]


class Evaluations(Protocol):
    """What a search knows of evaluations: a file of its own, or a table that several drivers share."""

    @property
    def poll_seconds(self) -> float | None:
        """How often to look for results of other drivers; ``None`` where there are no others."""
        ...

    def find(self, request: Request) -> Evaluation | None:
        """The result of an evaluation, if it is known."""
        ...

    def claim(self, request: Request, *, label: str) -> bool:
        """Begin an evaluation, unless another driver is at it; whether it is this driver's now."""
        ...

    def start(self, request: Request, *, label: str) -> int:
        """Record that an evaluation begins, or begins again; which attempt it is, from 1."""
        ...

    def finish(self, request: Request, evaluation: Evaluation) -> Evaluation:
        """Record a result; the one that counts, should another driver have been first."""
        ...

    def attempts(self, request: Request) -> int:
        """How often the evaluation was begun."""
        ...


class EvaluationLog:
    """Appends and reads the log of a run.

    A line that a crash cut short is dropped when the log is opened; a line that is damaged elsewhere is refused.

    Args:
        path: of the log; made where it does not exist.
        lock: of the driver, asked before each write.

    Raises:
        InputError: if a line other than the last is not a record.
    """

    poll_seconds: float | None = None

    def __init__(self, path: Path, *, lock: DriverLock | None = None) -> None:
        self.path, self._lock = path, lock
        self._results: dict[str, Evaluation] = {}
        self._starts: dict[str, int] = {}
        self._read()
        self._file: int | None = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o666)

    def _read(self) -> None:
        if not self.path.exists():
            return
        content = self.path.read_bytes()
        complete = content.rfind(b"\n") + 1
        if complete < len(content):
            with self.path.open("r+b") as file:
                file.truncate(complete)
        for number, line in enumerate(content[:complete].splitlines(), start=1):
            try:
                self._take(json.loads(line))
            except (ValueError, KeyError, TypeError, RecursionError) as error:
                raise InputError(f"{self.path}, line {number} is corrupt: expected an evaluation ({error})") from None

    def _take(self, record: dict[str, Any]) -> None:
        key = record["key"]
        if not isinstance(key, str):
            raise TypeError("key must be text")
        if record["event"] == "start":
            self._starts[key] = self._starts.get(key, 0) + 1
        elif record["event"] == "result":
            self._results[key] = Evaluation.from_dict(record["result"])
        else:
            raise ValueError(f"unknown event {record['event']!r}")

    def _append(self, record: dict[str, Any], *, synced: bool) -> None:
        if self._file is None:
            raise ValueError("the log is closed")
        line = json.dumps(record, separators=(",", ":"), allow_nan=False).encode() + b"\n"
        with contextlib.nullcontext() if self._lock is None else self._lock.writing():
            self._write(self._file, line)
            if synced:
                os.fsync(self._file)
        self._take(record)

    @staticmethod
    def _write(file: int, line: bytes) -> None:
        """The whole line or nothing, also where the disk is full."""
        size = os.fstat(file).st_size
        try:
            written = 0
            while written < len(line):
                written += os.write(file, line[written:])
        except BaseException:
            os.ftruncate(file, size)
            raise

    def claim(self, request: Request, *, label: str) -> bool:
        """Begin an evaluation; there are no other drivers, so it is always this one's."""
        self.start(request, label=label)
        return True

    def start(self, request: Request, *, label: str) -> int:
        """Record that an evaluation begins; which attempt it is, from 1.

        Raises:
            OSError: if the file cannot be written to; it is as it was then.
        """
        # Not synced: a kill loses nothing that was written, and a power cut only a count of attempts.
        self._append({"event": "start", "key": request.key, "label": label}, synced=False)
        return self._starts[request.key]

    def finish(self, request: Request, evaluation: Evaluation) -> Evaluation:
        """Record a result, synced to disk; the same result.

        Raises:
            OSError: if the file cannot be written to; it is as it was then.
        """
        self._append({"event": "result", "key": request.key, "result": asdict(evaluation)}, synced=True)
        return evaluation

    def attempts(self, request: Request) -> int:
        """How often the evaluation was begun."""
        return self._starts.get(request.key, 0)

    def find(self, request: Request) -> Evaluation | None:
        """The result of an evaluation, if it is known."""
        return self._results.get(request.key)

    def close(self) -> None:
        """Close the file; the log can be read on."""
        if self._file is not None:
            os.close(self._file)
            self._file = None
