"""``probe`` and ``train``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from topo_search.cli.app import app
from topo_search.cli.options import (
    CpusOption,
    DataOption,
    DeviceOption,
    DownloadOption,
    GpusOption,
    JsonOption,
    MemoryOption,
    OutOption,
    QuietOption,
    RayOption,
    SeedOption,
    SetOption,
    SpaceOption,
    TimeoutOption,
    WorkersOption,
    trial_resources,
)
from topo_search.cli.output import interruptible, notices, print_json, progress

if TYPE_CHECKING:
    from topo_search.api import TrainResult

__all__ = ["probe", "show_training", "train"]


@app.command()
def probe(
    space: SpaceOption = "digits",
    budget: Annotated[int, typer.Option("--budget", help="Report the cost of a search with this budget.")] = 200,
    seed: SeedOption = 0,
    workers: WorkersOption = None,
    device: DeviceOption = "auto",
    ray: RayOption = None,
    trial_cpus: CpusOption = 1,
    trial_gpus: GpusOption = 0.0,
    trial_memory: MemoryOption = None,
    trial_timeout: TimeoutOption = None,
    data_dir: DataOption = None,
    download: DownloadOption = False,
    overrides: SetOption = None,
    quiet: QuietOption = False,
    as_json: JsonOption = False,
) -> None:
    """Ask whether the graph matters in a space. Random graphs are trained with paired seeds; no test data is read.

    Example: python -m topo_search probe --space digits
    """
    from topo_search import api

    with interruptible([]), progress(quiet) as on_progress:
        result = api.probe(
            space,
            budget=budget,
            seed=seed,
            workers=workers,
            device=device,
            ray=ray,
            resources=trial_resources(trial_cpus, trial_gpus, trial_memory, trial_timeout),
            data_dir=data_dir,
            download=download,
            overrides=overrides or [],
            on_progress=on_progress,
            on_notice=notices(quiet),
        )
    if as_json:
        print_json(result.as_dict())
        return
    from topo_search.report import probe_table, result_console

    console = result_console()
    console.print(probe_table(result))
    first = result.rungs[0]
    matters = "graphs matter here" if result.ratio >= 2 else "graphs hardly matter here"
    ranks = "ranks them" if first.tau >= 0.5 else "does not rank them well"
    console.print(
        f"{matters}: signal is {result.ratio:.1f} times the noise; the first rung {ranks} (tau {first.tau:.2f})",
        highlight=False,
    )


@app.command()
def train(
    graph: Annotated[str, typer.Option("--graph", help="Name of a family, a graph file, or a winner's folder.")],
    space: SpaceOption = "digits",
    seeds: Annotated[int, typer.Option("--seeds", help="How many trainings.")] = 3,
    seed: SeedOption = 0,
    workers: WorkersOption = None,
    out: OutOption = None,
    device: DeviceOption = "auto",
    ray: RayOption = None,
    trial_cpus: CpusOption = 1,
    trial_gpus: GpusOption = 0.0,
    trial_memory: MemoryOption = None,
    trial_timeout: TimeoutOption = None,
    data_dir: DataOption = None,
    download: DownloadOption = False,
    overrides: SetOption = None,
    quiet: QuietOption = False,
    as_json: JsonOption = False,
) -> None:
    """Train one graph in full with several seeds. The networks are saved.

    Example: python -m topo_search train --space digits --graph global_workspace --seeds 3
    """
    from topo_search import api

    folders: list[Path] = []
    with interruptible(folders), progress(quiet) as on_progress:
        result = api.train(
            space,
            graph=graph,
            seeds=seeds,
            seed=seed,
            workers=workers,
            out=out,
            device=device,
            ray=ray,
            resources=trial_resources(trial_cpus, trial_gpus, trial_memory, trial_timeout),
            data_dir=data_dir,
            download=download,
            overrides=overrides or [],
            on_progress=on_progress,
            on_folder=folders.append,
            on_notice=notices(quiet),
        )
    show_training(result, as_json)


def show_training(result: TrainResult, as_json: bool) -> None:
    """The trainings, one line each; status 1 if one failed."""
    import statistics

    if as_json:
        print_json(
            {
                "folder": str(result.folder),
                "graph_key": result.graph.key,
                "edges": result.graph.n_edges,
                "runs": [
                    {
                        "seed": run.seed,
                        "reason": run.evaluation.reason,
                        "detail": run.evaluation.detail,
                        "parameters": run.evaluation.parameters,
                        "validation_accuracy": None if run.evaluation.failed else run.evaluation.best_score,
                        "test_accuracy": run.evaluation.test_accuracy,
                        "certified": run.evaluation.certified,
                        "rho": run.evaluation.rho,
                        "path": None if run.path is None else str(run.path),
                    }
                    for run in result.runs
                ],
            }
        )
    else:
        for run in result.runs:
            evaluation = run.evaluation
            if evaluation.failed:
                print(f"seed {run.seed}: FAIL, {evaluation.reason} ({evaluation.detail})")
                continue
            mark = f"certified, rho {evaluation.rho:.6f}" if evaluation.certified else "not certified"
            print(
                f"seed {run.seed}: validation {evaluation.best_score:.4f}, test {evaluation.test_accuracy:.4f}, "
                f"{evaluation.parameters} parameters, {mark}: {run.path}"
            )
        tests = [r.evaluation.test_accuracy for r in result.runs if r.evaluation.test_accuracy is not None]
        if len(tests) > 1:
            print(f"test {statistics.fmean(tests):.4f} ± {statistics.stdev(tests):.4f} sd, n = {len(tests)} seeds")
    if result.failed:
        raise typer.Exit(1)
