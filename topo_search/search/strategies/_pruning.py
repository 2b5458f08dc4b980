"""Pruning by edge score: the cycle that the strategies with one criterion each share."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from itertools import combinations
from typing import ClassVar

import numpy as np

from topo_search.graph import Edge, GraphConstraints, ModuleGraph, random_density, repair
from topo_search.search.history import History, Pretraining, Proposal, Trial
from topo_search.search.settings import SearchConfig
from topo_search.search.strategies._edge_choice import best_edges, workspace_edges
from topo_search.search.strategies._own_pretrainings import OwnPretrainings
from topo_search.search.strategies.random import draw_family
from topo_search.seeds import generator

__all__ = ["EdgePruning"]

SHARES = {"half": 0.5, "quarter": 0.25}
# How often noisy scores may give a graph that is known before the next pretraining is turned to.
NOISY_TRIES = 20


class EdgePruning:
    """Pretrain a graph of many edges for a short time, score its edges, and propose the best of them.

    A cycle: a parent is pretrained, and when its scores are in view its children are proposed: the best edges down to
    the target; global workspaces around the areas whose edges score best; then the best edges by scores with Gumbel
    noise, each child another. What connects inputs to outputs is kept by score too. The next parent is proposed early
    enough to be in view when these run out. While there is nothing to prune, graphs are drawn as in random search. With
    ``gradual`` steps the graph in between is itself pretrained and scored, its number of edges on a cubic curve from
    the parent to the target.

    A pretraining holds scores by every criterion, so that strategies which run side by side use each other's.

    Sources: Han, Pool, Tran and Dally, "Learning both weights and connections" (2015); Zhu and Gupta, "To prune, or not
    to prune" (2017) for steps; Frankle and Carbin (2019); the outlook of Kozachkov, Ennis and Slotine, which
    ranks edges by weights or their change. Departs from them in that whole edges between areas are pruned, and that the
    pruned network is drawn and trained afresh, to be compared with any other candidate.
    """

    name: ClassVar[str]
    criterion: ClassVar[str]
    operators: ClassVar[tuple[str, ...]] = (
        "pretrain_dense",
        "pretrain_half",
        "pretrain_quarter",
        "pretrain_blocks",
        "prune",
        "prune_hub",
    )

    def __init__(self, constraints: GraphConstraints, config: SearchConfig) -> None:
        self.constraints, self.config, self.draws, self.lag = constraints, config.pruning, config.random, config.lag
        self._ahead = config.pruning.ahead * config.pruning.gradual
        self._free = replace(constraints, max_edges=None)
        self._pretrainings = OwnPretrainings(self.name, lambda proposal: proposal.pretraining == self._plan)
        self._plan = Pretraining(epochs=config.pruning.epochs)
        allowed, budget, fewest = len(constraints.allowed_edges), constraints.edge_budget, constraints.min_edges
        shares = [round(share * allowed) for share in self.config.keep] or [budget]
        self.targets = tuple(max(fewest, min(budget, edges)) for edges in shares)

    def propose(self, history: History, rng: np.random.Generator) -> Proposal:
        """A child of a pretrained graph, the next graph to pretrain, or a random graph meanwhile."""
        self._pretrainings.read(history)
        ready, in_flight = self._pretrainings.open(history)
        fruitful: dict[int, Proposal] = {}
        for trial in ready:
            child = self._next(trial, history)
            if child is None:
                # What was tried is known and stays known: nothing of this can change any more.
                self._pretrainings.close(trial.number)
            else:
                fruitful[trial.number] = child
        children = sum(self.config.children - self._pretrainings.children.get(number, 0) for number in fruitful)
        children += in_flight * self.config.children
        # The next parent must be in view before the last child of those there are is proposed.
        if fruitful and (in_flight >= self._ahead or children >= self.lag * self.config.gradual):
            return next(iter(fruitful.values()))
        if in_flight < self._ahead:
            parent = self._parent(history, rng)
            if parent is not None:
                return parent
        for child in fruitful.values():
            return child
        graph, family = draw_family(self.draws, self.constraints, rng)
        return Proposal(graph, self.name, family)

    def _parent(self, history: History, rng: np.random.Generator) -> Proposal | None:
        """The next graph to pretrain that is not known."""
        kinds = self.config.parents
        for step in range(len(kinds)):
            kind = kinds[(self._pretrainings.own + step) % len(kinds)]
            proposal = Proposal(self._start(kind, rng), self.name, f"pretrain_{kind}", pretraining=self._plan)
            if proposal.key not in history.known:
                return proposal
        return None

    def _start(self, kind: str, rng: np.random.Generator) -> ModuleGraph:
        areas, allowed = self.constraints.areas, self.constraints.allowed_edges
        if kind == "dense":
            return ModuleGraph(areas, allowed)
        if kind in SHARES:
            edges = max(self._free.min_edges, round(SHARES[kind] * len(allowed)))
            return random_density(self._free, rng, edges=edges)
        groups = np.array_split(np.arange(len(areas)), self.config.blocks)
        inside = {pair for group in groups for pair in combinations(group.tolist(), 2)} & set(allowed)
        return ModuleGraph(areas, repair(inside, self._free, rng))

    def _next(self, trial: Trial, history: History) -> Proposal | None:
        """What comes of a pretraining in view: a step, a child, or ``None`` where nothing new does any more."""
        rows = None if trial.failed else trial.results[0].edge_scores
        made = self._pretrainings.children.get(trial.number, 0)
        if rows is None or self.criterion not in rows or made >= self.config.children:
            return None
        scores = dict(zip(trial.graph.edges, rows[self.criterion], strict=True))
        edges = self._between(trial, history)
        return self._child(trial, scores, history) if edges is None else self._step(trial, scores, edges, history)

    def _step(self, trial: Trial, scores: Mapping[Edge, float], count: int, history: History) -> Proposal | None:
        """The graph between a parent and its children, to be pretrained; ``None`` where it is known."""
        edges = best_edges(scores, self.constraints, count)
        if edges is not None:
            step = Proposal(self._graph(edges), self.name, "prune", (trial.number,), self._plan)
            if step.key not in history.known:
                return step
        return None

    def _child(self, trial: Trial, scores: Mapping[Edge, float], history: History) -> Proposal | None:
        """A candidate made of a parent's best edges; ``None`` where those that were tried are known."""
        children = self._pretrainings.children.get(trial.number, 0)
        target = self.targets[children % len(self.targets)]
        if trial.graph.n_edges <= target:
            # Nothing would be pruned from a parent within the target: it loses half.
            target = max(self.constraints.min_edges, trial.graph.n_edges // 2)
        for edges, operator in self._children(trial.number, children, scores, target):
            graph = self._graph(edges)
            if graph.key not in history.known:
                return Proposal(graph, self.name, operator, (trial.number,))
        return None

    def _children(
        self, number: int, index: int, scores: Mapping[Edge, float], target: int
    ) -> Iterator[tuple[tuple[Edge, ...], str]]:
        """Edges that a child of a parent may have and how they were made, the best first.

        The noise is named by parent and child, not drawn by the search: what is left of a parent then follows from the
        history alone.
        """
        if index < (1 + self.config.hubs) * len(self.targets):
            best = best_edges(scores, self.constraints, target)
            if best is not None:
                yield best, "prune"
            for hub in self._hubs(scores)[: self.config.hubs]:
                around = workspace_edges(scores, self.constraints, hub, target)
                if around is not None:
                    yield around, "prune_hub"
        spread = _standardised(scores)
        rng = generator("pruning", self.criterion, number, index)
        for _ in range(NOISY_TRIES):
            noise = (rng.gumbel(size=len(spread)) * self.config.temperature).tolist()
            noisy = {edge: value + extra for (edge, value), extra in zip(spread.items(), noise, strict=True)}
            drawn = best_edges(noisy, self.constraints, target)
            if drawn is not None:
                yield drawn, "prune"

    def _hubs(self, scores: Mapping[Edge, float]) -> list[int]:
        """Areas by the mean score of their edges, the best first."""
        of_area: dict[int, list[float]] = {}
        for edge, score in scores.items():
            for area in edge:
                of_area.setdefault(area, []).append(score)
        return sorted(of_area, key=lambda area: (-float(np.mean(of_area[area])), area))

    def _between(self, trial: Trial, history: History) -> int | None:
        """Edges of the next step from a pretraining, or ``None`` where its children are candidates.

        On the curve of Zhu and Gupta: step k of n leaves ``t + (s - t) (1 - k / n)^3`` of s edges for a target t.
        """
        step, first = 1, trial.proposal
        while first.parents:
            first, step = history.proposals[first.parents[0]], step + 1
        if step >= self.config.gradual:
            return None
        start, target = first.graph.n_edges, max(self.targets)
        edges = target + round((start - target) * (1 - step / self.config.gradual) ** 3)
        return edges if target < edges < trial.graph.n_edges else None

    def _graph(self, edges: tuple[Edge, ...]) -> ModuleGraph:
        return ModuleGraph(self.constraints.areas, edges)


def _standardised(scores: Mapping[Edge, float]) -> dict[Edge, float]:
    """Logarithms of scores at mean 0 and deviation 1; scores of zero count as the least above it."""
    values = np.array(list(scores.values()))
    least = values[values > 0].min(initial=1.0)
    logs = np.log(np.maximum(values, least * 1e-3))
    deviation = float(logs.std())
    logs = (logs - logs.mean()) / (deviation if deviation > 0 else 1.0)
    return dict(zip(scores, logs.tolist(), strict=True))
