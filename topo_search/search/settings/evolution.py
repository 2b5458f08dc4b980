"""Settings of the strategies that breed graphs."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, field_validator

from topo_search.graph import OPERATORS
from topo_search.search.settings.base import Count, FamilyDraw, Settings, Share, Weight

__all__ = ["EvolutionConfig", "LocalSearchConfig", "Nsga2Config", "WorkspaceConfig"]


class EvolutionConfig(Settings):
    """Evolution with tournaments, mutation and crossover.

    - ``survival``: ``aging`` (the latest ``population`` trials may become parents, Real et al., 2019) or ``elitist``
      (the best ``population`` of all, (mu + lambda)).
    - ``population``: how many.
    - ``tournament``: how many of them are drawn; the best is the parent.
    - ``crossover``: share of proposals with two parents.
    - ``alignment``: ``labels`` mixes parents area by area as they are numbered; ``roles`` first renumbers the second
      parent's areas, each within its role, to agree with the first as far as possible.
    - ``mutations``: mean number of further mutations a child after the first (geometric).
    - ``start``: families of the first ``initial`` proposals (as many as ``population`` where not given).
    - ``operators``: weights of the mutation operators; those not named keep 1.
    - ``adaptive``: share of the operators' weights that follows what they achieved so far.
    - ``novelty``: share of tournaments decided by novelty instead of score.
    """

    survival: Literal["aging", "elitist"] = "aging"
    population: Count = 30
    initial: Count | None = None
    tournament: Count = 6
    crossover: Share = 0.25
    alignment: Literal["labels", "roles"] = "labels"
    mutations: Annotated[float, Field(ge=0, le=20)] = 0.5
    start: tuple[FamilyDraw, ...] = (FamilyDraw(family="random_density"),)
    operators: dict[str, Weight] = Field(default_factory=dict)
    adaptive: Share = 0.0
    novelty: Share = 0.0

    @field_validator("operators")
    @classmethod
    def _known(cls, operators: dict[str, float]) -> dict[str, float]:
        unknown = sorted(set(operators) - set(OPERATORS))
        if unknown:
            raise ValueError(f"unknown operators {unknown}: expected some of {', '.join(sorted(OPERATORS))}")
        return operators

    @field_validator("start")
    @classmethod
    def _some_start(cls, start: tuple[FamilyDraw, ...]) -> tuple[FamilyDraw, ...]:
        if not any(draw.weight > 0 for draw in start):
            raise ValueError("start must name at least one family of positive weight")
        return start


class Nsga2Config(Settings):
    """NSGA-II over the search's objectives; see :class:`topo_search.search.strategies.Nsga2Strategy`."""

    population: Count = 40
    crossover: Share = 0.5
    mutations: Annotated[float, Field(ge=0, le=20)] = 0.5


class WorkspaceConfig(Settings):
    """Search from the global workspace; see :class:`topo_search.search.strategies.WorkspaceStrategy`."""

    tournament: Count = 4
    mutations: Annotated[float, Field(ge=0, le=20)] = 0.5


class LocalSearchConfig(Settings):
    """Hill climbing with restarts; see :class:`topo_search.search.strategies.LocalSearchStrategy`."""

    start: tuple[FamilyDraw, ...] = (FamilyDraw(family="random_density"),)
