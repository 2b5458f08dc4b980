from itertools import permutations

import networkx as nx
import numpy as np
import pytest
from support.topobench import tiny_benchmark_space

from topo_search.errors import InputError
from topo_search.topobench import (
    ALLOWED_EDGES,
    N_CLASSES,
    edges_of,
    graph_classes,
    mask_of,
    representative,
    topobench_space,
    topobench_tasks,
)
from topo_search.topobench.classes import ROLES
from topo_search.topobench.space import check_space


def coloured(mask):
    """The graph of a mask with roles that keep input areas apart, since they see different channels."""
    graph = nx.Graph()
    graph.add_nodes_from(
        (area, {"role": role if role != "input" else f"input {area}"}) for area, role in enumerate(ROLES)
    )
    graph.add_edges_from(edges_of(mask))
    return graph


def test_there_are_1054_classes():
    classes = graph_classes()
    assert len(ALLOWED_EDGES) == 13
    assert len(classes.masks) == N_CLASSES == 1054
    assert np.bincount(classes.edges).tolist() == [0] * 5 + [96, 222, 276, 231, 140, 63, 20, 5, 1]
    assert [classes.within(edges) for edges in (4, 5, 7, 13, None)] == [0, 96, 594, 1054, 1054]


def test_orbits_partition_the_connected_graphs():
    classes = graph_classes()
    connected = [mask for mask in range(8192) if nx.is_connected(coloured(mask))]
    assert classes.labelled.tolist() == connected
    assert classes.orbit_sizes.sum() == len(connected) == 5564
    assert set(classes.orbit_sizes.tolist()) <= {1, 2, 3, 6}
    for number in range(0, N_CLASSES, 97):
        members = classes.members(number)
        assert len(members) == classes.orbit_sizes[number]
        assert members.min() == classes.masks[number]
    assert (classes.index[np.setdiff1d(np.arange(8192), connected)] == -1).all()


def test_masks_are_canonical_exactly_where_graphs_are_isomorphic_with_roles():
    classes, rng = graph_classes(), np.random.default_rng(0)

    def same_role(a, b):
        return a["role"] == b["role"]

    alike = 0
    for mask in rng.integers(8192, size=60).tolist():
        place = dict(zip((2, 3, 4), rng.permutation([2, 3, 4]).tolist(), strict=True))
        moved = mask_of(tuple(sorted((place.get(i, i), place.get(j, j)))) for i, j in edges_of(mask))
        assert classes.canonical[moved] == classes.canonical[mask]
        others = rng.integers(8192, size=20).tolist()
        # Random pairs are hardly ever alike: ask about pairs of the same number of edges at one swap too.
        near = [mask ^ (1 << int(a)) ^ (1 << int(b)) for a, b in rng.integers(13, size=(20, 2))]
        for other in (*others, *near):
            isomorphic = nx.is_isomorphic(coloured(mask), coloured(other), node_match=same_role)
            assert isomorphic == (classes.canonical[mask] == classes.canonical[other])
            alike += isomorphic and mask != other
    assert alike > 5


def test_the_canonical_mask_is_the_least_of_the_six():
    classes = graph_classes()
    for mask in (2852, 1 << 12, 8190, 777):
        renumbered = []
        for order in permutations((2, 3, 4)):
            place = dict(zip((2, 3, 4), order, strict=True))
            renumbered.append(mask_of(tuple(sorted((place.get(i, i), place.get(j, j)))) for i, j in edges_of(mask)))
        assert classes.canonical[mask] == min(renumbered)


def test_masks_and_edges_are_inverse():
    assert all(mask_of(edges_of(mask)) == mask for mask in range(8192))
    with pytest.raises(InputError, match=r"edge \(0, 5\) is not one of the 13"):
        mask_of([(0, 5)])


@pytest.mark.parametrize("task", ["digits", "mnist_rows"])
def test_the_spaces_hold_exactly_these_graphs(task):
    space = topobench_space(task)
    assert space.ladder.rungs[-1] == space.training.epochs
    # The two input areas share the channels between them.
    assert sorted(channel for seen in space.routing.values() for channel in seen) == list(
        range(2 * len(space.routing[0]))
    )
    valid = [mask for mask in range(0, 8192, 7) if space.constraints.violation(representative(space, mask)) is None]
    assert valid == [mask for mask in graph_classes().labelled.tolist() if mask % 7 == 0]


def test_other_tasks_and_spaces_are_refused():
    assert topobench_tasks() == ("digits", "mnist_rows")
    with pytest.raises(InputError, match="unknown task 'cifar': expected one of digits, mnist_rows"):
        topobench_space("cifar")
    with pytest.raises(InputError, match="connected graphs"):
        check_space(tiny_benchmark_space(edges={"forbidden_roles": [["input", "output"]]}))
    with pytest.raises(InputError, match="hidden areas that are alike"):
        check_space(tiny_benchmark_space(network={"areas": {2: {"tau": 2.0}}}))
