"""Check of the storage that a study is to be kept in: a database answers, a file can be made."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from topo_search.doctor.check import Level, Outcome
from topo_search.doctor.storage_place import existing_part

if TYPE_CHECKING:
    from sqlalchemy import URL

__all__ = ["check_storage"]

CONNECT_SECONDS = 5


def check_storage(location: str | None) -> Outcome:
    """Whether a database answers, or a file can be made; nothing is made in it.

    Args:
        location: URL of the storage; ``None`` where a run keeps its study in its own folder.

    Raises:
        InputError: if it is no URL that can be read, or no driver for it is installed.
    """
    if location is None:
        return "ok", "none asked for: a run keeps its study in its own folder (--storage URL tries a database)"
    from topo_search.search.storage.url import SERVERS, failure_reason, resolved_url, without_password

    if "://" not in location:
        return _file(f"journal {location}", Path(location), network="warn")
    url = resolved_url(location)
    shown = without_password(location)
    backend = url.get_backend_name()
    if backend == "sqlite":
        if not url.database or url.database == ":memory:":
            return "FAIL", f"{shown} is kept in memory and lost with the process: expected sqlite:///FILE"
        return _file(shown, Path(url.database), network="FAIL")
    # The drivers of both kinds of server know this argument; others have none that all of them know.
    arguments = {"connect_timeout": CONNECT_SECONDS} if backend in SERVERS else {}
    try:
        return "ok", f"{shown} answers{_version(url, arguments)}"
    except Exception as error:
        # Drivers raise what they like, and may repeat the password that they were given.
        return "FAIL", f"{shown} cannot be opened: {failure_reason(error, location)}"


def _version(url: URL, arguments: dict[str, int]) -> str:
    from sqlalchemy import create_engine

    engine = create_engine(url, connect_args=arguments)
    try:
        with engine.connect() as connection:
            version = connection.dialect.server_version_info or ()
    finally:
        engine.dispose()
    return f" (version {'.'.join(map(str, version))})" if version else ""


def _file(shown: str, file: Path, *, network: Level) -> Outcome:
    from topo_search.search.storage.file_systems import network_file_system

    folder = existing_part(file.parent)
    if folder != file.parent.absolute():
        return "FAIL", f"{shown}: folder {file.parent} does not exist"
    if not os.access(file if file.exists() else folder, os.W_OK):
        return "FAIL", f"{shown} cannot be written to"
    kind = network_file_system(folder)
    if kind is not None:
        what = "is refused" if network == "FAIL" else "is not safe"
        return network, f"{shown} {what} on a network file system ({kind}): expected a local disk, or a server"
    return "ok", f"{shown} {'is there' if file.exists() else 'can be made'} and can be written to"
