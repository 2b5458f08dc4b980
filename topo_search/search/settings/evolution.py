"""Settings of the strategies that breed graphs."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, field_validator

from topo_search.graph import OPERATORS
from topo_search.search.settings.base import Count, FamilyDraw, Settings, Share, Weight

__all__ = ["BreedingConfig", "EvolutionConfig", "LocalSearchConfig", "Nsga2Config", "WorkspaceConfig"]


class BreedingConfig(Settings):
    """How a child is made of its parents; the strategies below share it.

    - ``crossover``: share of children with two parents.
    - ``alignment``: ``labels`` mixes parents area by area as they are numbered; ``roles`` first renumbers the second
      parent's hidden areas to agree with the first as far as possible.
    - ``mutations``: mean number of further mutations a child after the first (geometric).
    - ``operators``: weights of the mutation operators; those not named keep 1.
    - ``tries``: children that are made until one is not known. When all are known, the last is mutated further, as
      often again.
    """

    crossover: Share = 0.25
    alignment: Literal["labels", "roles"] = "labels"
    mutations: Annotated[float, Field(ge=0, le=20)] = 0.5
    operators: dict[str, Weight] = Field(default_factory=dict)
    tries: Count = 8

    @field_validator("operators")
    @classmethod
    def _known(cls, operators: dict[str, float]) -> dict[str, float]:
        unknown = sorted(set(operators) - set(OPERATORS))
        if unknown:
            raise ValueError(f"unknown operators {unknown}: expected some of {', '.join(sorted(OPERATORS))}")
        if operators.keys() == OPERATORS.keys() and not any(operators.values()):
            raise ValueError("operators must leave at least one operator of positive weight")
        return operators


class EvolutionConfig(BreedingConfig):
    """Evolution with tournaments, mutation and crossover.

    - ``survival``: ``aging`` (the latest ``population`` trials may become parents, Real et al., 2019) or ``elitist``
      (the best ``population`` of all, (mu + lambda)).
    - ``population``: how many.
    - ``tournament``: how many of them are drawn; the best is the parent.
    - ``start``: families of the first ``initial`` proposals (``null``: as many as ``population``). Where the
      search has graphs to start from (``search.start``), the first proposals are mutants of those instead.
    - ``adaptive``: share of the operators' weights that follows what they achieved in the latest
      ``adaptation_window`` trials.
    - ``novelty``: share of tournaments decided by novelty instead of score: the mean number of edges in which a graph
      differs from its ``novelty_neighbours`` nearest in the population.
    - ``greedy``: share of proposals that are the leader changed by one operator.
    - ``guided``: share of the other proposals that are the most promising of ``candidates`` children, as a linear
      guess from the latest ``guide_window`` trials has it; ``guide_ridge`` is how little it trusts single edges.
    """

    survival: Literal["aging", "elitist"] = "elitist"
    mutations: Annotated[float, Field(ge=0, le=20)] = 0.3
    population: Count = 15
    initial: Count | None = 10
    tournament: Count = 5
    start: tuple[FamilyDraw, ...] = (FamilyDraw(family="random_density"),)
    adaptive: Share = 0.0
    adaptation_window: Count = 100
    novelty: Share = 0.0
    novelty_neighbours: Count = 10
    greedy: Share = 0.0
    guided: Share = 0.9
    candidates: Count = 40
    guide_window: Count = 300
    guide_ridge: Annotated[float, Field(gt=0, le=1e6)] = 5.0

    @field_validator("start")
    @classmethod
    def _some_start(cls, start: tuple[FamilyDraw, ...]) -> tuple[FamilyDraw, ...]:
        return _drawable(start)


class Nsga2Config(BreedingConfig):
    """NSGA-II over the search's objectives; see :class:`topo_search.search.strategies.Nsga2Strategy`.

    - ``population``: trials that may become parents, and the number of first proposals.
    - ``start``: families of these first proposals; where none is named, random graphs of any number of edges that the
      space allows, so that the front begins wide.
    """

    crossover: Share = 0.5
    population: Count = 40
    start: tuple[FamilyDraw, ...] = ()

    @field_validator("start")
    @classmethod
    def _some_start(cls, start: tuple[FamilyDraw, ...]) -> tuple[FamilyDraw, ...]:
        return _drawable(start) if start else start


class WorkspaceConfig(BreedingConfig):
    """Search from the global workspace; see :class:`topo_search.search.strategies.WorkspaceStrategy`.

    - ``hubs``: most hubs of a starting graph.
    - ``initial``: most starting graphs.
    - ``population``: the best so many of the strategy's own trials may become parents.
    - ``tournament``: how many of them are drawn; the best is the parent.
    - ``radius``: distance to the workspace that children may have at first.
    - ``patience``: proposals after which the distance grows by one.
    """

    crossover: Share = 0.0
    hubs: Count = 3
    initial: Count = 24
    population: Count = 20
    tournament: Count = 4
    radius: Count = 2
    patience: Count = 20


class LocalSearchConfig(Settings):
    """Hill climbing with restarts; see :class:`topo_search.search.strategies.LocalSearchStrategy`.

    - ``start``: families of the graphs where climbs begin.
    """

    start: tuple[FamilyDraw, ...] = (FamilyDraw(family="random_density"),)

    @field_validator("start")
    @classmethod
    def _some_start(cls, start: tuple[FamilyDraw, ...]) -> tuple[FamilyDraw, ...]:
        return _drawable(start)


def _drawable(start: tuple[FamilyDraw, ...]) -> tuple[FamilyDraw, ...]:
    if not any(draw.weight > 0 for draw in start):
        raise ValueError("start must name at least one family of positive weight")
    return start
