"""The commands of TopoBench-6: ``bench make``, ``bench search`` and ``bench landscape``."""

from __future__ import annotations

import json
import math
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from topo_search.errors import InputError

if TYPE_CHECKING:
    from topo_search.search import SearchConfig
    from topo_search.topobench import Landscape, Summary, Table
    from topo_search.topobench.replay import Against

__all__ = ["app"]

app = typer.Typer(
    name="bench",
    help="TopoBench-6: all graphs of a small space, trained in full. Strategies are replayed on its table.",
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


@app.callback(invoke_without_command=True)
def _help(context: typer.Context) -> None:
    if context.invoked_subcommand is None:
        print(context.get_help())


TaskOption = Annotated[str, typer.Option("--task", help="digits or mnist_rows.")]
TableOption = Annotated[Path | None, typer.Option("--table", help="File of the table (default: the shipped one).")]
FigureOption = Annotated[Path | None, typer.Option("--figure", help="Also write a picture (.svg, .png or .pdf).")]
WorkersOption = Annotated[int | None, typer.Option("--workers", help="Processes (default: one a core).")]
QuietOption = Annotated[bool, typer.Option("--quiet", help="Show no progress.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print the result as one JSON object.")]

PICTURES = (".svg", ".png", ".pdf")
LINE_SECONDS = 10.0


def _read(task: str, file: Path | None) -> Table:
    from topo_search.topobench import Table, load_table

    return load_table(task) if file is None else Table.load(file)


def _check_picture(path: Path | None) -> None:
    if path is not None and (path.suffix not in PICTURES or not path.resolve().parent.is_dir()):
        raise InputError(f"figure {path}: expected a file that ends in {', '.join(PICTURES)}, in a folder that exists")


@app.command()
def make(
    task: TaskOption = "digits",
    out: Annotated[Path | None, typer.Option("--out", help="File to write (default: the shipped place).")] = None,
    workers: WorkersOption = None,
    limit: Annotated[
        int | None, typer.Option("--limit", metavar="<int>", min=1, help="Only the first so many graphs.")
    ] = None,
    data_dir: Annotated[Path | None, typer.Option("--data-dir", help="Folder of data sets.")] = None,
    download: Annotated[bool, typer.Option("--download", help="Fetch the data set where it is missing.")] = False,
    quiet: QuietOption = False,
    as_json: JsonOption = False,
) -> None:
    """Train every graph with three seeds and write the table. Goes on after an interruption.

    Example: python -m topo_search bench make --task digits
    """
    from contextlib import nullcontext

    from topo_search.api.setup import prepare
    from topo_search.report.progress import show_progress
    from topo_search.topobench import make_table, table_path, topobench_space

    space = topobench_space(task)
    path = table_path(task) if out is None else out
    if not path.resolve().parent.is_dir():
        raise InputError(f"{path}: its folder does not exist")
    setup = prepare(space, workers=workers, device="cpu", data_dir=data_dir, download=download)
    setup.notify(None if quiet else lambda text: print(text, file=sys.stderr))
    with nullcontext() if quiet else show_progress() as on_progress, setup.executor() as executor:
        table = make_table(
            space,
            executor,
            path,
            validation_size=len(setup.task.validation),
            limit=limit,
            on_progress=on_progress,
        )
    result = {
        "table": str(path),
        "classes": len(table.masks),
        "seeds": list(table.seeds),
        "failed": int((table.reason != "").sum()),
        "not_certified": int((table.certified == 0).sum()),
        "bytes": path.stat().st_size,
    }
    if as_json:
        print(json.dumps(result))
    else:
        print(
            f"{path}: {result['classes']} graphs x {len(table.seeds)} seeds, {result['failed']} trainings failed, "
            f"{result['not_certified']} networks not certified"
        )


@app.command()
def search(
    task: TaskOption = "digits",
    strategies: Annotated[str, typer.Option("--strategies", help="Names, separated by commas.")] = "random,evolution",
    replays: Annotated[int, typer.Option("--replays", help="Replays of each strategy.")] = 200,
    max_edges: Annotated[str, typer.Option("--max-edges", help="Edge budget, or none.")] = "none",
    threshold: Annotated[float, typer.Option("--threshold", help="Regret that counts as found.")] = 0.005,
    against: Annotated[
        str, typer.Option("--against", help="Regret is counted from: exhaustive (search of the same seed) or best.")
    ] = "exhaustive",
    ladder: Annotated[bool, typer.Option("--ladder", help="Through the rungs; cost is in epochs.")] = False,
    lag: Annotated[int, typer.Option("--lag", help="Results that a decision does not see yet.")] = 0,
    overrides: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="<key=value>", help="Override a setting of the search; may be repeated."),
    ] = None,
    table_file: TableOption = None,
    figure: FigureOption = None,
    workers: WorkersOption = None,
    quiet: QuietOption = False,
    as_json: JsonOption = False,
) -> None:
    """Replay strategies on a table. Counts evaluations until the best graph is found.

    Example: python -m topo_search bench search --task digits --strategies random,evolution --max-edges 7
    """
    from topo_search.topobench import Benchmark, run_replays, summarise

    _check_picture(figure)
    most_edges = _max_edges(max_edges)
    table = _read(task, table_file)
    config, rungs = _search_settings(table, overrides or [])
    benchmark = Benchmark(
        table,
        max_edges=most_edges,
        ladder=rungs if ladder else None,
        threshold=threshold,
        against=_against(against),
        config=config,
    )
    names = [name.strip() for name in strategies.split(",") if name.strip()]
    found = run_replays(
        benchmark,
        names,
        replays=replays,
        lag=lag,
        to_the_end=figure is not None,
        workers=_count(workers),
        on_done=None if quiet else _progress(replays, len(names)),
    )
    unit = "full trainings" if ladder else "evaluations"
    if figure is not None:
        from topo_search.report.landscape import draw_regret

        draw_regret(found, figure, threshold=threshold, cost_label=unit)
    summaries = [summarise(entries) for entries in found.values()]
    if as_json:
        settings = {
            "task": task,
            "max_edges": most_edges,
            "threshold": threshold,
            "against": against,
            "ladder": ladder,
            "lag": lag,
        }
        result = {**settings, "classes": benchmark.size, "strategies": [entry.as_dict() for entry in summaries]}
        print(json.dumps(result, allow_nan=False))
        return
    _print_summaries(summaries, unit, benchmark.size)


def _max_edges(text: str) -> int | None:
    if text == "none":
        return None
    if not text.isdecimal():
        raise InputError(f"--max-edges must be a number of edges or none, got {text!r}")
    return int(text)


def _against(text: str) -> Against:
    if text not in ("exhaustive", "best"):
        raise InputError(f"--against must be exhaustive or best, got {text!r}")
    return "best" if text == "best" else "exhaustive"


def _count(workers: int | None) -> int:
    if workers is not None:
        return workers
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _search_settings(table: Table, overrides: list[str]) -> tuple[SearchConfig, Any]:
    """Settings of strategies and ladder; whatever the table was made with may not change."""
    from topo_search.config import apply_overrides, parse_space

    values = table.space.model_dump(mode="json")
    where = f"search space {table.space.name}"
    space = parse_space(apply_overrides(values, overrides), where=where, overrides=overrides)
    changed = [
        name
        for name in values
        if name not in ("search", "ladder") and getattr(space, name) != getattr(table.space, name)
    ]
    if changed:
        raise InputError(
            f"--set changes {', '.join(changed)}: expected entries of search or ladder, the rest is the table's"
        )
    return space.search, space.ladder


def _progress(replays: int, strategies: int) -> Callable[[str, int], None]:
    """Lines on standard error: when a strategy ends, and every ten seconds, with the time left."""
    begin = shown = time.monotonic()
    ended: dict[str, int] = {}

    def report(strategy: str, done: int) -> None:
        nonlocal shown
        from topo_search.report.tables import duration

        ended[strategy] = done
        now = time.monotonic()
        if done < replays and now - shown < LINE_SECONDS:
            return
        shown = now
        total = sum(ended.values())
        left = duration((replays * strategies - total) * (now - begin) / total)
        print(f"{strategy} {done}/{replays}  {left} left", file=sys.stderr)

    return report


def _print_summaries(summaries: list[Summary], unit: str, classes: int) -> None:
    from rich.table import Table as RichTable

    from topo_search.report import result_console

    shown = RichTable(title=f"{classes} graphs; {unit} until regret stays below the threshold", title_justify="left")
    shown.add_column("strategy", no_wrap=True)
    costs = list(summaries[0].regret)
    for column in ("median [quartiles]", "never", "best seen", *(f"regret at {cost}" for cost in costs), "drawn"):
        shown.add_column(column, justify="right", no_wrap=True)
    for entry in summaries:
        shown.add_row(
            entry.strategy,
            f"{entry.median:.0f} [{entry.q25:.0f}, {entry.q75:.0f}]",
            f"{entry.never:.0%}",
            f"{entry.found:.0f}",
            *(f"{entry.regret[cost]:.4f}" for cost in costs),
            f"{entry.drawn:.0%}",
        )
    result_console().print(shown)


@app.command()
def landscape(
    task: TaskOption = "digits",
    table_file: TableOption = None,
    figure: FigureOption = None,
    as_json: JsonOption = False,
) -> None:
    """Say what separates the best graphs from the others. And how early training tells.

    Example: python -m topo_search bench landscape --task digits --figure landscape.svg
    """
    from topo_search.topobench import study_landscape

    _check_picture(figure)
    table = _read(task, table_file)
    result = study_landscape(table)
    if figure is not None:
        from topo_search.report.landscape import draw_landscape

        draw_landscape(table, result, figure)
    if as_json:
        print(json.dumps(result.as_dict(), allow_nan=False))
    else:
        _print_landscape(result)


def _print_landscape(result: Landscape) -> None:
    from rich.table import Table as RichTable

    from topo_search.report import result_console
    from topo_search.topobench import edges_of
    from topo_search.topobench.landscape import Estimate

    def text(entry: Estimate | None) -> str:
        return "" if entry is None else f"{entry.value:+.2f} ({entry.low:+.2f} to {entry.high:+.2f})"

    console = result_console()
    ranks = RichTable(title="Kendall's tau with mean accuracy, 95 % intervals over graphs", title_justify="left")
    ranks.add_column("descriptor", no_wrap=True)
    for column in ("all graphs", "same number of edges", "rank regression"):
        ranks.add_column(column, justify="right", no_wrap=True)
    for name, entry in result.tau.items():
        ranks.add_row(name, text(entry), text(result.tau_same_edges.get(name)), text(result.regression.get(name)))
    console.print(ranks)
    best = RichTable(title="By number of edges", title_justify="left")
    for column in ("edges", "graphs", "mean", "best", "signal", "noise", "best graph"):
        best.add_column(column, justify="right", no_wrap=True)
    for row in result.by_edges:
        graph = " ".join(f"{i}-{j}" for i, j in edges_of(row.best_mask))
        numbers = (row.mean, row.best, row.signal, row.noise)
        # One graph alone has neither signal nor noise.
        shown = (f"{number:.4f}" if math.isfinite(number) else "" for number in numbers)
        best.add_row(str(row.edges), str(row.classes), *shown, graph)
    console.print(best)
    wanted = {*result.rungs, *(entry.epochs for entry in result.agreement[:: max(1, len(result.agreement) // 8)])}
    taus = ", ".join(f"{entry.epochs}: {entry.tau:.2f}" for entry in result.agreement if entry.epochs in wanted)
    for line in (
        f"accuracy {result.worst:.4f} to {result.best:.4f}, mean {result.mean:.4f}; {result.near_best} graphs within "
        "0.005 of the best",
        f"signal {result.signal:.4f}, noise {result.noise:.4f}; {result.reliability:.0%} of the variance of means is "
        f"signal; {result.failed} trainings failed",
        f"the rank regression explains {result.explained.value:.0%} ({result.explained.low:.0%} to "
        f"{result.explained.high:.0%}) of the variance of ranks",
        f"tau of one seed after so many epochs with the other seeds in full: {taus}",
        f"rungs that suggest themselves: {', '.join(map(str, result.rungs))}",
    ):
        console.print(line, highlight=False, soft_wrap=True)
