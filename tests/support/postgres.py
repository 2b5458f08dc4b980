"""A PostgreSQL server of a test's own: a new cluster in a temporary folder, on 127.0.0.1, with a password."""

from __future__ import annotations

import importlib.util
import os
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

USER = "searcher"
# Characters that a URL must escape: a message that quotes the URL in any form is caught.
PASSWORD = f"s3cr/et {secrets.token_hex(6)}@:+"
START_SECONDS = 60


@dataclass(frozen=True)
class Server:
    """A running server.

    Attributes:
        url: of its database, with the password, for any of our functions.
        password: as it is, unescaped.
        process: the postmaster.
    """

    url: str
    password: str
    process: subprocess.Popen[bytes]

    def database(self, name: str) -> str:
        """URL of a new, empty database."""
        import psycopg

        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute(f'CREATE DATABASE "{name}"')
        return self.url.rpartition("/")[0] + f"/{name}"


def _programs() -> Path | None:
    """The folder with ``initdb`` and ``postgres``."""
    folders = [Path(entry) for entry in os.environ.get("PATH", "").split(os.pathsep) if entry]
    folders += sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    if shutil.which("pg_config"):
        said = subprocess.run(["pg_config", "--bindir"], capture_output=True, text=True, check=False)
        folders.append(Path(said.stdout.strip() or "/nowhere"))
    return next((f for f in folders if (f / "initdb").exists() and (f / "postgres").exists()), None)


def why_not() -> str:
    """Why there can be no server here; empty where there can."""
    if _programs() is None:
        return "PostgreSQL is not installed: no initdb and postgres"
    if importlib.util.find_spec("psycopg") is None:
        return "psycopg is not installed: pip install 'topo_search[postgresql]'"
    return ""


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def running_server() -> Iterator[Server]:
    """Make a cluster, start it, and take everything away again; skips the test where there is no PostgreSQL."""
    reason = why_not()
    if reason:
        pytest.skip(reason)
    programs = _programs()
    assert programs is not None
    # Not below pytest's own folder, which only its owner may enter, and short: a socket's path has 107 characters.
    folder = Path(tempfile.mkdtemp(prefix="topo-pg-"))
    # PostgreSQL refuses to run as root.
    user = {"user": "nobody", "group": "nogroup", "extra_groups": []} if os.geteuid() == 0 else {}
    server = None
    try:
        (folder / "password").write_text(PASSWORD)
        if user:
            for path in (folder, folder / "password"):
                shutil.chown(path, user="nobody", group="nogroup")
        quiet = {"cwd": folder, "env": {"PATH": os.environ["PATH"], "LC_ALL": "C"}, **user}
        made = subprocess.run(
            [
                *(programs / "initdb", "-D", folder / "data", "-U", USER, "--pwfile", folder / "password"),
                *("--auth=scram-sha-256", "--encoding=UTF8", "--no-sync"),
            ],
            capture_output=True,
            text=True,
            check=False,
            **quiet,
        )
        if made.returncode:
            pytest.skip(f"initdb failed: {(made.stderr.strip().splitlines() or ['no reason given'])[-1]}")
        port = _free_port()
        with (folder / "log").open("wb") as log:
            server = subprocess.Popen(
                [
                    *(programs / "postgres", "-D", folder / "data", "-p", str(port), "-k", folder),
                    *("-c", "listen_addresses=127.0.0.1", "-c", "fsync=off", "-c", "max_connections=60"),
                ],
                stdout=log,
                stderr=log,
                **quiet,
            )
        from urllib.parse import quote

        url = f"postgresql://{USER}:{quote(PASSWORD, safe='')}@127.0.0.1:{port}/postgres"
        _wait_until_it_answers(url, server, folder / "log")
        yield Server(url, PASSWORD, server)
    finally:
        if server is not None:
            server.send_signal(signal.SIGINT)  # "fast": it does not wait for who is connected.
            with suppress(subprocess.TimeoutExpired):
                server.wait(timeout=20)
            server.kill()
            server.wait()
        shutil.rmtree(folder, ignore_errors=True)


def _wait_until_it_answers(url: str, server: subprocess.Popen[bytes], log: Path) -> None:
    import psycopg

    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            psycopg.connect(url, connect_timeout=2).close()
            return
        except psycopg.OperationalError as error:
            if server.poll() is not None or time.monotonic() > deadline:
                pytest.fail(f"PostgreSQL did not start: {error}\n{log.read_text()[-2000:]}")
            time.sleep(0.1)
