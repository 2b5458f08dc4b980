from __future__ import annotations

import importlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from topo_search.graph import Area, GraphConstraints, GraphError, ModuleGraph, crossover, make_family
from topo_search.graph.alignment import align_areas, interchangeable_areas

from .generators import constraint_sets, lightly, seeds, streams


@lightly
@given(constraint_sets(), seeds, st.data())
def test_child_is_valid_between_its_parents_and_sized_like_one_of_them(constraints, seed, data):
    rng = np.random.default_rng(seed)
    counts = st.integers(constraints.min_edges, constraints.edge_budget)
    parents = []
    for _ in range(2):
        graph = make_family("random_density", constraints, rng, edges=data.draw(counts))
        sizes = [data.draw(st.sampled_from(constraints.sizes_of(i))) for i in range(graph.n_areas)]
        parents.append(
            graph.with_areas(
                [Area(s, is_input=a.is_input, is_output=a.is_output) for s, a in zip(sizes, graph.areas, strict=True)]
            )
        )
    a, b = parents
    child = crossover(a, b, constraints, rng)
    assert constraints.violation(child) is None
    assert min(a.n_edges, b.n_edges) <= child.n_edges <= max(a.n_edges, b.n_edges)
    assert all(size in pair for size, pair in zip(child.sizes, zip(a.sizes, b.sizes, strict=True), strict=True))


@lightly
@given(seeds)
def test_shared_edges_stay_and_the_rest_comes_from_the_parents(seed):
    # Nothing needs repair when no area is an output.
    constraints = GraphConstraints.build([Area(4)] * 12)
    rng = np.random.default_rng(seed)
    a = make_family("random_density", constraints, rng, edges=20)
    b = make_family("random_density", constraints, rng, edges=26)
    child = set(crossover(a, b, constraints, rng).edges)
    assert set(a.edges) & set(b.edges) <= child <= set(a.edges) | set(b.edges)
    assert 20 <= len(child) <= 26


@lightly
@given(seeds)
def test_shared_edges_are_given_up_last(seed):
    constraints = streams()
    shared = {(6, 7), (7, 8), (8, 9)}
    a, b = (ModuleGraph(constraints.areas, [*shared, *((i, hub) for i in range(4)), (hub, 11)]) for hub in (4, 5))
    child = set(crossover(a, b, constraints, np.random.default_rng(seed)).edges)
    if not shared <= child:
        assert not any(constraints.connects(child - {edge}) for edge in child - shared)


def test_a_graph_crossed_with_itself_is_itself():
    constraints = streams()
    graph = make_family("random_density", constraints, np.random.default_rng(3))
    assert crossover(graph, graph, constraints, np.random.default_rng(0)) == graph


@lightly
@given(seeds)
def test_aligned_parents_that_are_renumbered_copies_have_that_graph_as_child(seed):
    constraints = streams()
    rng = np.random.default_rng(seed)
    graph = make_family("random_density", constraints, rng)
    number = [*range(4), *(4 + rng.permutation(7)).tolist(), 11]
    copy = graph.with_edges([(number[i], number[j]) for i, j in graph.edges])
    aligned = align_areas(graph, copy, interchangeable_areas(constraints))
    assert crossover(graph, aligned, constraints, rng) == graph


def test_children_differ_and_repeat_with_their_seed():
    constraints = streams()
    a, b = (make_family("random_density", constraints, np.random.default_rng(seed), edges=9 + seed) for seed in (1, 4))
    children = [crossover(a, b, constraints, np.random.default_rng(seed)) for seed in range(20)]
    assert children == [crossover(a, b, constraints, np.random.default_rng(seed)) for seed in range(20)]
    assert len(set(children)) > 10
    assert {child.n_edges for child in children} == {10, 11, 12, 13}


@lightly
@given(seeds)
def test_many_input_areas_and_no_spare_edge(seed):
    areas = [Area(4, is_input=True)] * 14 + [Area(4)] * 10 + [Area(4, is_output=True)]
    constraints = GraphConstraints.build(areas, forbidden_roles=[("input", "input"), ("input", "output")], max_edges=15)
    rng = np.random.default_rng(seed)
    parents = [make_family("random_density", constraints, rng) for _ in range(2)]
    child = crossover(*parents, constraints, rng)
    assert constraints.violation(child) is None
    assert child.n_edges == 15


def test_the_leaner_parent_stands_in_when_no_connection_is_found(monkeypatch):
    def fail(*_, **__):
        raise GraphError("no connection found")

    constraints = streams()
    a, b = (make_family("random_density", constraints, np.random.default_rng(0), edges=count) for count in (12, 9))
    # The package exports the function under the module's name, so the module is found by import.
    monkeypatch.setattr(importlib.import_module("topo_search.graph.crossover"), "repair", fail)
    assert crossover(a, b, constraints, np.random.default_rng(0)).edges == b.edges
    assert crossover(b, a, constraints, np.random.default_rng(0)).edges == b.edges


def test_invalid_parents_are_refused():
    constraints = streams()
    graph = make_family("ring", constraints, np.random.default_rng(0))
    empty = graph.with_edges([])
    with pytest.raises(GraphError, match="cannot be reached"):
        crossover(graph, empty, constraints, np.random.default_rng(0))
    with pytest.raises(GraphError, match="cannot be reached"):
        crossover(empty, graph, constraints, np.random.default_rng(0))
