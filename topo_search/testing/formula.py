"""Scores from a formula in the place of training: quick, and the same for the same graph."""

from __future__ import annotations

import random

from topo_search.graph import Edge, GraphConstraints, ModuleGraph
from topo_search.search import Evaluation, Finished, Request
from topo_search.training import EDGE_CRITERIA

__all__ = ["FormulaExecutor", "edge_scores", "formula_evaluation", "formula_score"]


def formula_score(graph: ModuleGraph, epochs: int) -> float:
    """A score from 0 to 1.01: few edges and a hub that has many of them are good, and more epochs are better.

    Graphs alike differ a little by their key, so that ties are rare.
    """
    hub = max(map(graph.degree, range(graph.n_areas))) / max(1, graph.n_edges)
    own = int(graph.key, 16) % 1000 * 1e-5
    return own + (hub + 1 / (1 + 0.03 * graph.n_edges)) / 2 * (1 - 0.5 / epochs)


def edge_scores(edges: tuple[Edge, ...]) -> dict[str, tuple[float, ...]]:
    """A positive score for each edge by each criterion, in the order of the edges; criteria order them differently."""
    return {
        name: tuple(1 / (1 + (7 * i + 3 * j + 5 * place) % 11) for i, j in edges)
        for place, name in enumerate(EDGE_CRITERIA)
    }


def formula_evaluation(request: Request, constraints: GraphConstraints) -> Evaluation:
    """What training would give, by formula: where edges move, at most one of them does."""
    graph = ModuleGraph.from_json(request.graph)
    curve = tuple(formula_score(graph, epoch + 1) for epoch in range(request.epochs))
    final = None if request.moves == "none" else _moved(graph, constraints)
    return Evaluation(
        curve[-1],
        curve,
        tuple(1.0 for _ in curve),
        best_epoch=len(curve),
        parameters=sum(graph.sizes[i] * graph.sizes[j] for i, j in graph.edges),
        test_accuracy=curve[-1] if request.read_test else None,
        edge_scores=edge_scores(final or graph.edges) if request.edge_scores else None,
        final_edges=final,
    )


def _moved(graph: ModuleGraph, constraints: GraphConstraints) -> tuple[Edge, ...]:
    """The edges with one of them moved, if that keeps the connection."""
    for new in constraints.allowed_edges:
        for old in graph.edges:
            edges = {*graph.edges, new} - {old}
            if new not in graph.edges and constraints.connects(edges):
                return tuple(sorted(edges))
    return graph.edges


class FormulaExecutor:
    """Evaluates by formula and finishes what it holds in a random order, as workers would.

    Args:
        constraints: of the space.
        slots: evaluations that are held at a time.
        seed: of the order.
        stop_after: raise ``KeyboardInterrupt`` after so many results, as an interruption would.
    """

    def __init__(
        self, constraints: GraphConstraints, *, slots: int = 1, seed: int = 0, stop_after: int | None = None
    ) -> None:
        self.slots = slots
        self.evaluated: list[Request] = []
        self._constraints, self._stop_after, self._order = constraints, stop_after, random.Random(seed)
        self._held: list[tuple[int, Request]] = []

    def submit(self, ticket: int, request: Request, *, memory_factor: float = 1.0) -> None:  # noqa: ARG002
        """Take an evaluation."""
        self._held.append((ticket, request))

    def wait(self, timeout: float | None = None) -> list[Finished]:  # noqa: ARG002
        """One result."""
        if self._stop_after is not None and len(self.evaluated) >= self._stop_after:
            raise KeyboardInterrupt
        ticket, request = self._held.pop(self._order.randrange(len(self._held)))
        self.evaluated.append(request)
        return [Finished(ticket, formula_evaluation(request, self._constraints))]

    def close(self) -> None:
        """Drop what is held."""
        self._held.clear()
