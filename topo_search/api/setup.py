"""What every function of the interface does first: resolve the space, check what was given, load the data."""

from __future__ import annotations

import contextlib
import datetime
import multiprocessing
import secrets
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from topo_search.api.execution import Execution, open_executor, plan_execution
from topo_search.api.starting import Start, with_starts
from topo_search.config import apply_overrides, load_space, parse_space, read_space_file
from topo_search.engine.native import native_status
from topo_search.errors import InputError
from topo_search.graph import make_family
from topo_search.search import (
    Executor,
    SearchSpace,
    TrialResources,
    candidate_network,
    check_study_name,
    check_url,
    database_errors,
    find_strategies,
    has_study,
    holds_studies,
    is_shareable,
    open_storage,
    strategy_names,
)
from topo_search.seeds import generator
from topo_search.tasks import Task, load_task

__all__ = [
    "NoticeCallback",
    "Setup",
    "Space",
    "check_budget",
    "check_join",
    "check_new_folder",
    "check_seed",
    "check_storage",
    "is_known",
    "new_folder_path",
    "prepare",
]

Space = str | Path | SearchSpace
"""Name of a shipped space, a YAML file, or the space itself."""

NoticeCallback = Callable[[str], None]
"""Told, before anything runs, what a person should know of it: one line a call."""


@dataclass(frozen=True)
class Setup:
    """Everything that an evaluation needs, checked.

    Attributes:
        space: the search space, resolved.
        task: its data; a network of the space fits them.
        execution: where evaluations run.
        engine: that advances the networks: ``native``, with its level, or ``reference``.
        engine_reason: why the native one does not serve, in one line; empty where it does.
    """

    space: SearchSpace
    task: Task
    execution: Execution
    engine: str
    engine_reason: str

    def notify(self, on_notice: NoticeCallback | None, *, begun_with: str | None = None) -> None:
        """Say that the reference engine serves on a CPU, and that a run was begun with another engine."""
        if on_notice is None:
            return
        if self.engine_reason:
            on_notice(f"engine: {self.engine} ({self.engine_reason})")
        if begun_with is not None and begun_with != self.engine:
            on_notice(
                f"warning: the run was begun with engine {begun_with} and goes on with {self.engine}: "
                "scores may differ in their last digits"
            )

    @contextlib.contextmanager
    def executor(self) -> Iterator[Executor]:
        """Where evaluations run; closed at the end, however that comes."""
        with open_executor(self.execution, self.space, self.task) as executor:
            yield executor


def prepare(
    space: Space,
    *,
    overrides: Sequence[str] = (),
    strategy: str | None = None,
    workers: int | None = None,
    most_workers: int | None = None,
    device: str = "cpu",
    ray: str | None = None,
    resources: TrialResources | None = None,
    data_dir: str | Path | None = None,
    download: bool = False,
    out: str | Path | None = None,
    start: Start | Sequence[Start] = (),
) -> Setup:
    """Resolve and check what was given; nothing is written.

    Args:
        space: name, file or space.
        overrides: ``key=value`` entries put into it.
        strategy: only this one, whatever the space says.
        workers: one a core or GPU where not given; of a running cluster all that fit.
        most_workers: more would idle.
        device: ``auto``, ``cpu`` or ``cuda``.
        ray: address of a Ray cluster, see :class:`topo_search.api.execution.Execution`.
        resources: of one evaluation.
        data_dir: where data sets lie.
        download: fetch the data set where it is missing.
        out: folder to be written to, which must be new or empty.
        start: graphs that a search starts from.

    Raises:
        InputError: if anything given is wrong.
    """
    execution = plan_execution(
        workers=workers,
        most_workers=most_workers,
        device=device,
        ray=ray,
        resources=resources or TrialResources(),
        data_dir=None if data_dir is None else Path(data_dir),
    )
    # While a worker imports the script that started it, its parent is not known yet, but it has its own name already.
    if execution.in_processes and multiprocessing.current_process().name != "MainProcess":
        raise InputError(
            "more than one worker was asked for inside a worker process: put the call of a script under "
            'if __name__ == "__main__":, or give workers=1'
        )
    if out is not None:
        check_new_folder(Path(out))
    resolved = with_starts(_resolve_space(space, overrides, strategy), start)
    status = native_status()
    task = _load_checked_task(resolved, data_dir, download)
    on_cpu = execution.device == "cpu"
    return Setup(
        space=resolved,
        task=task,
        execution=execution,
        # The native engine is for CPUs: elsewhere the reference is not in its place.
        engine=status.engine if on_cpu else "reference",
        engine_reason=status.reason if on_cpu else "",
    )


def check_seed(seed: int) -> int:
    """The seed, if it is an integer from 0; else InputError."""
    if isinstance(seed, bool) or not isinstance(seed, int) or seed < 0:
        raise InputError(f"seed must be an integer from 0, got {seed!r}")
    return seed


def check_storage(storage: str | None, *, join: bool, out: Path | None, space: SearchSpace) -> bool:
    """Check that a new search may keep its study in a storage; nothing is written there.

    Args:
        storage: URL; ``None`` for a journal in the folder.
        join: whether other drivers may work on the study too.
        out: folder of the run, whose name the study has; ``None`` for a new name.
        space: resolved.

    Returns:
        Whether the study is there, for a driver that joins.

    Raises:
        InputError: if the URL is wrong, the database cannot be opened or shared, or it holds the study already.
        RunFailedError: if the database fails while it is asked.
    """
    if storage is not None:
        check_url(storage)
    check_join(join, storage, space)
    name = None if out is None else check_study_name(out.resolve().name)
    known = storage is not None and is_known(storage, name or "")
    if known and not join:
        raise InputError(f"study {name!r} exists in the storage: give --out with another name, or --join it")
    return known


def check_join(join: bool, storage: str | None, space: SearchSpace) -> None:
    """Check whether a study can be driven by several drivers, if it is to be.

    Raises:
        InputError: if it cannot.
    """
    if join and (storage is None or not is_shareable(storage)):
        raise InputError("--join needs a database that drivers can share: expected a PostgreSQL or MySQL URL")
    if join and space.search.inherit_weights:
        raise InputError("search.inherit_weights keeps couplings in one folder: expected it off to join")


def is_known(storage: str, study: str) -> bool:
    """Whether a database holds a study; it stays as it is.

    Raises:
        InputError: if it cannot be opened.
        RunFailedError: if it fails.
    """
    with database_errors(storage):
        return holds_studies(storage) and has_study(open_storage(storage, to_write=False), study)


def _resolve_space(space: Space, overrides: Sequence[str], strategy: str | None) -> SearchSpace:
    if isinstance(space, SearchSpace):
        values = apply_overrides(space.model_dump(mode="json"), overrides)
        resolved = parse_space(values, where=f"search space {space.name}", overrides=overrides)
    else:
        resolved = load_space(space, overrides=overrides)
    if strategy is not None:
        if strategy not in strategy_names():
            raise InputError(f"unknown strategy {strategy!r}: expected one of {', '.join(strategy_names())}")
        search = resolved.search.model_copy(update={"strategies": {strategy: 1.0}})
        resolved = resolved.model_copy(update={"search": search})
    find_strategies(resolved.search.strategies)
    return resolved


def _load_checked_task(space: SearchSpace, data_dir: str | Path | None, download: bool) -> Task:
    """The task, and the certainty that a network of this space can be made for it."""
    task = load_task(space.task, data_dir=data_dir, download=download)
    graph = make_family("all_to_all", space.constraints, generator(0, "check"), ignore_budget=True)
    candidate_network(space, task, graph, seed=0)
    return task


def check_new_folder(path: Path) -> None:
    """Check a folder that is to be written to.

    Raises:
        InputError: unless it is new, empty, or one that a run was killed in before it wrote anything.
    """
    if path.exists() and not path.is_dir():
        raise InputError(f"output folder {path} is a file: expected a new or empty folder")
    if (path / "space.yaml").exists():
        values, _ = read_space_file(path / "space.yaml")
        name = values.get("name", "unknown")
        raise InputError(f"output folder {path} holds a run of space {name!r}: resume it, or give another --out")
    if path.is_dir() and any(not _of_a_killed_start(entry.name) for entry in path.iterdir()):
        raise InputError(f"output folder {path} is not empty: expected a new or empty folder")


def _of_a_killed_start(name: str) -> bool:
    """Whether a file is one that a run leaves behind that is killed before its space is written."""
    return name in {".lock", "rungs"} or (name.startswith(".space.yaml.") and name.endswith(".tmp"))


def new_folder_path(name: str) -> Path:
    """``outputs/<name>-<date>-<short id>``."""
    today = datetime.datetime.now(tz=datetime.UTC).strftime("%Y%m%d")
    return Path("outputs") / f"{name}-{today}-{secrets.token_hex(3)}"


def check_budget(budget: int) -> int:
    """The budget, if it is an integer from 1; else InputError."""
    if isinstance(budget, bool) or not isinstance(budget, int) or budget < 1:
        raise InputError(f"budget must be an integer from 1, got {budget!r}")
    return budget
