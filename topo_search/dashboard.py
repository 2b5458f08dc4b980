"""The study of a run in optuna-dashboard, for this machine only unless told otherwise."""

from __future__ import annotations

import ipaddress
import socket
import sys
import threading
from pathlib import Path
from socketserver import ThreadingMixIn
from typing import TYPE_CHECKING
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from topo_search.api.recorded import open_recorded
from topo_search.errors import InputError

if TYPE_CHECKING:
    from wsgiref.types import WSGIApplication

__all__ = ["serve"]

LOOPBACK = "127.0.0.1"


class _Server(ThreadingMixIn, WSGIServer):
    """Answers each request in a thread of its own: a slow one holds up neither the others nor the end."""

    daemon_threads = True


class _Handler(WSGIRequestHandler):
    """Tells of errors, not of every request: an open page asks several times a minute."""

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Say nothing."""


def _serve_until_interrupted(application: WSGIApplication, host: str, port: int) -> None:
    """Answer requests until Ctrl-C.

    The main thread answers none itself. An interrupt comes to the main thread alone, and wsgiref takes whatever is
    raised within a request for an error of that request: a Ctrl-C that met one would be lost.
    """
    ended, failures = threading.Event(), list[BaseException]()
    with make_server(host, port, application, server_class=_Server, handler_class=_Handler) as server:

        def answer() -> None:
            try:
                server.serve_forever()
            except BaseException as error:
                failures.append(error)
            finally:
                ended.set()

        threading.Thread(target=answer, name="dashboard", daemon=True).start()
        try:
            ended.wait()
        except KeyboardInterrupt:
            print("", file=sys.stderr)
            server.shutdown()
    if failures:
        raise failures[0]


def _stays_here(host: str) -> bool:
    """Whether only this machine reaches a server at this address; a name is taken for one that others reach."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _check_address(host: str, port: int) -> None:
    """Raise InputError unless a server can listen there."""
    if not host:
        raise InputError("host must be an IPv4 address or a name of this machine, got an empty one")
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            # The dashboard's server speaks IPv4 alone.
            probe.bind((host, port))
        except socket.gaierror:
            raise InputError(
                f"host {host!r} is no address of this machine: expected an IPv4 address or a name"
            ) from None
        except OSError as error:
            raise InputError(
                f"port {port} on {host} cannot be used ({error.strerror}): give another --port or --host"
            ) from None


def serve(folder: Path, *, port: int, host: str = LOOPBACK, storage: str | None = None) -> None:
    """Serve the run's study until interrupted.

    The dashboard knows no passwords: at any address but that of this machine itself a warning says what opens.

    Args:
        folder: of the run.
        port: to listen on, from 1 to 65535.
        host: IPv4 address or name of this machine to listen on; ``0.0.0.0`` for all of its addresses.
        storage: URL of the study, where it needs a password.

    Raises:
        InputError: if the folder is no run, its study cannot be opened, or the address or port cannot be used.
    """
    run = open_recorded(folder, storage=storage)
    _check_address(host, port)
    try:
        from optuna_dashboard import wsgi
    except ImportError:
        raise InputError("optuna-dashboard is not installed: pip install optuna-dashboard") from None
    if not _stays_here(host):
        print(
            f"warning: anyone who reaches {host}:{port} can read and change this study: the dashboard has no passwords",
            file=sys.stderr,
            flush=True,
        )
    print(f"dashboard at http://{host}:{port}/dashboard  (Ctrl-C ends it)", flush=True)
    _serve_until_interrupted(wsgi(run.storage), host, port)
