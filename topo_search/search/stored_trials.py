"""Trials and budgets as a study holds them, only read."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import optuna
from optuna.storages import BaseStorage
from optuna.trial import FrozenTrial, TrialState

from topo_search.errors import InputError
from topo_search.graph import ModuleGraph
from topo_search.search.history import Evaluation, Pretraining, Proposal, Trial

__all__ = ["read_budgets", "read_trials", "trials_of", "unreadable"]

_STORED = (TrialState.COMPLETE, TrialState.FAIL, TrialState.PRUNED)


def unreadable(name: str, error: Exception) -> InputError:
    """What to say of a study that Optuna cannot read.

    The journal and the database drivers raise what they like; all of it means that.
    """
    reason = str(error).splitlines()[0] if str(error) else type(error).__name__
    return InputError(f"study {name!r} cannot be read: its storage is corrupt or not ours ({reason})")


def read_trials(storage: BaseStorage, name: str) -> dict[int, Trial]:
    """All stored trials of a study, by number of the proposal; nothing is written.

    Args:
        storage: that holds the study.
        name: of the study.

    Raises:
        InputError: if the study cannot be read, or a trial is not one that this program wrote.
    """
    with _reading(name):
        return trials_of(optuna.load_study(study_name=name, storage=storage))


def read_budgets(storage: BaseStorage, name: str) -> list[int]:
    """The budgets that a run was given, in that order; none where it has only just begun.

    Raises:
        InputError: if the study cannot be read, or is not one that this program wrote.
    """
    with _reading(name):
        budgets: Any = optuna.load_study(study_name=name, storage=storage).user_attrs.get("budgets", [])
        if not isinstance(budgets, list) or not all(type(budget) is int and budget > 0 for budget in budgets):
            raise TypeError("budgets must be integers from 1")
        return budgets


@contextlib.contextmanager
def _reading(name: str) -> Iterator[None]:
    try:
        yield
    except (InputError, OSError):
        raise
    except Exception as error:
        raise unreadable(name, error) from None


def trials_of(study: optuna.Study) -> dict[int, Trial]:
    """All stored trials of an open study, by number of the proposal.

    Raises:
        InputError: if a trial is not one that this program wrote.
    """
    found: dict[int, Trial] = {}
    for stored in study.get_trials(deepcopy=False):
        if stored.state not in _STORED:
            continue
        try:
            trial = _trial(stored)
        except (KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
            raise InputError(f"trial {stored.number} of study {study.study_name!r} is corrupt: {error}") from None
        found[trial.number] = trial
    return found


def _trial(stored: FrozenTrial) -> Trial:
    attributes = stored.user_attrs
    proposal = Proposal(
        ModuleGraph.from_json(attributes["graph"]),
        str(stored.params["strategy"]),
        str(stored.params["operator"]),
        tuple(attributes["parents"]),
        None if attributes["pretraining"] is None else Pretraining(**attributes["pretraining"]),
    )
    results = tuple(Evaluation.from_dict(result) for result in attributes["results"])
    number, descriptors = attributes["number"], attributes["descriptors"]
    numbers = (number, attributes["attempts"] - 1, *proposal.parents)
    if not all(type(value) is int and 0 <= value < 2**63 for value in numbers):
        raise ValueError("number, attempts and parents must be integers from 0")
    if not results:
        raise ValueError("it has no results")
    return Trial(
        number,
        proposal,
        results,
        final=True,
        attempts=int(attributes["attempts"]),
        descriptors=descriptors if isinstance(descriptors, dict) else None,
    )
