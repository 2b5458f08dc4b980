"""Options that mean the same in every command."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from topo_search.search import TrialResources

__all__ = [
    "CheckedOutOption",
    "CpusOption",
    "DataOption",
    "DeviceOption",
    "DownloadOption",
    "GpusOption",
    "JoinOption",
    "JsonOption",
    "MemoryOption",
    "OutOption",
    "QuietOption",
    "RayOption",
    "SeedOption",
    "SetOption",
    "SpaceOption",
    "StartOption",
    "StorageOption",
    "TimeoutOption",
    "WorkersOption",
    "trial_resources",
]


def _folder(text: str) -> Path:
    """A folder as given; Path would take an empty one for the current folder."""
    if not text:
        raise typer.BadParameter("expected a folder, got ''")
    return Path(text)


SpaceOption = Annotated[str, typer.Option("--space", help="Name of a shipped search space, or a YAML file.")]
SeedOption = Annotated[int, typer.Option("--seed", help="Seed; the same seed gives the same result.")]
WorkersOption = Annotated[
    int | None, typer.Option("--workers", help="Evaluations side by side (default: one a core or GPU).")
]
OutOption = Annotated[Path | None, typer.Option("--out", parser=_folder, metavar="<path>", help="Folder to write to.")]
CheckedOutOption = Annotated[
    Path | None, typer.Option("--out", parser=_folder, metavar="<path>", help="Folder to check, of runs to come.")
]
DeviceOption = Annotated[str, typer.Option("--device", help="auto, cpu or cuda.")]
DataOption = Annotated[
    Path | None, typer.Option("--data-dir", help="Folder of data sets (default: TOPO_SEARCH_DATA, then a cache).")
]
DownloadOption = Annotated[bool, typer.Option("--download", help="Fetch the data set where it is missing.")]
SetOption = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="<key=value>", help="Override an entry of the space; may be repeated."),
]
StartOption = Annotated[
    list[Path] | None,
    typer.Option(
        "--start",
        metavar="<path>",
        help="Propose this first: .json, .graphml, .csv, a winner's or a run's folder; may be repeated.",
    ),
]
StorageOption = Annotated[
    str | None,
    typer.Option("--storage", envvar="TOPO_SEARCH_STORAGE", help="URL of the Optuna storage (default: a journal)."),
]
RayOption = Annotated[
    str | None,
    typer.Option("--ray", help="Evaluate on Ray: auto (the running cluster), local (a private one) or HOST:PORT."),
]
CpusOption = Annotated[int, typer.Option("--trial-cpus", help="Cores, and threads, of one evaluation.")]
GpusOption = Annotated[float, typer.Option("--trial-gpus", help="GPUs of one evaluation on Ray; 0.5 shares one.")]
MemoryOption = Annotated[
    float | None, typer.Option("--trial-memory", help="Gigabytes that one evaluation may use (it fails beyond).")
]
TimeoutOption = Annotated[
    float | None, typer.Option("--trial-timeout", help="Seconds that one evaluation may take (it fails beyond).")
]
QuietOption = Annotated[bool, typer.Option("--quiet", help="Show no progress.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print the result as one JSON object.")]
JoinOption = Annotated[
    bool, typer.Option("--join", help="Share the study with other drivers (PostgreSQL or MySQL, same space and seed).")
]


def trial_resources(cpus: int, gpus: float, memory: float | None, timeout: float | None) -> TrialResources:
    """What the ``--trial-`` options ask for.

    Raises:
        InputError: if a value is out of its range.
    """
    from topo_search.search import TrialResources

    return TrialResources(cpus=cpus, gpus=gpus, memory_gb=memory, seconds=timeout)
