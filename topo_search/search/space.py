"""The search space: what may vary, what is fixed, and how a search over it goes. Validated, complete, printable."""

from __future__ import annotations

from functools import cached_property
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from topo_search.graph import FAMILIES, OPERATORS, Area, GraphConstraints
from topo_search.model import NetworkConfig
from topo_search.tasks import TaskConfig
from topo_search.training import TrainingConfig

__all__ = [
    "AfterConfig",
    "AreaGroup",
    "EdgeRules",
    "EvolutionConfig",
    "FamilyDraw",
    "LadderConfig",
    "ProbeConfig",
    "SearchConfig",
    "SearchSpace",
]

_Strict = ConfigDict(frozen=True, extra="forbid")
Count = Annotated[int, Field(ge=1, strict=True)]
Weight = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class AreaGroup(BaseModel):
    """Areas alike: ``count`` of them, one after the other.

    ``channels`` are the input channels that an input area sees; all where not given.
    """

    model_config = _Strict

    role: Literal["input", "hidden", "output", "input+output"] = "hidden"
    size: Annotated[int, Field(ge=1, le=65_536, strict=True)] = 16
    count: Annotated[int, Field(ge=1, le=4_096, strict=True)] = 1
    channels: tuple[Annotated[int, Field(ge=0, strict=True)], ...] | None = None

    @model_validator(mode="after")
    def _channels_need_input(self) -> Self:
        if self.channels is not None and "input" not in self.role:
            raise ValueError(f"channels are given to an area of role {self.role}: expected an input area")
        return self


class EdgeRules(BaseModel):
    """Which edges a graph may have: see :class:`topo_search.graph.GraphConstraints`."""

    model_config = _Strict

    max_edges: Annotated[int, Field(ge=0, strict=True)] | None = None
    forbidden_roles: tuple[tuple[str, str], ...] = ()
    forbidden_pairs: tuple[tuple[int, int], ...] = ()
    hub_sizes: tuple[Count, ...] = ()


class LadderConfig(BaseModel):
    """The fidelity ladder: successive halving over epochs.

    - ``rungs``: epochs of each rung, increasing.
    - ``keep``: a trial goes to the next rung when fewer than one in ``keep`` of the results in view at its rung are
      better.
    - ``window``: how many of the latest results at a rung are in view; a population that improves would otherwise
      promote nearly every newcomer over the first, weaker ones.
    """

    model_config = _Strict

    rungs: tuple[Count, ...] = (6, 12, 24)
    keep: Annotated[int, Field(ge=2, strict=True)] = 3
    window: Annotated[int, Field(ge=1, strict=True)] = 60

    @field_validator("rungs")
    @classmethod
    def _increasing(cls, rungs: tuple[int, ...]) -> tuple[int, ...]:
        if not rungs or list(rungs) != sorted(set(rungs)):
            raise ValueError(f"rungs must be increasing numbers of epochs, got {list(rungs)}")
        return rungs


class FamilyDraw(BaseModel):
    """A graph family that starting graphs are drawn from, with a weight against the other families of the list."""

    model_config = _Strict

    family: str
    weight: Weight = 1.0
    parameters: dict[str, Any] = {}

    @field_validator("family")
    @classmethod
    def _known(cls, family: str) -> str:
        if family not in FAMILIES:
            raise ValueError(f"unknown family {family!r}: expected one of {', '.join(sorted(FAMILIES))}")
        return family


class EvolutionConfig(BaseModel):
    """Aging evolution (Real et al., 2019) with tournaments, mutation and crossover.

    - ``population``: the latest so many trials may become parents.
    - ``tournament``: how many of them are drawn; the best is the parent.
    - ``crossover``: share of proposals with two parents.
    - ``mutations``: mean number of further mutations a child after the first (geometric).
    - ``start``: families of the first ``population`` proposals.
    - ``operators``: weights of the mutation operators; those not named keep 1.
    """

    model_config = _Strict

    population: Count = 30
    tournament: Count = 6
    crossover: Annotated[float, Field(ge=0, le=1)] = 0.25
    mutations: Annotated[float, Field(ge=0, le=20)] = 0.5
    start: tuple[FamilyDraw, ...] = (FamilyDraw(family="random_density"),)
    operators: dict[str, Weight] = {}

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


class SearchConfig(BaseModel):
    """How candidates are proposed.

    - ``strategies``: weights by name; each proposal draws one of them.
    - ``lag``: decision k sees the results of the evaluations before k - lag, whatever the number of workers.
    """

    model_config = _Strict

    strategies: dict[str, Weight] = {"evolution": 1.0}
    lag: Annotated[int, Field(ge=1, le=100_000, strict=True)] = 8
    evolution: EvolutionConfig = EvolutionConfig()
    random: tuple[FamilyDraw, ...] = (FamilyDraw(family="random_density"),)

    @field_validator("strategies")
    @classmethod
    def _some_strategy(cls, strategies: dict[str, float]) -> dict[str, float]:
        if not any(weight > 0 for weight in strategies.values()):
            raise ValueError("strategies must name at least one strategy of positive weight")
        return strategies


class AfterConfig(BaseModel):
    """What follows a search: the best are scored again, the winners and controls trained in full.

    Every seed here is fresh: none was used by the search.
    """

    model_config = _Strict

    rescored: Count = 10
    rescore_seeds: Count = 3
    winners: Count = 3
    seeds: Count = 3
    random_controls: Annotated[int, Field(ge=0, strict=True)] = 8
    rewired_controls: Annotated[int, Field(ge=0, strict=True)] = 3


class ProbeConfig(BaseModel):
    """The sample of ``probe``: random graphs with paired seeds, trained in full."""

    model_config = _Strict

    graphs: Annotated[int, Field(ge=3, strict=True)] = 40
    seeds: Annotated[int, Field(ge=2, strict=True)] = 2


class SearchSpace(BaseModel):
    """A complete search space.

    Attributes:
        name: names the run's folder.
        task: data and how it becomes sequences.
        areas: the areas, in order.
        edges: which edges are allowed.
        network: settings of every candidate's network.
        training: settings of every training.
        ladder: rungs of short training.
        search: strategies.
        after: what follows the search.
        probe: the sample of ``probe``.
    """

    model_config = _Strict

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$")]
    task: TaskConfig
    areas: tuple[AreaGroup, ...]
    edges: EdgeRules = EdgeRules()
    network: NetworkConfig = NetworkConfig()
    training: TrainingConfig = TrainingConfig()
    ladder: LadderConfig = LadderConfig()
    search: SearchConfig = SearchConfig()
    after: AfterConfig = AfterConfig()
    probe: ProbeConfig = ProbeConfig()

    @field_validator("areas")
    @classmethod
    def _some_areas(cls, areas: tuple[AreaGroup, ...]) -> tuple[AreaGroup, ...]:
        if not areas:
            raise ValueError("expected at least one area, got 0 areas")
        for role in ("input", "output"):
            if not any(role in group.role for group in areas):
                raise ValueError(f"expected at least one area of role {role}")
        return areas

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.ladder.rungs[-1] > self.training.epochs:
            raise ValueError(
                f"ladder.rungs end at {self.ladder.rungs[-1]} epochs: expected at most training.epochs, "
                f"{self.training.epochs}"
            )
        count = sum(group.count for group in self.areas)
        for area in self.network.areas:
            if not 0 <= area < count:
                raise ValueError(f"network.areas names area {area}: expected one of 0 to {count - 1}")
        _ = self.constraints  # raises where no valid graph exists
        return self

    @cached_property
    def constraints(self) -> GraphConstraints:
        """Areas, forbidden edges and the edge budget."""
        areas = [Area.from_role(group.size, group.role) for group in self.areas for _ in range(group.count)]
        return GraphConstraints.build(
            areas,
            forbidden_roles=self.edges.forbidden_roles,
            forbidden_pairs=self.edges.forbidden_pairs,
            max_edges=self.edges.max_edges,
            hub_sizes=self.edges.hub_sizes,
        )

    @cached_property
    def routing(self) -> dict[int, tuple[int, ...]]:
        """Input channels by area, for the areas that name theirs."""
        routing: dict[int, tuple[int, ...]] = {}
        area = 0
        for group in self.areas:
            for _ in range(group.count):
                if group.channels is not None:
                    routing[area] = group.channels
                area += 1
        return routing
