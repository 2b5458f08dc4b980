"""The files that a run left, checked as they are read."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from topo_search.errors import InputError
from topo_search.files import read_bytes, read_json, sha256
from topo_search.graph import ModuleGraph
from topo_search.model.saved import NETWORK_FILES
from topo_search.report.page.record import (
    RunRecord,
    Summary,
    Training,
    WinnerCertificate,
    WinnerMetrics,
    WinnerRecord,
)
from topo_search.search import RunFolder, SearchSpace, Trial
from topo_search.search.run_folder import COMPARISON_COLUMNS

__all__ = ["read_record", "read_summary"]

_Model = TypeVar("_Model", bound=BaseModel)


def read_summary(folder: RunFolder) -> Summary | None:
    """The summary of a run; ``None`` while there is none.

    Raises:
        InputError: if it is not what a run writes.
    """
    if not folder.summary.is_file():
        return None
    return _checked(Summary, read_json(folder.summary, "summary"), f"summary at {folder.summary}")


def read_record(
    folder: RunFolder,
    space: SearchSpace,
    run: Mapping[str, Any],
    *,
    summary: Summary | None,
    budgets: Sequence[int],
    trials: Mapping[int, Trial],
) -> RunRecord:
    """Read what a run left in its folder.

    Winners and trainings of an earlier, smaller budget are left out while a run is extended.

    Args:
        folder: of the run.
        space: that was searched.
        run: the section ``run`` of its ``space.yaml``.
        summary: of the run, read before its study, which may grow meanwhile.
        budgets: of its study.
        trials: of its study, by number.

    Raises:
        InputError: if a file of a finished run is missing or not what the run writes, or a trial is not of this space.
    """
    ordered = tuple(trial for _, trial in sorted(trials.items()))
    for trial in ordered:
        _check_trial(trial, space, run["study"])
    # A driver that joined the study may have extended it: the trials are then those of its budget.
    if summary is not None and not summary.budget == run["budget"] == max(budgets, default=run["budget"]):
        summary = None
    trainings: tuple[Training, ...] = ()
    winners: tuple[WinnerRecord, ...] = ()
    # Without a comparison there is no winner: no training had a score.
    if summary is not None and (summary.winners or folder.comparison.is_file()):
        if folder.winners.is_symlink():
            raise InputError(f"{folder.winners} is a link: expected a folder of the run's own")
        trainings = _read_trainings(folder.comparison)
        # By rank: other folders may lie beside those of the run.
        winners = tuple(_read_winner(folder.winners / str(winner.rank), winner.rank) for winner in summary.winners)
    for winner in winners:
        found = trials.get(winner.metrics.trial)
        if found is None or found.graph.key != winner.graph.key:
            raise InputError(
                f"winner at {folder.winners / str(winner.rank)} is corrupt: trial {winner.metrics.trial} of the study "
                "does not have its graph"
            )
    return RunRecord(
        name=folder.path.resolve().name,
        space=space,
        run=run,
        budgets=tuple(budgets),
        trials=ordered,
        summary=summary,
        trainings=trainings,
        winners=winners,
    )


def _check_trial(trial: Trial, space: SearchSpace, study: str) -> None:
    areas, rungs = len(space.constraints.areas), len(space.ladder.rungs)
    if trial.graph.n_areas != areas or trial.rung >= rungs:
        raise InputError(
            f"trial {trial.number} of study {study!r} is not one of the space: expected {areas} areas and at most "
            f"{rungs} rungs, got {trial.graph.n_areas} and {trial.rung + 1}"
        )


def _checked(model: type[_Model], values: Any, what: str) -> _Model:
    try:
        return model.model_validate(values)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(map(str, first["loc"])) or "the whole"
        raise InputError(f"{what} is corrupt: {place}: {first['msg'].lower()}") from None


def _read_trainings(path: Path) -> tuple[Training, ...]:
    what = f"comparison at {path}"
    try:
        rows = list(csv.reader(io.StringIO(read_bytes(path, "comparison").decode(), newline=""), strict=True))
    except (UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{what} is corrupt: expected a CSV table ({error})") from None
    if not rows or tuple(rows[0]) != COMPARISON_COLUMNS:
        raise InputError(f"{what} is corrupt: expected the columns {','.join(COMPARISON_COLUMNS)}")
    trainings = []
    for line, row in enumerate(rows[1:], start=2):
        if len(row) != len(COMPARISON_COLUMNS):
            raise InputError(f"{what} is corrupt: line {line} has {len(row)} cells, expected {len(COMPARISON_COLUMNS)}")
        # An empty cell is a training that diverged.
        values = {name: cell or None for name, cell in zip(COMPARISON_COLUMNS, row, strict=True)}
        trainings.append(_checked(Training, values, f"{what}, line {line},"))
    return tuple(trainings)


def _read_winner(path: Path, rank: int) -> WinnerRecord:
    for name in ("metrics.json", *NETWORK_FILES):
        # Whatever else stands there might have no end.
        if (path / name).exists() and not (path / name).is_file():
            raise InputError(f"winner at {path} is corrupt: {name} is no file")
    metrics = _checked(
        WinnerMetrics, read_json(path / "metrics.json", "metrics"), f"metrics at {path / 'metrics.json'}"
    )
    file = path / "certificate.json"
    certificate = _checked(WinnerCertificate, read_json(file, "certificate"), f"certificate at {file}")
    graph = ModuleGraph.load(path / "graph.json")
    if graph.key != metrics.graph_key:
        raise InputError(f"winner at {path} is corrupt: graph.json is not the graph that metrics.json names")
    weights = read_bytes(path / "model.safetensors", "weights")
    return WinnerRecord(rank, graph, metrics, certificate, intact=sha256(weights) == certificate.model_sha256)
