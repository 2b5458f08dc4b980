from __future__ import annotations

import copy
import dataclasses
import pickle

import networkx as nx
import numpy as np
import pytest
from hypothesis import given

from topo_search.graph import Area, GraphError, ModuleGraph
from topo_search.graph.module_graph import MAX_AREAS

from .generators import lightly, module_graphs

THREE = [Area(3, is_input=True), Area(4), Area(5, is_output=True)]


def test_edges_are_put_in_order():
    graph = ModuleGraph(THREE, [(2, 1), (1, 0)])
    assert graph.edges == ((0, 1), (1, 2))
    assert graph == ModuleGraph(tuple(THREE), iter([(0, 1), (np.int64(1), 2)]))
    assert len({graph, ModuleGraph(THREE, [(0, 1), (1, 2)])}) == 1
    assert graph != ModuleGraph(THREE, [(0, 1)])
    assert graph != graph.with_areas([Area(3, is_input=True), Area(4), Area(6, is_output=True)])


def test_properties():
    graph = ModuleGraph([*THREE, Area(6, is_input=True, is_output=True)], [(0, 1), (1, 2), (1, 3)])
    assert graph.sizes == (3, 4, 5, 6)
    assert (graph.n_areas, graph.n_edges, graph.n_units) == (4, 3, 18)
    assert (graph.input_areas, graph.hidden_areas, graph.output_areas) == ((0, 3), (1,), (2, 3))
    assert graph.neighbors(1) == (0, 2, 3)
    assert [graph.degree(i) for i in range(4)] == [1, 3, 1, 1]
    assert graph.has_edge(2, 1)
    assert not graph.has_edge(0, 2)
    with pytest.raises(GraphError, match="area index must be an integer from 0 to 3, got 4"):
        graph.neighbors(4)
    with pytest.raises(GraphError, match="got -1"):
        graph.degree(-1)


@pytest.mark.parametrize(
    ("areas", "edges", "message"),
    [
        ([], [], "a graph must have 1 to 4096 areas, got 0"),
        ([Area(1)] * (MAX_AREAS + 1), [], "a graph must have 1 to 4096 areas, got 4097"),
        ([32, 32], [], "area 0 must be an Area, got int"),
        (THREE, [(1, 1)], r"got the self-loop \(1, 1\)"),
        (THREE, [(0, 3)], "must be an integer from 0 to 2, got 3"),
        (THREE, [(-1, 1)], "must be an integer from 0 to 2, got -1"),
        (THREE, [(0, 1), (0, 1)], r"got \(0, 1\) twice"),
        (THREE, [(0, 1), (1, 0)], r"got \(0, 1\) twice"),
        (THREE, [(0, 1.0)], "must be an integer from 0 to 2, got 1.0"),
        (THREE, [(False, True)], "must be an integer from 0 to 2, got False"),
        (THREE, [(0, 1, 2)], "an edge must be a pair of area indices"),
        (THREE, [3], "an edge must be a pair of area indices, got 3"),
    ],
)
def test_bad_graphs_are_refused(areas, edges, message):
    with pytest.raises(GraphError, match=message):
        ModuleGraph(areas, edges)


def test_graph_cannot_be_changed():
    graph = ModuleGraph(THREE, [(0, 1)])
    before = graph.key
    with pytest.raises(dataclasses.FrozenInstanceError):
        graph.edges = ()
    with pytest.raises(dataclasses.FrozenInstanceError):
        graph.key = "0"
    with pytest.raises(nx.NetworkXError, match="Frozen"):
        graph.graph.add_edge(1, 2)
    graph.adjacency()[1, 2] = 1
    assert graph.key == before
    assert graph.edges == ((0, 1),)


def test_keys_are_hexadecimal_and_do_not_change_between_versions():
    graph = ModuleGraph(THREE, [(0, 1), (1, 2)])
    # Stored results are looked up by these: a change here makes old runs unreadable.
    assert graph.key == "ab122149b3011311"
    assert graph.isomorphism_key == "a512cb926d091eaa92e9f9649333c1f0"


@lightly
@given(module_graphs(), module_graphs())
def test_labelled_keys_are_equal_exactly_for_equal_graphs(first, second):
    assert (first.key == second.key) == (first == second)


@lightly
@given(module_graphs())
def test_networkx_view_holds_the_same_graph(graph):
    assert nx.is_frozen(graph.graph)
    assert [(d["size"], d["role"]) for _, d in graph.graph.nodes(data=True)] == [(a.size, a.role) for a in graph.areas]
    assert ModuleGraph.from_networkx(graph.graph) == graph


@lightly
@given(module_graphs())
def test_adjacency_round_trip(graph):
    matrix = graph.adjacency()
    assert matrix.dtype == np.int8
    assert matrix.shape == (graph.n_areas, graph.n_areas)
    assert matrix.sum() == 2 * graph.n_edges
    assert ModuleGraph.from_adjacency(matrix, graph.areas) == graph
    assert ModuleGraph.from_adjacency(matrix.astype(float).tolist(), graph.areas) == graph


@pytest.mark.parametrize(
    ("matrix", "message"),
    [
        (np.zeros((3, 2)), r"shape \(3, 3\), one row an area, got \(3, 2\)"),
        (np.zeros((2, 2)), r"shape \(3, 3\), one row an area, got \(2, 2\)"),
        (np.zeros(9), r"got \(9,\)"),
        ([[0, 1], [1]], "rows of different lengths"),
        ([[0, 1, 0], [0, 0, 0], [0, 0, 0]], r"symmetric, but entries \(0, 1\) and \(1, 0\) differ"),
        ([[0, 2, 0], [2, 0, 0], [0, 0, 0]], "only 0 and 1"),
        ([[0, 0.5, 0], [0.5, 0, 0], [0, 0, 0]], "only 0 and 1"),
        (np.full((3, 3), np.nan), "only 0 and 1"),
        (np.full((3, 3), "0"), "only 0 and 1"),
        (np.full((3, 3), None), "only 0 and 1"),
        (np.diag([0, 1, 0]), "zero diagonal, but area 1 has 1"),
        (-np.ones((3, 3)), "only 0 and 1"),
    ],
)
def test_bad_adjacency_is_refused(matrix, message):
    with pytest.raises(GraphError, match=message):
        ModuleGraph.from_adjacency(matrix, THREE)


@lightly
@given(module_graphs())
def test_pickle_and_copy_keep_the_graph(graph):
    graph.graph, graph.key, graph.isomorphism_key  # noqa: B018  fills the caches, which must not get in the way
    assert pickle.loads(pickle.dumps(graph)) == graph
    assert copy.deepcopy(graph) == graph


def test_with_edges_and_with_areas_are_checked():
    graph = ModuleGraph(THREE, [(0, 2)])
    assert graph.with_edges([(0, 1)]).edges == ((0, 1),)
    assert graph.with_areas([Area(9)] * 3).sizes == (9, 9, 9)
    with pytest.raises(GraphError, match="from 0 to 1, got 2"):
        graph.with_areas([Area(9)] * 2)
