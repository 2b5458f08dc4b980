from __future__ import annotations

import numpy as np
from support.proposing import chance, random_history, rng, search, streams, take

from topo_search.graph import Area, GraphConstraints, make_family
from topo_search.graph.descriptors import workspace_distance
from topo_search.search import History
from topo_search.search.settings import SearchConfig
from topo_search.search.strategies.gw_seeded import WorkspaceStrategy

SPACE = streams()


def workspace(constraints=SPACE, **values):
    return WorkspaceStrategy(constraints, SearchConfig.model_validate({"gw_seeded": values}))


def begun(strategy, count):
    history = History()
    for number in range(count):
        take(history, strategy.propose(history, rng(number)))
    return history


def test_it_begins_with_one_hub_in_every_area_hidden_ones_first():
    history = begun(workspace(), 12)
    hubs = [max(range(12), key=proposal.graph.degree) for proposal in history.proposals[:7]]
    assert hubs == list(range(4, 11))
    assert all(workspace_distance(proposal.graph, SPACE) == 0 for proposal in history.proposals[:7])
    assert {(proposal.operator, proposal.parents) for proposal in history.proposals} == {("global_workspace", ())}
    assert len(history.known) == 12
    # A star around an input area or the output leaves areas out that must be joined: repaired, it is near one.
    for proposal, hub in zip(history.proposals[7:], [0, 1, 2, 3, 11], strict=True):
        assert proposal.graph.degree(hub) == max(map(proposal.graph.degree, range(12)))


def test_further_starts_have_hub_sizes_assemblies_and_several_hubs():
    constraints = streams(max_edges=40, hub_sizes=(64,))
    starts = workspace(constraints, initial=200).starts
    assert len({graph.key for graph in starts}) == len(starts)
    free = GraphConstraints.build(constraints.areas, forbidden_roles=[("input", "output")], hub_sizes=[64])
    expected = [
        make_family("global_workspace", free, rng(), hub=hub, **parameters)
        for hub in range(4, 11)
        for parameters in (
            {"hub_size": 64},
            {"hubs": 2},
            {"hubs": 3},
            {"hubs": 2, "spread": True},
            {"hubs": 3, "spread": True},
        )
    ]
    assert set(expected) <= set(starts)
    # The kinds take turns after the first twelve.
    assert starts[12].sizes.count(64) == 1
    assert [graph.n_edges for graph in starts[13:15]] == [11, 21]
    assert len(workspace(constraints, initial=15).starts) == 15
    assert len(workspace(constraints, initial=200, hubs=1).starts) == 24


def test_starts_fit_the_budget_and_are_the_same_in_every_search():
    tight = streams(max_edges=7)
    starts = workspace(tight).starts
    assert all(tight.violation(graph) is None for graph in starts)
    assert starts == workspace(tight).starts


def test_children_stay_near_first_and_go_farther_with_the_history():
    strategy = workspace(initial=12, radius=2, patience=50)
    history = search(strategy, chance, 400)
    distances = np.array([workspace_distance(proposal.graph, SPACE) for proposal in history.proposals])
    assert strategy.radius(History()) == 2
    assert strategy.radius(history) == 2 + (400 - 12) // 50
    widest = max(distances[7:12])  # the repaired starts
    for number in range(12, 400):
        parents = [distances[parent] for parent in history.proposals[number].parents]
        limit = 2 + (number - 12) // 50
        # A child may be mutated on when all others are known, which a wide space never needs.
        assert distances[number] <= max(limit, *parents)
    assert distances[12:60].max() <= max(3, widest)
    assert distances[-50:].mean() > distances[12:62].mean()


def test_children_descend_from_the_best_of_its_own():
    history = random_history(SPACE, 30, score=lambda graph: 2.0)
    strategy = workspace(initial=12, population=5, tournament=5)
    search(strategy, chance, 12, history)
    own = [trial for trial in history.scored() if trial.proposal.strategy == "gw_seeded"]
    best = max(own, key=lambda trial: trial.score)
    children = [strategy.propose(history, rng(seed)) for seed in range(20)]
    assert {child.parents for child in children} == {(best.number,)}


def test_while_nothing_has_a_score_children_descend_from_the_starts():
    strategy, history = workspace(initial=12), History()
    for number in range(20):
        proposal = strategy.propose(history, rng(number))
        history.propose(proposal)
        assert SPACE.violation(proposal.graph) is None
    assert len(history.known) == 20
    assert all(0 <= proposal.parents[0] < 12 for proposal in history.proposals[12:])


def test_it_finds_what_lies_near_a_workspace():
    target = set(make_family("global_workspace", SPACE, rng(), hub=6).edges) - {(6, 8)} | {(4, 5), (8, 9)}

    def score(graph):
        return -len(target ^ set(graph.edges))

    history = search(workspace(), score, 250)
    assert history.leader.score >= -2
    assert 6 in {max(range(12), key=trial.graph.degree) for trial in history.leaderboard()[:3]}


def test_where_every_area_is_input_and_output_any_may_be_the_hub():
    constraints = GraphConstraints.build([Area(4, is_input=True, is_output=True)] * 6, max_edges=5)
    starts = workspace(constraints, initial=6).starts
    assert [workspace_distance(graph) for graph in starts] == [0] * 6
