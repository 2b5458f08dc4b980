"""Arrays of an ``.npz`` file, read with suspicion: nothing unpickled, nothing made larger than it may be."""

from __future__ import annotations

import io
import math
import struct
import tokenize
import zipfile
import zlib
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

__all__ = ["array_names", "unpack"]


def array_names(content: bytes) -> list[str]:
    """The names of what an ``.npz`` file holds, without ``.npy``; a member that does not end so is marked.

    Raises:
        ValueError: in one line, if the file is no archive.
    """
    with _one_error(), zipfile.ZipFile(io.BytesIO(content)) as archive:
        names = archive.namelist()
    return [name.removesuffix(".npy") if name.endswith(".npy") else f"{name} (no .npy)" for name in names]


def unpack(content: bytes, names: Collection[str], *, most_bytes: int) -> dict[str, NDArray[Any]]:
    """The arrays of these names that an ``.npz`` file holds, read-only.

    Args:
        content: of the file.
        names: of the arrays, without ``.npy``; others are not looked at.
        most_bytes: that all of them may have, unpacked; a small archive can hold any number.

    Raises:
        ValueError: in one line, if the file is damaged, holds objects, or more than ``most_bytes``.
    """
    found: dict[str, NDArray[Any]] = {}
    with _one_error(), zipfile.ZipFile(io.BytesIO(content)) as archive:
        there = set(archive.namelist())
        for name in names:
            if f"{name}.npy" not in there:
                continue
            with archive.open(f"{name}.npy") as member:
                data = member.read(most_bytes + 1)
            most_bytes -= len(data)
            if most_bytes < 0:
                raise ValueError("its arrays are too large")
            found[name] = _array(data, name)
    return found


@contextmanager
def _one_error() -> Iterator[None]:
    """Whatever a damaged archive raises, as ValueError."""
    try:
        yield
    except (zipfile.BadZipFile, zlib.error, struct.error, EOFError, OSError, RuntimeError) as error:
        # RuntimeError stands for encryption and, as NotImplementedError, for other kinds of compression.
        raise ValueError(str(error) or type(error).__name__) from None


def _array(data: bytes, name: str) -> NDArray[Any]:
    file = io.BytesIO(data)
    try:
        version = npy.read_magic(file)
        read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
        shape, by_columns, dtype = read(file)
        if dtype.hasobject or min(shape, default=0) < 0 or version > (2, 0):
            raise ValueError("expected plain numbers or text")
        start = file.tell()
        if math.prod(shape) * dtype.itemsize != len(data) - start:
            raise ValueError("its length is not that of its shape")
        flat: NDArray[Any] = np.frombuffer(data, dtype, offset=start) if len(data) > start else np.zeros(shape, dtype)
        return flat.reshape(shape, order="F" if by_columns else "C")
    except (ValueError, TypeError, SyntaxError, tokenize.TokenError, RecursionError, MemoryError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ValueError(f"array {name} is damaged: {reason}") from None
