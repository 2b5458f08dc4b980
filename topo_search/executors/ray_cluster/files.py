"""Files that a request names: they travel as bytes, since driver and workers share no file system."""

from __future__ import annotations

import os
import shutil
import tempfile
from dataclasses import replace
from pathlib import Path

from topo_search.errors import RunFailedError
from topo_search.files import write_atomically
from topo_search.search.evaluate import Request

__all__ = ["Files", "collect_files", "keep_files", "own_names", "take_files", "unpack_files"]

Files = dict[str, bytes]
"""Content by name: ``checkpoint``, ``inherit``, ``keep_coupling``, and ``save_to/NAME`` for those of the folder."""

_TAKEN = ("checkpoint", "inherit")
_FOLDER = "save_to/"
# Written last into a folder that is there already, as save_network does: until then its digest does not match.
_LAST = "certificate.json"


def take_files(request: Request) -> Files:
    """In the driver: what goes with a request, of the files that are there.

    Raises:
        RunFailedError: if one cannot be read.
    """
    files: Files = {}
    for name in _TAKEN:
        path = getattr(request, name)
        if path is None or not Path(path).is_file():
            continue
        try:
            files[name] = Path(path).read_bytes()
        except OSError as error:
            raise RunFailedError(f"{name} at {path} cannot be read: {error.strerror}") from error
    return files


def unpack_files(request: Request, files: Files, folder: Path) -> Request:
    """On a worker: the request with its files in a folder there.

    A file to begin with that did not come along keeps its name: it is missing, and the evaluation says so of that name.
    """
    for name, content in files.items():
        (folder / name).write_bytes(content)
    here = {
        name: str(folder / name)
        for name in ("checkpoint", "inherit", "keep_coupling", "save_to")
        if getattr(request, name) is not None and (name != "inherit" or name in files)
    }
    return replace(request, **here)  # type: ignore[arg-type]


def own_names(text: str, request: Request, here: Request) -> str:
    """A text with the names that the request gave to its files, in place of the worker's."""
    for name in ("checkpoint", "inherit", "keep_coupling", "save_to"):
        own, local = getattr(request, name), getattr(here, name)
        if own is not None and local is not None:
            text = text.replace(local, own)
    return text


def collect_files(request: Request) -> Files:
    """On a worker: what an evaluation left."""
    files: Files = {}
    for name in ("checkpoint", "keep_coupling"):
        path = getattr(request, name)
        if path is not None and Path(path).is_file():
            files[name] = Path(path).read_bytes()
    if request.save_to is not None and Path(request.save_to).is_dir():
        for path in sorted(Path(request.save_to).iterdir()):
            if path.is_file():
                files[_FOLDER + path.name] = path.read_bytes()
    return files


def keep_files(request: Request, files: Files) -> None:
    """In the driver: write what an evaluation left; each file whole or not at all, and a new folder too.

    Raises:
        RunFailedError: if a file cannot be written, or a worker names one that is not to be there.
    """
    folder = {name.removeprefix(_FOLDER): content for name, content in files.items() if name.startswith(_FOLDER)}
    odd = [name for name in folder if not _is_plain(name)]
    odd += [name for name in files if not name.startswith(_FOLDER) and name not in ("checkpoint", "keep_coupling")]
    if odd or (folder and request.save_to is None):
        raise RunFailedError(f"a worker sent a file that was not asked for: {(odd or sorted(folder))[0]!r}")
    try:
        for name in ("checkpoint", "keep_coupling"):
            path = getattr(request, name)
            if path is not None and name in files:
                Path(path).parent.mkdir(parents=True, exist_ok=True)
                write = _replace if name == "checkpoint" else write_atomically
                write(Path(path), files[name])
        if request.save_to is not None and folder:
            _keep_folder(Path(request.save_to), folder)
    except OSError as error:
        raise RunFailedError(f"a result cannot be written: {error.strerror}: {error.filename}") from error


def _replace(path: Path, content: bytes) -> None:
    """Put a file in the place of another, without waiting for the disk, which takes the driver milliseconds.

    Where power fails, a checkpoint may be lost or empty: it is made again then, as any that is corrupt.
    """
    new = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        new.write_bytes(content)
        new.replace(path)
    except BaseException:
        new.unlink(missing_ok=True)
        raise


def _is_plain(name: str) -> bool:
    return name not in ("", ".", "..") and not any(character in name for character in "/\\\0:")


def _keep_folder(target: Path, files: Files) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if target.is_dir():
        for name in sorted(files, key=lambda name: (name == _LAST, name)):
            write_atomically(target / name, files[name])
        return
    new = Path(tempfile.mkdtemp(prefix=f".{target.name}.", suffix=".tmp", dir=target.parent))
    try:
        # mkdtemp makes folders private; a plain one has the permissions of those around it.
        new.chmod(target.parent.stat().st_mode & 0o777)
        for name, content in files.items():
            write_atomically(new / name, content)
        new.rename(target)
    except BaseException:
        shutil.rmtree(new, ignore_errors=True)
        raise
