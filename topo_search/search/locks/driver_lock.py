"""One driver a run: what every driver holds while it writes, and the lock of a run's folder."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import threading
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import asdict
from pathlib import Path
from typing import Protocol

from topo_search.errors import InputError
from topo_search.search.locks.owner import BEAT_SECONDS, Heartbeat, Owner, in_use, taken_over, watch
from topo_search.search.storage.file_systems import network_file_system

__all__ = ["DriverLock", "FolderLock"]

RECORD_BYTES = 512


class DriverLock(Protocol):
    """What keeps two drivers from writing to one study."""

    @property
    def exclusive(self) -> bool:
        """Whether no other driver works on the study while it is held."""
        ...

    def writing(self) -> AbstractContextManager[None]:
        """Entered around each write.

        Raises:
            RunFailedError: if another driver has taken the study over meanwhile.
        """
        ...


class FolderLock:
    """The file ``.lock`` of a run's folder: a ``flock``, and a beat for hosts that a ``flock`` does not reach.

    On one machine the ``flock`` decides at once; it goes with the process, however that ends. On a network file system
    an owner on another host is watched for some beats before it is taken for dead.

    Args:
        folder: of the run.
        interval: seconds between beats.

    Raises:
        InputError: if another driver holds it, or the file cannot be made.
    """

    exclusive = True

    def __init__(self, folder: Path, *, interval: float = BEAT_SECONDS) -> None:
        self._path, self._what, self._interval = folder / ".lock", f"run {folder}", interval
        self._is_network = network_file_system(folder) is not None
        # The driver asks before each write while the thread beats: one record at a time.
        self._turn = threading.Lock()
        self._released = False
        try:
            self._file = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o666)
        except OSError as error:
            raise InputError(f"{self._what} cannot be locked: {error.strerror} ({self._path})") from None
        try:
            self._acquire()
        except OSError as error:
            os.close(self._file)
            raise InputError(f"{self._what} cannot be locked: {error.strerror} ({self._path})") from None
        except BaseException:
            os.close(self._file)
            raise
        self._heart = Heartbeat(self._beat, interval=interval)

    def _acquire(self) -> None:
        held = True
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno not in (errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS):
                raise in_use(self._what, self._read()) from None
            held = False
        before = self._read()
        if before is not None and (self._is_network or not held):
            self._outwait(before)
        self._owner = Owner.this()
        self._write(self._owner)
        os.ftruncate(self._file, RECORD_BYTES)
        if self._is_network:
            # Two hosts may have found the file free at the same moment: the one that wrote last has it.
            time.sleep(self._interval / 5)
            if not self._is_mine(self._read()):
                raise in_use(self._what, self._read())

    def _outwait(self, owner: Owner) -> None:
        """Return once an owner that ``flock`` may not reach is known to be gone."""
        if owner.is_here:
            if owner.is_running:
                raise in_use(self._what, owner)
            return
        silence = watch(self._read, owner, interval=self._interval)
        if silence is not None:
            raise in_use(self._what, self._read() or owner, silence=silence)

    def _read(self) -> Owner | None:
        # By its name: a network file system looks at the server's copy only when a file is opened.
        try:
            return Owner.read(json.loads(self._path.read_bytes()))
        except (OSError, ValueError, RecursionError):
            return None

    def _write(self, owner: Owner) -> None:
        # Of one length and in one call: a reader never sees half of two records, and a full disk has room for it.
        os.pwrite(self._file, json.dumps(asdict(owner)).ljust(RECORD_BYTES - 1).encode() + b"\n", 0)
        if self._is_network:
            os.fsync(self._file)

    def _is_mine(self, owner: Owner | None) -> bool:
        # A file that somebody emptied or removed names nobody else.
        return owner is None or owner.token == self._owner.token

    def _beat(self) -> bool:
        with self._turn:
            if self._released or not self._is_mine(self._read()):
                return False
            self._owner = self._owner.beating()
            self._write(self._owner)
            return True

    @contextlib.contextmanager
    def writing(self) -> Iterator[None]:
        """See :class:`DriverLock`."""
        owner = self._read()
        if not self._is_mine(owner):
            raise taken_over(self._what, owner)
        yield

    def release(self) -> None:
        """Let the next driver in."""
        self._heart.stop()
        # A beat that hangs (a file server that is away) would later write to whatever file has this number then.
        if not self._turn.acquire(timeout=1.0):
            return
        try:
            self._released = True
            with contextlib.suppress(OSError):
                if self._is_mine(self._read()):
                    os.truncate(self._file, 0)
            os.close(self._file)
        finally:
            self._turn.release()
