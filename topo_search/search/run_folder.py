"""What a run leaves on disk, and where."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from topo_search.errors import InputError
from topo_search.files import write_atomically
from topo_search.graph import describe
from topo_search.search.history import Trial
from topo_search.search.locks.driver_lock import FolderLock

__all__ = ["COMPARISON_COLUMNS", "RunFolder"]

_DESCRIPTORS = (
    "density",
    "mean_degree",
    "degree_std",
    "max_degree",
    "hub_share",
    "modularity",
    "algebraic_connectivity",
    "clustering",
    "input_output_path",
    "spectral_radius",
    "cycles",
    "wiring_cost",
    "isolated_areas",
    "workspace_distance",
)
TRIAL_COLUMNS = (
    "number",
    "state",
    "graph_key",
    "isomorphism_key",
    "strategy",
    "operator",
    "pretraining",
    "parent",
    "edges",
    "parameters",
    *_DESCRIPTORS,
    "rung",
    "score",
    "attempts",
    "seconds",
    "reason",
)
COMPARISON_COLUMNS = ("graph_key", "kind", "seed", "edges", "parameters", "validation_accuracy", "test_accuracy")


def _csv(*rows: Sequence[Any]) -> str:
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="\n").writerows(rows)
    return buffer.getvalue()


def _described(trial: Trial) -> Mapping[str, float]:
    """Descriptors of a trial: those that its study holds, or anew where it holds no such thing."""
    known = trial.descriptors
    if known is not None and all(isinstance(known.get(name), float) for name in _DESCRIPTORS):
        return known
    return describe(trial.graph)


class RunFolder:
    """Paths of a run, its lock, and the tables in it.

    Args:
        path: of the run's folder.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.space = path / "space.yaml"
        self.journal = path / "study.journal"
        self.log = path / "evaluations.jsonl"
        self.rungs = path / "rungs"
        self.full = path / "full"
        self.winners = path / "winners"
        self.couplings = path / "couplings"
        self.trials = path / "trials.csv"
        self.comparison = path / "comparison.csv"
        self.summary = path / "summary.json"
        self.report = path / "report.html"
        self._lock: FolderLock | None = None
        # Lines of final trials: the table is written again every few seconds, and only what changed is made anew.
        self._lines: dict[int, str] = {}

    def create(self) -> None:
        """Make the folder.

        Raises:
            InputError: if it cannot be made or written to, or what the run writes in it leads elsewhere.
        """
        try:
            self._check_places()
            self.path.mkdir(parents=True, exist_ok=True)
            self.rungs.mkdir(exist_ok=True)
        except OSError as error:
            raise InputError(f"output folder {self.path} cannot be made: {error.strerror}") from None
        if not os.access(self.path, os.W_OK):
            raise InputError(f"output folder {self.path} cannot be written to: expected a writable folder")

    def _check_places(self) -> None:
        # They are written in place: a link in a folder of someone else's making would lead elsewhere.
        for file in (self.path / ".lock", self.log, self.journal):
            if file.is_symlink():
                raise InputError(f"{file} is a link: expected a file of the run's own")
        for folder in (self.rungs, self.full, self.winners, self.couplings):
            if folder.is_symlink() or (folder.exists() and not folder.is_dir()):
                what = "a link" if folder.is_symlink() else "no folder"
                raise InputError(f"{folder} is {what}: expected a folder of the run's own")

    def lock(self) -> FolderLock:
        """Keep other drivers off this run; the lock goes with the process, however it ends.

        Raises:
            InputError: if another driver holds it.
        """
        self._lock = FolderLock(self.path)
        return self._lock

    def unlock(self) -> None:
        """Let the next driver in."""
        if self._lock is not None:
            self._lock.release()
            self._lock = None

    def checkpoint(self, trial: int) -> Path:
        """Where a trial's training is kept between rungs."""
        return self.rungs / f"{trial}.safetensors"

    def coupling(self, trial: int, rung: int) -> Path:
        """Where a trial's trained coupling is kept for its children, if they inherit it."""
        return self.couplings / f"{trial}-{rung}.safetensors"

    def remove_unfinished(self) -> None:
        """Remove what a killed driver or its workers had begun to write; only for who holds the lock."""
        for file in (self.space, self.trials, self.comparison, self.summary, self.report):
            for left in self.path.glob(f".{file.name}.*.tmp"):
                left.unlink(missing_ok=True)
        for folder in (self.rungs, self.couplings, *self.path.glob("seed-*")):
            for left in folder.glob(".*.safetensors.*.tmp"):
                left.unlink(missing_ok=True)

    def write_trials(self, trials: Iterable[Trial], rungs: Sequence[int]) -> None:
        """Write ``trials.csv``, one row a proposal in order of proposal."""
        lines = [_csv(TRIAL_COLUMNS)]
        for trial in trials:
            line = self._lines.get(trial.number)
            lines.append(self.take(trial, rungs) if line is None else line)
        write_atomically(self.trials, "".join(lines))

    def take(self, trial: Trial, rungs: Sequence[int]) -> str:
        """The line of a trial in ``trials.csv``; that of a final trial is kept until it is written."""
        line = _csv(self._trial_row(trial, rungs))
        if trial.final:
            self._lines[trial.number] = line
        return line

    @staticmethod
    def _trial_row(trial: Trial, rungs: Sequence[int]) -> list[Any]:
        described = _described(trial)
        failure = next((result.reason for result in trial.results if result.failed), "")
        return [
            trial.number,
            trial.state,
            trial.graph.key,
            trial.graph.isomorphism_key,
            trial.proposal.strategy,
            trial.proposal.operator,
            "" if trial.proposal.pretraining is None else trial.proposal.pretraining.moves,
            " ".join(map(str, trial.proposal.parents)),
            trial.graph.n_edges,
            trial.results[trial.rung].parameters if trial.rung >= 0 else "",
            *(f"{described[name]:.6g}" for name in _DESCRIPTORS),
            rungs[trial.rung] if trial.rung >= 0 else "",
            "" if trial.score is None else repr(trial.score),
            trial.attempts,
            f"{trial.seconds:.3f}",
            failure,
        ]

    def write_comparison(self, rows: Iterable[Sequence[Any]]) -> None:
        """Write ``comparison.csv``."""
        write_atomically(self.comparison, _csv(COMPARISON_COLUMNS, *rows))
