"""Search a space; go on with a search."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from pathlib import Path

from topo_search.api.recorded import study_location
from topo_search.api.running import DEFAULT_BUDGET, run_search
from topo_search.api.search_result import SearchResult
from topo_search.api.setup import (
    NoticeCallback,
    Space,
    check_budget,
    check_join,
    check_seed,
    check_storage,
    is_known,
    new_folder_path,
    prepare,
)
from topo_search.api.starting import Start
from topo_search.config import parse_run, parse_space, read_space_file, space_to_yaml
from topo_search.errors import InputError
from topo_search.files import write_atomically
from topo_search.search import (
    ProgressCallback,
    RunFolder,
    TrialResources,
    check_study_name,
    check_url,
    database_errors,
    open_storage,
    recorded_run,
    storage_notice,
    without_password,
)
from topo_search.search.versions import versions

__all__ = ["evolve", "resume"]


def evolve(
    space: Space = "digits",
    *,
    budget: int | None = None,
    strategy: str | None = None,
    seed: int = 0,
    workers: int | None = None,
    out: str | Path | None = None,
    storage: str | None = None,
    join: bool = False,
    device: str = "auto",
    ray: str | None = None,
    resources: TrialResources | None = None,
    data_dir: str | Path | None = None,
    download: bool = False,
    overrides: Sequence[str] = (),
    start: Start | Sequence[Start] = (),
    on_progress: ProgressCallback | None = None,
    on_folder: Callable[[Path], None] | None = None,
    on_notice: NoticeCallback | None = None,
) -> SearchResult:
    """Search a space, train the winners and their controls in full, and leave everything in a folder.

    Args:
        space: name of a shipped space, a YAML file, or a :class:`SearchSpace`.
        budget: candidates evaluated, 200 where not given; graphs that were scored before are not counted.
        strategy: only this one, whatever the space says.
        seed: of the search; with it the result is the same for any number of workers (on a CPU).
        workers: evaluations side by side; one a core (one a GPU on ``cuda``) where not given; of a running cluster all
            that fit.
        out: folder of the run; ``outputs/<space>-<date>-<id>`` where not given.
        storage: of the Optuna study, as a URL; a journal file in the folder where not given.
        join: drive the study together with others that join it, each with a folder of its own of the same name; the
            storage must be PostgreSQL or MySQL, space and seed the same, and the budget is that of the first.
        device: ``auto``, ``cpu`` or ``cuda``.
        ray: evaluate on a Ray cluster: ``auto`` (the running one), ``local`` (a private one) or ``HOST:PORT``.
        resources: what one evaluation is given and may not exceed; one core, without limits, where not given.
        data_dir: where data sets lie.
        download: fetch the data set where it is missing.
        overrides: ``key=value`` entries put into the space.
        start: graphs that are proposed first: each a graph, a ``.json``, ``.graphml`` or ``.csv`` file, or the folder
            of a winner or a run; see :func:`topo_search.api.starting.with_starts`.
        on_progress: told what happens.
        on_folder: told the run's folder before anything runs.
        on_notice: told then if the reference engine serves, and why.

    Raises:
        InputError: if anything given is wrong; nothing was written then.
    """
    if budget is not None:
        check_budget(budget)
    check_seed(seed)
    setup = prepare(
        space,
        overrides=overrides,
        strategy=strategy,
        workers=workers,
        device=device,
        ray=ray,
        resources=resources,
        data_dir=data_dir,
        download=download,
        out=out,
        start=start,
    )
    path = new_folder_path(setup.space.name) if out is None else Path(out)
    name = check_study_name(path.resolve().name)
    known = check_storage(storage, join=join, out=path, space=setup.space)
    folder = RunFolder(path)
    was_there = path.exists()
    folder.create()
    lock = folder.lock()
    try:
        wanted = DEFAULT_BUDGET if budget is None else budget
        run = {
            "seed": seed,
            "budget": wanted,
            "study": name,
            "storage": None if storage is None else without_password(storage),
            "device": setup.execution.device,
            "engine": setup.engine,
            "data_dir": None if data_dir is None else str(Path(data_dir).resolve()),
            "versions": versions(),
        }
        write_atomically(folder.space, space_to_yaml(setup.space, run))
        if on_folder is not None:
            on_folder(path)
        setup.notify(on_notice)
        _notify_of_storage(storage or folder.journal, on_notice)
        return run_search(
            folder,
            setup,
            run,
            lock=lock,
            storage=storage,
            join=join,
            budget=budget if join else wanted,
            on_progress=on_progress,
            on_notice=on_notice,
        )
    except InputError:
        # What is refused here (no such cluster, a study of another seed) must not stand in the way of the next try.
        # A study that this call has made is there to be resumed.
        if storage is None or known or not is_known(storage, name):
            _withdraw(folder, was_there=was_there)
        raise
    finally:
        folder.unlock()


def resume(
    folder: str | Path,
    *,
    budget: int | None = None,
    workers: int | None = None,
    storage: str | None = None,
    join: bool = False,
    device: str | None = None,
    ray: str | None = None,
    resources: TrialResources | None = None,
    data_dir: str | Path | None = None,
    on_progress: ProgressCallback | None = None,
    on_notice: NoticeCallback | None = None,
) -> SearchResult:
    """Go on with a run that was interrupted, or extend one that is finished.

    Args:
        folder: of the run.
        budget: a larger budget; the earlier one is ended first, so that the result does not depend on the interruption.
        workers: evaluations side by side; any number gives the same search.
        storage: URL of the study, needed where it has a password. With it the folder need not exist: it is made anew
            from the study of its name.
        join: see :func:`evolve`.
        device: other than the run's.
        ray: see :func:`evolve`; so is ``resources``. They belong to the call, not to the run.
        resources: of one evaluation.
        data_dir: other than the run's.
        on_progress: told what happens.
        on_notice: told before anything runs if the reference engine serves, and if the run was begun with another one.

    Returns:
        The result; ``evaluated`` is 0 where the run was finished already.

    Raises:
        InputError: if the folder is no run, another driver holds it, or the budget is below the run's.
    """
    run_folder = RunFolder(Path(folder))
    if storage is not None:
        check_url(storage)
    if not run_folder.space.is_file() and storage is not None:
        _restore(run_folder, storage)
    if not run_folder.space.is_file():
        raise InputError(f"{folder} is not a run: expected a folder with space.yaml that evolve left behind")
    values, where = read_space_file(run_folder.space)
    run = parse_run(values, where)
    space = parse_space(values, where=where)
    if budget is not None and check_budget(budget) < run["budget"]:
        raise InputError(f"budget {budget} is below the run's {run['budget']}: expected at least as much")
    location = study_location(run, where, storage)
    check_join(join, location, space)
    # Without a journal a killed run has no study yet; a database that does not know one that was begun is another one.
    begun = run_folder.log.exists() or run_folder.trials.exists()
    if location is not None and begun and not is_known(location, run["study"]):
        raise InputError(f"unknown study {run['study']!r}: expected it in the storage of the run")
    # After that: whoever removed the journal beside a database that does not know the study would lose it.
    if storage is not None and run.get("storage") is None and run_folder.journal.exists():
        raise InputError(
            f"the run's study is {run_folder.journal}: expected no --storage and no TOPO_SEARCH_STORAGE "
            "(remove that file where the study was copied)"
        )
    setup = prepare(
        space,
        workers=workers,
        device=device or run.get("device") or "auto",
        ray=ray,
        resources=resources,
        data_dir=data_dir or run.get("data_dir"),
    )
    run_folder.create()
    lock = run_folder.lock()
    try:
        setup.notify(on_notice, begun_with=run.get("engine"))
        _notify_of_storage(location or run_folder.journal, on_notice)
        return run_search(
            run_folder,
            setup,
            run,
            lock=lock,
            storage=location,
            join=join,
            budget=budget if join else budget or run["budget"],
            on_progress=on_progress,
            on_notice=on_notice,
        )
    finally:
        run_folder.unlock()


def _withdraw(folder: RunFolder, *, was_there: bool) -> None:
    """Remove what a run has written that has evaluated nothing yet."""
    if folder.trials.exists() or (folder.log.exists() and folder.log.stat().st_size):
        return
    for file in (folder.space, folder.log, folder.journal, folder.path / ".lock"):
        file.unlink(missing_ok=True)
    with contextlib.suppress(OSError):  # Files of others are left, and their folders with them.
        folder.rungs.rmdir()
        if not was_there:
            folder.path.rmdir()


def _notify_of_storage(location: str | Path, on_notice: NoticeCallback | None) -> None:
    notice = storage_notice(location)
    if notice is not None and on_notice is not None:
        on_notice(notice)


def _restore(folder: RunFolder, storage: str) -> None:
    """Make the folder of a run anew from what its study holds."""
    name = check_study_name(folder.path.resolve().name)
    with database_errors(storage):
        values, run = recorded_run(open_storage(storage, to_write=False), name)
    space = parse_space(values, where=f"study {name!r}")
    if space.search.inherit_weights:
        raise InputError(f"study {name!r} inherits couplings, which were files of its folder: expected that folder")
    data_dir = run.get("data_dir")
    run |= {
        "storage": without_password(storage),
        # A path of the machine that the run was begun on.
        "data_dir": data_dir if data_dir is not None and Path(data_dir).is_dir() else None,
    }
    folder.create()
    write_atomically(folder.space, space_to_yaml(space, run))
