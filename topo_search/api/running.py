"""One run from its space to its summary: the search, the agreement of rungs, winners against controls."""

from __future__ import annotations

import contextlib
import shutil
from pathlib import Path
from typing import Any

from topo_search.api.search_result import SearchResult, read_winners, summary
from topo_search.api.setup import NoticeCallback, Setup
from topo_search.config import parse_run, read_space_file, space_to_yaml
from topo_search.errors import InputError, RunFailedError
from topo_search.files import disk_errors, read_json, write_atomically, write_json
from topo_search.search import (
    DatabaseLock,
    DriverLock,
    EvaluationLog,
    ProgressCallback,
    RunFolder,
    SearchDriver,
    SearchStudy,
    SharedEvaluationLog,
    compare_winners,
    database_errors,
    is_shareable,
    open_storage,
    rescore,
)
from topo_search.search.agreement import measure_agreement
from topo_search.search.objectives import leading_trials

__all__ = ["DEFAULT_BUDGET", "is_finished", "remove_scratch", "run_search"]

DEFAULT_BUDGET = 200


def is_finished(folder: str | Path, budget: int | None = None) -> bool:
    """Whether a run has ended and its budget is the one given, or none is given.

    Raises:
        InputError: if the summary of the run is corrupt.
    """
    run_folder = RunFolder(Path(folder))
    if not (run_folder.space.is_file() and run_folder.summary.is_file()):
        return False
    done = read_json(run_folder.summary, "summary").get("budget")
    # One that another driver extends right now has a summary of its earlier budget.
    own = parse_run(*read_space_file(run_folder.space))["budget"]
    return isinstance(done, int) and done == own and budget in (None, own)


def run_search(
    folder: RunFolder,
    setup: Setup,
    run: dict[str, Any],
    *,
    lock: DriverLock,
    storage: str | None,
    join: bool = False,
    budget: int | None,
    on_progress: ProgressCallback | None,
    on_notice: NoticeCallback | None = None,
) -> SearchResult:
    """Run a search to its end, from wherever it stands.

    Args:
        folder: of the run.
        setup: checked.
        run: the section ``run`` of ``space.yaml``.
        lock: of the folder, held by the caller.
        storage: URL of the study; the journal of the folder where not given.
        join: whether other drivers may work on the study too.
        budget: that is wanted; at least the run's. ``None``, for one that joins, is that of the study.
        on_progress: told what happens.
        on_notice: told if workers will idle.

    Raises:
        InputError: if the study is not one of this run, another driver holds it, or its budget is larger.
        RunFailedError: if the disk or the database fails, or another driver takes the run over.
    """
    with disk_errors(folder.path), contextlib.ExitStack() as stack:
        database = None
        if storage is not None:
            stack.enter_context(database_errors(storage))
            open_storage(storage)
            database = DatabaseLock(storage, run["study"], joins=join)
            stack.callback(database.release)
        return _run_locked(
            folder,
            setup,
            run,
            lock,
            database,
            storage=storage,
            budget=budget,
            on_progress=on_progress,
            on_notice=on_notice,
        )


def _run_locked(
    folder: RunFolder,
    setup: Setup,
    run: dict[str, Any],
    lock: DriverLock,
    database: DatabaseLock | None,
    *,
    storage: str | None,
    budget: int | None,
    on_progress: ProgressCallback | None,
    on_notice: NoticeCallback | None,
) -> SearchResult:
    space = setup.space
    study = SearchStudy(open_storage(storage or folder.journal), run["study"], space=space, lock=database or lock)
    study.record_run(run)
    if database is not None and database.joins:
        budget = study.join_budget(budget, default=DEFAULT_BUDGET)
        write_atomically(folder.space, space_to_yaml(space, {**run, "budget": budget}))
    else:
        budget = _checked_budget(study, budget or DEFAULT_BUDGET)
        # The file first: where only that is written a resume completes it, without being told the budget again.
        if budget != run["budget"]:
            write_atomically(folder.space, space_to_yaml(space, {**run, "budget": budget}))
        if budget not in study.budgets:
            study.add_budget(budget)
    seed = int(run["seed"])
    finished = is_finished(folder.path, budget)
    comparison = None
    # A database that drivers can share holds the evaluations too: the study is then all that a run needs to go on.
    evaluations: EvaluationLog | SharedEvaluationLog
    if database is not None and is_shareable(database.location):
        evaluations = SharedEvaluationLog(database, study.identity)
    else:
        evaluations = EvaluationLog(folder.log, lock=lock)
    with contextlib.closing(evaluations) as log, setup.executor() as executor:
        if on_notice is not None and executor.slots > space.search.lag + 1:
            on_notice(
                f"search.lag is {space.search.lag}: no more evaluations run side by side, though {executor.slots - 1} "
                f"could; a larger lag uses them and is another search (--set search.lag={2 * executor.slots})"
            )
        driver = SearchDriver(
            space, seed=seed, study=study, log=log, executor=executor, folder=folder, on_progress=on_progress
        )
        try:
            driver.run(study.budgets)
        except BaseException:
            # What ended the run is told, whatever else fails; who was taken over leaves the table to the next driver.
            with contextlib.suppress(OSError, RunFailedError), lock.writing():
                driver.write_tables()
            raise
        agreement = measure_agreement(driver, on_progress=on_progress)
        if agreement:
            study.record_agreement([entry.as_dict() for entry in agreement])
        leaders = leading_trials(driver.history.scored(), space.search.objectives, count=space.after.rescored)
        rescored = rescore(space, leaders, driver.pool, folder, seed=seed, on_progress=on_progress)
        if any(entry.scores for entry in rescored):
            comparison = compare_winners(
                space, rescored, driver.pool, folder, seed=seed, finished=finished, on_progress=on_progress
            )
    trials = tuple(trial for _, trial in sorted(driver.decisions.trials.items()))
    winners = read_winners(folder, comparison)
    result = SearchResult(
        folder.path,
        trials,
        winners,
        comparison,
        driver.pool.evaluated,
        driver.decisions.exhausted,
        agreement,
        inherited=space.search.inherit_weights,
    )
    write_json(folder.summary, summary(result, budget))
    _remove_scratch(folder)
    return result


def remove_scratch(path: str | Path) -> None:
    """Remove what only an unfinished run needs, from a finished one; nothing where a driver is at it."""
    folder = RunFolder(Path(path))
    with contextlib.suppress(InputError):
        folder.lock()
        try:
            if is_finished(path):
                _remove_scratch(folder)
        finally:
            folder.unlock()


def _remove_scratch(folder: RunFolder) -> None:
    """Not before the summary is there: without their networks winners would be trained again."""
    shutil.rmtree(folder.full, ignore_errors=True)
    shutil.rmtree(folder.rungs, ignore_errors=True)


def _checked_budget(study: SearchStudy, budget: int) -> int:
    """A budget that is no smaller than the study's."""
    last = max(study.budgets, default=0)
    if budget < last:
        raise InputError(f"budget {budget} is below the run's {last}: expected at least as much")
    return budget
