"""Ask before searching: does the graph matter, and what would a search cost?"""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from topo_search.api.setup import NoticeCallback, Space, check_budget, check_seed, prepare
from topo_search.graph import make_family
from topo_search.search import (
    EvaluationLog,
    Evaluator,
    Pool,
    ProbeResult,
    ProgressCallback,
    Request,
    SearchSpace,
    TrialResources,
    run_probe,
    search_seconds,
)
from topo_search.seeds import generator

__all__ = ["SearchCost", "estimate_cost", "probe"]


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


def probe(
    space: Space = "digits",
    *,
    budget: int = 200,
    seed: int = 0,
    workers: int | None = None,
    device: str = "auto",
    ray: str | None = None,
    resources: TrialResources | None = None,
    data_dir: str | Path | None = None,
    download: bool = False,
    overrides: Sequence[str] = (),
    on_progress: ProgressCallback | None = None,
    on_notice: NoticeCallback | None = None,
) -> ProbeResult:
    """Train a sample of random graphs with paired seeds and say whether graphs matter in this space.

    Args:
        space: see :func:`evolve`.
        budget: the cost of a search with this budget is reported.
        seed: of the sample.
        workers: see :func:`evolve`; so are the other arguments.
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
        ProbeError: if hardly any graph could be trained.
    """
    check_budget(budget)
    check_seed(seed)
    setup = prepare(
        space,
        overrides=overrides,
        workers=workers,
        device=device,
        ray=ray,
        resources=resources,
        data_dir=data_dir,
        download=download,
    )
    setup.notify(on_notice)
    with (
        tempfile.TemporaryDirectory() as scratch,
        setup.executor() as executor,
        contextlib.closing(EvaluationLog(Path(scratch) / "evaluations.jsonl")) as log,
    ):
        # One slot is for what waits, so that no worker does.
        workers = max(1, executor.slots - 1)
        return run_probe(
            setup.space, Pool(executor, log), seed=seed, budget=budget, workers=workers, on_progress=on_progress
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
    check_budget(budget)
    setup = prepare(
        space,
        overrides=overrides,
        strategy=strategy,
        workers=workers,
        data_dir=data_dir,
        download=download,
    )
    resolved, count = setup.space, setup.execution.workers or 1
    graph = make_family("random_density", resolved.constraints, generator(0, "cost"))
    epochs = min(2, resolved.training.epochs)
    evaluation = Evaluator(resolved, setup.task).evaluate(Request(graph.to_json(), epochs, 0))
    per_epoch = evaluation.seconds / epochs
    seconds = search_seconds(resolved, budget=budget, workers=count, seconds_per_epoch=per_epoch)
    return resolved, SearchCost(budget, count, per_epoch, seconds)
