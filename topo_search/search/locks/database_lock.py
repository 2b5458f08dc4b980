"""One driver a study in a database, or several where others have joined it: a row for each, with its beat."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from dataclasses import asdict
from functools import partial
from typing import TYPE_CHECKING, Any

from topo_search.errors import InputError
from topo_search.search.locks.owner import BEAT_SECONDS, SILENT_BEATS, Heartbeat, Owner, in_use, taken_over, watch
from topo_search.search.storage import database_errors, open_engine
from topo_search.search.storage.url import failure_reason, is_shareable, without_password

if TYPE_CHECKING:
    from sqlalchemy import Connection

__all__ = ["DatabaseLock", "make_table"]

_STUDIES = "CREATE TABLE IF NOT EXISTS topo_search_studies (study VARCHAR(200) NOT NULL PRIMARY KEY)"
_DRIVERS = """CREATE TABLE IF NOT EXISTS topo_search_drivers (
    token VARCHAR(32) NOT NULL PRIMARY KEY, study VARCHAR(200) NOT NULL, host VARCHAR(200) NOT NULL,
    place VARCHAR(200) NOT NULL, pid BIGINT NOT NULL, started VARCHAR(40) NOT NULL,
    since VARCHAR(40) NOT NULL, beat BIGINT NOT NULL, seen DOUBLE PRECISION NOT NULL)"""
_OWNER = "token, host, place, pid, started, since, beat, seen"
# Two drivers that make the same table at once: the database tells one of them off.
TABLE_TRIES = 4


def make_table(connection: Connection, statement: str) -> None:
    """Run a ``CREATE TABLE IF NOT EXISTS`` that others may run at the same moment."""
    from sqlalchemy import text
    from sqlalchemy.exc import IntegrityError, OperationalError, ProgrammingError

    for left in reversed(range(TABLE_TRIES)):
        try:
            connection.execute(text(statement))
            connection.commit()
        except (IntegrityError, OperationalError, ProgrammingError):
            connection.rollback()
            if not left:
                raise
            time.sleep(0.05)
        else:
            return


class DatabaseLock:
    """A driver's row in the table ``topo_search_drivers``; its beat goes on until it is released.

    A process of this machine is looked up, so its row counts for nothing once it is gone; a driver elsewhere is watched
    for some beats. A driver that joins is let in beside those that are there, another one is refused.

    Args:
        location: URL of the study's storage.
        study: its name.
        joins: whether to drive it beside others.
        interval: seconds between beats.

    Raises:
        InputError: if another driver holds the study, the database cannot be reached, or ``joins`` is asked of a
            database that is not shared: neither PostgreSQL nor MySQL.
    """

    def __init__(self, location: str, study: str, *, joins: bool = False, interval: float = BEAT_SECONDS) -> None:
        if joins and not is_shareable(location):
            raise InputError(
                f"storage {without_password(location)} cannot be shared by drivers: "
                "to join, expected a PostgreSQL or MySQL URL"
            )
        self.location, self.study, self.joins = location, study, joins
        self._what, self._interval = f"study {study!r}", interval
        self._looks: dict[str, tuple[int, float]] = {}
        self._owner = Owner.this()
        self.engine = open_engine(location)
        self._locks_rows = self.engine.dialect.name != "sqlite"
        try:
            with self.engine.connect() as connection:
                make_table(connection, _STUDIES)
                make_table(connection, _DRIVERS)
            self._acquire()
        except InputError:
            self.engine.dispose()
            raise
        except Exception as error:
            self.engine.dispose()
            reason = failure_reason(error, location)
            raise InputError(f"storage {without_password(location)} cannot be opened: {reason}") from None
        self._heart = Heartbeat(self._beat, interval=interval)

    @property
    def exclusive(self) -> bool:
        """Whether no other driver can work on the study meanwhile."""
        return not is_shareable(self.location)

    @property
    def token(self) -> str:
        """Names this driver in the study's tables."""
        return self._owner.token

    def execute(self, connection: Connection, statement: str, **values: Any) -> Any:
        """Run a statement with the study's name and this driver's token beside its own values."""
        from sqlalchemy import text

        return connection.execute(text(statement), {"study": self.study, "token": self.token, **values})

    @contextlib.contextmanager
    def _turn(self) -> Iterator[Connection]:
        """A transaction that others on the same study wait for; it ends with the process."""
        with self.engine.begin() as connection:
            # SQLite has one writer in all and no locks of rows: any write makes this transaction that one.
            how = (
                "SELECT study FROM topo_search_studies WHERE study = :study FOR UPDATE"
                if self._locks_rows
                else "UPDATE topo_search_studies SET study = study WHERE study = :study"
            )
            self.execute(connection, how)
            yield connection

    def _acquire(self) -> None:
        from sqlalchemy.exc import IntegrityError

        with contextlib.suppress(IntegrityError), self.engine.begin() as connection:
            self.execute(connection, "INSERT INTO topo_search_studies (study) VALUES (:study)")
        silent: dict[str, int] = {}
        while True:
            doubtful = None
            with self._turn() as connection:
                for owner in self._others(connection):
                    gone = not owner.is_running if owner.is_here else silent.get(owner.token) == owner.beat
                    if gone:
                        self._strike(connection, owner)
                    elif not self.joins:
                        if owner.is_here:
                            raise self._in_use(owner)
                        doubtful = owner
                if doubtful is None:
                    self._enter(connection)
                    return
            silence = watch(partial(self._find, doubtful.token), doubtful, interval=self._interval)
            if silence is not None:
                raise self._in_use(doubtful, silence)
            silent[doubtful.token] = doubtful.beat

    def _in_use(self, owner: Owner, silence: float | None = None) -> InputError:
        hint = "" if self.exclusive else ", or --join to drive it together"
        return in_use(self._what, owner, silence=silence, hint=hint)

    def _enter(self, connection: Connection) -> None:
        self.execute(
            connection,
            f"INSERT INTO topo_search_drivers (study, {_OWNER}) VALUES "
            "(:study, :token, :host, :place, :pid, :started, :since, :beat, :seen)",
            **asdict(self._owner),
        )

    def _others(self, connection: Connection) -> list[Owner]:
        rows = self.execute(
            connection, f"SELECT {_OWNER} FROM topo_search_drivers WHERE study = :study AND token <> :token"
        ).mappings()
        return [Owner(**row) for row in rows]

    def _find(self, token: str) -> Owner | None:
        with self.engine.connect() as connection:
            row = (
                self.execute(connection, f"SELECT {_OWNER} FROM topo_search_drivers WHERE token = :token", token=token)
                .mappings()
                .first()
            )
        return None if row is None else Owner(**row)

    def _strike(self, connection: Connection, owner: Owner) -> None:
        """Remove a driver that is gone, so that one that only slept learns of it."""
        self.execute(
            connection,
            "DELETE FROM topo_search_drivers WHERE token = :gone AND beat = :beat",
            gone=owner.token,
            beat=owner.beat,
        )

    def is_alive(self, token: str) -> bool:
        """Whether another driver of the study still works, by its row and its beat; never waits.

        A driver elsewhere counts as alive until its beat has stood still for long enough since it was first asked for.
        """
        if token == self.token:
            return True
        owner = self._find(token)
        if owner is None:
            self._looks.pop(token, None)
            return False
        if owner.is_here:
            alive = owner.is_running
        else:
            beat, since = self._looks.get(token, (None, 0.0))
            now = time.monotonic()
            if beat != owner.beat:
                self._looks[token] = (owner.beat, now)
                return True
            alive = now - since < SILENT_BEATS * self._interval
        if not alive:
            with self.engine.begin() as connection:
                self._strike(connection, owner)
        return alive

    def _beat(self) -> bool:
        self._owner = self._owner.beating()
        with self.engine.begin() as connection:
            changed = self.execute(
                connection,
                "UPDATE topo_search_drivers SET beat = :beat, seen = :seen WHERE token = :token",
                beat=self._owner.beat,
                seen=self._owner.seen,
            )
            return bool(changed.rowcount)

    def check(self, connection: Connection) -> None:
        """Raise RunFailedError if another driver has taken this one for dead."""
        row = self.execute(connection, "SELECT beat FROM topo_search_drivers WHERE token = :token").first()
        if row is None:
            others = self._others(connection)
            raise taken_over(self._what, others[0] if others else None)

    @contextlib.contextmanager
    def writing(self) -> Iterator[None]:
        """Entered around each write to the study: others that drive it wait meanwhile.

        Raises:
            RunFailedError: if another driver has taken the study over, or the database fails.
        """
        with database_errors(self.location):
            if not self._locks_rows:
                # Held open, this transaction would keep Optuna's own from writing.
                with self.engine.connect() as connection:
                    self.check(connection)
                yield
                return
            with self._turn() as connection:
                self.check(connection)
                # A driver that was killed may have left a trial on its way: Optuna's own lock is free once it is in.
                with self.engine.begin() as other:
                    self.execute(other, "SELECT study_id FROM studies WHERE study_name = :study FOR UPDATE")
                yield

    def release(self) -> None:
        """Let others drive the study alone; never fails."""
        self._heart.stop()
        with contextlib.suppress(Exception), self.engine.begin() as connection:
            self.execute(connection, "DELETE FROM topo_search_drivers WHERE token = :token")
        self.engine.dispose()
