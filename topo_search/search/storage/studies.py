"""What a storage knows of a study, by its name."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Mapping
from typing import Any

import optuna
from optuna.storages import BaseStorage

from topo_search.errors import InputError
from topo_search.search.space import SearchSpace

__all__ = ["check_same_run", "check_study_name", "has_study", "recorded_run"]

LONGEST_NAME = 200


def has_study(storage: BaseStorage, name: str) -> bool:
    """Whether a storage holds a study of this name."""
    # To list all studies would copy all that is in them, which damage may have nested without end.
    try:
        storage.get_study_id_from_name(name)
    except KeyError:
        return False
    return True


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
    attributes: dict[str, Any] = {}
    # Nested deeper than can be copied, it is no record of ours.
    with contextlib.suppress(RecursionError):
        attributes = optuna.load_study(study_name=name, storage=storage).user_attrs
    recorded: Any = attributes.get("run")
    budgets = attributes.get("budgets")
    _check_record(name, recorded)
    # The budget of a run that was extended is the last one.
    return recorded["space"], {**recorded["run"], **({"budget": budgets[-1]} if budgets else {})}


def _check_record(name: str, recorded: Any) -> None:
    if not isinstance(recorded, dict) or not all(isinstance(recorded.get(key), dict) for key in ("space", "run")):
        raise InputError(f"study {name!r} does not say what its run was: expected one that `evolve` made")


def check_same_run(name: str, recorded: Any, space: SearchSpace, run: Mapping[str, Any]) -> None:
    """Refuse to go on with a study by another search than the one that it was begun with.

    Entries of the space that the study does not know are let pass: a later version may have added them.

    Args:
        name: of the study.
        recorded: what it says of its run: ``space`` and ``run``.
        space: of this search.
        run: the section ``run`` of its ``space.yaml``.

    Raises:
        InputError: if the seed or an entry of the space is another, or the study does not say what its run was.
    """
    _check_record(name, recorded)
    mine = json.loads(space.model_dump_json())
    odd = next(_differing(recorded["space"], mine), None)
    if recorded["run"].get("seed") != run["seed"]:
        odd = "seed"
    if odd is not None:
        raise InputError(f"study {name!r} was begun with another {odd}: expected the space and the seed of its run")


def _differing(recorded: Any, mine: Any, path: str = "") -> Iterator[str]:
    """Paths of recorded entries that are others now, or gone; those that only ``mine`` has are let pass."""
    if not (isinstance(recorded, dict) and isinstance(mine, dict)):
        if recorded != mine:
            yield path
        return
    for key in recorded:
        inner = f"{path}.{key}" if path else key
        if key in mine:
            yield from _differing(recorded[key], mine[key], inner)
        else:
            yield inner
