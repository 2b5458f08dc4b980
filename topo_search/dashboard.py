"""The study of a run in optuna-dashboard, for this machine only."""

from __future__ import annotations

import socket
import sys
from pathlib import Path

from topo_search.config import read_space_file
from topo_search.errors import InputError
from topo_search.search import RunFolder, open_storage

__all__ = ["serve"]

# The dashboard knows no passwords: it must not be reachable from other machines.
HOST = "127.0.0.1"


def serve(folder: Path, *, port: int, storage: str | None = None) -> None:
    """Serve the run's study on 127.0.0.1 until interrupted.

    Raises:
        InputError: if the folder is no run, its study cannot be opened, or the port is taken.
    """
    run = RunFolder(folder)
    if not run.space.is_file():
        raise InputError(f"{folder} is not a run: expected a folder with space.yaml that evolve left behind")
    values, _ = read_space_file(run.space)
    location = storage or (values.get("run") or {}).get("storage")
    if location is None and not run.journal.is_file():
        raise InputError(f"no study at {run.journal}: expected the journal of a run")
    if location is not None and "***" in location:
        raise InputError(f"the run's study is at {location}: give --storage with the password")
    opened = open_storage(location or run.journal)
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError as error:
            raise InputError(f"port {port} on {HOST} cannot be used ({error.strerror}): give another --port") from None
    try:
        from optuna_dashboard import run_server
    except ImportError:
        raise InputError("optuna-dashboard is not installed: pip install optuna-dashboard") from None
    print(f"dashboard at http://{HOST}:{port}/dashboard  (Ctrl-C ends it)", flush=True)
    try:
        run_server(opened, host=HOST, port=port)
    except KeyboardInterrupt:
        print("", file=sys.stderr)
