from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.proposing import hand_made, random_history, rng, search, streams, take

from topo_search.graph import OPERATORS, ModuleGraph, make_family
from topo_search.search import History, Proposal
from topo_search.search.history import better
from topo_search.search.settings import SearchConfig
from topo_search.search.strategies import EvolutionStrategy
from topo_search.search.strategies.breeding import Breeding, start_numbers
from topo_search.search.strategies.novelty import novelty
from topo_search.search.strategies.operator_rates import EQUAL_SHARE, operator_rates

SPACE = streams()


def evolution(*, start=(), constraints=SPACE, **values):
    config = SearchConfig.model_validate(
        {"start": start, "evolution": {"mutations": 0.0, "guided": 0.0, "initial": None, **values}}
    )
    return EvolutionStrategy(constraints, config)


def parents_of(strategy, history, count=60):
    return {number for seed in range(count) for number in strategy.propose(history, rng(seed)).parents}


def draw(seed, constraints=SPACE, **parameters):
    return make_family("random_density", constraints, rng(seed), **parameters)


def apart(a, b):
    return len(set(a.edges) ^ set(b.edges))


def test_aging_keeps_the_latest_and_elitist_the_best():
    history = random_history(SPACE, 80)
    board = [trial.number for trial in history.leaderboard()]
    values = {"population": 10, "tournament": 1, "crossover": 0.5}
    assert parents_of(evolution(survival="aging", **values), history) == set(range(70, 80))
    assert parents_of(evolution(survival="elitist", **values), history) == set(board[:10])


def test_an_elitist_population_has_higher_rungs_first():
    history = History()
    for number in range(40):
        scores = (number / 100, 0.01 * number) if number % 4 == 0 else (number / 100,)
        hand_made(history, draw(number), *scores)
    strategy = evolution(survival="elitist", population=10, tournament=1)
    assert parents_of(strategy, history, 100) == set(range(0, 40, 4))


def test_initial_says_how_many_graphs_are_drawn_first():
    history = random_history(SPACE, 7)
    assert evolution(population=30).propose(history, rng()).operator == "random_density"
    assert evolution(population=30, initial=7).propose(history, rng()).parents
    assert evolution(population=5, initial=8).propose(history, rng()).parents == ()


def test_first_proposals_are_mutants_of_the_graphs_that_the_user_starts_from():
    given_graphs = [draw(1), draw(2)]
    strategy = evolution(start=[graph.edges for graph in given_graphs], mutations=1.0, population=20)
    history = History()
    for graph in given_graphs:
        history.propose(Proposal(graph, "start", "start"))
    for number in range(2, 20):
        proposal = strategy.propose(history, rng(number))
        assert proposal.operator in OPERATORS
        assert proposal.parents in {(0,), (1,)}
        assert proposal.graph not in given_graphs
        take(history, proposal)
    assert {history.proposals[n].parents for n in range(2, 20)} == {(0,), (1,)}


def test_start_graphs_that_were_skipped_are_not_taken_for_them():
    graph, other = draw(1), draw(2)
    history = History()
    for each in (Proposal(graph, "start", "start"), Proposal(other, "evolution", "random_density")):
        history.propose(each)
    reversed_edges = [(j, i) for i, j in graph.edges]
    config = SearchConfig.model_validate({"start": [graph.edges, reversed_edges]})
    assert start_numbers(history, config) == [0]
    assert start_numbers(History(), config) == []


def test_greedy_proposals_are_unknown_neighbours_of_the_leader():
    history = random_history(SPACE, 60)
    strategy = evolution(greedy=1.0, crossover=1.0, mutations=5.0)
    leader = history.leader
    for seed in range(40):
        proposal = strategy.propose(history, rng(seed))
        assert proposal.parents == (leader.number,)
        assert proposal.key not in history.known
        # One operator changes at most two edges for two.
        assert apart(proposal.graph, leader.graph) <= 4


def test_children_of_known_neighbourhoods_are_mutated_on():
    # Trees of a small space: a tree has few neighbours, and here all are known.
    constraints = streams(max_edges=5)
    star = ModuleGraph(constraints.areas, [*((i, 4) for i in range(4)), (4, 11)])
    history = History()
    hand_made(history, star, 1.0)
    while True:
        around = [evolution(constraints=constraints, tries=1).breeding.mutant((0, star), rng(s)) for s in range(80)]
        fresh = [proposal for proposal in around if proposal.key not in history.known]
        if not fresh:
            break
        for proposal in {proposal.key: proposal for proposal in fresh}.values():
            take(history, proposal, 0.1)
    strategy = evolution(constraints=constraints, initial=1, population=1, survival="elitist", crossover=0.0)
    for seed in range(20):
        proposal = strategy.propose(history, rng(seed))
        assert proposal.parents == (0,)
        assert proposal.key not in history.known
        assert constraints.violation(proposal.graph) is None


def test_crossover_by_roles_finds_what_parents_have_in_common():
    graph = draw(3)
    number = [*range(4), *(4 + rng(1).permutation(7)).tolist(), 11]
    copy = graph.with_edges([(number[i], number[j]) for i, j in graph.edges])
    for alignment, distances in (("roles", {0}), ("labels", None)):
        config = SearchConfig.model_validate({"evolution": {"mutations": 0, "alignment": alignment}})
        breeding = Breeding(SPACE, config.evolution, "evolution")
        children = [breeding.child((0, graph), (1, copy), rng(seed)) for seed in range(10)]
        assert {child.parents for child in children} == {(0, 1)}
        assert {child.operator for child in children} == {"crossover"}
        found = {apart(child.graph, graph) for child in children}
        assert found == distances if distances else min(found) > 0


def lineage(outcomes):
    """A parent and children, by operator, that beat it or do not."""
    history = History()
    hand_made(history, draw(0), 0.5)
    for index, (operator, wins) in enumerate(outcomes, 1):
        hand_made(history, draw(index), 0.6 if wins else 0.4, parents=(0,), operator=operator)
    return history


def test_operators_that_make_better_children_get_higher_rates():
    history = lineage([("add_edge", True), ("add_edge", True), ("remove_edge", False), ("swap_edges", True)] * 5)
    names = ["add_edge", "remove_edge", "swap_edges", "rewire_edge"]
    rates = operator_rates(history, names, window=100)
    assert sum(rates.values()) == pytest.approx(1)
    assert rates["add_edge"] > rates["swap_edges"] > rates["rewire_edge"] > rates["remove_edge"] > EQUAL_SHARE / 4
    # The untried counts at the mean success, 3 in 4; add_edge has 10 of 10 beside four at the mean.
    assert (rates["add_edge"] - EQUAL_SHARE / 4) / (rates["rewire_edge"] - EQUAL_SHARE / 4) == pytest.approx(
        (10 + 3) / 14 / 0.75
    )


def test_rates_forget_what_is_past_and_compare_at_the_common_rung():
    history = lineage([("add_edge", True)] * 10 + [("remove_edge", True)] * 10)
    rates = operator_rates(history, ["add_edge", "remove_edge"], window=10)
    assert rates["remove_edge"] == rates["add_edge"]  # ten of ten beside a mean of one in one
    history = History()
    hand_made(history, draw(0), 0.5, 0.9)
    for index in range(1, 9):
        wins = index % 2 == 0
        # A longer training scores more, which must not count.
        scores = (0.6,) if wins else (0.4, 0.8)
        operator = "add_edge" if wins else "remove_edge"
        hand_made(history, draw(index), *scores, parents=(0,), operator=operator)
    rates = operator_rates(history, ["add_edge", "remove_edge"], window=10)
    assert all(better(history.trials[n], history.trials[0]) for n in (2, 4))
    assert rates["add_edge"] > 0.6


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.lists(st.tuples(st.sampled_from([*OPERATORS, "crossover"]), st.booleans()), max_size=25), st.integers(1, 30))
def test_rates_are_a_distribution_with_a_floor(outcomes, window):
    rates = operator_rates(lineage(outcomes), list(OPERATORS), window=window)
    assert sum(rates.values()) == pytest.approx(1)
    assert min(rates.values()) >= EQUAL_SHARE / len(OPERATORS) * (1 - 1e-9)


def test_adaptive_evolution_uses_what_works_and_never_what_is_off():
    outcomes = [("remove_edge", True), ("rewire_edge", False), ("swap_edges", False), ("move_hub_edge", False)] * 15
    history = lineage(outcomes)
    off = {"swap_edges": 0.0}

    def share(adaptive):
        strategy = evolution(adaptive=adaptive, crossover=0.0, operators=off, initial=1)
        operators = [strategy.propose(history, rng(seed)).operator for seed in range(200)]
        assert "swap_edges" not in operators
        return operators.count("remove_edge") / len(operators)

    assert share(1.0) > share(0.5) > share(0.0)
    assert share(1.0) > 1.5 * share(0.0)


@settings(max_examples=30, deadline=None, derandomize=True)
@given(st.integers(0, 1000), st.integers(1, 12))
def test_novelty_is_the_mean_difference_from_the_nearest(seed, neighbours):
    graphs = [draw(seed + index, edges=8 + index % 9) for index in range(10)]
    found = novelty(graphs[:4], graphs, neighbours=neighbours)
    for index, graph in enumerate(graphs[:4]):
        distances = sorted(apart(graph, other) for other in graphs if other != graph)[:neighbours]
        assert found[index] == pytest.approx(np.mean(distances))
    assert novelty([graphs[0]], [graphs[0]], neighbours=3).tolist() == [0.0]


def test_tournaments_by_novelty_prefer_the_odd_one():
    base, odd = draw(0), make_family("global_workspace", SPACE, rng(0), hub=8)
    history = History()
    for seed in range(9):
        near = EvolutionStrategy(SPACE, SearchConfig()).breeding.mutant((0, base), rng(seed), changes=1)
        hand_made(history, near.graph, 0.9)
    number = hand_made(history, odd, 0.1).number
    values = {"population": 10, "tournament": 10, "crossover": 0.0}
    assert parents_of(evolution(novelty=1.0, **values), history, 20) == {number}
    assert number not in parents_of(evolution(novelty=0.0, **values), history, 20)
    mixed = [evolution(novelty=0.5, **values).propose(history, rng(s)).parents == (number,) for s in range(100)]
    assert 30 < sum(mixed) < 70


@pytest.mark.parametrize(
    "values",
    [{}, {"survival": "elitist"}, {"alignment": "roles"}, {"adaptive": 0.8}, {"novelty": 0.2}, {"greedy": 0.4}],
)
def test_evolution_finds_short_paths_whatever_its_settings(values):
    def score(graph):
        paths = sum(min(2, len(set(graph.neighbors(i)) & set(graph.neighbors(11)))) for i in range(4))
        return paths / 8 - 0.01 * graph.n_edges

    strategy = evolution(population=15, tournament=4, **values)
    scores = [trial.score for trial in search(strategy, score, 150).scored()]
    assert np.mean(scores[-30:]) > np.mean(scores[:15]) + 2 * np.std(scores[:15])


def test_settings_refuse_what_cannot_be():
    with pytest.raises(ValueError, match="at least one operator of positive weight"):
        SearchConfig(evolution={"operators": dict.fromkeys(OPERATORS, 0.0)})
    with pytest.raises(ValueError, match="at least one family of positive weight"):
        SearchConfig(local_search={"start": [{"family": "ring", "weight": 0}]})
    with pytest.raises(ValueError, match="unknown operators"):
        SearchConfig(nsga2={"operators": {"teleport": 1.0}})
