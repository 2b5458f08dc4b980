from __future__ import annotations

from itertools import combinations

import networkx as nx
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from topo_search.graph.steiner import EXACT_TERMINALS, steiner_tree

from .generators import lightly


def least_weight(count, weights, terminals):
    """By brute force: the least spanning tree over every choice of further areas."""
    graph = nx.Graph()
    graph.add_nodes_from(range(count))
    graph.add_weighted_edges_from((i, j, w) for (i, j), w in weights.items())
    rest = [v for v in range(count) if v not in terminals]
    best = np.inf
    for size in range(len(rest) + 1):
        for extra in combinations(rest, size):
            part = graph.subgraph([*terminals, *extra])
            if nx.is_connected(part):
                best = min(best, nx.minimum_spanning_tree(part).size(weight="weight"))
    return best


@lightly
@given(st.data())
def test_trees_have_the_least_weight(data):
    count = data.draw(st.integers(2, 7))
    pairs = list(combinations(range(count), 2))
    weights = data.draw(st.dictionaries(st.sampled_from(pairs), st.sampled_from([1e-6, 1.0, 1.5, 2.0, 7.0])))
    terminals = data.draw(st.lists(st.integers(0, count - 1), unique=True, min_size=2))
    tree = steiner_tree(count, weights, terminals)
    best = least_weight(count, weights, terminals)
    if tree is None:
        assert best == np.inf
        return
    found = nx.Graph(tree)
    assert set(terminals) <= set(found)
    assert nx.is_tree(found)
    assert sum(weights[edge] for edge in tree) == pytest.approx(best)


@pytest.mark.parametrize("terminals", [[], [3], [3, 3]])
def test_fewer_than_two_terminals_need_no_edge(terminals):
    assert steiner_tree(5, {}, terminals) == []


def test_many_terminals_still_give_a_tree_that_connects_them():
    count = EXACT_TERMINALS + 6
    terminals = list(range(EXACT_TERMINALS + 3))
    star = {(i, count - 1): 1.0 for i in range(count - 1)}
    assert steiner_tree(count, star, terminals) == [(i, count - 1) for i in terminals]
    assert steiner_tree(count, {(0, 1): 1.0}, terminals) is None
    everything = dict.fromkeys(combinations(range(count), 2), 1.0)
    assert len(steiner_tree(count, everything, terminals)) == len(terminals) - 1


@lightly
@given(st.integers(0, 2**32 - 1))
def test_many_terminals_find_the_one_area_that_joins_them(seed):
    # Each of ten further areas is joined to all terminals; paths found one by one would use many of them.
    terminals = list(range(EXACT_TERMINALS + 4))
    jitter = np.random.default_rng(seed).random((24, 24)) * 1e-6
    weights = {(i, j): 1 + jitter[i, j] for i in terminals for j in range(len(terminals), 24)}
    tree = steiner_tree(24, weights, terminals)
    assert len(tree) == len(terminals)
    assert len({j for _, j in tree}) == 1
