"""Settings of a search, validated: one file a concept.

- :class:`SearchConfig`: strategies, lag, objectives; it holds the sections of the strategies.
- :class:`EvolutionConfig`, :class:`Nsga2Config`, :class:`WorkspaceConfig`, :class:`LocalSearchConfig`,
  :class:`PruningConfig`, :class:`SparseTrainingConfig`: the strategies' own.
- :class:`LadderConfig`: the fidelity ladder.
- :class:`FamilyDraw`: where random graphs come from.
"""

from topo_search.search.settings.base import Count, FamilyDraw, Settings, Share, Weight
from topo_search.search.settings.evolution import (
    BreedingConfig,
    EvolutionConfig,
    LocalSearchConfig,
    Nsga2Config,
    WorkspaceConfig,
)
from topo_search.search.settings.ladder import LadderConfig
from topo_search.search.settings.pruning import PruningConfig, SparseTrainingConfig
from topo_search.search.settings.search import Objective, SearchConfig

__all__ = [
    "BreedingConfig",
    "Count",
    "EvolutionConfig",
    "FamilyDraw",
    "LadderConfig",
    "LocalSearchConfig",
    "Nsga2Config",
    "Objective",
    "PruningConfig",
    "SearchConfig",
    "Settings",
    "Share",
    "SparseTrainingConfig",
    "Weight",
    "WorkspaceConfig",
]
