from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from support.proposing import chance, hand_made, random_history, rng, search, streams

from topo_search.graph import make_family
from topo_search.search import History
from topo_search.search.objectives import non_dominated_ranks, pareto_order
from topo_search.search.settings import SearchConfig
from topo_search.search.strategies.nsga2 import Nsga2Strategy
from topo_search.search.strategies.skyband import Skyband

SPACE = streams()


def nsga2(objectives=("accuracy", "edges"), **values):
    return Nsga2Strategy(SPACE, SearchConfig.model_validate({"objectives": objectives, "nsga2": values}))


def draw(seed, **parameters):
    return make_family("random_density", SPACE, rng(seed), **parameters)


def numbers(trials):
    return [trial.number for trial in trials]


def sorted_in_full(rows, feasible, depth):
    """The first of a sorting of everything, by Deb's constrained domination."""
    order = []
    for verdict in (True, False):
        part = [index for index, one in enumerate(feasible) if one is verdict]
        if part:
            order += [part[place] for place in pareto_order([rows[index] for index in part])]
    return order[:depth]


# Few different values, so that ties and equal rows abound.
ROWS = st.lists(
    st.tuples(st.integers(0, 6), st.integers(0, 6), st.integers(0, 3), st.sampled_from([True, True, True, False])),
    min_size=1,
    max_size=60,
)


@settings(max_examples=150, deadline=None, derandomize=True)
@given(ROWS, st.integers(1, 12), st.integers(1, 3), st.randoms(use_true_random=False))
def test_the_band_sorts_like_a_sorting_of_everything_whatever_the_order_of_arrival(rows, depth, objectives, shuffle):
    values, feasible = [row[:objectives] for row in rows], [row[3] for row in rows]
    arrivals = list(range(len(rows)))
    shuffle.shuffle(arrivals)
    band = Skyband(depth)
    for number in arrivals:
        band.add(number, values[number], feasible=feasible[number])
    assert band.best() == sorted_in_full(values, feasible, depth)


def test_the_band_stays_small():
    band, noise = Skyband(20), rng()
    for number in range(4000):
        band.add(number, noise.random(2), feasible=True)
    assert len(band) < 400
    for number in range(4000, 4100):
        band.add(number, (2.0, 2.0), feasible=True)
    assert len(band) == 20


def test_the_population_is_the_best_of_all_trials_by_rank_and_crowding():
    history = History()
    for number in range(150):
        hand_made(history, draw(number, edges=6 + number % 11), round(chance(draw(number)), 1))
    values = [(trial.score, -trial.graph.n_edges) for trial in history.scored()]
    strategy = nsga2(population=20)
    assert numbers(strategy.population(history)) == pareto_order(values)[:20].tolist()
    ranks = non_dominated_ranks(values)
    assert max(ranks[strategy.population(history)[i].number] for i in range(20)) <= np.sort(ranks)[20]


def test_a_search_for_accuracy_alone_takes_parameters_too():
    history = History()
    for number in range(12):
        hand_made(history, draw(number), number / 100, parameters=1000 + (number % 3))
    strategy = nsga2(objectives=("accuracy",), population=3)
    assert set(numbers(strategy.population(history))) == {9, 10, 11}
    assert nsga2(objectives=("accuracy", "edges")).objectives == ("accuracy", "edges")


def test_trials_that_are_not_certified_lose_to_every_other():
    history = History()
    for number in range(20):
        hand_made(history, draw(number), number / 100, certified=None if number < 6 else number % 2 == 0)
    # Certified or not asked for: 0 to 5 and the even ones; of equal edges the best score leads.
    population = numbers(nsga2(population=16).population(history))
    feasible = [number for number in range(20) if number < 6 or number % 2 == 0]
    assert population[:13] == feasible[::-1]
    assert population[13:] == [19, 17, 15]


def test_a_certificate_that_fails_later_counts():
    history, strategy = History(), nsga2(population=4)
    for number in range(8):
        hand_made(history, draw(number), number / 10, final=number != 7)
    assert numbers(strategy.population(history)) == [7, 6, 5, 4]
    failed = history.trials[7]
    uncertified = hand_made(History(), failed.graph, 0.9, certified=False).results[0]
    history.put(failed.with_result(uncertified, final=True))
    assert numbers(strategy.population(history)) == [6, 5, 4, 3]


def test_trials_are_compared_at_the_highest_rung_that_enough_have_reached():
    history, strategy = History(), nsga2(population=4)
    for number in range(12):
        hand_made(history, draw(number), 0.1 * number)
    assert numbers(strategy.population(history)) == [11, 10, 9, 8]
    for number in range(12, 15):
        hand_made(history, draw(number), 0.0, 0.5)
    # Three of four: not enough.
    assert numbers(strategy.population(history)) == [11, 10, 9, 8]
    hand_made(history, draw(15), 0.0, 0.6)
    assert numbers(strategy.population(history)) == [15, 12, 13, 14]


def test_parents_come_from_the_population_and_the_better_more_often():
    history = random_history(SPACE, 80)
    strategy = nsga2(population=10, crossover=0.5)
    population = numbers(strategy.population(history))
    proposals = [strategy.propose(history, rng(seed)) for seed in range(300)]
    assert {number for proposal in proposals for number in proposal.parents} == set(population)
    first = [proposal.parents[0] for proposal in proposals]
    assert sum(first.count(number) for number in population[:5]) > 0.65 * len(first)
    crossed = sum(proposal.operator == "crossover" for proposal in proposals)
    assert crossed == sum(len(proposal.parents) == 2 for proposal in proposals)
    assert 0.3 < crossed / 300 < 0.6


def test_the_first_graphs_have_any_number_of_edges_or_are_of_the_families_named():
    edges = {nsga2().propose(History(), rng(seed)).graph.n_edges for seed in range(200)}
    assert edges == set(range(5, 17))
    stars = nsga2(start=[{"family": "global_workspace"}])
    assert stars.propose(History(), rng()).operator == "global_workspace"


def test_the_front_moves_out_over_its_whole_width():
    def score(graph):
        # More edges between hidden areas are better, each less than the one before.
        inside = sum(i >= 4 and j < 11 for i, j in graph.edges)
        return 1 - 0.8**inside

    history = search(nsga2(population=20), score, 350)
    values = np.array([(trial.score, -trial.graph.n_edges) for trial in history.scored()])
    begun = values[:20]
    # For few edges, some and many a later graph is better than the first ones.
    gained = [
        max(s for s, c in values if -c <= e) > max((s for s, c in begun if -c <= e), default=0) for e in (9, 12, 16)
    ]
    assert all(gained)
    last = {int(-cost) for _, cost in values[-100:]}
    assert min(last) < 8
    assert max(last) > 11
