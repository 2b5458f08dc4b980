"""Strategies: where the next graph comes from. One a file, stateless over the trials in view.

- Breeding: :class:`EvolutionStrategy`, the default; :class:`Nsga2Strategy` over two objectives;
  :class:`WorkspaceStrategy` from the global workspace; :class:`LocalSearchStrategy`.
- Pruning a pretrained network, by one score of edges each: :class:`MagnitudeStrategy`, :class:`DeltaWeightStrategy`,
  :class:`RelativeDeltaStrategy`, :class:`GradientPruningStrategy`, :class:`TaylorPruningStrategy`,
  :class:`SnipStrategy`.
- Edges that move while a network trains: :class:`RigLStrategy`, :class:`SetStrategy`.
- To compare with: :class:`RandomStrategy`, and Optuna's samplers, :class:`TpeStrategy` and
  :class:`OptunaNsga2Strategy`.
- :data:`STRATEGIES`, :func:`strategy_names`, :func:`find_strategies`: by name, with those of other packages.
"""

from __future__ import annotations

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
from topo_search.search.strategies.random import RandomStrategy, draw_family
from topo_search.search.strategies.registry import ENTRY_POINTS, STARTS, STRATEGIES, find_strategies, strategy_names
from topo_search.search.strategies.relative_delta import RelativeDeltaStrategy
from topo_search.search.strategies.rigl import RigLStrategy
from topo_search.search.strategies.set import SetStrategy
from topo_search.search.strategies.snip import SnipStrategy
from topo_search.search.strategies.taylor_pruning import TaylorPruningStrategy

__all__ = [
    "ENTRY_POINTS",
    "STARTS",
    "STRATEGIES",
    "DeltaWeightStrategy",
    "EvolutionStrategy",
    "GradientPruningStrategy",
    "LocalSearchStrategy",
    "MagnitudeStrategy",
    "Nsga2Strategy",
    "OptunaNsga2Strategy",
    "RandomStrategy",
    "RelativeDeltaStrategy",
    "RigLStrategy",
    "SetStrategy",
    "SnipStrategy",
    "Strategy",
    "TaylorPruningStrategy",
    "TpeStrategy",
    "WorkspaceStrategy",
    "draw_family",
    "find_strategies",
    "strategy_names",
]
