"""What a search has done so far, as a strategy sees it: trials whose results are in view."""

from __future__ import annotations

import sys
from bisect import bisect_left, insort
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any, Literal

from topo_search.graph import Edge, ModuleGraph

__all__ = ["Evaluation", "History", "Pretraining", "Proposal", "Trial"]

# Seconds that no evaluation takes; a sum of many is still a number.
MAX_SECONDS = 1e12


@dataclass(frozen=True)
class Pretraining:
    """How a trial that is no candidate is trained: to learn which edges matter.

    Such a trial counts in the budget, may have more edges than ``max_edges``, is never promoted and never wins. Its
    evaluation holds ``edge_scores`` and, where edges move, the ``final_edges``.

    Attributes:
        epochs: of training; those of the first rung where not given.
        moves: ``none``, or how edges move while it trains: ``rigl`` grows by gradient, ``set`` at random.
    """

    epochs: int | None = None
    moves: Literal["none", "rigl", "set"] = "none"


@dataclass(frozen=True)
class Proposal:
    """A graph that a strategy proposes.

    Attributes:
        graph: valid under the constraints of the space; for a pretraining valid but for the edge budget.
        strategy: name of the strategy.
        operator: how the graph was made: a mutation operator, ``crossover``, a family, or the strategy's own word.
        parents: numbers of the trials that it descends from.
        pretraining: set for a trial that is no candidate.
    """

    graph: ModuleGraph
    strategy: str
    operator: str
    parents: tuple[int, ...] = ()
    pretraining: Pretraining | None = None

    @property
    def key(self) -> str:
        """What is evaluated: proposals of one key would have one result."""
        plan = self.pretraining
        return self.graph.key if plan is None else f"{self.graph.key}:{plan.epochs}:{plan.moves}"


@dataclass(frozen=True)
class Evaluation:
    """The result of training one candidate at one fidelity with one seed: plain values only.

    Attributes:
        score: validation accuracy after the last epoch; ``nan`` is never stored: a failed evaluation has ``reason``.
        curve: validation accuracy after each epoch.
        losses: mean training loss of each epoch.
        reason: why it failed (``diverged``, ``worker lost``, ...), or empty.
        detail: more on the reason.
        best_epoch: epoch of the best validation accuracy.
        parameters: trainable parameters.
        seconds: of this evaluation, without epochs taken from a checkpoint.
        test_accuracy: of the best epoch's parameters; only where the test part was asked for.
        certified: verdict after training; only where the network was saved.
        rho: certified factor a step; only where the network was saved.
        edge_scores: how much each edge matters, by criterion, in the order of the edges of the graph as it was after
            training; only where asked for. See :data:`topo_search.training.EDGE_CRITERIA`.
        final_edges: the edges after training, where edges moved.
    """

    score: float
    curve: tuple[float, ...]
    losses: tuple[float, ...]
    reason: str = ""
    detail: str = ""
    best_epoch: int = 0
    parameters: int = 0
    seconds: float = 0.0
    test_accuracy: float | None = None
    certified: bool | None = None
    rho: float | None = None
    edge_scores: Mapping[str, tuple[float, ...]] | None = None
    final_edges: tuple[Edge, ...] | None = None

    @property
    def failed(self) -> bool:
        """Whether there is no score."""
        return bool(self.reason)

    @property
    def best_score(self) -> float:
        """Validation accuracy of the best epoch."""
        return self.curve[self.best_epoch - 1]

    @classmethod
    def failure(cls, reason: str, detail: str = "", *, seconds: float = 0.0) -> Evaluation:
        """An evaluation that ended without a score."""
        return cls(score=0.0, curve=(), losses=(), reason=reason, detail=detail, seconds=seconds)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Evaluation:
        """From plain values, as :func:`dataclasses.asdict` makes them.

        Raises:
            KeyError: if an entry is missing.
            TypeError: if an entry is missing, unknown or of another type.
            ValueError: if a number is not finite, or a score no share.
        """
        if not isinstance(values, dict) or not isinstance(values.get("edge_scores"), dict | None):
            raise TypeError("an evaluation and its edge_scores must be objects")
        read = {**values, "curve": tuple(values["curve"]), "losses": tuple(values["losses"])}
        if read.get("edge_scores") is not None:
            read["edge_scores"] = {name: tuple(scores) for name, scores in read["edge_scores"].items()}
        if read.get("final_edges") is not None:
            read["final_edges"] = tuple((i, j) for i, j in read["final_edges"])
            if not all(type(end) is int for edge in read["final_edges"] for end in edge):
                raise TypeError("final_edges must be pairs of integers")
        result = cls(**read)
        result._check()
        return result

    def _check(self) -> None:
        """Raise TypeError or ValueError for what no training gives."""
        tests = () if self.test_accuracy is None else (self.test_accuracy,)
        others = (self.seconds, *(() if self.rho is None else (self.rho,)))
        scores = [score for row in (self.edge_scores or {}).values() for score in row]
        for value in (self.score, *self.curve, *tests, *self.losses, *others, *scores):
            if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) <= sys.float_info.max:
                raise ValueError(f"expected finite numbers, got {str(value)[:40]!r}")
        if not all(0 <= share <= 1 for share in (self.score, *self.curve, *tests)):
            raise ValueError("scores must lie in 0 to 1")
        if type(self.best_epoch) is not int or type(self.parameters) is not int or self.parameters < 0:
            raise TypeError("best_epoch and parameters must be integers from 0")
        if not 0 <= self.best_epoch <= len(self.curve) or not 0 <= self.seconds <= MAX_SECONDS:
            raise ValueError("best_epoch must be one of the epochs, and seconds a time")
        if not isinstance(self.certified, bool | None):
            raise TypeError("certified must be true, false or null")
        if not isinstance(self.reason, str) or not isinstance(self.detail, str):
            raise TypeError("reason and detail must be text")

    def after(self, epochs: int) -> Evaluation:
        """What a training that stopped after so many of these epochs would have given; its time is not counted.

        A short training is the beginning of a longer one, so this is exact.
        """
        best = max(range(epochs), key=lambda epoch: (self.curve[epoch], -epoch)) + 1
        return replace(
            self,
            score=self.curve[epochs - 1],
            curve=self.curve[:epochs],
            losses=self.losses[:epochs],
            best_epoch=best,
            seconds=0.0,
        )


@dataclass(frozen=True)
class Trial:
    """A proposal and what is known of it.

    Attributes:
        number: of the proposal, from 0.
        proposal: graph and lineage.
        results: evaluations by rung, from the first.
        final: whether nothing more will come: failed, at the top, or not promoted.
        attempts: how often an evaluation of it was started because one was interrupted; 1 when never.
        descriptors: of the graph, where they are known from a study: see :func:`topo_search.graph.describe`.
    """

    number: int
    proposal: Proposal
    results: tuple[Evaluation, ...] = ()
    final: bool = False
    attempts: int = 1
    descriptors: Mapping[str, float] | None = field(default=None, compare=False, repr=False)

    @property
    def is_candidate(self) -> bool:
        """Whether it may win; a pretraining may not."""
        return self.proposal.pretraining is None

    @property
    def graph(self) -> ModuleGraph:
        """The candidate."""
        return self.proposal.graph

    @property
    def failed(self) -> bool:
        """Whether an evaluation ended without a score."""
        return any(result.failed for result in self.results)

    @property
    def state(self) -> str:
        """``COMPLETE``, ``FAIL`` or ``RUNNING``, in Optuna's words."""
        if self.failed:
            return "FAIL"
        return "COMPLETE" if self.final else "RUNNING"

    @property
    def rung(self) -> int:
        """Index of the highest rung with a score, or -1."""
        return sum(not result.failed for result in self.results) - 1

    @property
    def score(self) -> float | None:
        """Score at the highest rung, if any."""
        return self.results[self.rung].score if self.rung >= 0 else None

    @property
    def seconds(self) -> float:
        """Spent on all evaluations."""
        return sum(result.seconds for result in self.results)

    def with_result(self, result: Evaluation, *, final: bool) -> Trial:
        """This trial with one more evaluation."""
        return replace(self, results=(*self.results, result), final=final)


def better(a: Trial, b: Trial) -> bool:
    """Whether trial a beats b at their highest common rung; ties go to the earlier proposal.

    Comparing scores of different rungs would favour whoever trained longer.
    """
    common = min(a.rung, b.rung)
    if common < 0:
        return a.rung > b.rung or (a.rung == b.rung and a.number < b.number)
    mine, other = a.results[common].score, b.results[common].score
    return mine > other or (mine == other and a.number < b.number)


@dataclass
class History:
    """Trials with a result in view, and every proposal made so far.

    Attributes:
        proposals: all of them by number, in view or not.
        known: their keys: proposing one again would score nothing new.
    """

    proposals: list[Proposal] = field(default_factory=list)
    known: set[str] = field(default_factory=set)
    _trials: dict[int, Trial] = field(default_factory=dict)
    # Numbers in order: strategies look at the history at every proposal and must not sort it each time.
    _scored: list[int] = field(default_factory=list)
    _pretrained: list[int] = field(default_factory=list)
    _leader: int | None = None

    @property
    def trials(self) -> Mapping[int, Trial]:
        """Trials in view, by number."""
        return MappingProxyType(self._trials)

    def propose(self, proposal: Proposal) -> int:
        """Take in a proposal; its number."""
        self.proposals.append(proposal)
        self.known.add(proposal.key)
        return len(self.proposals) - 1

    def put(self, trial: Trial) -> None:
        """Bring a trial, or its newest state, in view."""
        known = self._trials.get(trial.number)
        self._trials[trial.number] = trial
        if trial.rung >= 0 and (known is None or known.rung < 0):
            insort(self._scored if trial.is_candidate else self._pretrained, trial.number)
        if trial.is_candidate and trial.rung >= 0:
            leader = self.leader
            if leader is None or _leads(trial) < _leads(leader):
                self._leader = trial.number

    def scored(self, latest: int | None = None) -> list[Trial]:
        """Candidates with a score, in order of proposal; only the latest so many if asked."""
        numbers = self._scored if latest is None else self._scored[-latest:]
        return [self._trials[number] for number in numbers]

    def scored_since(self, number: int) -> list[Trial]:
        """Candidates with a score from this proposal on, in order of proposal."""
        return [self._trials[n] for n in self._scored[bisect_left(self._scored, number) :]]

    @property
    def n_scored(self) -> int:
        """How many candidates have a score in view."""
        return len(self._scored)

    def pretrained(self, strategy: str | None = None) -> list[Trial]:
        """Pretrainings that ended well, in order of proposal; only a strategy's own if asked."""
        trials = [self._trials[number] for number in self._pretrained]
        return trials if strategy is None else [trial for trial in trials if trial.proposal.strategy == strategy]

    @staticmethod
    def best_of(trials: Sequence[Trial]) -> Trial:
        """The best of a sequence by comparing along it, each pair at its highest common rung."""
        best = trials[0]
        for trial in trials[1:]:
            if better(trial, best):
                best = trial
        return best

    @property
    def leader(self) -> Trial | None:
        """The first of the leaderboard, at no cost."""
        return None if self._leader is None else self._trials[self._leader]

    def leaderboard(self) -> list[Trial]:
        """Candidates with a score: those at higher rungs first, within a rung by score, then by number."""
        return sorted(self.scored(), key=_leads)


def _leads(trial: Trial) -> tuple[int, float, int]:
    return -trial.rung, -(trial.score or 0.0), trial.number
