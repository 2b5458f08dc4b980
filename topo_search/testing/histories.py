"""Histories that strategies are checked with: every state that a search may be in when it asks for a graph."""

from __future__ import annotations

from functools import lru_cache

from topo_search.graph import GraphConstraints, ModuleGraph, make_family
from topo_search.search import Evaluation, History, Pretraining, Proposal, Request, SearchSpace, Trial
from topo_search.seeds import generator
from topo_search.testing.formula import formula_evaluation

__all__ = ["checked_histories", "put_candidate", "random_graphs"]


COUNT = 40
"""Random graphs in a history; fewer where a space has not so many."""


@lru_cache(maxsize=64)
def random_graphs(constraints: GraphConstraints) -> tuple[ModuleGraph, ...]:
    """Valid graphs at the full edge budget, each once."""
    drawn = (make_family("random_density", constraints, generator(n, "contract")) for n in range(2 * COUNT))
    return tuple(dict.fromkeys(drawn))[:COUNT]


@lru_cache(maxsize=8192)
def _evaluation(graph: ModuleGraph, epochs: int, constraints: GraphConstraints) -> Evaluation:
    return formula_evaluation(Request(graph.to_json(), epochs, seed=0), constraints)


def put_candidate(history: History, graph: ModuleGraph, space: SearchSpace, *, rungs: int = 1) -> None:
    """Propose a graph and bring its scores at the first rungs in view."""
    proposal = Proposal(graph, "random", "random_density")
    results = tuple(_evaluation(graph, epochs, space.constraints) for epochs in space.ladder.rungs[:rungs])
    history.put(Trial(history.propose(proposal), proposal, results, final=True))


def _fail(history: History, graph: ModuleGraph) -> None:
    proposal = Proposal(graph, "random", "random_density")
    history.put(Trial(history.propose(proposal), proposal, (Evaluation.failure("diverged"),), final=True))


def _pretrain(history: History, graph: ModuleGraph, space: SearchSpace, strategy: str, plan: Pretraining) -> None:
    proposal = Proposal(graph, strategy, "all_to_all", pretraining=plan)
    request = Request(graph.to_json(), plan.epochs or space.ladder.rungs[0], 0, edge_scores=True, moves=plan.moves)
    result = formula_evaluation(request, space.constraints)
    history.put(Trial(history.propose(proposal), proposal, (result,), final=True))


def checked_histories(space: SearchSpace, strategy: str) -> dict[str, History]:
    """Histories by what is in them; each call makes them anew.

    Args:
        space: the search space.
        strategy: name of the strategy, whose own pretrainings some of them hold.
    """
    graphs = random_graphs(space.constraints)
    dense = make_family("all_to_all", space.constraints, generator(0, "contract"), ignore_budget=True)
    names = (
        "empty",
        "one trial",
        "all in flight",
        "all failed",
        "one rung",
        "several rungs",
        "all with one score",
        "some failed and some in flight",
        "pretrainings",
    )
    histories = {name: History() for name in names}
    put_candidate(histories["one trial"], graphs[0], space)
    tied = _evaluation(graphs[0], space.ladder.rungs[0], space.constraints)
    for plan in (Pretraining(), Pretraining(epochs=3), Pretraining(moves="rigl"), Pretraining(moves="set")):
        graph = dense if plan.moves == "none" else graphs[0]
        _pretrain(histories["pretrainings"], graph, space, strategy, plan)
        _pretrain(histories["pretrainings"], graphs[-1], space, "of_another_package", plan)
    for index, graph in enumerate(graphs):
        histories["all in flight"].propose(Proposal(graph, "random", "random_density"))
        _fail(histories["all failed"], graph)
        put_candidate(histories["one rung"], graph, space)
        put_candidate(histories["several rungs"], graph, space, rungs=1 + index % len(space.ladder.rungs))
        proposal = Proposal(graph, "random", "random_density")
        one_score = histories["all with one score"]
        one_score.put(Trial(one_score.propose(proposal), proposal, (tied,), final=True))
        mixed = histories["some failed and some in flight"]
        if index % 3 == 0:
            _fail(mixed, graph)
        elif index % 3 == 1:
            mixed.propose(proposal)
        else:
            put_candidate(mixed, graph, space)
        if index % 2:
            put_candidate(histories["pretrainings"], graph, space)
    return histories
