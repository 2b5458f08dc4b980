"""What a storage knows of a study, by its name."""

from __future__ import annotations

from typing import Any

import optuna
from optuna.storages import BaseStorage

from topo_search.errors import InputError

__all__ = ["check_study_name", "has_study", "recorded_run"]

LONGEST_NAME = 200


def has_study(storage: BaseStorage, name: str) -> bool:
    """Whether a storage holds a study of this name."""
    return name in optuna.study.get_all_study_names(storage)


def check_study_name(name: str) -> str:
    """The name of a study, if it can be the name of its folder too.

    Raises:
        InputError: if it cannot.
    """
    if name in ("", ".", "..") or len(name) > LONGEST_NAME or not name.isprintable() or set("/\\") & set(name):
        raise InputError(
            f"study name {name[:LONGEST_NAME]!r}: expected the name of a folder, of 1 to {LONGEST_NAME} characters "
            "without / and \\"
        )
    return name


def recorded_run(storage: BaseStorage, name: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """The space of a study's run and its section ``run``, as plain values: enough to make its folder anew.

    Raises:
        InputError: if there is no such study, or it holds no run.
    """
    if not has_study(storage, check_study_name(name)):
        raise InputError(f"unknown study {name!r}: expected it in the storage of the run")
    attributes = optuna.load_study(study_name=name, storage=storage).user_attrs
    recorded, budgets = attributes.get("run"), attributes.get("budgets")
    if not isinstance(recorded, dict) or not all(isinstance(recorded.get(key), dict) for key in ("space", "run")):
        raise InputError(f"study {name!r} does not say what its run was: expected one that `evolve` made")
    # The budget of a run that was extended is the last one.
    return recorded["space"], {**recorded["run"], **({"budget": budgets[-1]} if budgets else {})}
