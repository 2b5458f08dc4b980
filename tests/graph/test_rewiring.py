from __future__ import annotations

from collections import Counter

import networkx as nx
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from topo_search.graph import Area, GraphConstraints, GraphError, ModuleGraph, degree_preserving_rewire, make_family

from .generators import constraint_sets, lightly, seeds, streams


@lightly
@given(constraint_sets(), seeds)
def test_degrees_stay_and_the_graph_stays_valid(constraints, seed):
    rng = np.random.default_rng(seed)
    graph = make_family("random_density", constraints, rng)
    rewired = degree_preserving_rewire(graph, constraints, rng, swaps=50)
    assert constraints.violation(rewired) is None
    assert rewired.areas == graph.areas
    assert dict(rewired.graph.degree) == dict(graph.graph.degree)


def test_paths_from_inputs_to_outputs_survive_long_chains():
    constraints = streams()
    for seed in range(20):
        rng = np.random.default_rng(seed)
        graph = make_family("random_density", constraints, rng)
        rewired = degree_preserving_rewire(graph, constraints, rng)
        assert constraints.violation(rewired) is None
        assert rewired != graph


def test_most_edges_of_a_lattice_are_lost():
    constraints = GraphConstraints.build([Area(4)] * 20)
    graph = ModuleGraph(constraints.areas, nx.cycle_graph(20).edges())
    rewired = degree_preserving_rewire(graph, constraints, np.random.default_rng(0))
    assert len(set(graph.edges) & set(rewired.edges)) < 8
    assert degree_preserving_rewire(graph, constraints, np.random.default_rng(0), swaps=0) == graph


def test_the_chain_visits_all_graphs_with_the_degrees_evenly():
    # Three disjoint pairs of six areas: 15 perfect matchings.
    constraints = GraphConstraints.build([Area(4)] * 6)
    graph = ModuleGraph(constraints.areas, [(0, 1), (2, 3), (4, 5)])
    rng = np.random.default_rng(0)
    counts = Counter(degree_preserving_rewire(graph, constraints, rng, swaps=30).edges for _ in range(1500))
    assert len(counts) == 15
    # 100 expected each, standard deviation 10.
    assert min(counts.values()) > 60
    assert max(counts.values()) < 140


@lightly
@given(st.integers(1, 8), seeds)
def test_a_star_has_no_other_form(leaves, seed):
    constraints = GraphConstraints.build([Area(4)] * (leaves + 1))
    star = make_family("global_workspace", constraints, np.random.default_rng(0))
    assert degree_preserving_rewire(star, constraints, np.random.default_rng(seed)) == star


def test_bad_requests():
    constraints = streams()
    empty = ModuleGraph(constraints.areas, [])
    with pytest.raises(GraphError, match="cannot be reached"):
        degree_preserving_rewire(empty, constraints, np.random.default_rng(0))
    valid = make_family("ring", constraints, np.random.default_rng(0))
    with pytest.raises(GraphError, match="swaps must be an integer of at least 0, got -1"):
        degree_preserving_rewire(valid, constraints, np.random.default_rng(0), swaps=-1)
