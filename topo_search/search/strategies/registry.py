"""Strategies by name: those of this package, and those that other packages offer by entry point."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from importlib.metadata import entry_points
from types import MappingProxyType

from topo_search.errors import InputError
from topo_search.search.strategies._base import Strategy
from topo_search.search.strategies.delta_weight import DeltaWeightStrategy
from topo_search.search.strategies.evolution import EvolutionStrategy
from topo_search.search.strategies.gradient_pruning import GradientPruningStrategy
from topo_search.search.strategies.gw_seeded import WorkspaceStrategy
from topo_search.search.strategies.local_search import LocalSearchStrategy
from topo_search.search.strategies.magnitude import MagnitudeStrategy
from topo_search.search.strategies.nsga2 import Nsga2Strategy
from topo_search.search.strategies.optuna_nsga2 import OptunaNsga2Strategy
from topo_search.search.strategies.optuna_tpe import TpeStrategy
from topo_search.search.strategies.random import RandomStrategy
from topo_search.search.strategies.relative_delta import RelativeDeltaStrategy
from topo_search.search.strategies.rigl import RigLStrategy
from topo_search.search.strategies.set import SetStrategy
from topo_search.search.strategies.snip import SnipStrategy
from topo_search.search.strategies.taylor_pruning import TaylorPruningStrategy

__all__ = ["ENTRY_POINTS", "STARTS", "STRATEGIES", "find_strategies", "strategy_names"]

ENTRY_POINTS = "topo_search.strategies"
"""Group of the entry points that other packages offer strategies by; the entry point's name is the strategy's."""

STARTS = "start"
"""What trials of graphs that the user starts from name as their strategy and operator."""

STRATEGIES: Mapping[str, type[Strategy]] = MappingProxyType(
    {
        strategy.name: strategy
        for strategy in (
            EvolutionStrategy,
            Nsga2Strategy,
            WorkspaceStrategy,
            LocalSearchStrategy,
            MagnitudeStrategy,
            DeltaWeightStrategy,
            RelativeDeltaStrategy,
            GradientPruningStrategy,
            TaylorPruningStrategy,
            SnipStrategy,
            RigLStrategy,
            SetStrategy,
            RandomStrategy,
            TpeStrategy,
            OptunaNsga2Strategy,
        )
    }
)
"""The strategies of this package."""


def strategy_names() -> list[str]:
    """Names of all strategies, in alphabetical order; those of other packages are not loaded."""
    return sorted({*STRATEGIES, *(point.name for point in entry_points(group=ENTRY_POINTS))})


def find_strategies(names: Iterable[str]) -> dict[str, type[Strategy]]:
    """Strategies by name; those of other packages are loaded.

    Raises:
        InputError: if there is no such strategy, or that of another package cannot be loaded or is none.
    """
    names = list(names)
    unknown = sorted(set(names) - set(strategy_names()))
    if unknown:
        raise InputError(f"unknown strategies {unknown}: expected some of {', '.join(strategy_names())}")
    return {name: STRATEGIES[name] if name in STRATEGIES else _load(name) for name in names}


def _load(name: str) -> type[Strategy]:
    (point, *_) = entry_points(group=ENTRY_POINTS, name=name)
    where = f"strategy {name!r} of entry point {point.value}"
    try:
        loaded = point.load()
    except Exception as error:
        # Another package may raise what it likes while it is imported.
        raise InputError(f"{where} cannot be loaded: {type(error).__name__}: {error}") from None
    if not isinstance(loaded, type) or not callable(getattr(loaded, "propose", None)):
        raise InputError(f"{where} is no strategy: expected a class with a method propose")
    if getattr(loaded, "name", None) != name:
        raise InputError(f"{where} is called {getattr(loaded, 'name', None)!r}: expected the entry point's name")
    found: type[Strategy] = loaded
    return found
