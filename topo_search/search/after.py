"""After the search: score the best again, train winners and controls in full, read the test part once."""

from __future__ import annotations

import math
import shutil
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from topo_search.files import write_json
from topo_search.graph import GraphConstraints, ModuleGraph, degree_preserving_rewire, make_family
from topo_search.search.evaluate import Request
from topo_search.search.history import Evaluation, Trial
from topo_search.search.objectives import non_dominated_ranks, trial_values
from topo_search.search.pool import Pool
from topo_search.search.progress import Progress, ProgressCallback
from topo_search.search.run_folder import RunFolder
from topo_search.search.space import SearchSpace
from topo_search.seeds import generator, seed_for

__all__ = [
    "Comparison",
    "GraphScores",
    "Rescored",
    "compare_winners",
    "control_graphs",
    "parameter_matched_edges",
    "rescore",
]


@dataclass(frozen=True)
class Rescored:
    """A trial scored again on validation data with fresh seeds.

    Attributes:
        trial: of the search.
        scores: validation accuracy after full training, one a seed; without those that diverged.
    """

    trial: Trial
    scores: tuple[float, ...]

    @property
    def mean(self) -> float:
        """Mean score; minus infinity if every training diverged."""
        return statistics.fmean(self.scores) if self.scores else -math.inf


@dataclass(frozen=True)
class GraphScores:
    """A graph trained in full with several seeds.

    Attributes:
        kind: ``winner``, ``random``, ``random_parameters``, ``rewired``, ``global_workspace`` or ``all_edges``.
        graph: the graph.
        seeds: of the trainings.
        evaluations: one a seed.
        rank: of a winner, from 1; 0 for a control.
    """

    kind: str
    graph: ModuleGraph
    seeds: tuple[int, ...]
    evaluations: tuple[Evaluation, ...]
    rank: int = 0

    @property
    def test(self) -> tuple[float, ...]:
        """Test accuracy of each seed that did not diverge."""
        return tuple(e.test_accuracy for e in self.evaluations if e.test_accuracy is not None)

    @property
    def validation(self) -> tuple[float, ...]:
        """Validation accuracy of the best epoch, of each seed that did not diverge."""
        return tuple(e.best_score for e in self.evaluations if not e.failed)

    @property
    def test_mean(self) -> float:
        """Mean test accuracy over seeds; nan if every training diverged."""
        return statistics.fmean(self.test) if self.test else math.nan


@dataclass(frozen=True)
class Comparison:
    """Winners and controls, trained in full on seeds that the search never saw.

    Attributes:
        graphs: winners first, by rank.
        rescored: the candidates that the winners were chosen from, best first.
    """

    graphs: tuple[GraphScores, ...]
    rescored: tuple[Rescored, ...]

    def of_kind(self, kind: str) -> list[GraphScores]:
        """Graphs of one kind."""
        return [entry for entry in self.graphs if entry.kind == kind]

    def by_seed(self, kind: str) -> tuple[NDArray[np.float64], NDArray[np.float64]] | None:
        """Test accuracy of the best winner, ``(seeds,)``, and of all graphs of a kind, ``(graphs, seeds)``.

        ``None`` where a training diverged or the kind is empty.
        """
        others, winners = self.of_kind(kind), self.of_kind("winner")
        if not others or not winners or any(len(g.test) < len(g.seeds) for g in (*others, winners[0])):
            return None
        return np.array(winners[0].test), np.array([other.test for other in others])

    def paired_gain(self, kind: str) -> tuple[float, float, int] | None:
        """Test accuracy of the best winner less the mean of a kind, seed by seed: mean, standard deviation, n seeds.

        ``None`` where a training diverged or the kind is empty.
        """
        scores = self.by_seed(kind)
        if scores is None:
            return None
        gains = (scores[0] - scores[1].mean(axis=0)).tolist()
        return statistics.fmean(gains), statistics.stdev(gains) if len(gains) > 1 else math.nan, len(gains)

    def rows(self) -> list[list[Any]]:
        """Rows of ``comparison.csv``, one a graph and seed."""
        return [
            [
                entry.graph.key,
                entry.kind,
                seed,
                entry.graph.n_edges,
                evaluation.parameters if not evaluation.failed else "",
                repr(evaluation.best_score) if not evaluation.failed else "",
                repr(evaluation.test_accuracy) if not evaluation.failed else "",
            ]
            for entry in self.graphs
            for seed, evaluation in zip(entry.seeds, entry.evaluations, strict=True)
        ]


def parameter_matched_edges(constraints: GraphConstraints, winner: ModuleGraph) -> int:
    """How many edges a random graph needs to have about as many trained coupling entries as a winner.

    An edge between areas of n and m units has n m entries (or a fixed multiple of it). A random graph of k edges has k
    times the mean over allowed edges, of areas of their base sizes. Where all areas are of one size this is the
    winner's own number of edges; a winner with a grown hub has more entries than its number of edges says.

    Input weights, readout and what areas train themselves are not counted: they follow the sizes of areas, not edges.

    Returns:
        The nearest number of edges, from ``constraints.min_edges`` to that of all allowed edges: the edge budget counts
        edges and would make the match impossible for the winners that need it.
    """
    if not constraints.allowed_edges:
        return winner.n_edges
    base = [area.size for area in constraints.areas]
    entries = sum(winner.sizes[i] * winner.sizes[j] for i, j in winner.edges)
    mean = statistics.fmean(base[i] * base[j] for i, j in constraints.allowed_edges)
    return min(max(round(entries / mean), constraints.min_edges), len(constraints.allowed_edges))


def control_graphs(space: SearchSpace, winner: ModuleGraph, *, seed: int) -> list[tuple[str, ModuleGraph]]:
    """The graphs that a winner must beat: ``(kind, graph)``.

    Random graphs have the winner's number of edges. Where that does not give them as many parameters, since areas
    differ in size, there are others that are matched in parameters, see :func:`parameter_matched_edges`. Rewires have
    the winner's degrees. Those matched in parameters and all edges ignore the edge budget.
    """
    constraints, after = space.constraints, space.after

    unbounded = replace(constraints, max_edges=None)

    def random(name: str, index: int, edges: int) -> ModuleGraph:
        return make_family("random_density", unbounded, generator(seed, name, index), edges=edges)

    rng = generator(seed, "controls")
    matched = parameter_matched_edges(constraints, winner)
    n_matched = after.parameter_controls if matched != winner.n_edges else 0
    return [
        *(("random", random("random control", index, winner.n_edges)) for index in range(after.random_controls)),
        *(("random_parameters", random("parameter control", index, matched)) for index in range(n_matched)),
        *(
            ("rewired", degree_preserving_rewire(winner, constraints, generator(seed, "rewired control", index)))
            for index in range(after.rewired_controls)
        ),
        ("global_workspace", make_family("global_workspace", constraints, rng)),
        ("all_edges", make_family("all_to_all", constraints, rng, ignore_budget=True)),
    ]


def rescore(
    space: SearchSpace, leaders: Sequence[Trial], pool: Pool, *, seed: int, on_progress: ProgressCallback | None
) -> list[Rescored]:
    """Score the best trials again with fresh seeds, in full, on validation data; best first.

    Short scores with the seed of the search favour fast starters and luck: the winners are chosen from these.

    With a cost among the objectives those come first that no other beats in both mean score and cost, and so on down
    the non-dominated ranks; within a rank the more accurate first. A trial of which every training diverged comes last.
    """
    chosen = leaders[: space.after.rescored]
    seeds = [seed_for(seed, "rescore", index) for index in range(space.after.rescore_seeds)]
    requests = [
        (Request(graph=trial.graph.to_json(), epochs=space.training.epochs, seed=s), f"rescore trial {trial.number}")
        for trial in chosen
        for s in seeds
    ]
    results = pool.run_all(requests, _reporter("rescore", len(requests), pool, on_progress))
    rescored = [
        Rescored(trial, tuple(e.score for e in results[i * len(seeds) : (i + 1) * len(seeds)] if not e.failed))
        for i, trial in enumerate(chosen)
    ]
    scored = [entry for entry in rescored if entry.scores]
    values = [(entry.mean, *trial_values(entry.trial, space.search.objectives)[1:]) for entry in scored]
    ranks = non_dominated_ranks(values) if len(space.search.objectives) > 1 else np.zeros(len(scored), dtype=np.int64)
    order = sorted(range(len(scored)), key=lambda i: (ranks[i], -scored[i].mean, scored[i].trial.number))
    return [scored[i] for i in order] + [entry for entry in rescored if not entry.scores]


def compare_winners(
    space: SearchSpace,
    rescored: Sequence[Rescored],
    pool: Pool,
    folder: RunFolder,
    *,
    seed: int,
    finished: bool = False,
    on_progress: ProgressCallback | None,
) -> Comparison:
    """Train winners and controls in full on further fresh seeds, read the test part, and leave the winners' folders.

    With ``finished`` the winners' folders and the table are there already: known results are only put together again.

    The parameters of the best epoch on validation data are those that are tested and saved; of a winner's seeds the one
    with the best validation accuracy is saved.
    """
    winners = [entry.trial.graph for entry in rescored[: space.after.winners] if entry.scores]
    seeds = tuple(seed_for(seed, "full", index) for index in range(space.after.seeds))
    graphs = [("winner", graph) for graph in winners]
    graphs += control_graphs(space, winners[0], seed=seed) if winners else []
    requests = []
    for kind, graph in graphs:
        for index, s in enumerate(seeds):
            save_to = str(_full_folder(folder, graph, index)) if kind == "winner" and not finished else None
            requests.append(
                (
                    Request(
                        graph=graph.to_json(),
                        epochs=space.training.epochs,
                        seed=s,
                        use_best=True,
                        read_test=True,
                        save_to=save_to,
                    ),
                    f"full training of {kind} {graph.key}",
                )
            )
    results = pool.run_all(requests, _reporter("full training", len(requests), pool, on_progress))
    entries = tuple(
        GraphScores(
            kind,
            graph,
            seeds,
            tuple(results[i * len(seeds) : (i + 1) * len(seeds)]),
            rank=i + 1 if kind == "winner" else 0,
        )
        for i, (kind, graph) in enumerate(graphs)
    )
    comparison = Comparison(entries, tuple(rescored))
    if finished:
        return comparison
    folder.write_comparison(comparison.rows())
    for entry in comparison.of_kind("winner"):
        _keep_winner(entry, rescored[entry.rank - 1], folder)
    # A search that was extended may end with fewer winners than it had.
    for stale in folder.winners.glob("*"):
        if stale.name not in {str(entry.rank) for entry in comparison.of_kind("winner")}:
            shutil.rmtree(stale)
    return comparison


def _reporter(phase: str, total: int, pool: Pool, on_progress: ProgressCallback | None) -> Any:
    def report(done: int) -> None:
        if on_progress is not None:
            on_progress(Progress(phase=phase, done=done, total=total, running=pool.running, evaluated=pool.evaluated))

    report(0)
    return report


def _keep_winner(entry: GraphScores, rescored: Rescored, folder: RunFolder) -> None:
    """Move the best seed's network to ``winners/K`` with its numbers."""
    trained = [i for i, evaluation in enumerate(entry.evaluations) if not evaluation.failed]
    if not trained:
        return
    best = max(trained, key=lambda i: (entry.evaluations[i].best_score, -i))
    source = _full_folder(folder, entry.graph, best)
    target = folder.winners / str(entry.rank)
    metrics = {
        "rank": entry.rank,
        "trial": rescored.trial.number,
        "graph_key": entry.graph.key,
        "search_score": rescored.trial.score,
        "rescored_validation_accuracy": list(rescored.scores),
        "seeds": list(entry.seeds),
        "saved_seed": entry.seeds[best],
        "validation_accuracy": [None if e.failed else e.best_score for e in entry.evaluations],
        "test_accuracy": [e.test_accuracy for e in entry.evaluations],
        "best_epoch": [None if e.failed else e.best_epoch for e in entry.evaluations],
        "parameters": entry.evaluations[best].parameters,
        "certified": entry.evaluations[best].certified,
        "rho": entry.evaluations[best].rho,
        "seconds": [e.seconds for e in entry.evaluations],
    }
    staged = _fresh(folder.winners / f".{entry.rank}.new")
    for file in sorted(source.iterdir()):
        shutil.copy2(file, staged / file.name)
    write_json(staged / "metrics.json", metrics)
    if target.exists():
        shutil.rmtree(target)
    staged.rename(target)


def _full_folder(folder: RunFolder, graph: ModuleGraph, index: int) -> Path:
    """Where a worker leaves a winner trained with the seed of this index."""
    return folder.full / f"{graph.key}-{index}"


def _fresh(path: Path) -> Path:
    if path.exists():
        shutil.rmtree(path)
    path.mkdir(parents=True)
    return path
