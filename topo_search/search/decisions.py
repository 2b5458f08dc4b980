"""The decisions of a search, in order: a machine that depends on results alone, never on time or workers."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from topo_search.graph import GraphConstraints, ModuleGraph
from topo_search.search.history import Evaluation, History, Proposal, Trial
from topo_search.search.ladder import Ladder
from topo_search.search.settings import FamilyDraw
from topo_search.search.space import SearchSpace
from topo_search.search.strategies import STARTS, Strategy, draw_family, find_strategies
from topo_search.seeds import generator

__all__ = ["Decisions", "Job", "SpaceExhaustedError"]

# How often a strategy may propose a graph that is known before a random one is drawn, and how often that may be.
KNOWN_TRIES = 60
RANDOM_TRIES = 2000


class SpaceExhaustedError(Exception):
    """No graph that is not known was found: the space holds hardly any more."""


@dataclass(frozen=True)
class Job:
    """Train a trial up to a rung.

    Attributes:
        index: of the decision that asked for it.
        trial: number of the proposal.
        rung: index in the ladder; 0 for a pretraining.
        inherits: trial and rung whose trained coupling this one begins with, or ``None``.
    """

    index: int
    trial: int
    rung: int
    inherits: tuple[int, int] | None = None


class Decisions:
    """Proposals and promotions in a fixed order.

    Decision k is made with exactly the results of the jobs before k - lag in view. So the search is a function of the
    space, the seed and the budgets; workers only decide how fast it goes. A budget that is spent is drained (decisions
    without a job, until all results are in view) before a larger one begins: a search extended from 200 to 400 is the
    same wherever it was interrupted.

    Args:
        space: the search space.
        seed: of the search.
        recorded: proposals known from an earlier run, by number: they are taken instead of asking a strategy again.
        on_final: called once for each trial when nothing more will come of it, in order of decision.
    """

    def __init__(
        self,
        space: SearchSpace,
        *,
        seed: int,
        recorded: dict[int, Proposal] | None = None,
        on_final: Callable[[Trial], None] | None = None,
    ) -> None:
        self.space, self.seed = space, seed
        self.history = History()
        self.trials: dict[int, Trial] = {}
        self.exhausted = False
        self.cache_hits = 0
        self._recorded = recorded or {}
        self._on_final = on_final
        self._ladder = Ladder(space.ladder, space.search.objectives)
        self._names = [name for name, weight in space.search.strategies.items() if weight > 0]
        weights = np.array([space.search.strategies[name] for name in self._names])
        self._weights = weights / weights.sum()
        self._strategies: dict[str, Strategy] = {
            name: strategy(space.constraints, space.search) for name, strategy in find_strategies(self._names).items()
        }
        self._inherits: dict[int, tuple[int, int]] = {}
        self._budget = 0
        self._jobs: list[Job | None] = []
        self._results: dict[int, Evaluation] = {}
        self._in_view = 0
        self._promotions: deque[tuple[int, int]] = deque()

    def extend(self, budget: int) -> None:
        """Allow this many proposals in all; only when the earlier budget is spent and drained."""
        self._budget = budget

    @property
    def finished(self) -> bool:
        """Whether the budget is spent and every result is in view."""
        spent = self.exhausted or len(self.trials) >= self._budget
        return spent and not self._promotions and all(job is None for job in self._jobs[self._in_view :])

    @property
    def constraints(self) -> GraphConstraints:
        """Of the space."""
        return self.space.constraints

    def inherits(self, trial: int) -> tuple[int, int] | None:
        """Trial and rung whose trained coupling a trial begins with, if any."""
        return self._inherits.get(trial)

    def result(self, job: Job, evaluation: Evaluation) -> None:
        """Hand in a result; it comes in view when the order says so."""
        self._results[job.index] = evaluation

    def ready(self) -> bool:
        """Whether the next decision can be made: all results that it must see are there."""
        limit = len(self._jobs) - self.space.search.lag
        return all(job is None or job.index in self._results for job in self._jobs[self._in_view : max(0, limit)])

    def next_job(self) -> Job | None:
        """Make the next decision; ``None`` when it asks for nothing.

        Raises:
            ValueError: if it is called before :meth:`ready`.
        """
        if not self.ready():
            raise ValueError("a decision was asked for before the results that it must see")
        limit = len(self._jobs) - self.space.search.lag
        while self._in_view < limit:
            job = self._jobs[self._in_view]
            self._in_view += 1
            if job is not None:
                self._absorb(job, self._results.pop(job.index))
        job = self._decide(len(self._jobs))
        self._jobs.append(job)
        return job

    def _absorb(self, job: Job, evaluation: Evaluation) -> None:
        trial = self.trials[job.trial]
        goes_on = False
        if not evaluation.failed and trial.is_candidate:
            # A trial that began on a higher rung has scores at those below too: they are on its curve.
            for rung in range(len(trial.results), job.rung):
                below = evaluation.after(self._ladder.epochs(rung))
                self._ladder.take(rung, below, trial.graph)
                trial = trial.with_result(below, final=False)
            goes_on = self._ladder.promotes(job.rung, evaluation, trial.graph)
        trial = trial.with_result(evaluation, final=not goes_on)
        self.trials[job.trial] = trial
        self.history.put(trial)
        if goes_on:
            self._promotions.append((job.trial, job.rung + 1))
        elif self._on_final is not None:
            self._on_final(trial)

    def _decide(self, index: int) -> Job | None:
        if self._promotions:
            trial, rung = self._promotions.popleft()
            return Job(index, trial, rung, self._inherits.get(trial))
        number = len(self.trials)
        if number >= self._budget or self.exhausted:
            return None
        proposal = self._recorded.get(number)
        if proposal is None:
            try:
                proposal = self._propose(number)
            except SpaceExhaustedError:
                self.exhausted = True
                return None
        self.trials[number] = Trial(number, proposal)
        self.history.propose(proposal)
        self._note_inheritance(number, proposal)
        rung = self._ladder.first_rung(number) if proposal.pretraining is None else 0
        return Job(index, number, rung, self._inherits.get(number))

    def _note_inheritance(self, number: int, proposal: Proposal) -> None:
        """From whom, and from which of its rungs: a parent may be promoted while its child waits."""
        if not self.space.search.inherit_weights or not proposal.parents or proposal.pretraining is not None:
            return
        parent = self.history.trials.get(proposal.parents[0])
        if parent is not None and parent.rung >= 0:
            self._inherits[number] = (parent.number, parent.rung)

    def _start(self, number: int) -> Proposal | None:
        """A graph that the user wants to start from."""
        graph = ModuleGraph(self.constraints.areas, self.space.search.start[number])
        return None if graph.key in self.history.known else Proposal(graph, STARTS, STARTS)

    def _propose(self, number: int) -> Proposal:
        if number < len(self.space.search.start):
            proposal = self._start(number)
            if proposal is not None:
                return proposal
        for attempt in range(KNOWN_TRIES):
            rng = generator(self.seed, "proposal", number, attempt)
            strategy = self._strategies[self._names[int(rng.choice(len(self._names), p=self._weights))]]
            proposal = strategy.propose(self.history, rng)
            self.constraints.check(proposal.graph, ignore_budget=proposal.pretraining is not None)
            if proposal.key not in self.history.known:
                return proposal
            self.cache_hits += 1
        rng = generator(self.seed, "proposal", number, "random")
        # A small or converged neighbourhood: leave it by a random graph, of any number of edges if need be.
        budget, fewest = self.constraints.edge_budget, self.constraints.min_edges
        for attempt in range(RANDOM_TRIES):
            parameters = {} if attempt < RANDOM_TRIES // 2 else {"edges": int(rng.integers(fewest, budget + 1))}
            graph, family = draw_family(
                [FamilyDraw(family="random_density", parameters=parameters)], self.constraints, rng
            )
            if graph.key not in self.history.known:
                return Proposal(graph, "random", family)
        raise SpaceExhaustedError
