"""Checks of whole searches with one strategy, scored by formula."""

from __future__ import annotations

import contextlib
import tempfile
from pathlib import Path
from typing import Any

from topo_search.search import (
    EvaluationLog,
    RunFolder,
    SearchDriver,
    SearchSpace,
    SearchStudy,
    Strategy,
    open_storage,
)
from topo_search.testing.formula import FormulaExecutor
from topo_search.testing.offering import offered
from topo_search.testing.spaces import checked_spaces, small_space

__all__ = ["check_exhaustion", "check_interruption", "check_workers"]

BUDGET = 24
SLOTS = 5
ENOUGH = 200
"""More proposals than the small space has."""

_Outcome = list[tuple[Any, ...]]


def check_workers(
    strategy: type[Strategy],
    space: SearchSpace | None = None,
    proposals: int = 0,  # noqa: ARG001
) -> None:
    """A search is the same for any number of evaluations side by side, in whatever order they end."""
    checked = _with(strategy, next(iter(checked_spaces(space).values())))
    expected, _ = _search(strategy, checked, FormulaExecutor(checked.constraints))
    found, _ = _search(strategy, checked, FormulaExecutor(checked.constraints, slots=SLOTS))
    _same(found, expected, f"{SLOTS} evaluations side by side")


def check_interruption(
    strategy: type[Strategy],
    space: SearchSpace | None = None,
    proposals: int = 0,  # noqa: ARG001
) -> None:
    """A search that was interrupted goes on to what it would have been."""
    checked = _with(strategy, next(iter(checked_spaces(space).values())))
    expected, _ = _search(strategy, checked, FormulaExecutor(checked.constraints))
    with tempfile.TemporaryDirectory() as path:
        first = FormulaExecutor(checked.constraints, slots=SLOTS, stop_after=BUDGET // 2)
        with contextlib.suppress(KeyboardInterrupt):
            _search(strategy, checked, first, path=Path(path))
        second = FormulaExecutor(checked.constraints, slots=SLOTS)
        found, _ = _search(strategy, checked, second, path=Path(path))
    _same(found, expected, f"interrupted after {len(first.evaluated)} evaluations")


def check_exhaustion(
    strategy: type[Strategy],
    space: SearchSpace | None = None,
    proposals: int = 0,  # noqa: ARG001
) -> None:
    """A search of a space with fewer graphs than its budget ends, and proposes no graph twice."""
    checked = _with(strategy, small_space(space))
    found, exhausted = _search(strategy, checked, FormulaExecutor(checked.constraints), budget=ENOUGH)
    assert exhausted, f"a space of a few graphs gave {len(found)} proposals: expected the search to end before"
    keys = [entry[1] for entry in found]
    assert len(set(keys)) == len(keys), "a graph was evaluated twice"


def _with(strategy: type[Strategy], space: SearchSpace) -> SearchSpace:
    search = space.search.model_copy(update={"strategies": {strategy.name: 1.0}})
    return space.model_copy(update={"search": search})


def _search(
    strategy: type[Strategy],
    space: SearchSpace,
    executor: FormulaExecutor,
    *,
    path: Path | None = None,
    budget: int = BUDGET,
) -> tuple[_Outcome, bool]:
    with contextlib.ExitStack() as stack:
        stack.enter_context(offered(strategy))
        folder = RunFolder(path or Path(stack.enter_context(tempfile.TemporaryDirectory())))
        folder.create()
        log = stack.enter_context(contextlib.closing(EvaluationLog(folder.log)))
        study = SearchStudy(open_storage(folder.journal), "contract", space=space)
        driver = SearchDriver(space, seed=0, study=study, log=log, executor=executor, folder=folder)
        driver.run([budget])
    trials = sorted(driver.decisions.trials.items())
    outcome: _Outcome = [
        (number, trial.proposal.key, trial.proposal, [result.score for result in trial.results], trial.state)
        for number, trial in trials
    ]
    return outcome, driver.decisions.exhausted


def _same(found: _Outcome, expected: _Outcome, how: str) -> None:
    for got, wanted in zip(found, expected, strict=False):
        assert got == wanted, f"{how}: trial {got[0]} is {got[2:]}, expected {wanted[2:]} as with one after the other"
    assert len(found) == len(expected), f"{how}: {len(found)} trials, expected {len(expected)} as with one at a time"
