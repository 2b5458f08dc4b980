"""Search a space; go on with a search."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from topo_search.api.running import run_search
from topo_search.api.search_result import SearchResult
from topo_search.api.setup import (
    NoticeCallback,
    Space,
    check_budget,
    check_seed,
    new_folder_path,
    prepare,
    without_password,
)
from topo_search.api.starting import Start
from topo_search.config import parse_space, read_space_file, space_to_yaml
from topo_search.errors import InputError
from topo_search.files import write_atomically
from topo_search.search import (
    ProgressCallback,
    RunFolder,
    TrialResources,
    has_study,
    open_storage,
)
from topo_search.search.versions import versions

__all__ = ["evolve", "resume"]


def evolve(
    space: Space = "digits",
    *,
    budget: int = 200,
    strategy: str | None = None,
    seed: int = 0,
    workers: int | None = None,
    out: str | Path | None = None,
    storage: str | None = None,
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
        budget: candidates evaluated; graphs that were scored before are not counted.
        strategy: only this one, whatever the space says.
        seed: of the search; with it the result is the same for any number of workers (on a CPU).
        workers: evaluations side by side; one a core (one a GPU on ``cuda``) where not given; of a running cluster all
            that fit.
        out: folder of the run; ``outputs/<space>-<date>-<id>`` where not given.
        storage: of the Optuna study, as a URL; a journal file in the folder where not given.
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
    if storage is not None and has_study(open_storage(storage), path.resolve().name):
        raise InputError(f"study {path.resolve().name!r} exists in the storage: give --out with another name")
    folder = RunFolder(path)
    folder.create()
    folder.lock()
    try:
        run = {
            "seed": seed,
            "budget": budget,
            "study": path.resolve().name,
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
        return run_search(
            folder, setup, run, storage=storage, budget=budget, on_progress=on_progress, on_notice=on_notice
        )
    finally:
        folder.unlock()


def resume(
    folder: str | Path,
    *,
    budget: int | None = None,
    workers: int | None = None,
    storage: str | None = None,
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
        storage: URL of the study, needed where it has a password.
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
    if not run_folder.space.is_file():
        raise InputError(f"{folder} is not a run: expected a folder with space.yaml that evolve left behind")
    values, where = read_space_file(run_folder.space)
    run = values.get("run")
    if not isinstance(run, dict) or not {"seed", "budget", "study"} <= set(run):
        raise InputError(f"{where}: it has no section run: expected the space.yaml that evolve left behind")
    space = parse_space(values, where=where)
    if budget is not None and check_budget(budget) < run["budget"]:
        raise InputError(f"budget {budget} is below the run's {run['budget']}: expected at least as much")
    location = storage or run.get("storage")
    if location is not None and "***" in location:
        raise InputError(f"the run's study is at {location}: give --storage with the password")
    # Without a journal a killed run has no study yet; a database that does not know one that was begun is another one.
    if location is not None and run_folder.log.exists() and not has_study(open_storage(location), run["study"]):
        raise InputError(f"unknown study {run['study']!r}: expected it in the storage of the run")
    setup = prepare(
        space,
        workers=workers,
        device=device or run.get("device") or "auto",
        ray=ray,
        resources=resources,
        data_dir=data_dir or run.get("data_dir"),
    )
    run_folder.create()
    run_folder.lock()
    try:
        setup.notify(on_notice, begun_with=run.get("engine"))
        wanted = budget or run["budget"]
        return run_search(
            run_folder, setup, run, storage=location, budget=wanted, on_progress=on_progress, on_notice=on_notice
        )
    finally:
        run_folder.unlock()
