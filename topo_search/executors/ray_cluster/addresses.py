"""Where a running cluster is: as it was given, or as Ray left it on this machine."""

from __future__ import annotations

import os
import re
import socket
import sys
from pathlib import Path

from topo_search.errors import InputError

__all__ = ["check_address", "find_cluster", "left_address"]

REACH_SECONDS = 5.0
GREETING_SECONDS = 15.0
_ADDRESS = re.compile(r"(?:\[[0-9a-fA-F:]+\]|[A-Za-z0-9._-]+):(?P<port>[0-9]{1,5})")
# What a client of HTTP/2 says first, with settings that change nothing; a server answers with its own.
_SETTINGS = 4
_GREETING = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes([0, 0, 0, _SETTINGS, 0, 0, 0, 0, 0])


def check_address(address: str) -> None:
    """Check the form of what was given as the address of a cluster; nothing is asked for.

    Raises:
        InputError: if it is neither ``auto``, ``local`` nor ``HOST:PORT``.
    """
    if address not in ("auto", "local") and not _is_address(address):
        raise InputError(f"ray must be auto, local or HOST:PORT, got {address!r}")


def _is_address(text: str) -> bool:
    match = _ADDRESS.fullmatch(text)
    return match is not None and 0 < int(match["port"]) < 65536


def find_cluster(address: str) -> str:
    """The address of a running cluster, as ``HOST:PORT``.

    Args:
        address: ``HOST:PORT``, or ``auto`` for the cluster that ``RAY_ADDRESS`` names, else the one that was started
            on this machine.

    Raises:
        InputError: if it is no address, none is known, or something else than Ray answers there, or nothing.
    """
    found, source = address, "given as the address of a Ray cluster"
    if address == "auto":
        found, source = os.environ.get("RAY_ADDRESS", ""), "given by RAY_ADDRESS"
        if not found or found == "auto":
            found, source = left_address() or "", "left by the last `ray start`"
        if not found:
            raise InputError(
                "no Ray cluster found: RAY_ADDRESS is not set and none was started on this machine; "
                "`ray start --head` starts one, and the address local a private one"
            )
    if not _is_address(found):
        raise InputError(f"expected auto, local or HOST:PORT, got {found!r}, {source}")
    host, _, port = found.rpartition(":")
    try:
        with socket.create_connection((host.strip("[]"), int(port)), REACH_SECONDS) as connection:
            is_ray = _is_ray(connection)
    except UnicodeError:  # No name can be made of it, as of ``a..b``.
        raise InputError(f"expected auto, local or HOST:PORT, got {found!r}, {source}") from None
    except OSError as error:
        raise InputError(f"no Ray cluster answers at {found} ({error.strerror or error}), {source}") from None
    if not is_ray:
        raise InputError(f"what answers at {found} is no Ray cluster, {source}")
    return found


def _is_ray(connection: socket.socket) -> bool:
    """Whether the other end greets as Ray's servers do. Ray itself would wait for such a greeting without end."""
    if os.environ.get("RAY_USE_TLS", "").lower() in ("1", "true"):
        return True  # It greets nobody without a certificate.
    connection.settimeout(GREETING_SECONDS)
    try:
        connection.sendall(_GREETING)
        with connection.makefile("rb") as answer:
            header = answer.read(9)
    except OSError:
        return False
    return header[3:4] == bytes([_SETTINGS])


def left_address() -> str | None:
    """The address of the cluster that was last started on this machine, as Ray writes it down; ``None``: none was.

    Raises:
        InputError: if another user wrote it: whoever is there would be sent the token, and could send code.
    """
    file = _address_file()
    try:
        # Others may write there: a link could lead to a file of this user, a pipe could be waited for without end.
        careful = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
        with os.fdopen(os.open(file, os.O_RDONLY | careful), encoding="utf-8") as opened:
            owner, address = _owner(opened.fileno()), opened.read(1000).strip()
    except (OSError, UnicodeError):
        return None
    if hasattr(os, "geteuid") and owner not in (0, os.geteuid()):
        raise InputError(f"{file} was left by another user (id {owner}): give the address of a cluster that you trust")
    return address or None


def _owner(descriptor: int) -> int:
    return os.fstat(descriptor).st_uid


def _address_file() -> Path:
    """Where Ray itself looks for it; found without Ray, which takes a second to be imported."""
    place = os.environ.get("TMPDIR", "/tmp") if sys.platform == "linux" else "/tmp"
    return Path(os.environ.get("RAY_TMPDIR", place)) / "ray" / "ray_current_cluster"
