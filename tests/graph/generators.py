"""Hypothesis strategies and sample spaces for the graph tests."""

from __future__ import annotations

from itertools import combinations

from hypothesis import settings
from hypothesis import strategies as st

from topo_search.graph import Area, GraphConstraints, GraphError, ModuleGraph

ROLES = ("input", "hidden", "output", "input+output")

lightly = settings(max_examples=40, deadline=None)
"""A few dozen examples, and no limit on the time of one: a loaded machine must not fail a test."""

seeds = st.integers(0, 2**32 - 1)


@st.composite
def area_lists(draw, low=1, high=8):
    kinds = st.builds(Area.from_role, st.sampled_from([3, 5]), st.sampled_from(ROLES))
    return draw(st.lists(kinds, min_size=low, max_size=high))


@st.composite
def module_graphs(draw, low=1, high=8):
    areas = draw(area_lists(low, high))
    pairs = list(combinations(range(len(areas)), 2))
    edges = draw(st.lists(st.sampled_from(pairs), unique=True)) if pairs else []
    return ModuleGraph(areas, edges)


@st.composite
def constraint_sets(draw, low=1, high=9):
    """Satisfiable constraints with random roles, forbidden pairs, budget and hub sizes."""
    areas = draw(area_lists(low, high))
    pairs = list(combinations(range(len(areas)), 2))
    forbidden = draw(st.lists(st.sampled_from(pairs), unique=True, max_size=len(pairs) // 2)) if pairs else []
    roles = draw(st.sampled_from([(), (("input", "output"),), (("hidden", "hidden"),)]))
    hub_sizes = draw(st.lists(st.sampled_from([2, 7, 9]), unique=True))
    try:
        free = GraphConstraints.build(areas, forbidden_roles=roles, forbidden_pairs=forbidden, hub_sizes=hub_sizes)
    except GraphError:
        free = GraphConstraints.build(areas, hub_sizes=hub_sizes)
    budget = draw(st.none() | st.integers(free.min_edges, free.min_edges + 4))
    return GraphConstraints(free.areas, free.forbidden, budget, free.hub_sizes)


def streams(max_edges=13, hub_sizes=()):
    """Four input areas, seven hidden, one output, nothing direct between inputs and output."""
    areas = [Area(32, is_input=True)] * 4 + [Area(32)] * 7 + [Area(32, is_output=True)]
    return GraphConstraints.build(
        areas, forbidden_roles=[("input", "output")], max_edges=max_edges, hub_sizes=hub_sizes
    )
