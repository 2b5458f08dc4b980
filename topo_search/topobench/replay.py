"""Replaying a strategy on a table: a search whose trainings have all been run before."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel

from topo_search.errors import InputError
from topo_search.graph import GraphConstraints, ModuleGraph
from topo_search.search import Evaluation, History, Ladder, Proposal, SearchConfig, Strategy, Trial, find_strategies
from topo_search.search.settings import FamilyDraw, LadderConfig
from topo_search.seeds import generator
from topo_search.topobench.classes import ALLOWED_EDGES, edges_of, graph_classes, mask_of
from topo_search.topobench.table import Table

__all__ = ["KNOWN_TRIES", "THRESHOLD", "Against", "Benchmark", "Replay", "UniformRandom", "find_strategy", "replay"]

KNOWN_TRIES = 60
"""How often in a row a strategy may propose what is known or not valid before a random graph is taken; as a search."""

THRESHOLD = 0.005
"""Regret, in validation accuracy, that counts as having found the best."""

Against = Literal["exhaustive", "best"]

# A replay that cannot reach the threshold is run this far all the same, for the curve of its regret.
SHOWN_EVALUATIONS = 100


class UniformRandom:
    """Random search over all labelled graphs within the edge budget, each equally likely: the baseline.

    The search's own random strategy draws graphs of the full edge budget, or of families; this one draws from the very
    space that the table enumerates.
    """

    name: ClassVar[str] = "random"
    operators: ClassVar[tuple[str, ...]] = ("uniform",)

    def __init__(self, constraints: GraphConstraints, config: SearchConfig) -> None:
        del config
        classes, self.areas = graph_classes(), constraints.areas
        self._masks = classes.labelled[classes.index[classes.labelled] < classes.within(constraints.max_edges)]

    def propose(self, history: History, rng: np.random.Generator) -> Proposal:
        """Any valid graph, whatever was found before."""
        del history
        return Proposal(ModuleGraph(self.areas, edges_of(int(rng.choice(self._masks)))), self.name, "uniform")


def find_strategy(name: str) -> type[Strategy]:
    """A strategy by name; ``random`` is :class:`UniformRandom`.

    Raises:
        InputError: if there is none of this name.
    """
    return UniformRandom if name == UniformRandom.name else find_strategies([name])[name]


def _with_uniform_starts(config: SearchConfig) -> SearchConfig:
    """Settings in which default starting families draw all labelled graphs alike."""
    classes = graph_classes()
    counts = np.bincount(classes.edges, weights=classes.orbit_sizes)
    draws = tuple(
        FamilyDraw(family="random_density", weight=float(count), parameters={"edges": edges})
        for edges, count in enumerate(counts)
        if count
    )
    default = (FamilyDraw(family="random_density"),)
    updates: dict[str, Any] = {"random": draws} if config.random == default else {}
    for name in SearchConfig.model_fields:
        section = getattr(config, name)
        if isinstance(section, BaseModel) and getattr(section, "start", None) == default:
            updates[name] = section.model_copy(update={"start": draws})
    return config.model_copy(update=updates)


class Benchmark:
    """A table under an edge budget, ready for replays.

    Args:
        table: of every class within the budget.
        max_edges: edge budget of the strategies; none where not given.
        ladder: rungs that a strategy climbs; only full trainings where not given.
        threshold: regret that counts as having found the best.
        against: what regret is counted from. ``exhaustive``: the class that a search of the whole space would choose by
            the scores of the seed seen; its regret is 0. ``best``: the class that the other seeds find best. No search
            can choose that one by what it sees, and its score is the luckiest of all besides: with noisy scores even
            the exhaustive search keeps a regret.
        config: settings of strategies; those of the table's space where not given. Without an edge budget families that
            first graphs are drawn from, where they are the default, are replaced by random graphs with the mix of
            numbers of edges that makes every labelled graph equally likely: the default would be the one graph of all
            edges.

    Raises:
        InputError: if classes within the budget are missing, the budget or the rungs do not fit, or the threshold is
            negative.
    """

    def __init__(
        self,
        table: Table,
        *,
        max_edges: int | None = None,
        ladder: LadderConfig | None = None,
        threshold: float = THRESHOLD,
        against: Against = "exhaustive",
        config: SearchConfig | None = None,
    ) -> None:
        if table.complete_to < len(ALLOWED_EDGES) and (max_edges is None or max_edges > table.complete_to):
            known = f"the table is complete up to {table.complete_to} edges"
            raise InputError(f"{known}: expected max_edges of at most that, got {max_edges}")
        if len(table.seeds) < 2:
            raise InputError("the table has one seed: a replay needs one to see and others to judge by")
        if not threshold >= 0:
            raise InputError(f"threshold must be at least 0, got {threshold}")
        rungs = (table.epochs,) if ladder is None else ladder.rungs
        if rungs[-1] != table.epochs:
            raise InputError(f"ladder.rungs end at {rungs[-1]} epochs: expected those of the table, {table.epochs}")
        self.table, self.threshold, self.against = table, threshold, against
        self.constraints = replace(table.space.constraints, max_edges=max_edges)
        self.ladder = LadderConfig(rungs=rungs) if ladder is None else ladder
        self.classes = graph_classes()
        self.size = self.classes.within(max_edges)
        config = table.space.search if config is None else config
        self.config = _with_uniform_starts(config) if max_edges is None else config
        self.scores = table.scores()[: self.size]
        self._keys: dict[int, tuple[str, ...]] = {}

    def judged(self, seen: int) -> NDArray[np.float64]:
        """Mean score of the seeds that a strategy does not see, ``(size,)``."""
        mean: NDArray[np.float64] = np.delete(self.scores, seen, axis=1).mean(axis=1)
        return mean

    def target(self, seen: int) -> float:
        """Mean score of the seeds that a strategy does not see that has no regret."""
        judged = self.judged(seen)
        if self.against == "best":
            return float(judged.max())
        column = self.scores[:, seen]
        return float(judged[column == column.max()].max())

    def class_of(self, graph: ModuleGraph) -> int | None:
        """Number of a graph's class; ``None`` if the graph is not valid under the budget."""
        try:
            number = int(self.classes.index[mask_of(graph.edges)])
        except InputError:
            return None
        areas_fit = graph.areas == self.constraints.areas
        return number if 0 <= number < self.size and areas_fit else None

    def keys(self, number: int) -> tuple[str, ...]:
        """Keys of all labelled graphs of a class."""
        if number not in self._keys:
            areas = self.constraints.areas
            graphs = (ModuleGraph(areas, edges_of(mask)) for mask in self.classes.members(number).tolist())
            self._keys[number] = tuple(graph.key for graph in graphs)
        return self._keys[number]


@dataclass(frozen=True, eq=False)
class Replay:
    """What a replay found.

    Attributes:
        strategy: name.
        number: of the replay, from 0.
        seen: index of the seed whose scores the strategy saw.
        classes: numbers of the classes that were evaluated, in order.
        regret: after each training, ``(n,)``: the target of the benchmark less the incumbent's mean score of the seeds
            not seen; negative where that is better than the target.
        cost: trainings so far, ``(n,)``; with a ladder epochs so far over the epochs of a full training.
        count: cost at which regret came below the threshold for good; the number of classes where it never does.
        reached: whether it does.
        settled: whether the best score seen was found, so that the incumbent can no longer change.
        free: proposals that cost nothing, since their class was known or the graph was not valid.
        drawn: graphs that were drawn at random because the strategy proposed nothing new.
    """

    strategy: str
    number: int
    seen: int
    classes: tuple[int, ...]
    regret: NDArray[np.float64]
    cost: NDArray[np.float64]
    count: float
    reached: bool
    settled: bool
    free: int
    drawn: int

    def regret_at(self, cost: float) -> float:
        """Regret once so much has been spent; at the first training where it is less than that takes."""
        return float(self.regret[max(0, int(np.searchsorted(self.cost, cost, side="right")) - 1)])


def replay(
    strategy: str | type[Strategy],
    benchmark: Benchmark,
    *,
    number: int = 0,
    lag: int = 0,
    to_the_end: bool = False,
) -> Replay:
    """Run a strategy on a table.

    The strategy sees the scores of one seed, ``number`` modulo the table's seeds. An evaluation is one class: a graph
    whose class is known is free, as in a search, and so is one that is not valid; after 60 of them in a row an unknown
    graph is drawn. The incumbent is the class of the best score seen, at the highest rung. Once the best score of all
    is found the incumbent cannot change, and the replay ends.

    Args:
        strategy: its class, or its name.
        benchmark: table, edge budget and ladder.
        number: of the replay; names its random draws together with the strategy's name.
        lag: decision k sees the results of the trainings before k - lag.
        to_the_end: also go on where the best score seen is known to be one of too much regret, which else ends a replay
            after 100 evaluations: the count is known then, and only curves of regret need the rest.

    Raises:
        InputError: if the strategy is unknown, or trains graphs that are no candidates: that needs trained weights,
            which a table does not have.
    """
    kind = find_strategy(strategy) if isinstance(strategy, str) else strategy
    run = _Run(kind(benchmark.constraints, benchmark.config), benchmark, number, lag)
    run.run(to_the_end=to_the_end)
    return run.result()


class _Run:
    """One replay as it goes."""

    def __init__(self, strategy: Strategy, benchmark: Benchmark, number: int, lag: int) -> None:
        self.strategy, self.benchmark, self.number, self.lag = strategy, benchmark, number, lag
        self.seen = number % len(benchmark.table.seeds)
        self.rng = generator("topobench", number, strategy.name)
        self.history, self.ladder = History(), Ladder(benchmark.ladder)
        self.judged, self.target = benchmark.judged(self.seen), benchmark.target(self.seen)
        self.best_seen = float(benchmark.scores[:, self.seen].max())
        self.known = np.zeros(benchmark.size, dtype=bool)
        self.classes: list[int] = []
        self.flight: deque[tuple[int, int, Evaluation]] = deque()
        self.promotions: deque[tuple[int, int]] = deque()
        self.incumbent: tuple[int, float, int] | None = None
        self.regret: list[float] = []
        self.cost: list[float] = []
        self.free = self.drawn = self.epochs = 0

    def run(self, *, to_the_end: bool) -> None:
        shown = SHOWN_EVALUATIONS if self._hopeless() and not to_the_end else None
        while not self._settled() and (shown is None or len(self.regret) < shown):
            while len(self.flight) > self.lag:
                self._absorb()
            if self.promotions:
                self._train(*self.promotions.popleft())
            elif not self.known.all():
                self._train(self._propose(), 0)
            elif self.flight:
                self._absorb()
            else:
                break

    def _hopeless(self) -> bool:
        """Whether even the best score seen belongs to a class of too much regret; a ladder may yet miss it."""
        best = self.benchmark.scores[:, self.seen] == self.best_seen
        enough = self.judged[best].max() >= self.target - self.benchmark.threshold
        return self.ladder.top == 0 and not enough

    def _settled(self) -> bool:
        return self.incumbent is not None and self.incumbent[:2] == (self.ladder.top, self.best_seen)

    def _propose(self) -> int:
        name = self.strategy.name
        for _ in range(KNOWN_TRIES):
            proposal = self.strategy.propose(self.history, self.rng)
            if proposal.pretraining is not None:
                raise InputError(f"strategy {name!r} cannot be replayed: it needs trained weights, a table has none")
            found = self.benchmark.class_of(proposal.graph)
            if found is not None and not self.known[found]:
                return self._take(proposal, found)
            self.free += 1
        classes = self.benchmark.classes
        numbers = classes.index[classes.labelled]
        within = numbers < self.benchmark.size
        open_masks = classes.labelled[within][~self.known[numbers[within]]]
        graph = ModuleGraph(self.benchmark.constraints.areas, edges_of(int(self.rng.choice(open_masks))))
        self.drawn += 1
        found = self.benchmark.class_of(graph)
        assert found is not None
        return self._take(Proposal(graph, UniformRandom.name, "uniform"), found)

    def _take(self, proposal: Proposal, found: int) -> int:
        number = self.history.propose(proposal)
        self.history.known.update(self.benchmark.keys(found))
        self.known[found] = True
        self.classes.append(found)
        return number

    def _train(self, trial: int, rung: int) -> None:
        found, epochs = self.classes[trial], self.ladder.epochs(rung)
        evaluation = self.benchmark.table.evaluation(found, self.seen, epochs=epochs)
        self.flight.append((trial, rung, evaluation))
        self.epochs += epochs - (self.ladder.epochs(rung - 1) if rung else 0)
        if not evaluation.failed and (self.incumbent is None or (rung, evaluation.score) > self.incumbent[:2]):
            self.incumbent = (rung, evaluation.score, found)
        # Before anything could be trained, the incumbent is as bad as can be.
        held = self.judged.min() if self.incumbent is None else self.judged[self.incumbent[2]]
        self.regret.append(float(self.target - held))
        self.cost.append(self.epochs / self.benchmark.table.epochs)

    def _absorb(self) -> None:
        number, rung, evaluation = self.flight.popleft()
        proposal = self.history.proposals[number]
        goes_on = not evaluation.failed and self.ladder.promotes(rung, evaluation, proposal.graph)
        trial = self.history.trials.get(number) or Trial(number, proposal)
        self.history.put(trial.with_result(evaluation, final=not goes_on))
        if goes_on:
            self.promotions.append((number, rung + 1))

    def result(self) -> Replay:
        regret, cost = np.array(self.regret), np.array(self.cost)
        above = np.flatnonzero(regret > self.benchmark.threshold)
        first = int(above[-1]) + 1 if len(above) else 0
        # Where a replay was cut short, its regret would not have stayed where it is.
        reached = first < len(regret) and not (self._hopeless() and not self._settled())
        return Replay(
            strategy=self.strategy.name,
            number=self.number,
            seen=self.seen,
            classes=tuple(self.classes),
            regret=regret,
            cost=cost,
            count=float(cost[first]) if reached else float(self.benchmark.size),
            reached=reached,
            settled=self._settled(),
            free=self.free,
            drawn=self.drawn,
        )
