"""Writing and reading files so that nothing is ever half-written or mistaken."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from topo_search.errors import InputError, RunFailedError

__all__ = [
    "UnreadableError",
    "disk_errors",
    "disk_failure",
    "is_disk_failure",
    "read_bytes",
    "read_json",
    "sha256",
    "write_atomically",
    "write_json",
]

# What a disk can do to a run that was asked for rightly; all else that the system reports is a bug or a race.
_DISK = {
    errno.ENOSPC: "no space left in",
    errno.EDQUOT: "the disk quota is used up in",
    errno.EROFS: "the file system has become read-only:",
    errno.EACCES: "no permission to write to",
    errno.EPERM: "no permission to write to",
    errno.EIO: "the disk reports errors:",
    errno.ESTALE: "the file server has lost",
    errno.EMFILE: "too many files are open to go on in",
    errno.ENFILE: "too many files are open to go on in",
}
# What a wrong path gives; with any other error the file may well be there, and be whole.
_NO_SUCH_FILE = frozenset({errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.ELOOP, errno.ENAMETOOLONG})
_KEPT = "what was finished is kept, go on with resume"


class UnreadableError(InputError):
    """A file that could not be read, which says nothing of what is in it: it may be read the next time."""


def is_disk_failure(error: OSError) -> bool:
    """Whether an error is a disk's, and neither a bug nor a race."""
    return error.errno in _DISK


def disk_failure(error: OSError, folder: Path) -> str | None:
    """What a disk did to a run, in one line; ``None`` where the error is of another kind."""
    words = _DISK.get(error.errno) if error.errno is not None else None
    return None if words is None else f"{words} {folder}: {_KEPT}"


@contextlib.contextmanager
def disk_errors(folder: Path) -> Iterator[None]:
    """Say in one line that a disk is full, or cannot be read or written to any more, in the middle of a run.

    Raises:
        RunFailedError: in place of such an ``OSError``, and of an :class:`UnreadableError`; others pass.
    """
    try:
        yield
    except UnreadableError as error:
        raise RunFailedError(f"{error}: {_KEPT}") from None
    except OSError as error:
        line = disk_failure(error, folder)
        if line is None:
            raise
        raise RunFailedError(line) from None


def write_atomically(path: Path, content: bytes | str) -> None:
    """Write a whole file or nothing: to a temporary file beside it, synced, then renamed over it.

    Raises:
        OSError: if the folder cannot be written to; an existing file is untouched then.
    """
    data = content.encode() if isinstance(content, str) else content
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        # mkstemp makes files private; give the permissions that a plain open would have given.
        umask = os.umask(0)
        os.umask(umask)
        Path(name).chmod(0o666 & ~umask)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def write_json(path: Path, value: Any) -> None:
    """Write indented JSON atomically; numbers that are not finite are refused with ValueError."""
    write_atomically(path, json.dumps(value, indent=2, allow_nan=False) + "\n")


def read_bytes(path: Path, what: str) -> bytes:
    """The content of a file.

    Raises:
        InputError: if it is missing or a folder; ``what`` names it in the message.
        UnreadableError: an ``InputError`` too, if the disk or the system does not let it be read.
    """
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise InputError(f"no {what} at {path}: expected a file") from None
    except OSError as error:
        kind = InputError if error.errno in _NO_SUCH_FILE else UnreadableError
        raise kind(f"{what} at {path} cannot be read: {error.strerror}") from None


def _no_constant(name: str) -> float:
    raise ValueError(f"{name} is not a JSON number")


def read_json(path: Path, what: str) -> dict[str, Any]:
    """A JSON object from a file; NaN and infinity are refused.

    Raises:
        InputError: if the file is missing or not a JSON object.
    """
    content = read_bytes(path, what)
    try:
        value = json.loads(content.decode(), parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{what} at {path} is corrupt: expected a JSON object ({error})") from None
    if not isinstance(value, dict):
        raise InputError(f"{what} at {path} is corrupt: expected a JSON object, got {type(value).__name__}")
    return value


def sha256(content: bytes) -> str:
    """Hex digest."""
    return hashlib.sha256(content).hexdigest()
