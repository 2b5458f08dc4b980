"""``list``, ``dashboard`` and ``doctor``: what there is, what a run does, whether this machine is fit."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from topo_search.cli.app import app
from topo_search.cli.options import (
    CheckedOutOption,
    DataOption,
    JsonOption,
    StorageOption,
)
from topo_search.cli.output import print_json
from topo_search.errors import InputError

__all__ = ["dashboard", "doctor", "list_names"]


@app.command("list")
def list_names(
    what: Annotated[str, typer.Argument(help="spaces, tasks, strategies or families.")],
    as_json: JsonOption = False,
) -> None:
    """List what there is, by name.

    Example: python -m topo_search list tasks --json
    """
    from topo_search.listing import LISTS, listing

    if what not in LISTS:
        raise InputError(f"unknown list {what!r}: expected one of {', '.join(LISTS)}")
    entries = listing(what)
    if as_json:
        print(json.dumps(list(entries)))
        return
    width = max(map(len, entries), default=0)
    for name, text in entries.items():
        print(f"{name:<{width}}  {text}".rstrip())


@app.command()
def dashboard(
    folder: Annotated[Path, typer.Argument(help="Folder of the run.")],
    port: Annotated[int, typer.Option("--port", metavar="<int>", min=1, max=65535, help="Port to listen on.")] = 8080,
    host: Annotated[
        str, typer.Option("--host", help="Address to listen on; any other than 127.0.0.1 lets others in.")
    ] = "127.0.0.1",
    storage: StorageOption = None,
) -> None:
    """Show a run's study in optuna-dashboard. On this machine only unless told otherwise.

    Example: python -m topo_search dashboard outputs/NAME
    """
    from topo_search.dashboard import serve

    serve(folder, port=port, host=host, storage=storage)


@app.command()
def doctor(
    ray: Annotated[str | None, typer.Option("--ray", help="Try this Ray cluster: auto or HOST:PORT.")] = None,
    storage: StorageOption = None,
    out: CheckedOutOption = None,
    data_dir: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Check this machine and the installation. One line a check, exit status 1 if one fails; a warning is no failure.

    Example: python -m topo_search doctor
    """
    from topo_search.doctor import run_checks

    if ray == "local":
        raise InputError("a private Ray starts and ends with its run: expected --ray auto or HOST:PORT")
    checks = run_checks(data_dir, out=out, ray=ray, storage=storage)
    if as_json:
        print_json({check.name: {"ok": check.ok, "level": check.level, "detail": check.detail} for check in checks})
    else:
        for check in checks:
            print(f"{check.level:<4}  {check.name}: {check.detail}")
    if not all(check.ok for check in checks):
        raise typer.Exit(1)
