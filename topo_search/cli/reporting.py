"""``report``: a run as a page."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from topo_search.cli.app import app
from topo_search.cli.options import JsonOption, StorageOption
from topo_search.cli.output import print_json

__all__ = ["report"]


@app.command()
def report(
    folder: Annotated[Path, typer.Argument(help="Folder of the run.")],
    storage: StorageOption = None,
    as_json: JsonOption = False,
) -> None:
    """Write a run's report, one page of HTML. It holds figures, tables and how they were got.

    Example: python -m topo_search report outputs/NAME
    """
    from topo_search import api

    path = api.write_report(folder, storage=storage)
    if as_json:
        print_json({"report": str(path)})
    else:
        print(path)
