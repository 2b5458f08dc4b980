"""Strategies: where the next graph comes from. One a file, stateless over the trials in view.

- :class:`EvolutionStrategy`: aging evolution, the default.
- :class:`RandomStrategy`: random search.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from topo_search.search.strategies._base import Strategy
from topo_search.search.strategies.evolution import EvolutionStrategy
from topo_search.search.strategies.random import RandomStrategy, draw_family

__all__ = ["STRATEGIES", "EvolutionStrategy", "RandomStrategy", "Strategy", "draw_family"]

STRATEGIES: Mapping[str, type[Strategy]] = MappingProxyType(
    {strategy.name: strategy for strategy in (EvolutionStrategy, RandomStrategy)}
)
