"""Long histories: benchmarks/proposals.py takes the time, this checks what is proposed."""

from __future__ import annotations

import pytest
from support.proposing import BREEDING, ask, random_history, streams, take

from topo_search.search.settings import SearchConfig
from topo_search.search.strategies import RandomStrategy


@pytest.mark.slow
@pytest.mark.parametrize("kind", [*BREEDING, RandomStrategy], ids=lambda kind: kind.name)
def test_ten_thousand_proposals_after_ten_thousand_trials_are_new_and_valid(kind):
    constraints = streams()
    history = random_history(constraints, 10_000)
    strategy = kind(constraints, SearchConfig())
    for number in range(10_000, 20_000):
        proposal = ask(strategy, history, number)
        assert constraints.violation(proposal.graph) is None
        assert proposal.key not in history.known
        take(history, proposal, parameters=proposal.graph.n_edges)
    assert len(history.known) == 20_000
