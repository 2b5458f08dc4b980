from __future__ import annotations

import networkx as nx
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from topo_search.graph import Area, GraphError, ModuleGraph, join_graphs

from .generators import lightly, seeds

PATH = ModuleGraph([Area(2, is_input=True), Area(3), Area(4)], [(0, 1), (1, 2)])
PAIR = ModuleGraph([Area(5), Area(6, is_output=True)], [(0, 1)])


def test_areas_follow_one_another_and_keep_size_and_role():
    joined = join_graphs([PATH, PAIR, PATH], [((0, 2), (1, 0)), ((2, 1), (1, 1))])
    assert joined.areas == PATH.areas + PAIR.areas + PATH.areas
    assert joined.edges == ((0, 1), (1, 2), (2, 3), (3, 4), (4, 6), (5, 6), (6, 7))


@lightly
@given(seeds, st.integers(1, 4))
def test_it_is_the_disjoint_union_with_the_edges_between(seed, count):
    rng = np.random.default_rng(seed)
    plain = [nx.gnp_random_graph(int(rng.integers(1, 6)), 0.5, seed=int(rng.integers(2**31))) for _ in range(count)]
    graphs = [ModuleGraph([Area(1 + i) for i in range(len(g))], g.edges()) for g in plain]
    between = [
        ((a, int(rng.integers(len(plain[a])))), (b, int(rng.integers(len(plain[b])))))
        for a in range(count)
        for b in range(a)
        if rng.random() < 0.7
    ]
    expected = nx.union_all([nx.relabel_nodes(g, {n: (k, n) for n in g}) for k, g in enumerate(plain)])
    expected.add_edges_from(between)
    names = [(k, n) for k, g in enumerate(plain) for n in range(len(g))]
    joined = join_graphs(graphs, between)
    assert {frozenset((names[i], names[j])) for i, j in joined.edges} == {frozenset(edge) for edge in expected.edges()}


def test_joining_is_associative():
    ends = [((0, 0), (1, 1)), ((1, 0), (2, 2))]
    at_once = join_graphs([PATH, PAIR, PATH], ends)
    assert join_graphs([join_graphs([PATH, PAIR], ends[:1]), PATH], [((0, 3), (1, 2))]) == at_once


@pytest.mark.parametrize(
    ("graphs", "edges", "message"),
    [
        ([], [], "at least one graph"),
        ([PATH, PAIR], [((0, 0), (2, 0))], "graph index"),
        ([PATH, PAIR], [((0, 0), (1, 2))], "area index"),
        ([PATH, PAIR], [((0, 0), (0, 2))], "both ends in graph 0"),
        ([PATH, PAIR], [((0, 0), (1, 0)), ((1, 0), (0, 0))], "twice"),
        ([PATH, PAIR], [(0, 1)], "pair of"),
        ([PATH, PAIR], [((0.5, 0), (1, 0))], "graph index"),
    ],
)
def test_bad_joins_are_refused(graphs, edges, message):
    with pytest.raises(GraphError, match=message):
        join_graphs(graphs, edges)
