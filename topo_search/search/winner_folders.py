"""The folders ``winners/1``, ``winners/2`` and so on: put there whole, and nothing beside them is touched."""

from __future__ import annotations

import re
import shutil
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Any

from topo_search.errors import RunFailedError
from topo_search.files import write_atomically, write_json
from topo_search.model.saved import NETWORK_FILES

__all__ = ["check_places", "put_winner", "remove_stale"]

METRICS = "metrics.json"
_RANK = re.compile(r"[1-9][0-9]*")
# Names of a winner on its way in and on its way out.
_PASSING = re.compile(r"\.[1-9][0-9]*\.(new|old)")


def check_places(winners: Path, ranks: Iterable[int]) -> None:
    """Look whether winners of these ranks can be put into a folder, which need not exist.

    Raises:
        RunFailedError: if something that is not the run's stands in a place.
    """
    for rank in ranks:
        for path in (winners / str(rank), _new(winners, rank), _old(winners, rank)):
            _check(path)


def put_winner(winners: Path, rank: int, source: Path, metrics: Mapping[str, Any]) -> None:
    """Put a saved network and its numbers into the folder of its rank, in place of what the run had left there.

    Args:
        winners: folder of the winners, made where it does not exist.
        rank: from 1.
        source: folder of the saved network.
        metrics: plain values.

    Raises:
        OSError: if a file cannot be read or written.
        RunFailedError: if something that is not the run's stands in the place.
    """
    check_places(winners, [rank])
    new, target = _new(winners, rank), winners / str(rank)
    _remove(new)
    new.mkdir(parents=True)
    # By name: a worker that was killed may have left a file beside them.
    for name in NETWORK_FILES:
        write_atomically(new / name, (source / name).read_bytes())
    write_json(new / METRICS, metrics)
    old = _set_aside(target)
    new.rename(target)
    _remove(old)


def remove_stale(winners: Path, *, keep: Collection[int]) -> None:
    """Remove what the run left in its folder of winners, but for these ranks; files and folders of others stay.

    Raises:
        RunFailedError: if a folder that is to go cannot be set aside, since its place is taken.
    """
    kept = {str(rank) for rank in keep}
    for path in sorted(winners.glob("*")):
        if _PASSING.fullmatch(path.name) and _is_ours(path):
            _remove(path)
        elif _RANK.fullmatch(path.name) and path.name not in kept and _is_ours(path):
            _remove(_set_aside(path))


def _new(winners: Path, rank: int | str) -> Path:
    return winners / f".{rank}.new"


def _old(winners: Path, rank: int | str) -> Path:
    return winners / f".{rank}.old"


def _is_ours(path: Path) -> bool:
    """Whether the run made a folder: a winner's holds its numbers; an empty one is nothing that could be lost."""
    if path.is_symlink() or not path.is_dir():
        return False
    return bool(_PASSING.fullmatch(path.name)) or (path / METRICS).is_file() or not any(path.iterdir())


def _check(path: Path) -> None:
    if (path.is_symlink() or path.exists()) and not _is_ours(path):
        raise RunFailedError(
            f"{path} is in the way of a winner: expected nothing there, or what the run left; "
            "move it elsewhere and go on with resume"
        )


def _set_aside(path: Path) -> Path:
    """Take a winner out of its place in one step: half removed, it would be taken for someone else's."""
    old = _old(path.parent, path.name)
    _check(old)
    _remove(old)
    if path.exists():
        path.rename(old)
    return old


def _remove(path: Path) -> None:
    if path.exists():
        shutil.rmtree(path)
