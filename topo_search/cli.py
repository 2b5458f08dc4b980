"""The command line. Heavy imports stand inside commands, so that ``--help`` is quick."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from topo_search.bench_cli import app as bench_app
from topo_search.errors import InputError, RunFailedError

if TYPE_CHECKING:
    from topo_search.api import SearchResult
    from topo_search.model import Certificate

__all__ = ["app", "main"]

INTERRUPTED = 130
"""Exit status after Ctrl-C, as shells have it."""

app = typer.Typer(
    name="topo_search",
    help="Search over the inter-area graph of provably stable modular recurrent networks.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

app.add_typer(bench_app, name="bench")

SpaceOption = Annotated[str, typer.Option("--space", help="Name of a shipped search space, or a YAML file.")]
SeedOption = Annotated[int, typer.Option("--seed", help="Seed; the same seed gives the same result.")]
WorkersOption = Annotated[int | None, typer.Option("--workers", help="Evaluations side by side (default: one a core).")]
OutOption = Annotated[Path | None, typer.Option("--out", help="Folder to write to.")]
DeviceOption = Annotated[str, typer.Option("--device", help="auto, cpu or cuda.")]
DataOption = Annotated[
    Path | None, typer.Option("--data-dir", help="Folder of data sets (default: TOPO_SEARCH_DATA, then a cache).")
]
DownloadOption = Annotated[bool, typer.Option("--download", help="Fetch the data set where it is missing.")]
SetOption = Annotated[
    list[str] | None, typer.Option("--set", help="Override an entry of the space: key=value; may be repeated.")
]
StartOption = Annotated[
    list[Path] | None,
    typer.Option(
        "--start",
        help="Propose this first: .json, .graphml, .csv, a winner's or a run's folder; may be repeated.",
    ),
]
QuietOption = Annotated[bool, typer.Option("--quiet", help="Show no progress.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print the result as one JSON object.")]


def _print_json(value: Any) -> None:
    print(json.dumps(value, allow_nan=False))


@contextmanager
def _interruptible(folder: list[Path]) -> Iterator[None]:
    """Say how to go on after Ctrl-C, once the run's folder is known."""
    try:
        yield
    except KeyboardInterrupt:
        if folder:
            _say(f"interrupted: what was finished is kept; go on with: python -m topo_search resume {folder[0]}")
            raise typer.Exit(INTERRUPTED) from None
        raise


@contextmanager
def _progress(quiet: bool) -> Iterator[Any]:
    if quiet:
        yield None
        return
    from topo_search.report.progress import show_progress

    with show_progress() as callback:
        yield callback


def _say(text: str, *, quiet: bool = False) -> None:
    """A line for people; it goes to standard error so that ``--json`` output stays clean."""
    if not quiet:
        print(text, file=sys.stderr)


def _notices(quiet: bool) -> Callable[[str], None] | None:
    return None if quiet else _say


@app.command()
def evolve(
    space: SpaceOption = "digits",
    budget: Annotated[int, typer.Option("--budget", help="Candidates to evaluate.")] = 200,
    strategy: Annotated[str | None, typer.Option("--strategy", help="Only this strategy.")] = None,
    seed: SeedOption = 0,
    workers: WorkersOption = None,
    out: OutOption = None,
    storage: Annotated[str | None, typer.Option("--storage", help="URL of the Optuna storage.")] = None,
    device: DeviceOption = "auto",
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
    """Search a space, train the winners and controls in full, certify the winners.

    Example: python -m topo_search evolve --space digits --budget 200
    """
    from topo_search import api

    if dry_run:
        _dry_run(space, budget, strategy, workers, data_dir, download, overrides or [], start or [], as_json)
        return

    folders: list[Path] = []

    def on_folder(path: Path) -> None:
        folders.append(path)
        _say(f"run: {path}  (interrupt at any time; go on with: python -m topo_search resume {path})", quiet=quiet)

    with _interruptible(folders), _progress(quiet) as on_progress:
        result = api.evolve(
            space,
            budget=budget,
            strategy=strategy,
            seed=seed,
            workers=workers,
            out=out,
            storage=storage,
            device=device,
            data_dir=data_dir,
            download=download,
            overrides=overrides or [],
            start=start or [],
            on_progress=on_progress,
            on_folder=on_folder,
            on_notice=_notices(quiet),
        )
    _show_search(result, as_json)


def _dry_run(
    space: str,
    budget: int,
    strategy: str | None,
    workers: int | None,
    data_dir: Path | None,
    download: bool,
    overrides: list[str],
    start: list[Path],
    as_json: bool,
) -> None:
    from topo_search import api
    from topo_search.api.starting import with_starts
    from topo_search.config import load_space, space_to_yaml
    from topo_search.report.tables import duration

    resolved, cost = api.estimate_cost(
        with_starts(load_space(space, overrides=overrides), start),
        budget=budget,
        strategy=strategy,
        workers=workers,
        data_dir=data_dir,
        download=download,
    )
    if as_json:
        _print_json(
            {
                "space": resolved.model_dump(mode="json"),
                "budget": cost.budget,
                "workers": cost.workers,
                "seconds_per_epoch": cost.seconds_per_epoch,
                "seconds": cost.seconds,
            }
        )
        return
    print(space_to_yaml(resolved), end="")
    print(
        f"# a search of {cost.budget} candidates with {cost.workers} workers: about {duration(cost.seconds)} here "
        f"({cost.seconds_per_epoch:.3f} s an epoch on one core, measured now)"
    )


def _show_search(result: SearchResult, as_json: bool) -> None:
    if as_json:
        from topo_search.files import read_json

        _print_json(read_json(result.folder / "summary.json", "summary"))
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
            console.print(f"winner {winner.rank}: {winner.path}  ({mark})", highlight=False, soft_wrap=True)
    if not result.winners:
        _say("no winner: every training diverged (see the column reason in trials.csv)")
        raise typer.Exit(1)


@app.command()
def resume(
    folder: Annotated[Path, typer.Argument(help="Folder of the run.")],
    budget: Annotated[int | None, typer.Option("--budget", help="A larger budget.")] = None,
    workers: WorkersOption = None,
    storage: Annotated[str | None, typer.Option("--storage", help="URL of the Optuna storage.")] = None,
    device: Annotated[str | None, typer.Option("--device", help="auto, cpu or cuda (default: the run's).")] = None,
    data_dir: DataOption = None,
    quiet: QuietOption = False,
    as_json: JsonOption = False,
) -> None:
    """Go on with a run that was interrupted, or extend a finished one with a larger budget.

    Example: python -m topo_search resume outputs/digits-20260101-abc123 --budget 400
    """
    from topo_search import api

    if api.is_finished(folder, budget):
        _say(f"run {folder} is finished: nothing to do (a larger --budget extends it)", quiet=quiet)
        if as_json:
            from topo_search.files import read_json

            _print_json(read_json(folder / "summary.json", "summary"))
        return
    with _interruptible([folder]), _progress(quiet) as on_progress:
        result = api.resume(
            folder,
            budget=budget,
            workers=workers,
            storage=storage,
            device=device,
            data_dir=data_dir,
            on_progress=on_progress,
            on_notice=_notices(quiet),
        )
    _show_search(result, as_json)


@app.command()
def probe(
    space: SpaceOption = "digits",
    budget: Annotated[int, typer.Option("--budget", help="Report the cost of a search with this budget.")] = 200,
    seed: SeedOption = 0,
    workers: WorkersOption = None,
    device: DeviceOption = "auto",
    data_dir: DataOption = None,
    download: DownloadOption = False,
    overrides: SetOption = None,
    quiet: QuietOption = False,
    as_json: JsonOption = False,
) -> None:
    """Does the graph matter in this space? Trains random graphs with paired seeds; reads validation data only.

    Example: python -m topo_search probe --space digits
    """
    from topo_search import api

    with _progress(quiet) as on_progress:
        result = api.probe(
            space,
            budget=budget,
            seed=seed,
            workers=workers,
            device=device,
            data_dir=data_dir,
            download=download,
            overrides=overrides or [],
            on_progress=on_progress,
            on_notice=_notices(quiet),
        )
    if as_json:
        _print_json(result.as_dict())
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
    data_dir: DataOption = None,
    download: DownloadOption = False,
    overrides: SetOption = None,
    quiet: QuietOption = False,
    as_json: JsonOption = False,
) -> None:
    """Train one graph in full with several seeds and save the networks.

    Example: python -m topo_search train --space digits --graph global_workspace --seeds 3
    """
    import statistics

    from topo_search import api

    with _progress(quiet) as on_progress:
        result = api.train(
            space,
            graph=graph,
            seeds=seeds,
            seed=seed,
            workers=workers,
            out=out,
            device=device,
            data_dir=data_dir,
            download=download,
            overrides=overrides or [],
            on_progress=on_progress,
            on_notice=_notices(quiet),
        )
    if as_json:
        _print_json(
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


@app.command()
def certify(
    path: Annotated[Path | None, typer.Argument(help="Folder of a saved network.")] = None,
    as_released: Annotated[
        Path | None,
        typer.Option("--as-released", help="Judge W, L and M of an .npz file instead, as another program made them."),
    ] = None,
    standalone: Annotated[
        bool, typer.Option("--standalone", help="Print a script that verifies a saved network with NumPy alone.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Judge a saved network from its files alone: 0 certified, 1 not certified, 2 cannot be judged.

    Example: python -m topo_search certify outputs/NAME/winners/1
    """
    if [path is not None, as_released is not None, standalone].count(True) != 1:
        raise InputError("certify: expected one of a folder, --as-released FILE and --standalone")
    if standalone:
        from importlib.resources import files

        script = files("topo_search.model.certificate").joinpath("verify_standalone.py")
        print(script.read_text(encoding="utf-8"), end="")
        return
    from topo_search import api

    certificate = api.certify(path) if path is not None else api.certify_arrays(str(as_released))
    if as_json:
        _print_json(certificate.as_dict())
    else:
        _print_certificate(certificate)
    for note in certificate.notes:
        _say(f"note: {note}")
    if not certificate.certified:
        raise typer.Exit(1)


def _print_certificate(certificate: Certificate) -> None:
    if certificate.certified:
        print(
            f"certified: factor {certificate.rho:.9f} a step at dt {certificate.dt:g} ({certificate.integrator}, bound "
            f"{certificate.bound}), margin {certificate.margin:.3g}"
        )
        print(f"a hundredth is left of any distance after {certificate.memory_steps} steps")
    else:
        print(f"not certified: {certificate.reason}")
    print(
        f"between {certificate.rho_lower:.9f}, found for a pattern of active units, and {certificate.rho:.9f}, proved "
        f"for all; continuous-time rate {certificate.rate:.6f} (at most {certificate.rate_upper:.6f}); coupling norm "
        f"{certificate.coupling_norm:.4f}"
    )
    word = "would be" if certificate.euler_certified else "would not be"
    print(f"forward Euler at this dt {word} certified; it is up to dt {certificate.euler_largest_dt:.4g} at least")


@app.command()
def export(
    path: Annotated[Path, typer.Argument(help="Folder of a saved network.")],
    out: OutOption = None,
    as_json: JsonOption = False,
) -> None:
    """Write a saved network as .npz, its adjacency as CSV and a picture of its graph.

    Example: python -m topo_search export outputs/NAME/winners/1 --out exported
    """
    from topo_search import api

    folder = api.export(path, out)
    if as_json:
        _print_json({"folder": str(folder), "files": sorted(file.name for file in folder.iterdir())})
    else:
        print(f"wrote network.npz, adjacency.csv and graph.svg to {folder}")


@app.command("list")
def list_names(
    what: Annotated[str, typer.Argument(help="spaces, tasks, strategies or families.")],
    as_json: JsonOption = False,
) -> None:
    """List what there is, by name.

    Example: python -m topo_search list tasks --json
    """
    from topo_search.listing import LISTS, listing

    if what not in LISTS:
        raise InputError(f"unknown list {what!r}: expected one of {', '.join(LISTS)}")
    entries = listing(what)
    if as_json:
        print(json.dumps(list(entries)))
        return
    width = max(map(len, entries), default=0)
    for name, text in entries.items():
        print(f"{name:<{width}}  {text}".rstrip())


@app.command()
def dashboard(
    folder: Annotated[Path, typer.Argument(help="Folder of the run.")],
    port: Annotated[int, typer.Option("--port", min=1, max=65535, help="Port on 127.0.0.1.")] = 8080,
    storage: Annotated[str | None, typer.Option("--storage", help="URL of the Optuna storage.")] = None,
) -> None:
    """Show the run's study in optuna-dashboard, on this machine only (127.0.0.1).

    Example: python -m topo_search dashboard outputs/NAME
    """
    from topo_search.dashboard import serve

    serve(folder, port=port, storage=storage)


@app.command()
def doctor(data_dir: DataOption = None, as_json: JsonOption = False) -> None:
    """Check this machine: one line a check, exit status 1 if one fails.

    Example: python -m topo_search doctor
    """
    from topo_search.doctor import run_checks

    checks = run_checks(data_dir)
    if as_json:
        _print_json({check.name: {"ok": check.ok, "detail": check.detail} for check in checks})
    else:
        for check in checks:
            print(f"{'ok  ' if check.ok else 'FAIL'}  {check.name}: {check.detail}")
    if not all(check.ok for check in checks):
        raise typer.Exit(1)


@app.callback(invoke_without_command=True)
def _options(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    if version:
        from topo_search import __version__

        print(__version__)
        raise typer.Exit
    if context.invoked_subcommand is None:
        print(context.get_help())
        raise typer.Exit


def _fail(message: str) -> NoReturn:
    _say("error: " + " ".join(message.split()))
    sys.exit(2)


def main() -> None:
    """Run a command; bad input is one line on standard error and exit status 2, a failed run 1."""
    try:
        # Not standalone: the usage errors of the parser shall be one line too.
        status = app(standalone_mode=False)
    except InputError as error:
        _fail(str(error))
    except RunFailedError as error:
        _say(f"failed: {error}")
        sys.exit(1)
    except (KeyboardInterrupt, typer.Abort):
        _say("interrupted")
        sys.exit(INTERRUPTED)
    except Exception as error:
        # Typer has its own copy of its parser, whose exceptions have no public name: all of them format themselves.
        if not hasattr(error, "format_message"):
            raise
        _fail(error.format_message())
    sys.exit(status if isinstance(status, int) else 0)
