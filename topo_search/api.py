"""The commands as functions with typed results: what the command line calls, and what a notebook calls."""

from __future__ import annotations

import contextlib
import datetime
import math
import os
import secrets
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit, urlunsplit

import numpy as np

from topo_search.config import load_space as _load_space
from topo_search.config import parse_space, read_space_file, space_to_yaml
from topo_search.errors import InputError
from topo_search.executors import ProcessExecutor, SerialExecutor
from topo_search.files import read_json, write_atomically, write_json
from topo_search.graph import FAMILIES, ModuleGraph, make_family
from topo_search.model import Certificate, ComboNet, export_arrays, judge_saved, load_network
from topo_search.search import (
    STRATEGIES,
    Comparison,
    Evaluation,
    EvaluationLog,
    Evaluator,
    Executor,
    Pool,
    ProbeResult,
    Progress,
    ProgressCallback,
    Request,
    RunFolder,
    SearchDriver,
    SearchSpace,
    SearchStudy,
    Trial,
    candidate_network,
    compare_winners,
    open_storage,
    rescore,
    run_probe,
    search_seconds,
)
from topo_search.search.versions import versions
from topo_search.seeds import generator, seed_for
from topo_search.tasks import Task, load_task

if TYPE_CHECKING:
    import networkx as nx

__all__ = [
    "SearchCost",
    "SearchResult",
    "TrainResult",
    "TrainedGraph",
    "Winner",
    "certify",
    "estimate_cost",
    "evolve",
    "export",
    "is_finished",
    "load",
    "probe",
    "resume",
    "train",
]

Space = str | Path | SearchSpace


@dataclass(frozen=True)
class Winner:
    """A graph that a search found, trained in full.

    Attributes:
        rank: from 1.
        trial: number of the proposal.
        module_graph: the graph with its areas.
        validation_accuracy: of the best epoch, one a seed.
        test_accuracy: one a seed; the test part was read once for each.
        certified: whether the saved network is certified in discrete time.
        rho: certified factor a step.
        path: folder of the saved network.
    """

    rank: int
    trial: int
    module_graph: ModuleGraph
    validation_accuracy: tuple[float, ...]
    test_accuracy: tuple[float, ...]
    certified: bool
    rho: float
    path: Path

    @property
    def graph(self) -> nx.Graph[int]:
        """The graph as a plain ``networkx.Graph``, with ``size`` and ``role`` on its nodes."""
        return self.module_graph.graph


@dataclass(frozen=True)
class SearchResult:
    """What a search left behind.

    Attributes:
        folder: of the run.
        trials: in order of proposal.
        winners: best first; empty if no trial could be trained.
        comparison: winners and controls in full training; ``None`` where there is no winner.
        evaluated: evaluations that ran now; 0 where the run was finished already.
        exhausted: whether the space held fewer graphs than the budget.
    """

    folder: Path
    trials: tuple[Trial, ...]
    winners: tuple[Winner, ...]
    comparison: Comparison | None
    evaluated: int
    exhausted: bool

    @property
    def best(self) -> Winner:
        """The first winner.

        Raises:
            LookupError: if there is none.
        """
        if not self.winners:
            raise LookupError("the search has no winner: every training diverged")
        return self.winners[0]


@dataclass(frozen=True)
class TrainedGraph:
    """One training of :func:`train`.

    Attributes:
        seed: of network and batches.
        evaluation: the result, or the reason why it failed.
        path: folder of the saved network; ``None`` if it failed.
    """

    seed: int
    evaluation: Evaluation
    path: Path | None


@dataclass(frozen=True)
class TrainResult:
    """A graph trained in full with several seeds.

    Attributes:
        graph: that was trained.
        runs: one a seed.
        folder: where they are saved.
    """

    graph: ModuleGraph
    runs: tuple[TrainedGraph, ...]
    folder: Path

    @property
    def failed(self) -> bool:
        """Whether a training diverged."""
        return any(run.evaluation.failed for run in self.runs)


@dataclass(frozen=True)
class SearchCost:
    """What a search would take on this machine.

    Attributes:
        budget: candidates.
        workers: evaluations side by side.
        seconds_per_epoch: measured, of one training on one core.
        seconds: of the whole search with what follows it.
    """

    budget: int
    workers: int
    seconds_per_epoch: float
    seconds: float


def _available_cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _workers(workers: int | None) -> int:
    if workers is None:
        return _available_cores()
    if workers < 1:
        raise InputError(f"workers must be at least 1, got {workers}")
    return workers


def _check_seed(seed: int) -> int:
    if isinstance(seed, bool) or not isinstance(seed, int) or seed < 0:
        raise InputError(f"seed must be an integer from 0, got {seed!r}")
    return seed


def _device(device: str) -> str:
    import torch

    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if device == "cuda" and not torch.cuda.is_available():
        raise InputError("device cuda is not available here: expected cpu or auto")
    if device not in ("cpu", "cuda"):
        raise InputError(f"device must be auto, cpu or cuda, got {device!r}")
    return device


def _resolve_space(space: Space, overrides: Sequence[str], strategy: str | None) -> SearchSpace:
    if isinstance(space, SearchSpace):
        resolved = parse_space(space.model_dump(mode="json"), where=f"search space {space.name}")
        if overrides:
            from topo_search.config import apply_overrides

            values = apply_overrides(space.model_dump(mode="json"), overrides)
            resolved = parse_space(values, where=f"search space {space.name}")
    else:
        resolved = _load_space(space, overrides=overrides)
    if strategy is not None:
        if strategy not in STRATEGIES:
            raise InputError(f"unknown strategy {strategy!r}: expected one of {', '.join(sorted(STRATEGIES))}")
        search = resolved.search.model_copy(update={"strategies": {strategy: 1.0}})
        resolved = resolved.model_copy(update={"search": search})
    unknown = sorted(set(resolved.search.strategies) - set(STRATEGIES))
    if unknown:
        raise InputError(f"unknown strategies {unknown}: expected some of {', '.join(sorted(STRATEGIES))}")
    return resolved


def _load_checked_task(space: SearchSpace, data_dir: str | Path | None, download: bool) -> Task:
    """The task, and the certainty that a network of this space can be made for it."""
    task = load_task(space.task, data_dir=data_dir, download=download)
    graph = make_family("all_to_all", space.constraints, generator(0, "check"), ignore_budget=True)
    candidate_network(space, task, graph, seed=0)
    return task


@contextlib.contextmanager
def _executor(
    space: SearchSpace, task: Task, *, workers: int, data_dir: str | Path | None, device: str
) -> Iterator[Executor]:
    executor: Executor
    if workers == 1:
        executor = SerialExecutor(Evaluator(space, task, device=device))
    else:
        folder = None if data_dir is None else Path(data_dir)
        executor = ProcessExecutor(space, workers=workers, data_dir=folder, device=device)
    try:
        yield executor
    finally:
        executor.close()


def _check_new_folder(path: Path) -> None:
    if path.exists() and not path.is_dir():
        raise InputError(f"output folder {path} is a file: expected a new or empty folder")
    if (path / "space.yaml").exists():
        values, _ = read_space_file(path / "space.yaml")
        name = values.get("name", "unknown")
        raise InputError(f"output folder {path} holds a run of space {name!r}: resume it, or give another --out")
    if path.is_dir() and any(path.iterdir()):
        raise InputError(f"output folder {path} is not empty: expected a new or empty folder")


def _new_folder_path(name: str) -> Path:
    today = datetime.datetime.now(tz=datetime.UTC).strftime("%Y%m%d")
    return Path("outputs") / f"{name}-{today}-{secrets.token_hex(3)}"


def _without_password(url: str) -> str:
    parts = urlsplit(url)
    if parts.password is None:
        return url
    host = parts.netloc.rpartition("@")[2]
    return urlunsplit(parts._replace(netloc=f"{parts.username}:***@{host}"))


def _check_budget(budget: int) -> int:
    if isinstance(budget, bool) or not isinstance(budget, int) or budget < 1:
        raise InputError(f"budget must be an integer from 1, got {budget!r}")
    return budget


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
    data_dir: str | Path | None = None,
    download: bool = False,
    overrides: Sequence[str] = (),
    on_progress: ProgressCallback | None = None,
    on_folder: Callable[[Path], None] | None = None,
) -> SearchResult:
    """Search a space, train the winners and their controls in full, and leave everything in a folder.

    Args:
        space: name of a shipped space, a YAML file, or a :class:`SearchSpace`.
        budget: candidates evaluated; graphs that were scored before are not counted.
        strategy: only this one, whatever the space says.
        seed: of the search; with it the result is the same for any number of workers (on a CPU).
        workers: evaluations side by side; one a core where not given.
        out: folder of the run; ``outputs/<space>-<date>-<id>`` where not given.
        storage: of the Optuna study, as a URL; a journal file in the folder where not given.
        device: ``auto``, ``cpu`` or ``cuda``.
        data_dir: where data sets lie.
        download: fetch the data set where it is missing.
        overrides: ``key=value`` entries put into the space.
        on_progress: told what happens.
        on_folder: told the run's folder before anything runs.

    Raises:
        InputError: if anything given is wrong; nothing was written then.
    """
    resolved = _resolve_space(space, overrides, strategy)
    _check_budget(budget)
    _check_seed(seed)
    count = min(_workers(workers), resolved.search.lag)
    chosen_device = _device(device)
    path = _new_folder_path(resolved.name) if out is None else Path(out)
    _check_new_folder(path)
    task = _load_checked_task(resolved, data_dir, download)
    if storage is not None:
        open_storage(storage)
    folder = RunFolder(path)
    folder.create()
    folder.lock()
    try:
        run = {
            "seed": seed,
            "budget": budget,
            "study": path.resolve().name,
            "storage": None if storage is None else _without_password(storage),
            "device": chosen_device,
            "data_dir": None if data_dir is None else str(Path(data_dir).resolve()),
            "versions": versions(),
        }
        write_atomically(folder.space, space_to_yaml(resolved, run))
        if on_folder is not None:
            on_folder(path)
        return _run_search(
            folder, resolved, task, run, storage=storage, budget=budget, workers=count, on_progress=on_progress
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
    data_dir: str | Path | None = None,
    on_progress: ProgressCallback | None = None,
) -> SearchResult:
    """Go on with a run that was interrupted, or extend one that is finished.

    Args:
        folder: of the run.
        budget: a larger budget; the earlier one is ended first, so that the result does not depend on the interruption.
        workers: evaluations side by side; any number gives the same search.
        storage: URL of the study, needed where it has a password.
        device: other than the run's.
        data_dir: other than the run's.
        on_progress: told what happens.

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
    if budget is not None and _check_budget(budget) < run["budget"]:
        raise InputError(f"budget {budget} is below the run's {run['budget']}: expected at least as much")
    location = storage or run.get("storage")
    if location is not None and "***" in location:
        raise InputError(f"the run's study is at {location}: give --storage with the password")
    data = data_dir or run.get("data_dir")
    run_folder.create()
    run_folder.lock()
    try:
        task = _load_checked_task(space, data, False)
        run = {**run, "device": _device(device or run.get("device") or "auto"), "data_dir": data}
        return _run_search(
            run_folder,
            space,
            task,
            run,
            storage=location,
            budget=budget or run["budget"],
            workers=min(_workers(workers), space.search.lag),
            on_progress=on_progress,
        )
    finally:
        run_folder.unlock()


def is_finished(folder: str | Path, budget: int | None = None) -> bool:
    """Whether a run has ended, with at least this budget where one is given.

    Raises:
        InputError: if the summary of the run is corrupt.
    """
    run_folder = RunFolder(Path(folder))
    if not (run_folder.space.is_file() and run_folder.summary.is_file()):
        return False
    values, _ = read_space_file(run_folder.space)
    done = read_json(run_folder.summary, "summary").get("budget")
    wanted = budget or (values.get("run") or {}).get("budget")
    return isinstance(done, int) and done == wanted


def _run_search(
    folder: RunFolder,
    space: SearchSpace,
    task: Task,
    run: dict[str, Any],
    *,
    storage: str | None,
    budget: int,
    workers: int,
    on_progress: ProgressCallback | None,
) -> SearchResult:
    study = SearchStudy(open_storage(storage or folder.journal), run["study"], space=space)
    budgets = study.budgets
    last = budgets[-1] if budgets else 0
    if budget < last:
        raise InputError(f"budget {budget} is below the run's {last}: expected at least as much")
    if budget > last:
        study.add_budget(budget)
        write_atomically(folder.space, space_to_yaml(space, {**run, "budget": budget}))
    seed = int(run["seed"])
    log = EvaluationLog(folder.log)
    try:
        with _executor(space, task, workers=workers, data_dir=run["data_dir"], device=run["device"]) as executor:
            driver = SearchDriver(
                space, seed=seed, study=study, log=log, executor=executor, folder=folder, on_progress=on_progress
            )
            try:
                driver.run(study.budgets)
            except BaseException:
                driver.write_tables()
                raise
            comparison = None
            rescored = rescore(space, driver.history.leaderboard(), driver.pool, seed=seed, on_progress=on_progress)
            if any(entry.scores for entry in rescored):
                comparison = compare_winners(space, rescored, driver.pool, folder, seed=seed, on_progress=on_progress)
            evaluated = driver.pool.evaluated
            trials = tuple(trial for _, trial in sorted(driver.decisions.trials.items()))
            exhausted = driver.decisions.exhausted
    finally:
        log.close()
    winners = _read_winners(folder, comparison)
    result = SearchResult(folder.path, trials, winners, comparison, evaluated, exhausted)
    write_json(folder.summary, _summary(result, budget))
    shutil.rmtree(folder.full, ignore_errors=True)
    shutil.rmtree(folder.rungs, ignore_errors=True)
    return result


def _read_winners(folder: RunFolder, comparison: Comparison | None) -> tuple[Winner, ...]:
    winners = []
    for entry in () if comparison is None else comparison.of_kind("winner"):
        path = folder.winners / str(entry.rank)
        if not entry.test:
            continue
        metrics = read_json(path / "metrics.json", "metrics")
        winners.append(
            Winner(
                rank=entry.rank,
                trial=int(metrics["trial"]),
                module_graph=entry.graph,
                validation_accuracy=entry.validation,
                test_accuracy=entry.test,
                certified=bool(metrics["certified"]),
                rho=float(metrics["rho"]),
                path=path,
            )
        )
    return tuple(winners)


def _summary(result: SearchResult, budget: int) -> dict[str, Any]:
    states = [trial.state for trial in result.trials]
    gain = None if result.comparison is None else result.comparison.paired_gain("random")
    return {
        "folder": str(result.folder),
        "budget": budget,
        "trials": len(result.trials),
        "complete": states.count("COMPLETE"),
        "failed": states.count("FAIL"),
        "space_exhausted": result.exhausted,
        "winners": [
            {
                "rank": winner.rank,
                "trial": winner.trial,
                "graph_key": winner.module_graph.key,
                "edges": winner.module_graph.n_edges,
                "validation_accuracy": list(winner.validation_accuracy),
                "test_accuracy": list(winner.test_accuracy),
                "certified": winner.certified,
                "rho": winner.rho,
                "path": str(winner.path),
            }
            for winner in result.winners
        ],
        "gain_over_random": None
        if gain is None
        else {"mean": gain[0], "sd": None if math.isnan(gain[1]) else gain[1], "seeds": gain[2]},
    }


def probe(
    space: Space = "digits",
    *,
    budget: int = 200,
    seed: int = 0,
    workers: int | None = None,
    device: str = "auto",
    data_dir: str | Path | None = None,
    download: bool = False,
    overrides: Sequence[str] = (),
    on_progress: ProgressCallback | None = None,
) -> ProbeResult:
    """Train a sample of random graphs with paired seeds and say whether graphs matter in this space.

    Args:
        space: see :func:`evolve`.
        budget: the cost of a search with this budget is reported.
        seed: of the sample.
        workers: see :func:`evolve`; so are the other arguments.
        device: where to train.
        data_dir: where data sets lie.
        download: fetch the data set where it is missing.
        overrides: entries put into the space.
        on_progress: told how many trainings ended.

    Raises:
        InputError: if anything given is wrong.
        ValueError: if hardly any graph could be trained.
    """
    resolved = _resolve_space(space, overrides, None)
    _check_budget(budget)
    _check_seed(seed)
    count, chosen_device = _workers(workers), _device(device)
    task = _load_checked_task(resolved, data_dir, download)
    with (
        tempfile.TemporaryDirectory() as scratch,
        _executor(resolved, task, workers=count, data_dir=data_dir, device=chosen_device) as executor,
        contextlib.closing(EvaluationLog(Path(scratch) / "evaluations.jsonl")) as log,
    ):
        return run_probe(
            resolved, Pool(executor, log), seed=seed, budget=budget, workers=count, on_progress=on_progress
        )


def estimate_cost(
    space: Space = "digits",
    *,
    budget: int = 200,
    strategy: str | None = None,
    workers: int | None = None,
    data_dir: str | Path | None = None,
    download: bool = False,
    overrides: Sequence[str] = (),
) -> tuple[SearchSpace, SearchCost]:
    """The resolved space, and what a search over it would take: one epoch of one random graph is measured.

    Raises:
        InputError: if anything given is wrong.
    """
    resolved = _resolve_space(space, overrides, strategy)
    _check_budget(budget)
    count = min(_workers(workers), resolved.search.lag)
    task = _load_checked_task(resolved, data_dir, download)
    graph = make_family("random_density", resolved.constraints, generator(0, "cost"))
    epochs = min(2, resolved.training.epochs)
    evaluation = Evaluator(resolved, task).evaluate(Request(graph.to_json(), epochs, 0))
    per_epoch = evaluation.seconds / epochs
    seconds = search_seconds(resolved, budget=budget, workers=count, seconds_per_epoch=per_epoch)
    return resolved, SearchCost(budget, count, per_epoch, seconds)


def _graph_of(graph: str | Path | ModuleGraph, space: SearchSpace, *, seed: int) -> ModuleGraph:
    if isinstance(graph, ModuleGraph):
        return graph
    text = str(graph)
    if text in FAMILIES:
        parameters: dict[str, Any] = {"ignore_budget": True} if text == "all_to_all" else {}
        return make_family(text, space.constraints, generator(seed, "graph"), **parameters)
    path = Path(text)
    if path.is_dir():
        path = path / "graph.json"
    if not path.is_file():
        raise InputError(f"no graph {text!r}: expected a file or one of the families {', '.join(sorted(FAMILIES))}")
    return ModuleGraph.load(path)


def train(
    space: Space = "digits",
    *,
    graph: str | Path | ModuleGraph,
    seeds: int = 3,
    seed: int = 0,
    workers: int | None = None,
    out: str | Path | None = None,
    device: str = "auto",
    data_dir: str | Path | None = None,
    download: bool = False,
    overrides: Sequence[str] = (),
    on_progress: ProgressCallback | None = None,
) -> TrainResult:
    """Train one graph in full with several seeds, judge the best epoch on validation data on the test part, and save.

    Args:
        space: see :func:`evolve`.
        graph: name of a family, a ``graph.json`` or GraphML file, a winner's folder, or a graph.
        seeds: how many trainings.
        seed: that they are derived from.
        workers: see :func:`evolve`; so are the other arguments.
        out: folder for the networks; it must be new or empty.
        device: where to train.
        data_dir: where data sets lie.
        download: fetch the data set where it is missing.
        overrides: entries put into the space.
        on_progress: told how many trainings ended.

    Raises:
        InputError: if anything given is wrong.
    """
    resolved = _resolve_space(space, overrides, None)
    _check_seed(seed)
    if seeds < 1:
        raise InputError(f"seeds must be at least 1, got {seeds}")
    count, chosen_device = min(_workers(workers), seeds), _device(device)
    module_graph = _graph_of(graph, resolved, seed=seed)
    unbounded = resolved.constraints.violation(module_graph)
    if unbounded is not None and "edges" not in unbounded:
        raise InputError(f"graph does not fit space {resolved.name}: {unbounded}")
    path = _new_folder_path(f"{resolved.name}-train") if out is None else Path(out)
    _check_new_folder(path)
    task = _load_checked_task(resolved, data_dir, download)
    folder = RunFolder(path)
    folder.create()
    folder.rungs.rmdir()
    all_seeds = [seed_for(seed, "train", index) for index in range(seeds)]
    requests = [
        (
            Request(
                graph=module_graph.to_json(),
                epochs=resolved.training.epochs,
                seed=s,
                use_best=True,
                read_test=True,
                save_to=str(path / f"seed-{index}"),
            ),
            f"training {index}",
        )
        for index, s in enumerate(all_seeds)
    ]
    write_atomically(folder.space, space_to_yaml(resolved, {"seed": seed, "versions": versions()}))

    def report(done: int) -> None:
        if on_progress is not None:
            on_progress(Progress(phase="full training", done=done, total=seeds, running=0))

    with (
        _executor(resolved, task, workers=count, data_dir=data_dir, device=chosen_device) as executor,
        contextlib.closing(EvaluationLog(folder.log)) as log,
    ):
        results = Pool(executor, log).run_all(requests, report)
    runs = []
    for index, (s, evaluation) in enumerate(zip(all_seeds, results, strict=True)):
        saved = None if evaluation.failed else path / f"seed-{index}"
        runs.append(TrainedGraph(s, evaluation, saved))
        if saved is not None:
            write_json(
                saved / "metrics.json",
                {
                    "graph_key": module_graph.key,
                    "seed": s,
                    "validation_accuracy": evaluation.best_score,
                    "test_accuracy": evaluation.test_accuracy,
                    "best_epoch": evaluation.best_epoch,
                    "parameters": evaluation.parameters,
                    "certified": evaluation.certified,
                    "rho": evaluation.rho,
                    "seconds": evaluation.seconds,
                },
            )
    return TrainResult(module_graph, tuple(runs), path)


def certify(path: str | Path) -> Certificate:
    """Judge a saved network from its files alone; see :func:`topo_search.model.judge_saved`."""
    return judge_saved(path)


def load(path: str | Path) -> ComboNet:
    """A saved network, a ``torch.nn.Module`` that maps ``(T, B, C)`` to logits ``(B, classes)``.

    Raises:
        InputError: if the folder holds no network, or its files are corrupt or do not fit each other.
    """
    return load_network(path)


def export(path: str | Path, out: str | Path | None = None) -> Path:
    """Write a saved network as ``network.npz``, its adjacency as ``adjacency.csv`` and a picture, ``graph.svg``.

    Args:
        path: folder of the network.
        out: folder for the files; ``export`` in the network's folder where not given.

    Returns:
        The folder.

    Raises:
        InputError: as :func:`load`, or if the folder cannot be written to.
    """
    from topo_search.report import draw_graph

    network = load_network(path)
    folder = Path(path) / "export" if out is None else Path(out)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"folder {folder} cannot be made: {error.strerror}") from None
    with tempfile.TemporaryFile() as buffer:
        np.savez_compressed(buffer, allow_pickle=False, **export_arrays(network))
        buffer.seek(0)
        write_atomically(folder / "network.npz", buffer.read())
    rows = "\n".join(",".join(str(int(entry)) for entry in row) for row in network.graph.adjacency())
    write_atomically(folder / "adjacency.csv", rows + "\n")
    draw_graph(network.graph, folder / "graph.svg")
    return folder
