"""A task as arrays for Ray's object store, where all workers of a node read them in place."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from topo_search.search.space import SearchSpace
from topo_search.tasks import Split, Task, TaskConfig

__all__ = ["pack_split", "pack_task", "unpack_split", "unpack_task"]


def pack_split(split: Split) -> dict[str, Any]:
    """Images and labels as arrays."""
    return {"inputs": np.ascontiguousarray(split.inputs.numpy()), "labels": np.ascontiguousarray(split.labels.numpy())}


def unpack_split(packed: dict[str, Any]) -> Split:
    """What :func:`pack_split` packed, on the same memory: not to be written to."""
    with warnings.catch_warnings():
        # Arrays from the object store are read-only, which torch cannot say of a tensor. Nothing writes to a split.
        warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
        return Split(torch.from_numpy(packed["inputs"]), torch.from_numpy(packed["labels"]))


def pack_task(space: SearchSpace, task: Task) -> dict[str, Any]:
    """A space and its task without the test part, as plain values and arrays.

    Under ``digest`` there is a name for all of it.
    """
    packed: dict[str, Any] = {
        "space": space.model_dump_json(),
        "config": task.config.model_dump_json(),
        "label": task.label,
        "classes": task.classes,
        "offset": task.offset,
        "scale": task.scale,
        "train": pack_split(task.train),
        "validation": pack_split(task.validation),
        "permutation": None if task.permutation is None else task.permutation.numpy(),
    }
    digest = hashlib.blake2b(digest_size=16)
    for part in ("train", "validation"):
        for array in packed[part].values():
            digest.update(repr(array.shape).encode())
            digest.update(array.tobytes())
    if packed["permutation"] is not None:
        digest.update(packed["permutation"].tobytes())
    digest.update(repr([packed[key] for key in ("space", "config", "label", "classes", "offset", "scale")]).encode())
    return {**packed, "digest": digest.hexdigest()}


def unpack_task(packed: dict[str, Any], read_test: Callable[[], Split]) -> Task:
    """The task that :func:`pack_task` packed; its arrays stay where they are.

    Args:
        packed: from the object store.
        read_test: for the test part.
    """
    permutation = packed["permutation"]
    return Task(
        config=TaskConfig.model_validate_json(packed["config"]),
        label=packed["label"],
        classes=packed["classes"],
        train=unpack_split(packed["train"]),
        validation=unpack_split(packed["validation"]),
        offset=tuple(packed["offset"]),
        scale=tuple(packed["scale"]),
        read_test=read_test,
        permutation=None if permutation is None else torch.tensor(permutation),
    )
