"""The search space: what may vary, what is fixed, and how a search over it goes. Validated, complete, printable."""

from __future__ import annotations

from functools import cached_property
from typing import Annotated, Literal, Self

from pydantic import Field, field_validator, model_validator

from topo_search.errors import InputError
from topo_search.graph import Area, GraphConstraints, ModuleGraph
from topo_search.model import NetworkConfig
from topo_search.search.settings import Count, LadderConfig, SearchConfig, Settings
from topo_search.tasks import TaskConfig
from topo_search.training import TrainingConfig

__all__ = [
    "AfterConfig",
    "AreaGroup",
    "EdgeRules",
    "ProbeConfig",
    "SearchSpace",
]

# The shortest trees that connect inputs to outputs are searched among all pairs: seconds here, minutes beyond.
MAX_AREAS = 1024


class AreaGroup(Settings):
    """Areas alike: ``count`` of them, one after the other.

    ``channels`` are the input channels that an input area sees; all where not given.
    """

    role: Literal["input", "hidden", "output", "input+output"] = "hidden"
    size: Annotated[int, Field(ge=1, le=65_536, strict=True)] = 16
    count: Annotated[int, Field(ge=1, le=4_096, strict=True)] = 1
    channels: tuple[Annotated[int, Field(ge=0, strict=True)], ...] | None = None

    @model_validator(mode="after")
    def _channels_need_input(self) -> Self:
        if self.channels is not None and "input" not in self.role:
            raise ValueError(f"channels are given to an area of role {self.role}: expected an input area")
        return self


class EdgeRules(Settings):
    """Which edges a graph may have: see :class:`topo_search.graph.GraphConstraints`.

    ``connected`` asks for a path between any two areas, not only from inputs to outputs.
    """

    max_edges: Annotated[int, Field(ge=0, strict=True)] | None = None
    forbidden_roles: tuple[tuple[str, str], ...] = ()
    forbidden_pairs: tuple[tuple[int, int], ...] = ()
    hub_sizes: tuple[Count, ...] = ()
    connected: bool = False


class AfterConfig(Settings):
    """What follows a search: short scores are checked, the best scored again, winners and controls trained in full.

    Every seed here is fresh, none was used by the search, but for ``agreement``: so many trials, drawn without regard
    to their scores, are trained on to the top rung with the search's own seed, to see how well the lower rungs rank.
    ``random_controls`` have the winner's number of edges. Where areas differ in size, ``parameter_controls`` more have
    about its number of trained coupling entries instead.
    """

    agreement: Annotated[int, Field(ge=0, strict=True)] = 12
    rescored: Count = 10
    rescore_seeds: Count = 3
    winners: Count = 3
    seeds: Count = 3
    random_controls: Annotated[int, Field(ge=0, strict=True)] = 8
    parameter_controls: Annotated[int, Field(ge=0, strict=True)] = 4
    rewired_controls: Annotated[int, Field(ge=0, strict=True)] = 3


class ProbeConfig(Settings):
    """The sample of ``probe``: random graphs with paired seeds, trained in full."""

    graphs: Annotated[int, Field(ge=3, strict=True)] = 40
    seeds: Annotated[int, Field(ge=2, strict=True)] = 2


class SearchSpace(Settings):
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
        count = sum(group.count for group in areas)
        if count > MAX_AREAS:
            raise ValueError(f"expected at most {MAX_AREAS} areas in all, got {count}")
        for role in ("input", "output"):
            if not any(role in group.role for group in areas):
                raise ValueError(f"expected at least one area of role {role}")
        return areas

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.ladder.rungs[-1] > self.training.epochs:
            raise ValueError(
                f"ladder.rungs end at {self.ladder.rungs[-1]} epochs: expected at most training.epochs, "
                f"{self.training.epochs} (change both: --set training.epochs=N --set ladder.rungs=[1,N])"
            )
        for name, epochs in (
            ("pruning", self.search.pruning.epochs),
            ("sparse_training", self.search.sparse_training.epochs),
        ):
            if epochs is not None and epochs > self.training.epochs:
                raise ValueError(
                    f"search.{name}.epochs is {epochs}: expected at most training.epochs, {self.training.epochs}"
                )
        self._check_unit_pruning()
        count = sum(group.count for group in self.areas)
        for area in self.network.areas:
            if not 0 <= area < count:
                raise ValueError(f"network.areas names area {area}: expected one of 0 to {count - 1}")
        _ = self.constraints  # raises where no valid graph exists
        return self

    @model_validator(mode="after")
    def _starts_are_valid(self) -> Self:
        for index, edges in enumerate(self.search.start):
            try:
                reason = self.constraints.violation(ModuleGraph(self.constraints.areas, edges))
            except InputError as error:
                reason = str(error)
            if reason is not None:
                raise ValueError(f"search.start[{index}]: {reason}")
        return self

    def _check_unit_pruning(self) -> None:
        network = self.network
        plain = network.coupling == "feedback" and network.imperfect_margin is None
        if self.training.unit_pruning is not None and (not plain or network.stability == "unconstrained"):
            raise ValueError(
                "training.unit_pruning needs linear negative feedback alone: expected coupling feedback, "
                "no imperfect_margin, and stability other than unconstrained"
            )

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
            connected=self.edges.connected,
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
