"""A strategy under its name, as if its package were installed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import EntryPoint, entry_points
from unittest.mock import patch

from topo_search.search import STRATEGIES, Strategy, find_strategies
from topo_search.search.strategies import ENTRY_POINTS

__all__ = ["offered"]


class _Offer:
    """An entry point that need not be imported: a class inside a test has no place to import it from."""

    def __init__(self, strategy: type[Strategy]) -> None:
        self.name, self.group = strategy.name, ENTRY_POINTS
        self.value = f"{strategy.__module__}:{strategy.__qualname__}"
        self._strategy = strategy

    def load(self) -> type[Strategy]:
        return self._strategy


@contextmanager
def offered(strategy: type[Strategy]) -> Iterator[None]:
    """Inside, spaces may name the strategy; one of this package is there anyway."""
    if STRATEGIES.get(strategy.name) is strategy:
        yield
        return

    def with_offer(*, group: str, name: str | None = None) -> list[EntryPoint | _Offer]:
        found: list[EntryPoint | _Offer] = [point for point in entry_points(group=group) if point.name != strategy.name]
        if group == ENTRY_POINTS:
            found.append(_Offer(strategy))
        return [point for point in found if name in (None, point.name)]

    with patch(f"{find_strategies.__module__}.entry_points", with_offer):
        yield
