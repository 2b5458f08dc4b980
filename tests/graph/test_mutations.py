from __future__ import annotations

from collections import Counter
from dataclasses import replace
from itertools import combinations

import networkx as nx
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from topo_search.graph import OPERATORS, Area, GraphConstraints, GraphError, ModuleGraph, make_family, mutate

from .generators import constraint_sets, lightly, seeds, streams

STAR = [(i, 4) for i in range(4)] + [(4, i) for i in range(5, 12)]


@st.composite
def parents(draw):
    """Constraints, a valid graph under them with random hub sizes, and a generator."""
    constraints = draw(constraint_sets())
    rng = np.random.default_rng(draw(seeds))
    count = draw(st.integers(constraints.min_edges, constraints.edge_budget))
    graph = make_family("random_density", constraints, rng, edges=count)
    areas = [
        Area(draw(st.sampled_from(constraints.sizes_of(i))), is_input=a.is_input, is_output=a.is_output)
        for i, a in enumerate(graph.areas)
    ]
    return constraints, graph.with_areas(areas), rng


def swaps(graph, missing):
    """Edge sets after one double swap: two edges gone, two new ones between the same four ends."""
    for gone in combinations(graph.edges, 2):
        for new in combinations(sorted(missing), 2):
            if sorted(sum(gone, ())) == sorted(sum(new, ())):
                yield set(graph.edges) - set(gone) | set(new)


def hubs_of(graph, among=None):
    among = range(graph.n_areas) if among is None else among
    top = max((graph.degree(i) for i in among), default=0)
    return {i for i in among if graph.degree(i) == top} if graph.edges else set()


def hub_moves(graph, missing):
    """Edge sets after an edge of a hub changed its partner, or was handed to a hub of the other areas."""
    for hub in hubs_of(graph):
        next_hubs = hubs_of(graph, [i for i in range(graph.n_areas) if i != hub])
        for old in graph.edges:
            if hub in old:
                partner = sum(old) - hub
                for new in missing:
                    if hub in new or (partner in new and sum(new) - partner in next_hubs):
                        yield set(graph.edges) - {old} | {new}


def hub_sizes(name, graph, constraints):
    for hub in hubs_of(graph):
        size, sizes = graph.areas[hub].size, constraints.sizes_of(hub)
        further = [s for s in sizes if s > size][:1] if name == "grow_hub" else [s for s in sizes if s < size][-1:]
        for new in further:
            yield [replace(area, size=new) if i == hub else area for i, area in enumerate(graph.areas)]


def neighbours_of(name, graph, constraints):
    """Every graph that the operator may give, by its definition."""
    present = set(graph.edges)
    missing = set(constraints.allowed_edges) - present
    if name in ("grow_hub", "shrink_hub"):
        return {graph.with_areas(areas) for areas in hub_sizes(name, graph, constraints)}
    found = {
        "add_edge": lambda: (present | {new} for new in missing),
        "remove_edge": lambda: (present - {old} for old in present),
        "rewire_edge": lambda: (present - {old} | {new} for old in present for new in missing),
        "swap_edges": lambda: swaps(graph, missing),
        "move_hub_edge": lambda: hub_moves(graph, missing),
    }[name]()
    return {child for child in map(graph.with_edges, found) if constraints.violation(child) is None}


@pytest.mark.parametrize("name", OPERATORS)
@lightly
@given(setting=parents())
def test_operators_give_what_they_are_named_for_or_none_when_nothing_applies(name, setting):
    constraints, graph, rng = setting
    expected = neighbours_of(name, graph, constraints)
    child = OPERATORS[name](graph, constraints, rng)
    assert (child is None) == (not expected)
    if child is not None:
        assert child in expected
        assert child != graph
        assert constraints.violation(child) is None


@pytest.mark.parametrize("name", OPERATORS)
def test_operators_reach_every_graph_they_can(name):
    constraints = GraphConstraints.build(
        [Area(4, is_input=True), *[Area(4)] * 3, Area(4, is_output=True)], hub_sizes=[2, 9]
    )
    graph = ModuleGraph(constraints.areas, [(0, 1), (0, 2), (1, 2), (2, 3), (3, 4)])
    rng = np.random.default_rng(0)
    assert {OPERATORS[name](graph, constraints, rng) for _ in range(600)} == neighbours_of(name, graph, constraints)


@lightly
@given(parents())
def test_mutate_gives_a_valid_different_graph_and_says_how(setting):
    constraints, graph, rng = setting
    if not any(neighbours_of(name, graph, constraints) for name in OPERATORS):
        with pytest.raises(GraphError, match="no mutation applies"):
            mutate(graph, constraints, rng)
        return
    mutation = mutate(graph, constraints, rng)
    assert mutation.graph in neighbours_of(mutation.operator, graph, constraints)


def test_a_long_walk_stays_valid_and_reaches_hub_sizes():
    constraints = streams(hub_sizes=(16, 64))
    rng = np.random.default_rng(0)
    graph = make_family("global_workspace", constraints, rng)
    operators, sizes = Counter(), Counter()
    for _ in range(500):
        mutation = mutate(graph, constraints, rng)
        graph = mutation.graph
        assert constraints.violation(graph) is None
        operators[mutation.operator] += 1
        sizes.update(graph.sizes)
    assert set(operators) == set(OPERATORS)
    assert set(sizes) == {16, 32, 64}


def test_add_edge_stops_at_the_budget():
    constraints = streams(max_edges=11)
    star = ModuleGraph(constraints.areas, STAR)
    assert OPERATORS["add_edge"](star, constraints, np.random.default_rng(0)) is None
    assert OPERATORS["swap_edges"](star, constraints, np.random.default_rng(0)) is None
    needed = star.with_edges([(0, 4), (1, 4), (2, 4), (3, 4), (4, 11)])
    assert OPERATORS["remove_edge"](needed, constraints, np.random.default_rng(0)) is None


def test_swaps_keep_degrees():
    constraints = GraphConstraints.build([Area(4)] * 8)
    graph = ModuleGraph(constraints.areas, nx.cycle_graph(8).edges())
    child = OPERATORS["swap_edges"](graph, constraints, np.random.default_rng(0))
    assert child != graph
    assert dict(child.graph.degree) == dict(graph.graph.degree)


def test_weights_set_how_often_operators_come_first():
    constraints = streams()
    graph = make_family("random_density", constraints, np.random.default_rng(0), edges=9)
    rng = np.random.default_rng(1)
    weights = {"add_edge": 3e300, "remove_edge": 1e300, "rewire_edge": 0}
    counts = Counter(mutate(graph, constraints, rng, weights=weights).operator for _ in range(800))
    assert set(counts) == {"add_edge", "remove_edge"}
    assert 540 < counts["add_edge"] < 660  # 600 expected, standard deviation 12


def test_mutate_falls_back_on_the_next_operator():
    constraints = streams(max_edges=11)
    star = ModuleGraph(constraints.areas, STAR)
    rng = np.random.default_rng(0)
    assert mutate(star, constraints, rng, weights={"add_edge": 1000, "remove_edge": 0.001}).operator == "remove_edge"
    with pytest.raises(GraphError, match=f"no mutation applies to graph {star.key}, tried add_edge, swap_edges"):
        mutate(star, constraints, rng, weights={"swap_edges": 1, "add_edge": 1})


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ({"add": 1}, "unknown mutation 'add', expected one of add_edge, remove_edge"),
        ({"add_edge": -1}, "weight of mutation 'add_edge' must be a number of at least 0, got -1"),
        ({"add_edge": float("nan")}, "got nan"),
        ({"add_edge": float("inf")}, "got inf"),
        ({"add_edge": True}, "got True"),
        ({"add_edge": "1"}, "got '1'"),
        ({"add_edge": 0}, "must hold a positive number, got none"),
        ({}, "must hold a positive number, got none"),
    ],
)
def test_bad_weights_are_refused(weights, message):
    constraints = streams()
    star = ModuleGraph(constraints.areas, STAR)
    with pytest.raises(GraphError, match=message):
        mutate(star, constraints, np.random.default_rng(0), weights=weights)


def test_an_invalid_parent_is_refused():
    constraints = streams()
    with pytest.raises(GraphError, match="output area 11 cannot be reached from input area 0"):
        mutate(ModuleGraph(constraints.areas, []), constraints, np.random.default_rng(0))


def test_the_same_seed_gives_the_same_child():
    constraints = streams(hub_sizes=(64,))
    graph = make_family("random_density", constraints, np.random.default_rng(0))
    first = [mutate(graph, constraints, np.random.default_rng(seed)) for seed in range(30)]
    assert [mutate(graph, constraints, np.random.default_rng(seed)) for seed in range(30)] == first
    assert len({mutation.graph for mutation in first}) > 15
