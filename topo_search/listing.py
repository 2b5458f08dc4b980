"""What ``list`` lists: names with a line of text each."""

from __future__ import annotations

from collections.abc import Mapping

__all__ = ["LISTS", "listing"]

LISTS = ("spaces", "tasks", "strategies", "families")


def _first_line(value: object) -> str:
    return (value.__doc__ or "").strip().partition("\n")[0]


def listing(what: str) -> Mapping[str, str]:
    """Names and descriptions of one of :data:`LISTS`, in alphabetical order.

    Raises:
        KeyError: if there is no such list.
    """
    if what == "spaces":
        from topo_search.config import shipped_spaces

        found = {name: _comment(path.read_text(encoding="utf-8")) for name, path in shipped_spaces().items()}
    elif what == "tasks":
        from topo_search.tasks import TASKS

        found = {name: info.description for name, info in TASKS.items()}
    elif what == "strategies":
        from topo_search.search import find_strategies, strategy_names

        found = {name: _first_line(strategy) for name, strategy in find_strategies(strategy_names()).items()}
    elif what == "families":
        from topo_search.graph import FAMILIES

        found = {name: _first_line(family) for name, family in FAMILIES.items()}
    else:
        raise KeyError(what)
    return dict(sorted(found.items()))


def _comment(text: str) -> str:
    return text.partition("\n")[0].removeprefix("#").strip()
