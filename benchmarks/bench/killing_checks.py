"""What a kill must not do to a run's folder."""

from __future__ import annotations

import csv
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import optuna
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend

from topo_search.config import read_space_file
from topo_search.errors import InputError

__all__ = ["State", "differences", "losses", "phase", "results_logged", "table"]

# Two runs of one search differ in these columns of trials.csv alone.
_OWN_COLUMNS = ("seconds", "attempts")
_WINNER_FILES = ("graph.json", "graph.graphml", "model.safetensors", "certificate.json")


def _records(folder: Path) -> list[dict[str, Any]]:
    log = folder / "evaluations.jsonl"
    # What follows the last line's end was cut short by the kill, or is being written.
    return [json.loads(line) for line in log.read_bytes().split(b"\n")[:-1]] if log.exists() else []


def results_logged(folder: Path) -> int:
    """How many evaluations of a run have ended."""
    return sum(record["event"] == "result" for record in _records(folder))


def phase(folder: Path) -> str:
    """Where a run is, by what it began last: ``start``, ``search``, or ``after`` it."""
    labels = [record.get("label", "") for record in _records(folder) if record["event"] == "start"]
    if not labels:
        return "start"
    return "search" if labels[-1].startswith("trial ") else "after"


def table(path: Path) -> list[dict[str, str]]:
    """Rows of ``trials.csv`` without what differs between two runs of one search."""
    with path.open(encoding="utf-8", newline="") as file:
        return [{k: v for k, v in row.items() if k not in _OWN_COLUMNS} for row in csv.DictReader(file)]


@dataclass(frozen=True)
class State:
    """What had ended in a run at a moment.

    Attributes:
        trials: of the study, by number of the proposal, as text.
        results: of evaluations, by key, as text.
        problems: one line each: what is there twice, or cannot be read.
    """

    trials: Mapping[int, str] = field(default_factory=dict)
    results: Mapping[str, str] = field(default_factory=dict)
    problems: Sequence[str] = ()

    @classmethod
    def of(cls, folder: Path) -> State:
        """Of a run, whether a driver is at work or not."""
        trials = _study(folder / "study.journal")
        results = [
            (record["key"], _text(record["result"])) for record in _records(folder) if record["event"] == "result"
        ]
        twice = [f"trial {number} is in the study twice" for number in _repeated(number for number, _ in trials)]
        twice += [f"evaluation {key} ended twice" for key in _repeated(key for key, _ in results)]
        return cls(dict(trials), dict(results), (*twice, *_half_written(folder)))


def _text(value: object) -> str:
    return json.dumps(value, sort_keys=True)


def _repeated(values: Any) -> list[Any]:
    return [value for value, count in Counter(values).items() if count > 1]


def _study(journal: Path) -> list[tuple[int, str]]:
    """Number and content of every trial, read with Optuna alone."""
    if not journal.exists():
        return []
    storage = JournalStorage(JournalFileBackend(str(journal)))
    found = []
    for study in storage.get_all_studies():
        for trial in storage.get_all_trials(study._study_id, deepcopy=False):
            if trial.state in (optuna.trial.TrialState.RUNNING, optuna.trial.TrialState.WAITING):
                continue
            content = {"state": trial.state.name, "values": trial.values, "attributes": trial.user_attrs}
            found.append((int(trial.user_attrs["number"]), _text(content)))
    return found


def _half_written(folder: Path) -> list[str]:
    """Files that are there but not whole."""
    problems = []
    for name in ("trials.csv", "comparison.csv"):
        path = folder / name
        if path.exists():
            text = path.read_text(encoding="utf-8")
            rows = list(csv.reader(text.splitlines()))
            if not text.endswith("\n") or any(len(row) != len(rows[0]) for row in rows):
                problems.append(f"{name} is cut short")
    for path in (folder / "summary.json", *folder.glob("winners/[0-9]*/*.json")):
        if path.exists():
            try:
                json.loads(path.read_text(encoding="utf-8"))
            except ValueError:
                problems.append(f"{path.relative_to(folder)} is cut short")
    if (folder / "space.yaml").exists():
        try:
            read_space_file(folder / "space.yaml")
        except InputError as error:
            problems.append(f"space.yaml is cut short: {error}")
    return problems


def losses(before: State, after: State) -> list[str]:
    """What a kill took away, changed or doubled."""
    problems = list(after.problems)
    for name, had, has in (
        ("trial", before.trials, after.trials),
        ("evaluation", before.results, after.results),
    ):
        problems += [f"{name} {key} was lost" for key in had if key not in has]
        problems += [f"{name} {key} was changed" for key in had if key in has and had[key] != has[key]]
    return problems


def differences(folder: Path, reference: Path, *, budget: int) -> list[str]:
    """How the end of a run differs from that of the same run without interruption."""
    state = State.of(folder)
    problems = list(state.problems)
    if sorted(state.trials) != list(range(budget)):
        problems.append(f"the study holds {len(state.trials)} trials, not 0 to {budget - 1}")
    rows = table(folder / "trials.csv")
    if len(rows) != budget:
        problems.append(f"trials.csv has {len(rows)} rows, not {budget}")
    if rows != table(reference / "trials.csv"):
        problems.append("trials.csv differs from that of the uninterrupted run")
    if _text(sorted(state.results)) != _text(sorted(State.of(reference).results)):
        problems.append("other evaluations ran than in the uninterrupted run")
    names = [
        path.relative_to(reference) for path in sorted(reference.glob("winners/*/*")) if path.name in _WINNER_FILES
    ]
    for name in (Path("comparison.csv"), *names):
        if not (folder / name).exists() or (folder / name).read_bytes() != (reference / name).read_bytes():
            problems.append(f"{name} differs from that of the uninterrupted run")
    problems += [f"{path.relative_to(folder)} was left" for path in folder.rglob("*.tmp")]
    return problems
