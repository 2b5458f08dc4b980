"""Leases and results of evaluations in the study's database, for drivers that share a study or none of whose files."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from topo_search.errors import InputError
from topo_search.search.evaluate import Request
from topo_search.search.history import Evaluation
from topo_search.search.locks.database_lock import DatabaseLock, make_table
from topo_search.search.storage import database_errors
from topo_search.search.storage.url import without_password

if TYPE_CHECKING:
    from sqlalchemy import Connection

__all__ = ["SharedEvaluationLog"]

_TABLE = """CREATE TABLE IF NOT EXISTS topo_search_evaluations (
    study VARCHAR(200) NOT NULL, request VARCHAR(64) NOT NULL, owner VARCHAR(32) NOT NULL, attempts INTEGER NOT NULL,
    result {text}, PRIMARY KEY (study, request))"""
_THIS = "WHERE study = :study AND request = :request"


class SharedEvaluationLog:
    """The evaluation log of drivers that have joined one study; see :class:`EvaluationLog` for what it is.

    An evaluation belongs to the driver that claimed it until its result is there or that driver is gone. Every driver
    takes the results of all, failures too, so that all of them make the same decisions.

    Args:
        lock: this driver's, held while the log is used.
        study: identity of the study: evaluations of one that was deleted are not those of another of its name.

    Raises:
        InputError: if the table holds something else than evaluations.
    """

    poll_seconds: float | None = 0.3

    def __init__(self, lock: DatabaseLock, study: str) -> None:
        self._lock, self._study = lock, study
        self._results: dict[str, Evaluation] = {}
        self._attempts: dict[str, int] = {}
        text = "LONGTEXT" if lock.engine.dialect.name in ("mysql", "mariadb") else "TEXT"
        with database_errors(lock.location), lock.engine.connect() as connection:
            make_table(connection, _TABLE.format(text=text))
            rows = lock.execute(
                connection,
                "SELECT request, attempts, result FROM topo_search_evaluations "
                "WHERE study = :study AND request LIKE :these AND result IS NOT NULL",
                these=f"{study}:%",
            )
            for request, attempts, result in rows:
                self._take(request.removeprefix(f"{study}:"), attempts, result)

    def _take(self, key: str, attempts: int, result: str) -> Evaluation:
        try:
            evaluation = Evaluation.from_dict(json.loads(result))
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            where = f"evaluation {key} of study {self._lock.study!r} in {without_password(self._lock.location)}"
            raise InputError(f"{where} is corrupt: expected an evaluation ({error})") from None
        self._results[key], self._attempts[key] = evaluation, attempts
        return evaluation

    def _request(self, key: str) -> str:
        return f"{self._study}:{key}"

    def _row(self, connection: Connection, key: str) -> Any:
        return self._lock.execute(
            connection,
            f"SELECT owner, attempts, result FROM topo_search_evaluations {_THIS}",
            request=self._request(key),
        ).first()

    def find(self, request: Request) -> Evaluation | None:
        """The result of an evaluation, if any driver knows it."""
        known = self._results.get(request.key)
        if known is not None:
            return known
        with database_errors(self._lock.location), self._lock.engine.connect() as connection:
            row = self._row(connection, request.key)
        return None if row is None or row.result is None else self._take(request.key, row.attempts, row.result)

    def claim(self, request: Request, *, label: str) -> bool:
        """Take an evaluation on, unless another driver that is alive has it, or its result is there."""
        with database_errors(self._lock.location):
            with self._lock.engine.connect() as connection:
                row = self._row(connection, request.key)
            if row is None:
                return self._insert(request.key) or self.claim(request, label=label)
            if row.result is not None or self._lock.is_alive(row.owner):
                return row.result is None and row.owner == self._lock.token
            return self._update(
                "owner = :token, attempts = attempts + 1", request.key, "AND owner = :gone", gone=row.owner
            )

    def start(self, request: Request, *, label: str) -> int:  # noqa: ARG002
        """Record that an evaluation begins whoever has claimed it; which attempt it is, from 1."""
        with database_errors(self._lock.location):
            if not self._insert(request.key):
                self._update("attempts = attempts + 1", request.key, "AND owner = :token")
        return self.attempts(request)

    def _insert(self, key: str) -> bool:
        from sqlalchemy.exc import IntegrityError

        try:
            with self._lock.engine.begin() as connection:
                self._lock.check(connection)
                self._lock.execute(
                    connection,
                    "INSERT INTO topo_search_evaluations (study, request, owner, attempts) "
                    "VALUES (:study, :request, :token, 1)",
                    request=self._request(key),
                )
        except IntegrityError:
            return False
        return True

    def _update(self, change: str, key: str, condition: str, **values: Any) -> bool:
        """Change an evaluation that has no result yet; whether it was as the condition says."""
        with self._lock.engine.begin() as connection:
            self._lock.check(connection)
            done = self._lock.execute(
                connection,
                f"UPDATE topo_search_evaluations SET {change} {_THIS} AND result IS NULL {condition}",
                request=self._request(key),
                **values,
            )
            return bool(done.rowcount)

    def finish(self, request: Request, evaluation: Evaluation) -> Evaluation:
        """Record a result; the one that counts, which is another driver's where that was first."""
        result = json.dumps(asdict(evaluation), separators=(",", ":"), allow_nan=False)
        with database_errors(self._lock.location):
            self._update("result = :result", request.key, "", result=result)
        self._results.pop(request.key, None)
        found = self.find(request)
        return evaluation if found is None else found

    def attempts(self, request: Request) -> int:
        """How often the evaluation was begun."""
        if request.key in self._attempts:
            return self._attempts[request.key]
        with database_errors(self._lock.location), self._lock.engine.connect() as connection:
            row = self._row(connection, request.key)
        return 0 if row is None else int(row.attempts)

    def close(self) -> None:
        """Nothing: the lock owns the connections."""
