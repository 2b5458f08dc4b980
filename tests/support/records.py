"""Records of runs that never ran, for the page that reports them."""

from __future__ import annotations

from typing import Any

from support.tiny import tiny_space
from topo_search.graph import ModuleGraph
from topo_search.report.page.record import (
    RunRecord,
    Summary,
    Training,
    WinnerCertificate,
    WinnerMetrics,
    WinnerRecord,
)
from topo_search.search import Evaluation, Proposal, SearchSpace, Trial

KINDS = ("winner", "random", "random_parameters", "rewired", "global_workspace", "all_edges")


def graph_of(space: SearchSpace, edges: list[tuple[int, int]]) -> ModuleGraph:
    return ModuleGraph(space.constraints.areas, edges)


def trial(
    number: int,
    edges: list[tuple[int, int]],
    scores: tuple[float, ...],
    *,
    parents: tuple[int, ...] = (),
    strategy: str = "evolution",
    operator: str = "add_edge",
    reason: str = "",
    **options: Any,
) -> Trial:
    """A trial of ``tiny_space`` with a score a rung, from 1 epoch on; ``reason`` is that of a failure after them."""
    space = tiny_space()
    results = [
        Evaluation(score, tuple(scores[: rung + 1]), (1.0,) * (rung + 1), best_epoch=rung + 1, parameters=90)
        for rung, score in enumerate(scores)
    ]
    if reason:
        results.append(Evaluation.failure(reason))
    proposal = Proposal(graph_of(space, edges), strategy, operator, parents, options.pop("pretraining", None))
    return Trial(number, proposal, tuple(results), final=True, **options)


# Paths from the inputs 0 and 1 over hidden areas to the output, and one edge more.
CHAIN = [(0, 2), (1, 3), (2, 5), (3, 5)]
MORE = [*CHAIN, (2, 4)]


def trainings(kind: str, key: str, test: list[float | None], *, edges: int = 4) -> list[Training]:
    return [
        Training(
            graph_key=key,
            kind=kind,
            seed=seed,
            edges=edges,
            parameters=None if score is None else 90,
            validation_accuracy=score,
            test_accuracy=score,
        )
        for seed, score in enumerate(test)
    ]


def winner(rank: int, number: int, *, certified: bool = True, reason: str = "", intact: bool = True) -> WinnerRecord:
    graph = graph_of(tiny_space(), CHAIN if rank == 1 else MORE)
    metrics = WinnerMetrics(
        trial=number,
        graph_key=graph.key,
        search_score=0.8,
        rescored_validation_accuracy=(0.8, 0.7),
        test_accuracy=(0.75, None),
        saved_seed=0,
        parameters=90,
    )
    certificate = WinnerCertificate(
        certified=certified,
        reason=reason,
        rho=0.97,
        rate=None,
        integrator="cayley",
        model_sha256="0" * 64,
    )
    return WinnerRecord(rank, graph, metrics, certificate, intact)


PAIRED = {
    "mean": 0.05,
    "low": -0.2,
    "high": 0.3,
    "n": 2,
    "p_t": 0.3,
    "p_sign_flip": 0.5,
    "crossed_low": -0.01,
    "crossed_high": 0.1,
    "graphs": (1, 2),
    "beaten": 1.0,
}


def summary(**entries: Any) -> Summary:
    values = {
        "budget": 3,
        "notes": (),
        "space_exhausted": False,
        "rank_agreement": ({"epochs": 1, "against": 3, "tau": None, "low": None, "high": None, "n": 3},),
        "winners": ({"rank": 1},),
        "paired": {"random": PAIRED, "all_edges": None},
    }
    return Summary.model_validate({**values, **entries})


def record(trials: list[Trial], **entries: Any) -> RunRecord:
    """A record of an unfinished run; ``entries`` replace its parts."""
    parts: dict[str, Any] = {
        "name": "run",
        "space": tiny_space(),
        "run": {"seed": 0, "budget": 3, "study": "run"},
        "budgets": (3,),
        "trials": tuple(trials),
        "summary": None,
        "trainings": (),
        "winners": (),
    }
    return RunRecord(**{**parts, **entries})
