"""Histories that grow by proposals, with scores from a formula: strategies without training."""

from __future__ import annotations

import numpy as np

from topo_search.graph import Area, GraphConstraints
from topo_search.search import Evaluation, History, Proposal, Trial
from topo_search.search.settings import SearchConfig
from topo_search.search.strategies import EvolutionStrategy, RandomStrategy
from topo_search.search.strategies.gw_seeded import WorkspaceStrategy
from topo_search.search.strategies.local_search import LocalSearchStrategy
from topo_search.search.strategies.nsga2 import Nsga2Strategy
from topo_search.seeds import generator

BREEDING = (EvolutionStrategy, Nsga2Strategy, WorkspaceStrategy, LocalSearchStrategy)


def streams(max_edges=16, **rules):
    """Four input areas, seven hidden, one output, nothing direct between inputs and output."""
    areas = [*[Area(32, is_input=True)] * 4, *[Area(32)] * 7, Area(32, is_output=True)]
    return GraphConstraints.build(areas, forbidden_roles=[("input", "output")], max_edges=max_edges, **rules)


def chance(graph):
    """A score that has nothing to do with the graph's shape, but is always the same."""
    return int(graph.key, 16) % 100_003 / 100_003


def result(score, *, parameters=0, certified=None):
    return Evaluation(score, (score,), (1.0,), best_epoch=1, parameters=parameters, certified=certified)


def finished(number, proposal, *scores, final=True, **values):
    """A trial with a score at each rung."""
    return Trial(number, proposal, tuple(result(score, **values) for score in scores), final=final)


def take(history, proposal, *scores, **values):
    """Take a proposal in as a finished trial; its score is by chance where none is given."""
    scores = scores or (chance(proposal.graph),)
    trial = finished(history.propose(proposal), proposal, *scores, **values)
    history.put(trial)
    return trial


def random_history(constraints, count, score=chance, **values):
    """A history of so many random trials."""
    strategy, history = RandomStrategy(constraints, SearchConfig()), History()
    while len(history.proposals) < count:
        proposal = strategy.propose(history, generator("filled", len(history.proposals)))
        take(history, proposal, score(proposal.graph), **values)
    return history


def hand_made(history, graph, *scores, parents=(), operator="random_density", strategy="random", **values):
    """Take in a graph of one's own."""
    return take(history, Proposal(graph, strategy, operator, parents), *scores, **values)


def ask(strategy, history, number, *, seed=0, attempts=60):
    """What a search does for a proposal: ask again, with other generators, while the graph is known."""
    for attempt in range(attempts):
        proposal = strategy.propose(history, generator(seed, "proposal", number, attempt))
        if proposal.key not in history.known:
            break
    return proposal


def search(strategy, score, count, history=None):
    """Ask and score at once, so many times."""
    history = History() if history is None else history
    for _ in range(count):
        proposal = ask(strategy, history, len(history.proposals))
        take(history, proposal, score(proposal.graph))
    return history


def rng(seed=0):
    return np.random.default_rng(seed)
