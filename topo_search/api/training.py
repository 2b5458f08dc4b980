"""Train one graph in full."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from topo_search.api.setup import NoticeCallback, Space, check_seed, new_folder_path, prepare
from topo_search.config import space_to_yaml
from topo_search.errors import InputError
from topo_search.files import write_atomically, write_json
from topo_search.graph import FAMILIES, ModuleGraph, make_family
from topo_search.search import (
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

__all__ = ["TrainResult", "TrainedGraph", "train"]


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
    ray: str | None = None,
    resources: TrialResources | None = None,
    data_dir: str | Path | None = None,
    download: bool = False,
    overrides: Sequence[str] = (),
    on_progress: ProgressCallback | None = None,
    on_notice: NoticeCallback | None = None,
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
        ray: see :func:`evolve`.
        resources: of one training, see :func:`evolve`.
        data_dir: where data sets lie.
        download: fetch the data set where it is missing.
        overrides: entries put into the space.
        on_progress: told how many trainings ended.
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
    # The edge budget is the search's: denser graphs may be trained for comparison.
    violation = replace(resolved.constraints, max_edges=None).violation(module_graph)
    if violation is not None:
        raise InputError(f"graph does not fit space {resolved.name}: {violation}")
    path = new_folder_path(f"{resolved.name}-train") if out is None else Path(out)
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
    run = {"seed": seed, "engine": setup.engine, "versions": versions()}
    write_atomically(folder.space, space_to_yaml(resolved, run))
    setup.notify(on_notice)

    def report(done: int) -> None:
        if on_progress is not None:
            on_progress(Progress(phase="full training", done=done, total=seeds, running=0))

    with (
        setup.executor() as executor,
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
