"""What a search returns, and what its summary says."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from topo_search.errors import InputError
from topo_search.files import read_json
from topo_search.graph import ModuleGraph
from topo_search.report.tables import group_comparison
from topo_search.search import Comparison, RunFolder, Trial
from topo_search.search.agreement import RankAgreement

if TYPE_CHECKING:
    import networkx as nx

__all__ = ["SearchResult", "Winner", "read_winners", "summary"]


@dataclass(frozen=True)
class Winner:
    """A graph that a search found, trained in full.

    Attributes:
        rank: from 1.
        trial: number of the proposal.
        module_graph: the graph with its areas.
        validation_accuracy: of the best epoch, one a seed.
        test_accuracy: one a seed; the test part was read once for each.
        certified: whether the saved network is certified in discrete time.
        rho: certified factor a step.
        path: folder of the saved network.
    """

    rank: int
    trial: int
    module_graph: ModuleGraph
    validation_accuracy: tuple[float, ...]
    test_accuracy: tuple[float, ...]
    certified: bool
    rho: float
    path: Path

    @property
    def graph(self) -> nx.Graph[int]:
        """The graph as a plain ``networkx.Graph``, with ``size`` and ``role`` on its nodes."""
        return self.module_graph.graph


@dataclass(frozen=True)
class SearchResult:
    """What a search left behind.

    Attributes:
        folder: of the run.
        trials: in order of proposal.
        winners: best first; empty if no trial could be trained.
        comparison: winners and controls in full training; ``None`` where there is no winner.
        evaluated: evaluations that ran now; 0 where the run was finished already.
        exhausted: whether the space held fewer graphs than the budget.
        agreement: how well each rung below the top ranks candidates; empty where it was not measured.
        inherited: whether children began with their parents' coupling.
    """

    folder: Path
    trials: tuple[Trial, ...]
    winners: tuple[Winner, ...]
    comparison: Comparison | None
    evaluated: int
    exhausted: bool
    agreement: tuple[RankAgreement, ...] = ()
    inherited: bool = False

    @property
    def pretrainings(self) -> int:
        """Trials that were no candidates: they were trained to learn which edges matter."""
        return sum(not trial.is_candidate for trial in self.trials)

    @property
    def notes(self) -> tuple[str, ...]:
        """What must be known to read the trials' scores, one sentence each."""
        notes = []
        if self.inherited:
            notes.append(
                "children began with their parents' coupling: scores are not those of training from scratch "
                "(those of winners and controls are)"
            )
        if self.pretrainings:
            notes.append(f"{self.pretrainings} of {len(self.trials)} trials were pretrainings, not candidates")
        return tuple(notes)

    @property
    def best(self) -> Winner:
        """The first winner.

        Raises:
            LookupError: if there is none.
        """
        if not self.winners:
            raise LookupError("the search has no winner: every training diverged")
        return self.winners[0]


def read_winners(folder: RunFolder, comparison: Comparison | None) -> tuple[Winner, ...]:
    """The winners of a comparison whose networks are in the folder."""
    winners = []
    for entry in () if comparison is None else comparison.of_kind("winner"):
        path = folder.winners / str(entry.rank)
        if not entry.test:
            continue
        metrics = read_json(path / "metrics.json", "metrics")
        kinds = {"trial": int, "certified": bool, "rho": int | float}
        if not all(isinstance(metrics.get(name), kind) for name, kind in kinds.items()):
            raise InputError(f"metrics at {path} are corrupt: expected the numbers trial and rho, and certified")
        winners.append(
            Winner(
                rank=entry.rank,
                trial=metrics["trial"],
                module_graph=entry.graph,
                validation_accuracy=entry.validation,
                test_accuracy=entry.test,
                certified=bool(metrics["certified"]),
                rho=float(metrics["rho"]),
                path=path,
            )
        )
    return tuple(winners)


def _paired(comparison: Comparison | None) -> dict[str, Any]:
    """The best winner against each kind of control, seed by seed."""
    kinds = () if comparison is None else dict.fromkeys(e.kind for e in comparison.graphs if e.kind != "winner")
    found = {kind: None if comparison is None else group_comparison(comparison, kind) for kind in kinds}
    return {kind: None if entry is None else entry.as_dict() for kind, entry in found.items()}


def summary(result: SearchResult, budget: int) -> dict[str, Any]:
    """The content of ``summary.json``."""
    states = [trial.state for trial in result.trials]
    gain = None if result.comparison is None else result.comparison.paired_gain("random")
    return {
        "folder": str(result.folder),
        "budget": budget,
        "trials": len(result.trials),
        "complete": states.count("COMPLETE"),
        "failed": states.count("FAIL"),
        "pretrainings": result.pretrainings,
        "inherit_weights": result.inherited,
        "notes": list(result.notes),
        "space_exhausted": result.exhausted,
        "rank_agreement": [entry.as_dict() for entry in result.agreement],
        "winners": [
            {
                "rank": winner.rank,
                "trial": winner.trial,
                "graph_key": winner.module_graph.key,
                "edges": winner.module_graph.n_edges,
                "validation_accuracy": list(winner.validation_accuracy),
                "test_accuracy": list(winner.test_accuracy),
                "certified": winner.certified,
                "rho": winner.rho,
                "path": str(winner.path),
            }
            for winner in result.winners
        ],
        "gain_over_random": None
        if gain is None
        else {"mean": gain[0], "sd": None if math.isnan(gain[1]) else gain[1], "seeds": gain[2]},
        "paired": _paired(result.comparison),
    }
