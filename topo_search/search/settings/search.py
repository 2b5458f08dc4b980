"""Settings of how candidates are proposed."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, field_validator

from topo_search.graph import Edge
from topo_search.search.settings.base import FamilyDraw, Settings, Weight
from topo_search.search.settings.evolution import EvolutionConfig, LocalSearchConfig, Nsga2Config, WorkspaceConfig
from topo_search.search.settings.pruning import PruningConfig, SparseTrainingConfig

__all__ = ["Objective", "SearchConfig"]

Objective = Literal["accuracy", "parameters", "edges"]


class SearchConfig(Settings):
    """How candidates are proposed.

    - ``strategies``: weights by name; each proposal draws one of them.
    - ``lag``: decision k sees the results of the evaluations before k - lag, whatever the number of workers.
    - ``objectives``: ``accuracy`` alone, or with a cost that is to be small: ``parameters`` or ``edges``.
    - ``start``: graphs that are proposed first, as lists of edges.
    - ``inherit_weights``: a child's coupling begins as its first parent's was after training, on the edges that both
      have.
    - the sections of the strategies, and ``options`` for those of other packages, by name.
    """

    strategies: dict[str, Weight] = Field(default_factory=lambda: {"evolution": 1.0})
    lag: Annotated[int, Field(ge=1, le=100_000, strict=True)] = 8
    objectives: tuple[Objective, ...] = ("accuracy",)
    start: tuple[tuple[Edge, ...], ...] = ()
    inherit_weights: bool = False
    evolution: EvolutionConfig = EvolutionConfig()
    random: tuple[FamilyDraw, ...] = (FamilyDraw(family="random_density"),)
    nsga2: Nsga2Config = Nsga2Config()
    gw_seeded: WorkspaceConfig = WorkspaceConfig()
    local_search: LocalSearchConfig = LocalSearchConfig()
    pruning: PruningConfig = PruningConfig()
    sparse_training: SparseTrainingConfig = SparseTrainingConfig()
    options: dict[str, dict[str, Any]] = Field(default_factory=dict)

    @field_validator("strategies")
    @classmethod
    def _some_strategy(cls, strategies: dict[str, float]) -> dict[str, float]:
        if not any(weight > 0 for weight in strategies.values()):
            raise ValueError("strategies must name at least one strategy of positive weight")
        return strategies

    @field_validator("objectives")
    @classmethod
    def _accuracy_first(cls, objectives: tuple[Objective, ...]) -> tuple[Objective, ...]:
        if not objectives or objectives[0] != "accuracy" or len(set(objectives)) != len(objectives):
            raise ValueError(f"objectives must begin with accuracy and name each once, got {list(objectives)}")
        return objectives
