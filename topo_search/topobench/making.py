"""Making a table: every class trained in full with every seed; what is finished survives a kill."""

from __future__ import annotations

import contextlib
import shutil
import time
from dataclasses import replace
from pathlib import Path

from topo_search.errors import InputError, RunFailedError
from topo_search.files import read_bytes, write_atomically
from topo_search.search import (
    Evaluation,
    EvaluationLog,
    Executor,
    Pool,
    Progress,
    ProgressCallback,
    Request,
    RunFolder,
    SearchSpace,
)
from topo_search.topobench.classes import N_CLASSES, graph_classes
from topo_search.topobench.space import SEEDS, check_space, representative
from topo_search.topobench.table import Table

__all__ = ["make_table", "table_requests"]

DIVERGED = "diverged"
SHOWN_SECONDS = 1.0


def table_requests(
    space: SearchSpace, *, limit: int | None = None, seeds: tuple[int, ...] = SEEDS
) -> dict[tuple[int, int], Request]:
    """What a table asks of an evaluator, by mask and seed; of the first ``limit`` classes if given."""
    return {
        (mask, seed): Request(representative(space, mask).to_json(), space.training.epochs, seed)
        for mask in graph_classes().masks[:limit].tolist()
        for seed in seeds
    }


def make_table(
    space: SearchSpace,
    executor: Executor,
    out: Path,
    *,
    validation_size: int,
    limit: int | None = None,
    on_progress: ProgressCallback | None = None,
) -> Table:
    """Train every class with every seed, judge every trained network, and write the table.

    Results lie in a log in the folder ``<out>.work`` until the table is written, so that a kill loses no more than the
    trainings in flight; the next call goes on. A table that is there already with these settings is read, not made.

    Args:
        space: of TopoBench-6.
        executor: where trainings run; the table is the same whatever their order.
        out: file of the table.
        validation_size: sequences that scores are shares of.
        limit: only the first so many classes.
        on_progress: told how many trainings ended.

    Raises:
        InputError: if ``out`` is a table of other settings, or an unfinished one there is.
        RunFailedError: if a training failed in another way than by diverging.
    """
    check_space(space)
    if limit is not None and not 1 <= limit <= N_CLASSES:
        raise InputError(f"limit must be from 1 to {N_CLASSES} classes, got {limit}")
    if out.exists():
        return _known_table(space, out, limit)
    folder = RunFolder(out.with_name(f"{out.name}.work"))
    folder.create()
    folder.lock()
    try:
        _check_settings(space, folder)
        results = _evaluate_all(space, executor, folder, limit=limit, on_progress=on_progress)
        _check_results(results, folder)
        table = Table.from_evaluations(space, SEEDS, results, validation_size=validation_size)
        table.save(out)
    finally:
        folder.unlock()
    shutil.rmtree(folder.path, ignore_errors=True)
    return table


def _settings(space: SearchSpace) -> str:
    return space.model_dump_json(include={"task", "areas", "edges", "network", "training"})


def _known_table(space: SearchSpace, out: Path, limit: int | None) -> Table:
    table = Table.load(out)
    wanted = N_CLASSES if limit is None else limit
    if _settings(table.space) != _settings(space) or len(table.masks) != wanted:
        raise InputError(f"{out} is a table of other settings or fewer classes: expected a new file")
    return table


def _check_settings(space: SearchSpace, folder: RunFolder) -> None:
    path = folder.path / "settings.json"
    if not path.exists():
        write_atomically(path, _settings(space))
    elif read_bytes(path, "settings").decode(errors="replace") != _settings(space):
        raise InputError(f"{folder.path} holds an unfinished table of other settings: remove it, or give another file")


def _check_results(results: dict[tuple[int, int], Evaluation], folder: RunFolder) -> None:
    """A training may diverge, which says something of its graph; any other failure does not belong in a table."""
    for (mask, seed), result in results.items():
        if result.failed and result.reason != DIVERGED:
            detail = (result.detail.strip().splitlines() or ["no detail"])[-1]
            raise RunFailedError(
                f"training of mask {mask} with seed {seed} failed: {result.reason} ({detail}); "
                f"what is finished is in {folder.log}"
            )


def _evaluate_all(
    space: SearchSpace,
    executor: Executor,
    folder: RunFolder,
    *,
    limit: int | None,
    on_progress: ProgressCallback | None,
) -> dict[tuple[int, int], Evaluation]:
    requests = table_requests(space, limit=limit)
    scratch = folder.full
    shutil.rmtree(scratch, ignore_errors=True)
    shown = 0.0
    with contextlib.closing(EvaluationLog(folder.log)) as log:
        pool = Pool(executor, log)
        results = {key: found for key, request in requests.items() if (found := log.find(request)) is not None}

        def report(*, last: bool = False) -> None:
            nonlocal shown
            if on_progress is not None and (last or time.monotonic() - shown > SHOWN_SECONDS):
                shown = time.monotonic()
                on_progress(Progress("table", len(results), len(requests), pool.running, evaluated=pool.evaluated))

        def keep(key: tuple[int, int], saved: Path, evaluation: Evaluation) -> None:
            results[key] = evaluation
            shutil.rmtree(saved, ignore_errors=True)
            report()

        report(last=True)
        for key, request in requests.items():
            if key in results:
                continue
            while pool.full:
                pool.wait()
            # A network is saved to be certified; nobody asks for it afterwards.
            saved = scratch / f"{key[0]}-{key[1]}"
            label = f"class of mask {key[0]}, seed {key[1]}"

            def done(evaluation: Evaluation, key: tuple[int, int] = key, saved: Path = saved) -> None:
                keep(key, saved, evaluation)

            pool.submit(replace(request, save_to=str(saved)), label, done)
        while pool.running:
            pool.wait()
        report(last=True)
    return results
