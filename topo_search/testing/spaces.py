"""Search spaces that strategies are checked in: small, and each with another rule. Their data are never loaded."""

from __future__ import annotations

from typing import Any

from topo_search.search import SearchConfig, SearchSpace

__all__ = ["checked_spaces", "small_space"]

_AREAS: tuple[dict[str, Any], ...] = (
    {"role": "input", "size": 4, "count": 2},
    {"role": "hidden", "size": 4, "count": 4},
    {"role": "output", "size": 4},
)
# Small generations, so that the strategies of this package leave their first one within a short search.
_SEARCH = SearchConfig.model_validate({"evolution": {"population": 8}, "nsga2": {"population": 8}})
_NO_SHORTCUT = {"forbidden_roles": [["input", "output"]]}
_RULES: dict[str, dict[str, Any]] = {
    "edge budget": {"edges": {"max_edges": 9, **_NO_SHORTCUT}},
    "least edge budget": {"edges": {"max_edges": 4, **_NO_SHORTCUT}},
    "all edges allowed": {"edges": {}},
    "forbidden roles": {"edges": {"max_edges": 8, "forbidden_roles": [["input", "output"], ["hidden", "hidden"]]}},
    "forbidden pairs": {"edges": {"max_edges": 8, "forbidden_pairs": [[0, 1], [2, 6], [3, 4]]}},
    "connected": {"edges": {"max_edges": 8, "connected": True, **_NO_SHORTCUT}},
    "hub sizes": {"edges": {"max_edges": 9, "hub_sizes": [8, 12], **_NO_SHORTCUT}},
    "areas of both roles": {
        "areas": [{"role": "input+output", "size": 4, "count": 2}, {"role": "hidden", "size": 3, "count": 3}],
        "edges": {"max_edges": 6},
    },
    "two objectives": {"edges": {"max_edges": 9, **_NO_SHORTCUT}, "objectives": ["accuracy", "parameters"]},
}


def _space(search: SearchConfig, *, areas: Any = _AREAS, edges: Any, **changes: Any) -> SearchSpace:
    return SearchSpace.model_validate(
        {
            "name": "contract",
            "task": {"name": "digits"},
            "areas": areas,
            "edges": edges,
            "training": {"epochs": 4},
            "ladder": {"rungs": [1, 2, 4], "window": 20},
            # Graphs to start from belong to the areas of another space.
            "search": {**search.model_dump(mode="json"), "start": (), **changes},
        }
    )


def checked_spaces(given: SearchSpace | None = None) -> dict[str, SearchSpace]:
    """Spaces by their rule; the one that is given comes first and lends the others its ``search``."""
    search = _SEARCH if given is None else given.search
    spaces = {rule: _space(search, **entries) for rule, entries in _RULES.items()}
    return spaces if given is None else {"given": given, **spaces}


def small_space(given: SearchSpace | None = None) -> SearchSpace:
    """A space of a handful of graphs: each may have 2 or 3 of 5 edges."""
    areas = [{"role": "input", "size": 4}, {"role": "hidden", "size": 4, "count": 2}, {"role": "output", "size": 4}]
    search = _SEARCH if given is None else given.search
    return _space(search, areas=areas, edges={"max_edges": 3, **_NO_SHORTCUT})
