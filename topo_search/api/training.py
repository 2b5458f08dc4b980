"""Train one graph in full."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from topo_search.api.setup import NoticeCallback, Setup, Space, check_seed, new_folder_path, prepare
from topo_search.api.starting import read_graph, winner_graphs
from topo_search.config import parse_space, read_space_file, space_to_yaml
from topo_search.errors import InputError
from topo_search.files import disk_errors, write_atomically, write_json
from topo_search.graph import FAMILIES, ModuleGraph, make_family
from topo_search.search import (
    DriverLock,
    Evaluation,
    EvaluationLog,
    Pool,
    Progress,
    ProgressCallback,
    Request,
    RunFolder,
    SearchSpace,
    TrialResources,
)
from topo_search.search.versions import versions
from topo_search.seeds import generator, seed_for

__all__ = ["TrainResult", "TrainedGraph", "is_training", "resume_training", "train"]

TRAINING = "training"
"""What ``run.kind`` says of a folder of trainings; that of a search has none."""


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


def _graph_of(graph: str | Path | ModuleGraph, space: SearchSpace, *, seed: int) -> ModuleGraph:
    if isinstance(graph, ModuleGraph):
        return graph
    text = str(graph)
    if text in FAMILIES:
        parameters: dict[str, Any] = {"ignore_budget": True} if text == "all_to_all" else {}
        return make_family(text, space.constraints, generator(seed, "graph"), **parameters)
    path = Path(text)
    if path.is_dir():
        winners = winner_graphs(path)
        path = path / "graph.json"
        if winners and not path.is_file():
            raise InputError(f"{text} is a run: give {winners[0].parent}")
    if not path.is_file():
        raise InputError(f"no graph {text!r}: expected a file or one of the families {', '.join(sorted(FAMILIES))}")
    return read_graph(path, space.constraints)


def train(
    space: Space = "digits",
    *,
    graph: str | Path | ModuleGraph,
    seeds: int = 3,
    seed: int = 0,
    workers: int | None = None,
    out: str | Path | None = None,
    device: str = "auto",
    ray: str | None = None,
    resources: TrialResources | None = None,
    data_dir: str | Path | None = None,
    download: bool = False,
    overrides: Sequence[str] = (),
    on_progress: ProgressCallback | None = None,
    on_folder: Callable[[Path], None] | None = None,
    on_notice: NoticeCallback | None = None,
) -> TrainResult:
    """Train one graph in full with several seeds, judge the best epoch on validation data on the test part, and save.

    Args:
        space: see :func:`evolve`.
        graph: name of a family, a ``graph.json``, GraphML or ``.csv`` file, a winner's folder, or a graph.
        seeds: how many trainings.
        seed: that they are derived from.
        workers: see :func:`evolve`; so are the other arguments.
        out: folder for the networks; it must be new or empty.
        device: where to train.
        ray: see :func:`evolve`.
        resources: of one training, see :func:`evolve`.
        data_dir: where data sets lie.
        download: fetch the data set where it is missing.
        overrides: entries put into the space.
        on_progress: told how many trainings ended.
        on_folder: told the folder before anything runs; :func:`resume_training` goes on there.
        on_notice: see :func:`evolve`.

    Raises:
        InputError: if anything given is wrong.
    """
    check_seed(seed)
    if seeds < 1:
        raise InputError(f"seeds must be at least 1, got {seeds}")
    setup = prepare(
        space,
        overrides=overrides,
        workers=workers,
        most_workers=seeds,
        device=device,
        ray=ray,
        resources=resources,
        data_dir=data_dir,
        download=download,
        out=out,
    )
    resolved = setup.space
    module_graph = _graph_of(graph, resolved, seed=seed)
    _check_graph(module_graph, resolved)
    path = new_folder_path(f"{resolved.name}-train") if out is None else Path(out)
    folder = RunFolder(path)
    folder.create()
    lock = folder.lock()
    try:
        run = {
            "kind": TRAINING,
            "seed": seed,
            "seeds": seeds,
            "graph": module_graph.to_json(),
            "device": setup.execution.device,
            "engine": setup.engine,
            "data_dir": None if data_dir is None else str(Path(data_dir).resolve()),
            "versions": versions(),
        }
        write_atomically(folder.space, space_to_yaml(resolved, run))
        if on_folder is not None:
            on_folder(path)
        setup.notify(on_notice)
        return _train_all(folder, setup, module_graph, lock, seed=seed, seeds=seeds, on_progress=on_progress)
    finally:
        folder.unlock()


def is_training(folder: str | Path) -> bool:
    """Whether a folder is one that :func:`train` left behind, finished or not.

    Raises:
        InputError: if its space cannot be read.
    """
    space = RunFolder(Path(folder)).space
    if not space.is_file():
        return False
    run = read_space_file(space)[0].get("run")
    return isinstance(run, dict) and run.get("kind") == TRAINING


def resume_training(
    folder: str | Path,
    *,
    workers: int | None = None,
    device: str | None = None,
    ray: str | None = None,
    resources: TrialResources | None = None,
    data_dir: str | Path | None = None,
    on_progress: ProgressCallback | None = None,
    on_notice: NoticeCallback | None = None,
) -> TrainResult:
    """Go on with trainings that were interrupted, each from its last checkpoint; finished ones are not repeated.

    Args:
        folder: that :func:`train` left behind.
        workers: see :func:`train`; so are the other arguments.
        device: other than it was begun with.
        ray: address of a Ray cluster.
        resources: of one training.
        data_dir: other than it was begun with.
        on_progress: told how many trainings ended.
        on_notice: told before anything runs if another engine serves than at the beginning.

    Raises:
        InputError: if the folder is none of :func:`train`, or another process trains in it.
    """
    run_folder = RunFolder(Path(folder))
    if not is_training(folder):
        raise InputError(f"{folder} holds no trainings: expected a folder that train left behind")
    values, where = read_space_file(run_folder.space)
    run = values["run"]
    seed, seeds = run.get("seed"), run.get("seeds")
    if not isinstance(seeds, int) or isinstance(seeds, bool) or seeds < 1 or not isinstance(run.get("graph"), str):
        raise InputError(f"{where}: run.graph and run.seeds are not what train left behind")
    check_seed(seed)
    setup = prepare(
        parse_space(values, where=where),
        workers=workers,
        most_workers=seeds,
        device=device or run.get("device") or "auto",
        ray=ray,
        resources=resources,
        data_dir=data_dir or run.get("data_dir"),
    )
    graph = ModuleGraph.from_json(run["graph"])
    _check_graph(graph, setup.space)
    run_folder.create()
    lock = run_folder.lock()
    try:
        run_folder.remove_unfinished()
        setup.notify(on_notice, begun_with=run.get("engine"))
        return _train_all(run_folder, setup, graph, lock, seed=seed, seeds=seeds, on_progress=on_progress)
    finally:
        run_folder.unlock()


def _check_graph(graph: ModuleGraph, space: SearchSpace) -> None:
    # The edge budget is the search's: denser graphs may be trained for comparison.
    violation = replace(space.constraints, max_edges=None).violation(graph)
    if violation is not None:
        raise InputError(f"graph does not fit space {space.name}: {violation}")


def _train_all(
    folder: RunFolder,
    setup: Setup,
    graph: ModuleGraph,
    lock: DriverLock,
    *,
    seed: int,
    seeds: int,
    on_progress: ProgressCallback | None,
) -> TrainResult:
    """Train what is not trained yet, and put all of it together."""
    all_seeds = [seed_for(seed, "train", index) for index in range(seeds)]
    for index in range(seeds):
        # Written in place: a link in a folder of someone else's making would lead elsewhere.
        if (folder.path / f"seed-{index}").is_symlink():
            raise InputError(f"{folder.path / f'seed-{index}'} is a link: expected a folder of the training's own")
    requests = [
        (
            Request(
                graph=graph.to_json(),
                epochs=setup.space.training.epochs,
                seed=s,
                use_best=True,
                read_test=True,
                checkpoint=str(folder.rungs / f"{index}.safetensors"),
                save_to=str(folder.path / f"seed-{index}"),
            ),
            f"training {index}",
        )
        for index, s in enumerate(all_seeds)
    ]

    def report(done: int) -> None:
        if on_progress is not None:
            on_progress(Progress(phase="full training", done=done, total=seeds, running=0))

    with (
        disk_errors(folder.path),
        setup.executor() as executor,
        contextlib.closing(EvaluationLog(folder.log, lock=lock)) as log,
    ):
        results = Pool(executor, log).run_all(requests, report)
    runs = []
    for index, (s, evaluation) in enumerate(zip(all_seeds, results, strict=True)):
        saved = None if evaluation.failed else folder.path / f"seed-{index}"
        runs.append(TrainedGraph(s, evaluation, saved))
        if saved is not None:
            write_json(saved / "metrics.json", _metrics(graph, s, evaluation))
    shutil.rmtree(folder.rungs, ignore_errors=True)
    return TrainResult(graph, tuple(runs), folder.path)


def _metrics(graph: ModuleGraph, seed: int, evaluation: Evaluation) -> dict[str, Any]:
    return {
        "graph_key": graph.key,
        "seed": seed,
        "validation_accuracy": evaluation.best_score,
        "test_accuracy": evaluation.test_accuracy,
        "best_epoch": evaluation.best_epoch,
        "parameters": evaluation.parameters,
        "certified": evaluation.certified,
        "rho": evaluation.rho,
        "seconds": evaluation.seconds,
    }
