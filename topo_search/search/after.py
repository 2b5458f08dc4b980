"""After the search: score the best again, train winners and controls in full, read the test part once."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from topo_search.graph import ModuleGraph
from topo_search.search.comparison import Comparison, GraphScores, Rescored
from topo_search.search.controls import control_graphs
from topo_search.search.evaluate import Request
from topo_search.search.history import Trial
from topo_search.search.objectives import non_dominated_ranks, trial_values
from topo_search.search.pool import Pool
from topo_search.search.progress import Progress, ProgressCallback
from topo_search.search.run_folder import RunFolder
from topo_search.search.space import SearchSpace
from topo_search.search.winner_folders import check_places, put_winner, remove_stale
from topo_search.seeds import seed_for

__all__ = ["compare_winners", "rescore"]


def rescore(
    space: SearchSpace,
    leaders: Sequence[Trial],
    pool: Pool,
    folder: RunFolder,
    *,
    seed: int,
    on_progress: ProgressCallback | None,
) -> list[Rescored]:
    """Score the best trials again with fresh seeds, in full, on validation data; best first.

    Short scores with the seed of the search favour fast starters and luck: the winners are chosen from these.

    With a cost among the objectives those come first that no other beats in both mean score and cost, and so on down
    the non-dominated ranks; within a rank the more accurate first. A trial of which every training diverged comes last.
    """
    chosen = leaders[: space.after.rescored]
    seeds = [seed_for(seed, "rescore", index) for index in range(space.after.rescore_seeds)]
    requests = [
        (
            Request(
                graph=trial.graph.to_json(),
                epochs=space.training.epochs,
                seed=s,
                checkpoint=_checkpoint(folder, trial.graph, s),
            ),
            f"rescore trial {trial.number}",
        )
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

    Raises:
        RunFailedError: if something that is not the run's stands where a winner is to lie; it stays as it is.
    """
    winners = [entry.trial.graph for entry in rescored[: space.after.winners] if entry.scores]
    seeds = tuple(seed_for(seed, "full", index) for index in range(space.after.seeds))
    if not finished:
        # Before the hours that the trainings take.
        check_places(folder.winners, range(1, len(winners) + 1))
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
                        checkpoint=_checkpoint(folder, graph, s),
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
    remove_stale(folder.winners, keep=[entry.rank for entry in comparison.of_kind("winner")])
    return comparison


def _reporter(phase: str, total: int, pool: Pool, on_progress: ProgressCallback | None) -> Any:
    def report(done: int) -> None:
        if on_progress is not None:
            on_progress(Progress(phase=phase, done=done, total=total, running=pool.running, evaluated=pool.evaluated))

    report(0)
    return report


def _keep_winner(entry: GraphScores, rescored: Rescored, folder: RunFolder) -> None:
    """Put the best seed's network into ``winners/K`` with its numbers."""
    trained = [i for i, evaluation in enumerate(entry.evaluations) if not evaluation.failed]
    if not trained:
        return
    best = max(trained, key=lambda i: (entry.evaluations[i].best_score, -i))
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
    put_winner(folder.winners, entry.rank, _full_folder(folder, entry.graph, best), metrics)


def _full_folder(folder: RunFolder, graph: ModuleGraph, index: int) -> Path:
    """Where a worker leaves a winner trained with the seed of this index."""
    return folder.full / f"{graph.key}-{index}"


def _checkpoint(folder: RunFolder, graph: ModuleGraph, seed: int) -> str:
    """Where a full training leaves how far it came: on a real task it takes hours."""
    return str(folder.rungs / f"{graph.key}-{seed}.safetensors")
