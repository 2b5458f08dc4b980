"""CIFAR-10's binary version: records of one label byte and 3,072 pixel bytes."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from topo_search.errors import InputError
from topo_search.tasks.source import ImagePart

__all__ = ["BATCHES_FOLDER", "TEST_FILE", "TRAIN_FILES", "open_binary"]

BATCHES_FOLDER = "cifar-10-batches-bin"
TRAIN_FILES = tuple(f"data_batch_{number}.bin" for number in range(1, 6))
TEST_FILE = "test_batch.bin"

_SIDE, _COLOURS, _CLASSES = 32, 3, 10
_RECORD = 1 + _COLOURS * _SIDE * _SIDE


def open_binary(files: Sequence[Path]) -> ImagePart:
    """Opens files of records, one after the other; pixels are read only where asked for.

    A record is the label, then 1,024 bytes each of red, green and blue, row by row.

    Args:
        files: The files, which have one length in CIFAR-10, so that one cut at a record's end is noticed.

    Returns:
        The images as ``(n, 32, 32, 3)``.

    Raises:
        InputError: A file is missing, is not a whole number of records, is shorter than its siblings, or holds a
            label above 9.
    """
    records = [_map_records(path) for path in files]
    longest = max(len(batch) for batch in records)
    for path, batch in zip(files, records, strict=True):
        if len(batch) != longest:
            raise InputError(f"truncated file: expected {longest} images as in its siblings, got {len(batch)}: {path}")
        highest = int(batch[:, 0].max())
        if highest >= _CLASSES:
            raise InputError(f"label out of range: expected 0 to {_CLASSES - 1}, got {highest}: {path}")
    labels = np.concatenate([batch[:, 0] for batch in records]).astype(np.int64)
    return ImagePart(labels=labels, read=partial(_read_records, records))


def _map_records(path: Path) -> NDArray[np.uint8]:
    try:
        size = path.stat().st_size
        if size == 0 or size % _RECORD != 0:
            raise InputError(f"truncated file: expected a multiple of {_RECORD} bytes, got {size}: {path}")
        return np.memmap(path, dtype=np.uint8, mode="r").reshape(-1, _RECORD)
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}") from error


def _read_records(records: list[NDArray[np.uint8]], indices: NDArray[np.int64]) -> NDArray[np.uint8]:
    images = np.empty((len(indices), _SIDE, _SIDE, _COLOURS), dtype=np.uint8)
    per_file = len(records[0])
    for number, batch in enumerate(records):
        places = np.flatnonzero(indices // per_file == number)
        planes = batch[indices[places] % per_file, 1:].reshape(-1, _COLOURS, _SIDE, _SIDE)
        images[places] = planes.transpose(0, 2, 3, 1)
    return images
