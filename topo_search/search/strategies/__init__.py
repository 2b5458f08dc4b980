"""Strategies: where the next graph comes from. One a file, stateless over the trials in view.

- :class:`EvolutionStrategy`: aging evolution, the default.
- :class:`RandomStrategy`: random search.
- :data:`STRATEGIES`, :func:`strategy_names`, :func:`find_strategies`: by name, with those of other packages.
"""

from __future__ import annotations

from topo_search.search.strategies._base import Strategy
from topo_search.search.strategies.evolution import EvolutionStrategy
from topo_search.search.strategies.random import RandomStrategy, draw_family
from topo_search.search.strategies.registry import ENTRY_POINTS, STARTS, STRATEGIES, find_strategies, strategy_names

__all__ = [
    "ENTRY_POINTS",
    "STARTS",
    "STRATEGIES",
    "EvolutionStrategy",
    "RandomStrategy",
    "Strategy",
    "draw_family",
    "find_strategies",
    "strategy_names",
]
