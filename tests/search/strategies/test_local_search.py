from __future__ import annotations

from itertools import combinations

import numpy as np
from support.proposing import chance, hand_made, rng, search, streams, take

from topo_search.graph import Area, GraphConstraints, ModuleGraph, make_family
from topo_search.search import Evaluation, History, Proposal, Trial
from topo_search.search.settings import SearchConfig
from topo_search.search.strategies.local_search import LocalSearchStrategy

SPACE = streams(max_edges=12)
SMALL = GraphConstraints.build(
    [Area(4, is_input=True), *[Area(4)] * 3, Area(4, is_output=True)],
    forbidden_roles=[("input", "output")],
    max_edges=6,
)


def local(constraints=SPACE, start=(), **values):
    config = SearchConfig.model_validate({"start": start, "local_search": values})
    return LocalSearchStrategy(constraints, config)


def neighbours_of(graph, constraints):
    """Every valid graph that differs in one edge, by its definition."""
    edges = constraints.allowed_edges
    found = set()
    for change in [*combinations(edges, 1), *combinations(edges, 2)]:
        other = graph.with_edges(set(graph.edges) ^ set(change))
        differ_by_one = abs(other.n_edges - graph.n_edges) == (1 if len(change) == 1 else 0)
        if differ_by_one and constraints.violation(other) is None:
            found.add(other)
    return found


def test_a_climb_proposes_every_neighbour_once_and_then_begins_anew():
    strategy, history = local(SMALL), History()
    first = take(history, strategy.propose(history, rng(0)), 1.0)
    assert first.proposal.parents == ()
    around = neighbours_of(first.graph, SMALL)
    seen = set()
    for number in range(1, len(around) + 1):
        proposal = strategy.propose(history, rng(number))
        assert proposal.parents == (0,)
        seen.add(proposal.graph)
        take(history, proposal, 0.5)
    assert seen == around
    again = strategy.propose(history, rng(99))
    assert (again.parents, again.operator) == ((), "random_density")
    assert again.key not in history.known


def test_operators_say_what_changed():
    strategy, history = local(streams(max_edges=13)), History()
    first = take(history, Proposal(make_family("random_density", SPACE, rng(1)), "local_search", "random_density"), 1.0)
    for number in range(1, 300):
        proposal = take(history, strategy.propose(history, rng(number)), 0.1).proposal
        gained = len(set(proposal.graph.edges) - set(first.graph.edges))
        lost = len(set(first.graph.edges) - set(proposal.graph.edges))
        assert {"add_edge": (1, 0), "remove_edge": (0, 1), "rewire_edge": (1, 1)}[proposal.operator] == (gained, lost)
    assert {proposal.operator for proposal in history.proposals[1:]} == {"add_edge", "remove_edge", "rewire_edge"}


def test_it_goes_on_from_the_better_and_starts_over_from_scratch():
    strategy = local(SMALL)
    history = search(strategy, chance, 60)
    best = None
    for number, proposal in enumerate(history.proposals):
        if not proposal.parents:
            best = number
        else:
            assert proposal.parents == (best,)
        if chance(proposal.graph) > chance(history.proposals[best].graph):
            best = number
    restarts = [proposal for proposal in history.proposals if not proposal.parents]
    assert len(restarts) > 1
    assert len(history.known) == 60


def test_an_earlier_climb_does_not_count_however_good():
    history = History()
    hand_made(history, make_family("random_density", SPACE, rng(1)), 0.9, strategy="local_search")
    hand_made(history, make_family("random_density", SPACE, rng(2)), 0.1, strategy="local_search")
    hand_made(history, make_family("random_density", SPACE, rng(3)), 1.0)
    assert local().propose(history, rng()).parents == (1,)


def test_it_waits_for_no_score_and_leaves_a_graph_that_failed():
    strategy, history = local(), History()
    first = strategy.propose(history, rng(0))
    history.propose(first)
    for number in range(1, 4):
        proposal = strategy.propose(history, rng(number))
        assert proposal.parents == (0,)
        history.propose(proposal)
    history.put(Trial(0, first, (Evaluation.failure("diverged"),), final=True))
    again = strategy.propose(history, rng(9))
    assert again.parents == ()
    # Had a neighbour a score, the climb would go on from it.
    take_late = hand_made(History(), history.proposals[2].graph, 0.2).results
    history.put(Trial(2, history.proposals[2], take_late, final=True))
    assert strategy.propose(history, rng(9)).parents == (2,)


def test_the_first_climb_begins_at_the_best_of_the_graphs_given():
    graphs = [make_family("random_density", SPACE, rng(seed)) for seed in range(3)]
    strategy = local(start=[graph.edges for graph in graphs])
    history = History()
    for graph in graphs:
        history.propose(Proposal(graph, "start", "start"))
    assert strategy.propose(history, rng()).parents == (0,)
    for number, score in enumerate((0.3, 0.5, 0.4)):
        history.put(hand_made_trial(number, history.proposals[number], score))
    assert strategy.propose(history, rng()).parents == (1,)


def hand_made_trial(number, proposal, score):
    return Trial(number, proposal, (Evaluation(score, (score,), (1.0,), best_epoch=1),), final=True)


def test_a_trial_that_trains_on_is_compared_at_the_common_rung():
    history, strategy = History(), local()
    hand_made(history, make_family("random_density", SPACE, rng(1)), 0.5, strategy="local_search", final=False)
    child = strategy.propose(history, rng(2))
    take(history, child, 0.6)
    assert strategy.propose(history, rng(3)).parents == (1,)
    # The first one's later score is higher, but not at the rung that both have.
    history.put(history.trials[0].with_result(Evaluation(0.9, (0.9,), (1.0,), best_epoch=1), final=True))
    assert strategy.propose(history, rng(3)).parents == (1,)


def test_it_climbs_to_the_top_of_a_smooth_hill():
    target = set(make_family("random_density", SPACE, rng(7)).edges)

    def score(graph):
        return -len(target ^ set(graph.edges))

    history = search(local(), score, 2000)
    assert history.leader.score == 0
    assert history.leader.graph == ModuleGraph(SPACE.areas, target)


def test_families_of_the_first_graphs_can_be_named():
    strategy = local(start=(), **{})
    assert strategy.propose(History(), rng()).operator == "random_density"
    config = SearchConfig.model_validate({"local_search": {"start": [{"family": "ring"}]}})
    proposal = LocalSearchStrategy(SPACE, config).propose(History(), np.random.default_rng(0))
    assert proposal.operator == "ring"
