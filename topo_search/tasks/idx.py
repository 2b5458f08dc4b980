"""A strict reader of IDX files, the format of MNIST and Fashion-MNIST.

The format (Y. LeCun, C. Cortes, C. Burges, "The MNIST database of handwritten digits"): two zero bytes, a type code
(8: unsigned byte), the number of dimensions, each dimension as a big-endian 32-bit integer, then the values, last
dimension fastest.
"""

from __future__ import annotations

import gzip
import math
import struct
import zlib
from pathlib import Path
from typing import IO, cast

import numpy as np
from numpy.typing import NDArray

from topo_search.errors import InputError

__all__ = ["find_idx", "read_idx"]

_UNSIGNED_BYTE = 8
# Far above the data sets of this format (MNIST: 47 MB): what a header may ask for.
_MOST_BYTES = 1 << 32
_CHUNK = 1 << 20


def find_idx(folder: Path, name: str) -> Path | None:
    """The plain file ``name`` of ``folder``, else ``name.gz``, else None."""
    return next((path for path in (folder / name, folder / f"{name}.gz") if path.is_file()), None)


def read_idx(path: Path, *, shape: tuple[int, ...] = ()) -> NDArray[np.uint8]:
    """Reads an IDX file of unsigned bytes, plain or (by its ``.gz`` ending) compressed.

    Args:
        path: The file.
        shape: The dimensions after the first: ``(28, 28)`` for images of that size, ``()`` for labels.

    Returns:
        ``(n, *shape)``, read-only.

    Raises:
        InputError: The file cannot be read, is not IDX, has other dimensions, or is not exactly as long as its header
            says.
    """
    magic = bytes((0, 0, _UNSIGNED_BYTE, 1 + len(shape)))
    header = 4 + 4 * (1 + len(shape))
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            data = _bounded(cast("IO[bytes]", file), header, math.prod(shape))
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(f"cannot read {path}: {getattr(error, 'strerror', None) or error}") from error
    if data[:4] != magic:
        raise InputError(
            f"not an IDX file of {1 + len(shape)}-d bytes: expected magic {magic!r}, got {data[:4]!r}: {path}"
        )
    if len(data) < header:
        raise InputError(f"truncated IDX file: expected {header} bytes of header, got {len(data)}: {path}")
    count, *rest = struct.unpack(f">{1 + len(shape)}I", data[4:header])
    if tuple(rest) != shape:
        raise InputError(f"IDX file: expected entries of shape {shape}, got {tuple(rest)}: {path}")
    expected = header + count * math.prod(shape)
    if len(data) != expected:
        kind = "truncated IDX file" if len(data) < expected else "IDX file with bytes after its end"
        raise InputError(f"{kind}: expected {expected} bytes for {count} entries, got {len(data)}: {path}")
    if count == 0:
        raise InputError(f"IDX file without entries: {path}")
    return np.frombuffer(data, dtype=np.uint8, offset=header).reshape(count, *shape)


def _bounded(file: IO[bytes], header: int, entry: int) -> bytes:
    """The header and as many bytes as it speaks of, and one more where there are more.

    A small compressed file can hold any number of bytes.
    """
    parts = [file.read(header)]
    left = int.from_bytes(parts[0][4:8], "big") * entry + 1
    if left <= _MOST_BYTES:
        while left and (part := file.read(min(_CHUNK, left))):
            parts.append(part)
            left -= len(part)
    return b"".join(parts)
