"""``evolve`` and ``resume``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from topo_search.cli.app import app
from topo_search.cli.dry_run import show_plan
from topo_search.cli.options import (
    CpusOption,
    DataOption,
    DeviceOption,
    DownloadOption,
    GpusOption,
    JoinOption,
    JsonOption,
    MemoryOption,
    OutOption,
    QuietOption,
    RayOption,
    SeedOption,
    SetOption,
    SpaceOption,
    StartOption,
    StorageOption,
    TimeoutOption,
    WorkersOption,
    trial_resources,
)
from topo_search.cli.output import interruptible, notices, print_json, progress, resume_command, say
from topo_search.cli.training import show_training
from topo_search.errors import InputError, RunFailedError, one_line

if TYPE_CHECKING:
    from topo_search.api import SearchResult

__all__ = ["evolve", "resume"]


@app.command()
def evolve(
    space: SpaceOption = "digits",
    budget: Annotated[int | None, typer.Option("--budget", help="Candidates to evaluate (default: 200).")] = None,
    strategy: Annotated[str | None, typer.Option("--strategy", help="Only this strategy.")] = None,
    seed: SeedOption = 0,
    workers: WorkersOption = None,
    out: OutOption = None,
    storage: StorageOption = None,
    join: JoinOption = False,
    device: DeviceOption = "auto",
    ray: RayOption = None,
    trial_cpus: CpusOption = 1,
    trial_gpus: GpusOption = 0.0,
    trial_memory: MemoryOption = None,
    trial_timeout: TimeoutOption = None,
    data_dir: DataOption = None,
    download: DownloadOption = False,
    overrides: SetOption = None,
    start: StartOption = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print the resolved space and the cost; run nothing.")
    ] = False,
    quiet: QuietOption = False,
    as_json: JsonOption = False,
) -> None:
    """Search a space. The winners and controls are trained in full, the winners certified.

    Example: python -m topo_search evolve --space digits --budget 200
    """
    from topo_search import api

    resources = trial_resources(trial_cpus, trial_gpus, trial_memory, trial_timeout)
    if dry_run:
        show_plan(
            space,
            budget=api.DEFAULT_BUDGET if budget is None else budget,
            strategy=strategy,
            seed=seed,
            workers=workers,
            out=out,
            storage=storage,
            join=join,
            device=device,
            ray=ray,
            resources=resources,
            data_dir=data_dir,
            download=download,
            overrides=overrides or [],
            start=start or [],
            as_json=as_json,
        )
        return

    folders: list[Path] = []

    def on_folder(path: Path) -> None:
        folders.append(path)
        say(f"run: {path}  (interrupt at any time; go on with: {resume_command(path)})", quiet=quiet)

    with interruptible(folders), progress(quiet) as on_progress:
        result = api.evolve(
            space,
            budget=budget,
            strategy=strategy,
            seed=seed,
            workers=workers,
            out=out,
            storage=storage,
            join=join,
            device=device,
            ray=ray,
            resources=resources,
            data_dir=data_dir,
            download=download,
            overrides=overrides or [],
            start=start or [],
            on_progress=on_progress,
            on_folder=on_folder,
            on_notice=notices(quiet),
        )
    try:
        _show_search(result, as_json)
    finally:
        with interruptible(folders):
            _report(result.folder, storage, quiet=quiet)


@app.command()
def resume(
    folder: Annotated[Path, typer.Argument(help="Folder of the run.")],
    budget: Annotated[int | None, typer.Option("--budget", help="A larger budget.")] = None,
    workers: WorkersOption = None,
    storage: StorageOption = None,
    join: JoinOption = False,
    device: Annotated[str | None, typer.Option("--device", help="auto, cpu or cuda (default: the run's).")] = None,
    ray: RayOption = None,
    trial_cpus: CpusOption = 1,
    trial_gpus: GpusOption = 0.0,
    trial_memory: MemoryOption = None,
    trial_timeout: TimeoutOption = None,
    data_dir: DataOption = None,
    quiet: QuietOption = False,
    as_json: JsonOption = False,
) -> None:
    """Go on with an interrupted search or training. A larger budget extends a search that is finished.

    Example: python -m topo_search resume outputs/digits-20260101-abc123 --budget 400
    """
    from topo_search import api

    resources = trial_resources(trial_cpus, trial_gpus, trial_memory, trial_timeout)
    if api.is_training(folder):
        if budget is not None:
            raise InputError(f"{folder} holds trainings of one graph: expected no --budget")
        with interruptible([folder]), progress(quiet) as on_progress:
            trained = api.resume_training(
                folder,
                workers=workers,
                device=device,
                ray=ray,
                resources=resources,
                data_dir=data_dir,
                on_progress=on_progress,
                on_notice=notices(quiet),
            )
        show_training(trained, as_json)
        return
    # One that joins asks the study: another driver may have extended it.
    if not join and api.is_finished(folder, budget):
        # It may have been killed between its last file and its tidying up.
        api.remove_scratch(folder)
        page, summary = folder / "report.html", folder / "summary.json"
        if not page.exists() or page.stat().st_mtime < summary.stat().st_mtime:
            _report(folder, storage, quiet=quiet)
        say(f"run {folder} is finished: nothing to do (a larger --budget extends it)", quiet=quiet)
        if as_json:
            from topo_search.files import read_json

            print_json(read_json(folder / "summary.json", "summary"))
        return
    with interruptible([folder]), progress(quiet) as on_progress:
        result = api.resume(
            folder,
            budget=budget,
            workers=workers,
            storage=storage,
            join=join,
            device=device,
            ray=ray,
            resources=resources,
            data_dir=data_dir,
            on_progress=on_progress,
            on_notice=notices(quiet),
        )
    try:
        _show_search(result, as_json)
    finally:
        with interruptible([folder]):
            _report(folder, storage, quiet=quiet)


def _report(folder: Path, storage: str | None, *, quiet: bool) -> None:
    """Write the page of a finished run, which is whole without it: a failure here is told and is none of the run's."""
    from topo_search import api

    try:
        path = api.write_report(folder, storage=storage)
    except (InputError, RunFailedError) as error:
        say(f"no report: {one_line(str(error))}")
    else:
        say(f"report: {path}", quiet=quiet)


def _show_search(result: SearchResult, as_json: bool) -> None:
    if as_json:
        from topo_search.files import read_json

        print_json(read_json(result.folder / "summary.json", "summary"))
    else:
        from topo_search.report import agreement_lines, comparison_table, result_console, verdict

        console = result_console()
        if result.comparison is not None:
            console.print(comparison_table(result.comparison))
            console.print(verdict(result.comparison), highlight=False)
        for line in (*agreement_lines(result.agreement), *result.notes):
            console.print(line, highlight=False, soft_wrap=True)
        if result.exhausted:
            console.print(f"the space holds hardly more than {len(result.trials)} graphs: the search ended early")
        for winner in result.winners:
            mark = f"certified, rho {winner.rho:.6f} a step" if winner.certified else "not certified"
            console.print(
                f"winner {winner.rank}: {winner.path}  ({mark})", highlight=False, soft_wrap=True, markup=False
            )
    if not result.winners:
        say("no winner: every training diverged (see the column reason in trials.csv)")
        raise typer.Exit(1)
