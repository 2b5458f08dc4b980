"""Where data sets are looked for."""

from __future__ import annotations

import os
from pathlib import Path

from topo_search.errors import InputError

__all__ = ["DATA_DIR_VARIABLE", "resolve_data_dir"]

DATA_DIR_VARIABLE = "TOPO_SEARCH_DATA"


def resolve_data_dir(data_dir: str | Path | None = None) -> Path:
    """Finds the data folder: the argument, else ``TOPO_SEARCH_DATA``, else the user's cache folder.

    The cache folder is ``$XDG_CACHE_HOME/topo_search``, or ``~/.cache/topo_search`` where that variable is not set.
    Empty variables count as not set. The folder need not exist.

    Args:
        data_dir: The folder that the user named, if any; ``~`` is expanded.

    Returns:
        An absolute path.

    Raises:
        InputError: The path is a file.
    """
    if data_dir is not None:
        folder, origin = Path(data_dir), "--data-dir"
    elif named := os.environ.get(DATA_DIR_VARIABLE):
        folder, origin = Path(named), DATA_DIR_VARIABLE
    else:
        folder = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache") / "topo_search"
        origin = "the cache folder"
    folder = folder.expanduser().absolute()
    if folder.exists() and not folder.is_dir():
        raise InputError(f"data folder: expected a folder, found a file: {folder} (from {origin})")
    return folder
