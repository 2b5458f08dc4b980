"""The time of proposals, with a history that grows."""

from __future__ import annotations

import time
from typing import Any

from bench.tables import Columns, number
from topo_search.graph import Area, GraphConstraints
from topo_search.search import Evaluation, History, Proposal, Strategy, Trial
from topo_search.search.settings import SearchConfig
from topo_search.search.strategies import RandomStrategy
from topo_search.seeds import generator

__all__ = ["PROPOSALS", "filled_history", "proposal_row"]

_TRIES = 60

PROPOSALS: Columns = {
    "strategy": lambda row: row["strategy"],
    "proposals": number("proposals", "d"),
    "seconds": number("seconds", ".2f"),
    "seconds for 10,000": number("per_10000", ".2f"),
    "asked again": number("again", "d"),
    "known": number("known", "d"),
}


def _constraints() -> GraphConstraints:
    areas = [*[Area(32, is_input=True)] * 4, *[Area(32)] * 7, Area(32, is_output=True)]
    return GraphConstraints.build(areas, forbidden_roles=[("input", "output")], max_edges=16)


def _take(history: History, proposal: Proposal) -> None:
    score = int(proposal.graph.key, 16) % 100_003 / 100_003
    parameters = 1000 * proposal.graph.n_edges
    evaluation = Evaluation(score, (score,), (1.0,), best_epoch=1, parameters=parameters)
    history.put(Trial(history.propose(proposal), proposal, (evaluation,), final=True))


def filled_history(count: int) -> History:
    """So many random trials, each finished with a score."""
    strategy, history = RandomStrategy(_constraints(), SearchConfig()), History()
    for index in range(count):
        _take(history, strategy.propose(history, generator("filled", index)))
    return history


def proposal_row(kind: type[Strategy], history: History, *, count: int, seed: int) -> dict[str, Any]:
    """Time a strategy's proposals in seconds of the processor.

    ``again`` counts repeated questions, ``known`` the proposals that stayed known graphs after 60 of them.
    """
    constraints = _constraints()
    strategy = kind(constraints, SearchConfig())
    asked = known = 0
    begin = time.process_time()
    for index in range(count):
        for attempt in range(_TRIES):
            proposal = strategy.propose(history, generator(seed, "proposal", index, attempt))
            asked += 1
            constraints.check(proposal.graph)
            if proposal.key not in history.known:
                break
        else:
            known += 1
        _take(history, proposal)
    seconds = time.process_time() - begin
    return {
        "strategy": kind.name,
        "proposals": count,
        "seconds": seconds,
        "per_10000": seconds * 10_000 / count,
        "again": asked - count,
        "known": known,
    }
