"""Where a study lies: a journal file, SQLite, PostgreSQL or MySQL."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import optuna
from optuna.exceptions import StorageInternalError
from optuna.storages import BaseStorage, JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend

from topo_search.errors import InputError, RunFailedError
from topo_search.search.storage.file_systems import network_file_system
from topo_search.search.storage.journal_lock import JournalLock, damaged_line, mend_end
from topo_search.search.storage.url import SERVERS, failure_reason, resolved_url, without_password

if TYPE_CHECKING:
    import sqlalchemy

__all__ = [
    "StudyStorage",
    "database_errors",
    "holds_studies",
    "open_engine",
    "open_storage",
    "storage_notice",
]

StudyStorage = BaseStorage
"""An open storage, under a name of our own: who only hands it on need not know Optuna."""

# How long one connection of SQLite waits for another that writes, and how long a server may take to answer.
BUSY_SECONDS = 60.0
CONNECT_SECONDS = 15
# A driver whose machine lost its power holds its locks until the server gives its transaction up.
IDLE_TRANSACTION_MS = 60_000
# Two drivers that meet in an empty database make the same tables at once; one of them is told off and tries again.
OPEN_TRIES = 4


def storage_notice(location: str | Path) -> str | None:
    """What a person should know of a storage before a run uses it, in one line; ``None`` for nothing.

    Args:
        location: path of a journal file, or URL.
    """
    text = str(location)
    if "://" in text:
        return None
    kind = network_file_system(Path(text).parent)
    if kind is None:
        return None
    return (
        f"warning: the journal {text} lies on a network file system ({kind}), whose locks may not reach other hosts: "
        "a local folder or --storage postgresql://... is safer"
    )


def open_storage(location: str | Path, *, to_write: bool = True) -> BaseStorage:
    """The storage of a run: a journal file, or a URL of SQLite, PostgreSQL or MySQL (or what else Optuna takes).

    SQLite keeps a write-ahead log and syncs it at checkpoints: a crash of the program loses nothing, a power cut the
    last trials at most (their evaluations are in the log of the run).

    Args:
        location: path of a journal file, or URL.
        to_write: whether a run will write to it; one that is only asked for its studies stays as it is.

    Raises:
        InputError: if the storage cannot be opened, is damaged, its database driver is missing, or it is SQLite on a
            network file system. Where it is only asked also if it is a file of SQLite that is not there or holds no
            studies: Optuna would make it.
    """
    text = str(location)
    if "://" not in text:
        return _open_journal(Path(location))
    url = _checked(text)
    if not to_write and not holds_studies(text):
        raise InputError(f"storage {text} holds no studies: expected the database of a run")
    options = _engine_options(url)
    for left in reversed(range(OPEN_TRIES)):
        try:
            storage = RDBStorage(url.render_as_string(hide_password=False), engine_kwargs=options)
            break
        except Exception as error:
            # Optuna and its database drivers raise what they like; all of it means that the location is no storage.
            if left and _is_race(error):
                continue
            raise _cannot_open(text, error) from None
    if to_write:
        _prepare(storage.engine)
    return optuna.storages.get_storage(storage)


def holds_studies(location: str) -> bool:
    """Whether there may be studies, without making anything: ``False`` for a file of SQLite without Optuna's tables.

    Raises:
        InputError: as :func:`open_storage`.
    """
    url = _checked(location)
    if url.get_backend_name() != "sqlite" or (url.database or "").startswith("file:"):
        return True
    file = Path(url.database or "")
    if not file.is_file() or file.stat().st_size == 0:
        return False
    try:
        with contextlib.closing(sqlite3.connect(f"{file.absolute().as_uri()}?mode=ro", uri=True)) as connection:
            query = "SELECT COUNT(*) FROM sqlite_master WHERE type = 'table' AND name = 'studies'"
            return bool(connection.execute(query).fetchone()[0])
    except sqlite3.Error as error:
        raise _cannot_open(location, error) from None


def _cannot_open(url: str, error: BaseException) -> InputError:
    return InputError(f"storage {without_password(url)} cannot be opened: {failure_reason(error, url)}")


def _is_race(error: BaseException) -> bool:
    from sqlalchemy.exc import IntegrityError, ProgrammingError

    return isinstance(error, IntegrityError | ProgrammingError)


def _open_journal(path: Path) -> BaseStorage:
    lock = JournalLock(path)
    try:
        if path.exists():
            mend_end(path, lock)
        # The absolute path: Optuna follows its lock's link, which a relative one would lead astray.
        return JournalStorage(JournalFileBackend(str(path.absolute()), lock_obj=lock))
    except OSError as error:
        raise InputError(f"storage {path} cannot be opened: {error.strerror or error}") from None
    except Exception as error:
        where = damaged_line(path) or f"it is not a journal of Optuna's ({type(error).__name__})"
        raise InputError(f"storage {path} cannot be opened: the journal is damaged: {where}") from None


def open_engine(location: str) -> sqlalchemy.Engine:
    """Connections to a database for tables of our own, beside Optuna's.

    Raises:
        InputError: as :func:`open_storage`, but that the database is not asked for yet.
    """
    from sqlalchemy import create_engine

    url = _checked(location)
    options = _engine_options(url)
    if url.get_backend_name() in SERVERS:
        # Each statement sees what others have committed: a view that stands still would miss them.
        options["isolation_level"] = "READ COMMITTED"
    try:
        engine = create_engine(url, **options)
    except Exception as error:
        raise _cannot_open(location, error) from None
    _prepare(engine)
    return engine


def _checked(text: str) -> sqlalchemy.URL:
    url = resolved_url(text)
    if url.get_backend_name() != "sqlite":
        return url
    database = (url.database or "").removeprefix("file:").partition("?")[0]
    if database in ("", ":memory:"):
        raise InputError("storage sqlite:// keeps nothing: expected a file, sqlite:///FILE")
    kind = network_file_system(Path(database).parent)
    if kind is not None:
        raise InputError(
            f"storage {text} lies on a network file system ({kind}), where SQLite loses data: "
            "expected a local folder, or postgresql://..."
        )
    return url


def _engine_options(url: sqlalchemy.URL) -> dict[str, Any]:
    if url.get_backend_name() == "sqlite":
        return {"connect_args": {"timeout": BUSY_SECONDS}}
    options: dict[str, Any] = {"pool_pre_ping": True}
    known = url.drivername.rpartition("+")[2] in ("psycopg", "psycopg2", "pymysql", "mysqldb")
    if known and "connect_timeout" not in url.query:
        options["connect_args"] = {"connect_timeout": CONNECT_SECONDS}
    return options


def _prepare(engine: sqlalchemy.Engine) -> None:
    """Settings that every connection of an engine begins with."""
    from sqlalchemy import event

    statements = {
        "sqlite": ("PRAGMA journal_mode=WAL", "PRAGMA synchronous=NORMAL"),
        "postgresql": (f"SET idle_in_transaction_session_timeout = {IDLE_TRANSACTION_MS}",),
        # It knows no limit for transactions alone; a connection that merely rested is made again.
        **dict.fromkeys(("mysql", "mariadb"), (f"SET SESSION wait_timeout = {IDLE_TRANSACTION_MS // 1000}",)),
    }.get(engine.dialect.name, ())
    if not statements:
        return

    def begin(connection: Any, _record: Any) -> None:
        cursor = connection.cursor()
        for statement in statements:
            cursor.execute(statement)
        cursor.close()
        connection.commit()

    event.listen(engine, "connect", begin)
    # Connections that were made before do not have the settings.
    engine.dispose()


@contextlib.contextmanager
def database_errors(location: str) -> Iterator[None]:
    """Say in one line that the study's database failed in the middle of a run, without its password.

    Raises:
        RunFailedError: in place of what the database's driver raises.
    """
    from sqlalchemy.exc import SQLAlchemyError

    try:
        yield
    except (SQLAlchemyError, StorageInternalError) as error:
        reason = failure_reason(error, location)
        raise RunFailedError(
            f"the study's database {without_password(location)} failed: {reason}; what was finished is kept"
        ) from None
