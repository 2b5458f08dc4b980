"""What a search says of itself while it runs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

__all__ = ["Progress", "ProgressCallback"]


@dataclass(frozen=True)
class Progress:
    """A moment of a run.

    Attributes:
        phase: ``search``, ``rank agreement``, ``rescore`` or ``full training``.
        done: units of the phase that ended: trials, or trainings.
        total: units of the phase.
        running: evaluations in flight.
        best: best score at the highest rung reached, if any.
        best_trial: its number.
        best_epochs: epochs behind it.
        rungs: trials that reached each rung, from the first.
        evaluated: evaluations that ran in this session, not taken from an earlier one.
        failed: trials that failed.
        known: proposals that were scored before and cost no budget.
    """

    phase: str
    done: int
    total: int
    running: int
    best: float | None = None
    best_trial: int | None = None
    best_epochs: int | None = None
    rungs: tuple[int, ...] = ()
    evaluated: int = 0
    failed: int = 0
    known: int = 0


ProgressCallback = Callable[[Progress], None]
