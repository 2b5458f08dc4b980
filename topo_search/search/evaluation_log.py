"""Leases and results of evaluations, one JSON line each, beside the study.

The study holds trials of which nothing more will come. What lies between, leases of evaluations in flight, results that
are not in view yet, and the trainings after the search, is here, so that a driver that dies loses no finished
evaluation. It is a cache of pure functions: without it a resumed search reaches the same end, only later.
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict
from pathlib import Path
from typing import IO, Any

from topo_search.errors import InputError
from topo_search.search.evaluate import Request
from topo_search.search.history import Evaluation

__all__ = ["EvaluationLog"]


class EvaluationLog:
    """Appends and reads the log of a run.

    A line that a crash cut short is dropped when the log is opened; a line that is damaged elsewhere is refused.

    Args:
        path: of the log; made where it does not exist.

    Raises:
        InputError: if a line other than the last is not a record.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._results: dict[str, Evaluation] = {}
        self._starts: dict[str, int] = {}
        self._read()
        self._file: IO[bytes] | None = path.open("ab")

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
            except (ValueError, KeyError, TypeError) as error:
                raise InputError(f"{self.path}, line {number} is corrupt: expected an evaluation ({error})") from None

    def _take(self, record: dict[str, Any]) -> None:
        key = record["key"]
        if record["event"] == "start":
            self._starts[key] = self._starts.get(key, 0) + 1
        elif record["event"] == "result":
            self._results[key] = Evaluation.from_dict(record["result"])
        else:
            raise ValueError(f"unknown event {record['event']!r}")

    def _append(self, record: dict[str, Any], *, synced: bool) -> None:
        if self._file is None:
            raise ValueError("the log is closed")
        self._take(record)
        self._file.write(json.dumps(record, separators=(",", ":"), allow_nan=False).encode() + b"\n")
        self._file.flush()
        if synced:
            os.fsync(self._file.fileno())

    def start(self, request: Request, *, label: str) -> int:
        """Record that an evaluation begins; which attempt it is, from 1."""
        # Not synced: a kill loses nothing that was written, and a power cut only a count of attempts.
        self._append({"event": "start", "key": request.key, "label": label}, synced=False)
        return self._starts[request.key]

    def finish(self, request: Request, evaluation: Evaluation) -> None:
        """Record a result, synced to disk."""
        self._append({"event": "result", "key": request.key, "result": asdict(evaluation)}, synced=True)

    def attempts(self, request: Request) -> int:
        """How often the evaluation was begun."""
        return self._starts.get(request.key, 0)

    def find(self, request: Request) -> Evaluation | None:
        """The result of an evaluation, if it is known."""
        return self._results.get(request.key)

    def close(self) -> None:
        """Close the file; the log can be read on."""
        if self._file is not None:
            self._file.close()
            self._file = None
