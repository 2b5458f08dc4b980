from __future__ import annotations

import math
from dataclasses import replace
from itertools import permutations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from topo_search.graph import Area, GraphConstraints, GraphError, ModuleGraph, make_family
from topo_search.graph.alignment import EXACT_ARRANGEMENTS, align_areas, interchangeable_areas

from .generators import constraint_sets, lightly, seeds, streams


def shared(a, b):
    return len(set(a.edges) & set(b.edges))


def draw(constraints, rng):
    """A random valid graph with random sizes."""
    count = int(rng.integers(constraints.min_edges, constraints.edge_budget + 1))
    graph = make_family("random_density", constraints, rng, edges=count)
    sizes = [int(rng.choice(constraints.sizes_of(i))) for i in range(graph.n_areas)]
    return graph.with_areas([replace(area, size=size) for area, size in zip(graph.areas, sizes, strict=True)])


def renumbered(graph, group, rng):
    number = list(range(graph.n_areas))
    for area, new in zip(group, rng.permutation(group).tolist(), strict=True):
        number[area] = new
    areas = [graph.areas[number.index(k)] for k in range(graph.n_areas)]
    return ModuleGraph(areas, [(number[i], number[j]) for i, j in graph.edges])


@lightly
@given(constraint_sets(), seeds)
def test_an_aligned_graph_is_the_same_up_to_numbers_valid_and_nearer(constraints, seed):
    rng = np.random.default_rng(seed)
    a, b = draw(constraints, rng), draw(constraints, rng)
    aligned = align_areas(a, b, interchangeable_areas(constraints))
    assert aligned.isomorphism_key == b.isomorphism_key
    assert constraints.violation(aligned) is None
    assert shared(a, aligned) >= shared(a, b)


@lightly
@given(st.integers(2, 5), seeds)
def test_few_arrangements_are_all_tried(hidden, seed):
    constraints = GraphConstraints.build([Area(4, is_input=True), *[Area(4)] * hidden, Area(4, is_output=True)])
    rng = np.random.default_rng(seed)
    a, b = draw(constraints, rng), draw(constraints, rng)
    group = tuple(range(1, hidden + 1))
    assert math.factorial(hidden) <= EXACT_ARRANGEMENTS
    best = max(
        sum((min(n[i], n[j]), max(n[i], n[j])) in a.edges for i, j in b.edges)
        for order in permutations(group)
        for n in [(0, *order, hidden + 1)]
    )
    assert shared(a, align_areas(a, b, [group])) == best


@lightly
@given(seeds)
def test_a_renumbered_copy_is_recognised(seed):
    constraints = streams()
    rng = np.random.default_rng(seed)
    graph = make_family("random_density", constraints, rng)
    (group,) = interchangeable_areas(constraints)
    assert align_areas(graph, renumbered(graph, group, rng), [group]) == graph


def test_with_many_arrangements_the_heuristic_is_close_to_the_best(monkeypatch):
    constraints = streams(max_edges=16)
    groups = interchangeable_areas(constraints)
    rng = np.random.default_rng(0)
    pairs = [[make_family("random_density", constraints, rng) for _ in range(2)] for _ in range(15)]
    quick = [shared(a, align_areas(a, b, groups)) for a, b in pairs]
    monkeypatch.setattr("topo_search.graph.alignment.EXACT_ARRANGEMENTS", math.factorial(7))
    exact = [shared(a, align_areas(a, b, groups)) for a, b in pairs]
    assert all(found <= best for found, best in zip(quick, exact, strict=True))
    assert sum(quick) >= 0.97 * sum(exact)
    assert sum(quick) > 1.5 * sum(shared(a, b) for a, b in pairs)


def test_only_hidden_areas_alike_in_size_and_rules_change_places():
    areas = [*[Area(4, is_input=True)] * 2, *[Area(4)] * 3, *[Area(8)] * 2, Area(4), Area(4, is_output=True)]
    assert interchangeable_areas(GraphConstraints.build(areas)) == ((2, 3, 4, 7), (5, 6))
    # Area 3 may not see input 0, and 4 may not see 7.
    ruled = GraphConstraints.build(areas, forbidden_pairs=[(0, 3), (4, 7)])
    assert interchangeable_areas(ruled) == ((4, 7), (5, 6))
    assert interchangeable_areas(GraphConstraints.build([Area(4, is_input=True, is_output=True)] * 5)) == ()


def test_sizes_move_with_their_areas():
    constraints = streams(hub_sizes=(64,))
    star = make_family("global_workspace", constraints, np.random.default_rng(0), hub=4)
    other = make_family("global_workspace", constraints, np.random.default_rng(0), hub=9, hub_size=64)
    aligned = align_areas(star, other, interchangeable_areas(constraints))
    assert aligned.edges == star.edges
    assert aligned.sizes == tuple(64 if area == 4 else 32 for area in range(12))


def test_graphs_that_agree_as_they_are_stay_as_they_are():
    graph = make_family("ring", streams(), np.random.default_rng(0))
    assert align_areas(graph, graph, [range(4, 11)]) is graph
    assert align_areas(graph, graph, []) is graph


@pytest.mark.parametrize(
    ("groups", "message"),
    [
        ([(4, 5), (5, 6)], "must be disjoint and within 0 to 11"),
        ([(4, 12)], "must be disjoint and within 0 to 11"),
        ([(3, 4)], "must have one role, got hidden, input"),
    ],
)
def test_bad_groups_are_refused(groups, message):
    graph = make_family("ring", streams(), np.random.default_rng(0))
    with pytest.raises(GraphError, match=message):
        align_areas(graph, graph, groups)


def test_graphs_of_other_numbers_of_areas_are_refused():
    with pytest.raises(GraphError, match="as many areas, got 2 and 3"):
        align_areas(ModuleGraph([Area(4)] * 2, []), ModuleGraph([Area(4)] * 3, []), [])
