from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from topo_search.graph import Area, GraphConstraints, GraphError, ModuleGraph, repair

from .generators import constraint_sets, lightly, seeds, streams


def subsets(constraints, data):
    pairs = list(combinations(range(len(constraints.areas)), 2))
    return data.draw(st.lists(st.sampled_from(pairs), unique=True)) if pairs else []


@lightly
@given(constraint_sets(), st.data(), seeds)
def test_result_is_valid(constraints, data, seed):
    edges = repair(subsets(constraints, data), constraints, np.random.default_rng(seed))
    assert constraints.violation(ModuleGraph(constraints.areas, edges)) is None


@lightly
@given(constraint_sets(), st.data(), seeds)
def test_valid_edges_are_left_alone(constraints, data, seed):
    rng = np.random.default_rng(seed)
    valid = repair(subsets(constraints, data), constraints, rng)
    assert repair(valid, constraints, rng) == valid


@lightly
@given(constraint_sets(high=6), st.data(), seeds)
def test_no_more_edges_are_added_than_needed(constraints, data, seed):
    free = GraphConstraints(constraints.areas, constraints.forbidden)
    given_edges = set(subsets(free, data)) - free.forbidden
    result = set(repair(given_edges, free, np.random.default_rng(seed)))
    assert given_edges <= result
    others = [edge for edge in free.allowed_edges if edge not in given_edges]
    for count in range(len(result - given_edges)):
        assert not any(free.connects(given_edges | set(extra)) for extra in combinations(others, count))


@lightly
@given(seeds)
def test_a_detour_gives_way_to_a_smallest_connection_under_a_tight_budget(seed):
    # A chain in which every edge is needed, longer than the budget: trimming alone cannot help.
    constraints = streams(max_edges=6)
    chain = [(0, 4), (1, 5), (2, 6), (3, 7), (4, 5), (5, 6), (6, 7), (7, 8), (8, 9), (9, 10), (10, 11)]
    edges = repair(chain, constraints, np.random.default_rng(seed))
    assert len(edges) == 6
    assert constraints.violation(ModuleGraph(constraints.areas, edges)) is None
    assert set(chain) & set(edges)


def test_ties_are_broken_at_random_and_evenly():
    constraints = GraphConstraints.build(
        [Area(4, is_input=True), *[Area(4)] * 4, Area(4, is_output=True)], forbidden_roles=[("input", "output")]
    )
    rng = np.random.default_rng(0)
    middle = [repair([], constraints, rng)[0][1] for _ in range(400)]
    counts = np.bincount(middle, minlength=6)[1:5]
    assert counts.sum() == 400
    assert counts.min() > 60  # 100 expected, standard deviation 9


@lightly
@given(seeds)
def test_kept_edges_go_last_and_preferred_edges_come_first(seed):
    rng = np.random.default_rng(seed)
    constraints = streams()
    keep = [(5, 6), (6, 7)]
    prefer = [(0, 9), (1, 9), (2, 9), (3, 9), (9, 11)]
    edges = repair([*keep, (7, 8), (8, 10)], constraints, rng, budget=7, keep=keep, prefer=prefer)
    assert edges == tuple(sorted([*keep, *prefer]))


def test_impossible_budget_is_an_error():
    with pytest.raises(GraphError, match="must connect within 4 edges, but the best way found takes 5"):
        repair([], streams(), np.random.default_rng(0), budget=4)


def test_same_seed_gives_the_same_edges_for_any_order_of_the_input():
    constraints = streams(max_edges=8)
    edges = list(constraints.allowed_edges)
    first = repair(edges, constraints, np.random.default_rng(5))
    assert repair(edges[::-1], constraints, np.random.default_rng(5)) == first
