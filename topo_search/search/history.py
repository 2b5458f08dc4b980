"""What a search has done so far, as a strategy sees it: trials whose results are in view."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from topo_search.graph import ModuleGraph

__all__ = ["Evaluation", "History", "Proposal", "Trial"]


@dataclass(frozen=True)
class Proposal:
    """A graph that a strategy proposes.

    Attributes:
        graph: valid under the constraints of the space.
        strategy: name of the strategy.
        operator: how the graph was made: a mutation operator, ``crossover``, or a family.
        parents: numbers of the trials that it descends from.
    """

    graph: ModuleGraph
    strategy: str
    operator: str
    parents: tuple[int, ...] = ()


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
            TypeError: if an entry is missing or unknown.
        """
        return cls(**{**values, "curve": tuple(values["curve"]), "losses": tuple(values["losses"])})


@dataclass(frozen=True)
class Trial:
    """A proposal and what is known of it.

    Attributes:
        number: of the proposal, from 0.
        proposal: graph and lineage.
        results: evaluations by rung, from the first.
        final: whether nothing more will come: failed, at the top, or not promoted.
        attempts: how often an evaluation of it was started because one was interrupted; 1 when never.
    """

    number: int
    proposal: Proposal
    results: tuple[Evaluation, ...] = ()
    final: bool = False
    attempts: int = 1

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
    """Trials with a result in view, in order of proposal, and every graph proposed so far.

    Attributes:
        trials: by number.
        known: labelled keys of all proposals, in view or not: proposing one again would score nothing new.
    """

    trials: dict[int, Trial] = field(default_factory=dict)
    known: set[str] = field(default_factory=set)

    def scored(self, latest: int | None = None) -> list[Trial]:
        """Trials with a score, in order of proposal; only the latest so many if asked."""
        trials = [trial for _, trial in sorted(self.trials.items()) if trial.rung >= 0]
        return trials if latest is None else trials[-latest:]

    @staticmethod
    def best_of(trials: Sequence[Trial]) -> Trial:
        """The best of a sequence by comparing along it, each pair at its highest common rung."""
        best = trials[0]
        for trial in trials[1:]:
            if better(trial, best):
                best = trial
        return best

    def leaderboard(self) -> list[Trial]:
        """Trials with a score: those at higher rungs first, within a rung by score, then by number."""
        return sorted(self.scored(), key=lambda t: (-t.rung, -(t.score or 0.0), t.number))
