"""Turn any set of edges into the edges of a valid graph, changing little."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np

from topo_search.graph.area import Edge, GraphError
from topo_search.graph.constraints import GraphConstraints
from topo_search.graph.steiner import steiner_tree

__all__ = ["repair", "shuffled"]

# Edges that are there already cost next to nothing, so a least tree adds as few others as possible. The order of
# magnitude of the three numbers must stay apart even when summed over the edges of a tree.
_PRESENT = 1e-6
_NOT_PREFERRED = 1e-3
_JITTER = 1e-9


def shuffled(edges: Collection[Edge], rng: np.random.Generator) -> list[Edge]:
    """The edges in random order; the same for any order of a set with the same content."""
    ordered = sorted(edges)
    return [ordered[index] for index in rng.permutation(len(ordered))]


def repair(
    edges: Collection[Edge],
    constraints: GraphConstraints,
    rng: np.random.Generator,
    *,
    budget: int | None = None,
    keep: Collection[Edge] = (),
    prefer: Collection[Edge] = (),
) -> tuple[Edge, ...]:
    """Make edges valid: drop forbidden ones, connect inputs to outputs, trim to the budget.

    Connections take as few new edges as possible, and random removals take only edges that inputs and outputs do not
    need; ties are broken at random. If needed edges alone exceed the budget, a smallest connection that shares as many
    edges as possible is taken instead and filled up to the budget.

    Args:
        edges: Edges (i, j), i < j.
        constraints: What to respect.
        rng: Source of randomness.
        budget: Most edges of the result; None for ``constraints.edge_budget``.
        keep: Edges that are removed only when no other can be.
        prefer: Edges to use first for connecting.

    Returns:
        The edges of a valid graph, ascending.

    Raises:
        GraphError: If inputs and outputs cannot be connected within the budget.
    """
    budget = constraints.edge_budget if budget is None else min(budget, constraints.edge_budget)
    chosen = {edge for edge in edges if edge not in constraints.forbidden}
    if not constraints.connects(chosen):
        chosen.update(_connection(chosen, constraints, rng, prefer=prefer, present=_PRESENT))
    if len(chosen) > budget:
        chosen = _trim(chosen, constraints, rng, budget=budget, keep=keep)
    if len(chosen) > budget:
        # What is present now counts in full, a little less than what is not: a smallest tree, close to the graph.
        tree = _connection(chosen, constraints, rng, prefer=chosen, present=1.0)
        if len(tree) > budget:
            raise GraphError(
                f"inputs and outputs must connect within {budget} edges, but the best way found takes {len(tree)}"
            )
        spare = chosen - tree
        filling = [*shuffled(spare & set(keep), rng), *shuffled(spare - set(keep), rng)]
        chosen = tree | set(filling[: budget - len(tree)])
    return tuple(sorted(chosen))


def _connection(
    present_edges: Collection[Edge],
    constraints: GraphConstraints,
    rng: np.random.Generator,
    *,
    prefer: Collection[Edge],
    present: float,
) -> set[Edge]:
    allowed = constraints.allowed_edges
    jitter = rng.random(len(allowed)) * _JITTER
    there, liked = set(present_edges), set(prefer)
    weights = {
        edge: (present if edge in there else 1.0 if edge in liked else 1.0 + _NOT_PREFERRED) + float(noise)
        for edge, noise in zip(allowed, jitter, strict=True)
    }
    tree = steiner_tree(len(constraints.areas), weights, constraints.terminals)
    assert tree is not None, "constraints are checked to be satisfiable when made"
    return set(tree)


def _trim(
    edges: set[Edge],
    constraints: GraphConstraints,
    rng: np.random.Generator,
    *,
    budget: int,
    keep: Collection[Edge],
) -> set[Edge]:
    """Remove random edges until the budget holds or every edge is needed."""
    kept = set(keep)
    left = set(edges)
    for edge in [*shuffled(edges - kept, rng), *shuffled(edges & kept, rng)]:
        if len(left) <= budget:
            break
        left.remove(edge)
        if not constraints.connects(left):
            left.add(edge)
    return left
