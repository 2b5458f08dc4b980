"""The table: what every class scored with every seed after every epoch, in one file."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from topo_search.errors import InputError
from topo_search.files import read_bytes, write_atomically
from topo_search.npz import unpack
from topo_search.search.history import Evaluation
from topo_search.search.space import SearchSpace
from topo_search.search.versions import versions
from topo_search.topobench.classes import N_CLASSES, graph_classes
from topo_search.topobench.space import check_space, table_path, topobench_tasks

__all__ = ["FORMAT", "Table", "load_table"]

FORMAT = "topo_search.topobench/1"

# Name, kind of number and axes of each array: c classes, s seeds, e epochs.
_ARRAYS = {
    "masks": ("u2", "c"),
    "edges": ("u1", "c"),
    "parameters": ("i4", "c"),
    "right": ("i4", "cse"),
    "losses": ("f4", "cse"),
    "certified": ("i1", "cs"),
    "rho": ("f8", "cs"),
    "seconds": ("f4", "cs"),
    "reason": ("U", "cs"),
}
FAILED = -1
# Unpacked; the tables that are shipped have less than one of these megabytes.
MOST_BYTES = 64 << 20


@dataclass(frozen=True, eq=False)
class Table:
    """Results of full trainings, classes by seeds. Scores are exact: they are stored as numbers of right answers.

    Attributes:
        space: settings that every class was trained with; what a file does not hold (strategies, what follows a search)
            has its defaults.
        seeds: of the trainings, in order.
        validation_size: sequences that a score is a share of.
        masks: ``(c,)`` canonical mask of each class, in the order of :func:`graph_classes`.
        edges: ``(c,)`` number of edges.
        parameters: ``(c,)`` trainable parameters.
        right: ``(c, s, e)`` right answers on validation data after each epoch; -1 where the training failed.
        losses: ``(c, s, e)`` mean training loss of each epoch; NaN where the training failed.
        certified: ``(c, s)`` 1 if the trained network is certified, 0 if it is not, -1 if it was not judged.
        rho: ``(c, s)`` certified factor a step; NaN where there is none.
        seconds: ``(c, s)`` that the training took.
        reason: ``(c, s)`` why it failed, or empty.
        versions: of what the results depend on.
    """

    space: SearchSpace
    seeds: tuple[int, ...]
    validation_size: int
    masks: NDArray[np.int64]
    edges: NDArray[np.int64]
    parameters: NDArray[np.int64]
    right: NDArray[np.int64]
    losses: NDArray[np.float32]
    certified: NDArray[np.int64]
    rho: NDArray[np.float64]
    seconds: NDArray[np.float32]
    reason: NDArray[np.str_]
    versions: Mapping[str, str]

    @property
    def epochs(self) -> int:
        """Of a full training."""
        return int(self.right.shape[2])

    @property
    def complete(self) -> bool:
        """Whether every class is there."""
        return len(self.masks) == N_CLASSES

    @property
    def complete_to(self) -> int:
        """Largest number of edges up to which every class is there; 0 if there is none."""
        classes = graph_classes()
        # Classes are in order of edges: those up to a number of edges are the first so many.
        sizes = {edges: classes.within(edges) for edges in sorted(set(classes.edges.tolist()))}
        whole = [edges for edges, n in sizes.items() if np.array_equal(self.masks[:n], classes.masks[:n])]
        return max(whole, default=0)

    @cached_property
    def accuracy(self) -> NDArray[np.float64]:
        """Validation accuracy after each epoch, ``(c, s, e)``; 0 where the training failed."""
        return np.maximum(self.right, 0) / self.validation_size

    def scores(self, epochs: int | None = None) -> NDArray[np.float64]:
        """Validation accuracy after so many epochs, all of them where not given, ``(c, s)``; 0 for a failed training.

        Raises:
            InputError: if the table does not go so far.
        """
        last = self.epochs if epochs is None else epochs
        if not 1 <= last <= self.epochs:
            raise InputError(f"epochs must be from 1 to {self.epochs} in this table, got {epochs}")
        return self.accuracy[:, :, last - 1]

    def evaluation(self, row: int, column: int, *, epochs: int | None = None) -> Evaluation:
        """The result of one training as a search would have it, stopped after so many epochs if asked."""
        parameters, seconds = int(self.parameters[row]), float(self.seconds[row, column])
        if self.reason[row, column]:
            return Evaluation.failure(str(self.reason[row, column]), seconds=seconds)
        curve = tuple(self.accuracy[row, column].tolist())
        certified, rho = int(self.certified[row, column]), float(self.rho[row, column])
        full = Evaluation(
            score=curve[-1],
            curve=curve,
            losses=tuple(self.losses[row, column].tolist()),
            best_epoch=int(np.argmax(self.right[row, column])) + 1,
            parameters=parameters,
            seconds=seconds,
            certified=None if certified < 0 else bool(certified),
            rho=None if np.isnan(rho) else rho,
        )
        return full if epochs is None or epochs == self.epochs else full.after(epochs)

    @classmethod
    def from_evaluations(
        cls,
        space: SearchSpace,
        seeds: Sequence[int],
        evaluations: Mapping[tuple[int, int], Evaluation],
        *,
        validation_size: int,
    ) -> Table:
        """A table from results by mask and seed, of every class that all seeds are there for.

        Raises:
            ValueError: if a score is no share of the validation data, or parameters differ between seeds.
        """
        classes = graph_classes()
        rows = [row for row, mask in enumerate(classes.masks) if all((int(mask), s) in evaluations for s in seeds)]
        shape = (len(rows), len(seeds), space.training.epochs)
        right = np.full(shape, FAILED, dtype=np.int64)
        losses = np.full(shape, np.nan, dtype=np.float32)
        certified = np.full(shape[:2], -1, dtype=np.int64)
        rho = np.full(shape[:2], np.nan)
        seconds = np.zeros(shape[:2], dtype=np.float32)
        reason = np.zeros(shape[:2], dtype="U40")
        parameters = np.zeros(len(rows), dtype=np.int64)
        for row, number in enumerate(rows):
            for column, seed in enumerate(seeds):
                result = evaluations[int(classes.masks[number]), seed]
                seconds[row, column] = result.seconds
                reason[row, column] = result.reason
                if result.failed:
                    continue
                right[row, column] = np.rint(np.array(result.curve) * validation_size)
                if tuple((right[row, column] / validation_size).tolist()) != result.curve:
                    raise ValueError(f"scores of mask {classes.masks[number]} are no shares of {validation_size}")
                if parameters[row] not in (0, result.parameters):
                    raise ValueError(f"mask {classes.masks[number]} has another number of parameters with seed {seed}")
                losses[row, column] = result.losses
                certified[row, column] = -1 if result.certified is None else int(result.certified)
                rho[row, column] = np.nan if result.rho is None else result.rho
                parameters[row] = result.parameters
        return cls(
            space=space,
            seeds=tuple(seeds),
            validation_size=validation_size,
            masks=classes.masks[rows],
            edges=classes.edges[rows],
            parameters=parameters,
            right=right,
            losses=losses,
            certified=certified,
            rho=rho,
            seconds=seconds,
            reason=reason,
            versions=versions(),
        )

    def save(self, path: Path) -> None:
        """Write the table to one compressed ``.npz``, whole or not at all.

        Raises:
            OSError: if the file cannot be written.
        """
        about = {
            "format": FORMAT,
            # How a search goes has no part in the results, and its settings grow with every new strategy.
            "space": self.space.model_dump(mode="json", exclude={"search", "after", "probe"}),
            "seeds": list(self.seeds),
            "validation_size": self.validation_size,
            "versions": dict(self.versions),
        }
        arrays: dict[str, Any] = {
            name: getattr(self, name) if kind == "U" else getattr(self, name).astype(kind)
            for name, (kind, _) in _ARRAYS.items()
        }
        buffer = io.BytesIO()
        np.savez_compressed(buffer, about=np.array(json.dumps(about, allow_nan=False)), **arrays)
        write_atomically(path, buffer.getvalue())

    @classmethod
    def load(cls, path: Path) -> Table:
        """Read what :meth:`save` wrote.

        Raises:
            InputError: if the file is missing or is no such table.
        """
        content = read_bytes(path, "table")
        try:
            arrays = unpack(content, ("about", *_ARRAYS), most_bytes=MOST_BYTES)
            if len(arrays) <= len(_ARRAYS):
                raise ValueError(f"arrays {', '.join({'about', *_ARRAYS} - set(arrays))} are missing")
            about = json.loads(str(arrays.pop("about")))
            if about["format"] != FORMAT:
                raise ValueError(f"format {about['format']!r}")
            space = SearchSpace.model_validate(about["space"])
            check_space(space)
            seeds, size = tuple(int(seed) for seed in about["seeds"]), int(about["validation_size"])
            _check(arrays, {"c": len(arrays["masks"]), "s": len(seeds), "e": space.training.epochs}, size)
            return cls(
                space=space,
                seeds=seeds,
                validation_size=size,
                versions={str(name): str(version) for name, version in about["versions"].items()},
                **{name: _widened(array) for name, array in arrays.items()},
            )
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError, OverflowError) as error:
            # Whatever is not there raises one of these, and pydantic's message has many lines.
            detail = "its settings are not valid" if isinstance(error, ValidationError) else str(error)
            reason = (detail or type(error).__name__).splitlines()[0]
            raise InputError(f"table at {path} is corrupt or not one: expected {FORMAT} ({reason})") from None


def _widened(array: NDArray[Any]) -> NDArray[Any]:
    return array.astype(np.int64) if array.dtype.kind in "iu" else array


def _check(arrays: dict[str, NDArray[Any]], lengths: dict[str, int], validation_size: int) -> None:
    for name, (kind, axes) in _ARRAYS.items():
        array = arrays[name]
        shape = tuple(lengths[axis] for axis in axes)
        if array.shape != shape or (array.dtype.kind != "U" if kind == "U" else array.dtype.str[1:] != kind):
            raise ValueError(f"{name} is {array.dtype} of shape {array.shape}, expected {kind} of shape {shape}")
    classes, masks = graph_classes(), arrays["masks"].astype(np.int64)
    if (masks >= len(classes.index)).any():
        raise ValueError("masks are no graphs of six areas")
    rows = classes.index[masks]
    if not np.array_equal(classes.masks[rows], masks) or (np.diff(rows) <= 0).any():
        raise ValueError("masks are not the canonical ones in order")
    if not np.array_equal(classes.edges[rows], arrays["edges"]):
        raise ValueError("edges do not fit the masks")
    right, failed = arrays["right"], arrays["reason"] != ""
    if validation_size < 1 or right.max(initial=0) > validation_size or right.min(initial=0) < FAILED:
        raise ValueError(f"right answers are not from 0 to {validation_size}")
    if not np.array_equal((right == FAILED).any(axis=2), failed):
        raise ValueError("failed trainings and their reasons do not agree")


def load_table(task_or_file: str | Path) -> Table:
    """The shipped table of a task, or one from a file.

    Raises:
        InputError: if there is no such table, or the file is none.
    """
    name = str(task_or_file)
    if name not in topobench_tasks():
        if not Path(name).suffix:
            raise InputError(f"unknown task {name!r}: expected a file or one of {', '.join(topobench_tasks())}")
        return Table.load(Path(name))
    path = table_path(name)
    if not path.is_file():
        raise InputError(f"task {name!r} has no table at {path}: expected one; make it with bench make --task {name}")
    return Table.load(path)
