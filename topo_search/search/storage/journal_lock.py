"""The lock of a journal file: Optuna's own, so that its tools keep to it, and one that outlives no process of ours."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
from pathlib import Path
from typing import IO

from optuna.storages.journal import JournalFileSymlinkLock
from optuna.storages.journal._file import BaseJournalFileLock

from topo_search.search.storage.file_systems import network_file_system

__all__ = ["JournalLock", "damaged_line", "mend_end"]

# Of every record, as Optuna writes it.
RECORD_BEGIN = b'{"op_code":'


class JournalLock(BaseJournalFileLock):
    """Optuna's symbolic link ``study.journal.lock``, and a ``flock`` on the journal around it.

    A process that is killed while it writes leaves the link behind, and Optuna makes everybody wait for it: half a
    minute, or without end where the journal was named by a relative path. Here the link says by its target that it is
    ours, and whoever holds the ``flock``, which goes with its process, knows that the one who made such a link is dead:
    the link is removed at once. A link of another program (optuna-dashboard on the file itself) is waited for as
    Optuna does. So is every link on a network file system, where ``flock`` may not reach other hosts.

    Args:
        path: of the journal.
    """

    def __init__(self, path: Path) -> None:
        self._path = path.absolute()
        self._link = Path(f"{self._path}.lock")
        # Optuna looks through the link at the journal's age, so the target must lead to the journal. It is relative to
        # the link; nobody writes a path like this by hand.
        self._mark = f"././{self._path.name}"
        self._optuna = JournalFileSymlinkLock(str(self._path))
        self._optuna._lock_target_file = self._mark
        self._reaches_all = network_file_system(self._path.parent) is None
        self._file: IO[bytes] | None = None

    def acquire(self) -> bool:
        """Wait until nobody writes.

        Raises:
            OSError: if the folder cannot be written to.
        """
        file = self._path.open("rb")
        try:
            with contextlib.suppress(OSError):  # A file system without flock: Optuna's link alone decides.
                fcntl.flock(file, fcntl.LOCK_EX)
                self._remove_ours()
            self._optuna.acquire()
        except BaseException:
            file.close()
            raise
        self._file = file
        return True

    def release(self) -> None:
        """Let others write."""
        try:
            self._optuna.release()
        finally:
            if self._file is not None:
                self._file.close()
                self._file = None

    def _remove_ours(self) -> None:
        # Not Path.readlink, which takes the dots away.
        if self._reaches_all and self._link.is_symlink() and os.readlink(self._link) == self._mark:  # noqa: PTH115
            self._link.unlink(missing_ok=True)


def mend_end(path: Path, lock: BaseJournalFileLock) -> None:
    """Cut off a last record that a crash left without its end: Optuna skips it but would append to it.

    Raises:
        OSError: if the journal cannot be read or cut.
        ValueError: if the last record has an end but is none: Optuna would skip it too, until another follows it. Or
            if the file is no journal at all, which is left as it is.
    """
    line = _last_line(path)
    if line and not line.endswith(b"\n"):
        # Before the lock, which would lie beside the file of someone else.
        _check_begin(path)
        # Not torn at all if another process is about to write the rest of it: look again when nobody writes.
        lock.acquire()
        try:
            line = _last_line(path)
            if not line.endswith(b"\n"):
                os.truncate(path, path.stat().st_size - len(line))
                line = _last_line(path)
        finally:
            lock.release()
    if line:
        _check_record(line)


def _last_line(path: Path) -> bytes:
    """With its end where it has one; empty for an empty file."""
    with path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        length = min(size, 1 << 16)
        while True:
            file.seek(size - length)
            tail = file.read(length)
            begin = tail.rfind(b"\n", 0, len(tail) - 1) + 1
            if begin or length == size:
                return tail[begin:]
            length = min(size, 4 * length)


def _check_begin(path: Path) -> None:
    """Raise ValueError unless a file begins as a journal does; a first line without its end counts by its beginning."""
    with path.open("rb") as file:
        line = file.readline()
    if line.endswith(b"\n"):
        _check_record(line)
    elif not RECORD_BEGIN.startswith(line[: len(RECORD_BEGIN)]):
        raise ValueError("no record of Optuna's")


def _check_record(line: bytes) -> None:
    try:
        record = json.loads(line)
    except RecursionError:
        raise ValueError("nested too deeply") from None
    if not isinstance(record, dict) or "op_code" not in record:
        raise ValueError("no record of Optuna's")


def damaged_line(path: Path) -> str | None:
    """Where a journal is damaged, ``line N (reason)``; ``None`` where every line is a record."""
    try:
        with path.open("rb") as file:
            for number, line in enumerate(file, start=1):
                try:
                    _check_record(line)
                except ValueError as error:
                    return f"line {number} ({error})"
    except OSError as error:
        return f"it cannot be read ({error.strerror})"
    return None
