"""What holds of every strategy that breeds, over long and ragged histories."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest
from support.proposing import BREEDING, chance, result, rng, streams, take
from support.tiny import tiny_space

from topo_search.search import Decisions, Evaluation, History, Trial
from topo_search.search.settings import SearchConfig
from topo_search.search.strategies import RandomStrategy

SETTINGS = {
    "plain": {},
    "knobs": {
        "objectives": ["accuracy", "edges"],
        "evolution": {
            "survival": "elitist", "population": 8, "initial": 5, "alignment": "roles", "adaptive": 0.7,
            "novelty": 0.3, "greedy": 0.3, "guided": 0.5, "candidates": 6,
        },
        "nsga2": {"population": 8, "alignment": "roles"},
        "gw_seeded": {"initial": 14, "crossover": 0.3, "patience": 5},
    },
}  # fmt: skip


def config(name, **further):
    return SearchConfig.model_validate({**SETTINGS[name], **further})


def ragged(history, waiting, chaos):
    """Bring some waiting trials in view: failures, promotions, later results, certificates that failed."""
    for number in list(waiting):
        if chaos.random() < 0.7:
            trial = waiting.pop(number)
            fate = chaos.random()
            if fate < 0.1:
                history.put(trial.with_result(Evaluation.failure("diverged"), final=True))
                continue
            goes_on = fate > 0.6 and len(trial.results) < 3
            new = replace(result(chance(trial.graph) * (1 - 0.1 * len(trial.results)), parameters=trial.graph.n_edges))
            if not goes_on and chaos.random() < 0.1:
                new = replace(new, certified=False)
            trial = trial.with_result(new, final=not goes_on)
            history.put(trial)
            if goes_on:
                waiting[number] = trial


@pytest.mark.parametrize("settings", SETTINGS)
@pytest.mark.parametrize("kind", BREEDING, ids=lambda kind: kind.name)
def test_what_a_strategy_remembers_never_changes_what_it_proposes(kind, settings):
    constraints = streams(max_edges=13, hub_sizes=(16,))
    start = [make.propose(History(), rng(5)).graph.edges for make in [RandomStrategy(constraints, SearchConfig())]]
    search = config(settings, start=start if settings == "knobs" else [])
    strategy, history, waiting, chaos = kind(constraints, search), History(), {}, random.Random(0)
    for number in range(140):
        proposal = strategy.propose(history, rng(number))
        assert constraints.violation(proposal.graph) is None
        assert proposal.strategy == kind.name
        if number % 4 == 0:
            assert proposal == kind(constraints, search).propose(history, rng(number))
        if number % 50 == 49:
            # Another history in between is no trouble.
            strategy.propose(History(), rng(1))
        waiting[history.propose(proposal)] = Trial(number, proposal)
        ragged(history, waiting, chaos)


@pytest.mark.parametrize("kind", BREEDING, ids=lambda kind: kind.name)
def test_known_graphs_are_not_proposed_while_others_are_near(kind):
    constraints = streams()
    strategy, history = kind(constraints, config("plain")), History()
    again = 0
    for number in range(150):
        proposal = strategy.propose(history, rng(number))
        again += proposal.key in history.known
        take(history, proposal)
    assert again == 0


@pytest.mark.parametrize("kind", BREEDING, ids=lambda kind: kind.name)
def test_a_space_of_one_graph_is_no_trouble(kind):
    space = tiny_space(areas=[{"role": "input+output", "size": 4, "count": 2}], edges={})
    strategy, history = kind(space.constraints, config("plain")), History()
    for number in range(50):
        proposal = strategy.propose(history, rng(number))
        assert proposal.graph.edges == ((0, 1),)
        take(history, proposal)


def decide(name, budget, **search):
    """A search by decisions, scored by chance; how often each graph was evaluated on the first rung."""
    space = tiny_space(
        areas=[
            {"role": "input", "size": 4, "count": 4},
            {"role": "hidden", "size": 4, "count": 7},
            {"role": "output", "size": 4},
        ],
        edges={"max_edges": 16, "forbidden_roles": [["input", "output"]]},
        search={"strategies": {name: 1.0}, **search},
    )
    decisions, first, outstanding = Decisions(space, seed=0), [], []
    decisions.extend(budget)
    while not decisions.finished:
        while decisions.ready() and not decisions.finished:
            job = decisions.next_job()
            outstanding += [] if job is None else [job]
        if not outstanding:
            continue
        job = outstanding.pop()
        graph = decisions.trials[job.trial].graph
        if job.rung == 0:
            first.append(graph.key)
        scores = tuple(chance(graph) * (1 - 0.2 * rung) for rung in range(job.rung + 1))
        decisions.result(job, Evaluation(scores[-1], scores, scores, best_epoch=1, parameters=graph.n_edges))
    return decisions, first


def check_search(name, budget):
    decisions, first = decide(name, budget)
    graphs = [trial.graph for trial in decisions.trials.values()]
    assert len(graphs) == budget
    assert all(decisions.constraints.violation(graph) is None for graph in graphs)
    assert max(graph.n_edges for graph in graphs) == 16
    assert len(first) == len(set(first)) == budget


NAMES = [kind.name for kind in (*BREEDING, RandomStrategy)]


@pytest.mark.parametrize("name", NAMES)
def test_a_thousand_proposals_are_valid_and_known_graphs_cost_nothing(name):
    check_search(name, 1000)


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_twenty_thousand_proposals_are_valid_and_known_graphs_cost_nothing(name):
    check_search(name, 20_000)
