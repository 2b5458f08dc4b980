"""Damage to files that hold arrays: safetensors, npz, IDX, compressed or not; with headers that lie."""

from __future__ import annotations

import gzip
import io
import json
import random
import struct
import zipfile
from typing import Any

import numpy as np

from fuzzing.mutators import COMMON, JSON_ONLY, change_document, damage_bytes, with_raw

_DTYPES = ("F64", "F32", "F16", "BF16", "F8_E4M3", "F8_E5M2", "I64", "I32", "U8", "BOOL", "C64", "X")
_LENGTHS = (0, 1, 7, 2**31, 2**32, 2**40, 2**63, 2**64 - 1)
_FLOATS = (float("nan"), float("inf"), -float("inf"), 0.0, -0.0, 1e-45, -1.0, 1.0, 1e3, 1e30, 3.4e38)
_MEMBERS = ("<f8", "<f4", "<i8", "|O", "<U4", "<c16", "|V8", "<M8[s]", "|S3", "|b1", "<f2", "[('a','<f8')]")
_SHAPES = (
    "()",
    "(0,)",
    "(1,)",
    "(-1,)",
    "(2, 2)",
    "(10**12,)",
    "(1000000000000,)",
    "(268435456,)",
    "(4294967296, 4294967296)",
)


def _packed(header: bytes, data: bytes, length: int | None = None) -> bytes:
    return struct.pack("<Q", len(header) if length is None else length) + header + data


def _other_type(header: dict[str, Any], data: bytes, rng: random.Random) -> tuple[dict[str, Any], bytes]:
    """The same numbers, one tensor of them in another type, as another program may write it."""
    changed, parts, chosen = {}, b"", rng.choice([name for name in header if name != "__metadata__"])
    for name, entry in header.items():
        if name == "__metadata__":
            changed[name] = entry
            continue
        raw = data[slice(*entry["data_offsets"])]
        if name == chosen and entry["dtype"] == "F32":
            kind = rng.choice(("F64", "F16", "BF16", "F8_E4M3", "I64"))
            floats = np.frombuffer(raw, "<f4")
            entry["dtype"] = kind
            raw = {
                "F64": floats.astype("<f8").tobytes(),
                "F16": floats.astype("<f2").tobytes(),
                "BF16": floats.view("<u2")[1::2].tobytes(),
                "F8_E4M3": bytes(len(floats)),
                "I64": floats.astype("<i8").tobytes(),
            }[kind]
        changed[name] = {**entry, "data_offsets": [len(parts), len(parts) + len(raw)]}
        parts += raw
    return changed, parts


def damage_safetensors(content: bytes, rng: random.Random, others: list[bytes]) -> bytes:
    """Lengths, offsets, types and shapes that lie, tensors renamed, numbers changed."""
    size = struct.unpack("<Q", content[:8])[0]
    header, data = json.loads(content[8 : 8 + size]), bytearray(content[8 + size :])
    names = [name for name in header if name != "__metadata__"]
    entry = header[rng.choice(names)]
    shape, offsets = list(entry["shape"]), list(entry["data_offsets"])
    kind, raw, length = rng.randrange(11), [], None
    if kind == 0:
        length = rng.choice((*_LENGTHS, size - 1, size + 1))
    elif kind == 1:
        entry["dtype"] = rng.choice(_DTYPES)
    elif kind == 2:
        # As many bytes, read as others.
        entry["dtype"] = {"F32": "I32", "F64": "I64", "BOOL": "U8"}.get(str(entry["dtype"]), "F32")
    elif kind == 3:
        entry["shape"] = rng.choice((shape[::-1], [*shape, 1], [1, *shape], [2**32, 2**32], [0], [], [-1], [2**63, 2]))
    elif kind == 4:
        entry["data_offsets"] = rng.choice(
            (offsets[::-1], [0, 0], [0, 2**64 - 1], [offsets[0] + 1, offsets[1]], [-1, 3])
        )
    elif kind == 5:
        one, two = rng.choice(names), rng.choice(names)
        header[one], header[two] = header[two], header[one]
    elif kind in (6, 7) and data:
        at = rng.randrange(max(1, len(data) // 4)) * 4
        data[at : at + 4] = struct.pack("<f", rng.choice((*_FLOATS, rng.uniform(-2, 2))))
    elif kind == 8 and data:
        floats = np.frombuffer(bytes(data[: len(data) // 4 * 4]), "<f4") * np.float32(
            rng.choice((0.5, 2.0, -1.0, 100.0))
        )
        data[: len(data) // 4 * 4] = floats.tobytes()
    elif kind == 9:
        header, data = _other_type(header, bytes(data), rng)
    elif kind == 10:
        header = change_document(header, rng, raw, COMMON + JSON_ONLY)
    else:
        return damage_bytes(content, rng, others)
    return _packed(with_raw(json.dumps(header), raw, '"'), bytes(data), length)


def _member(content: bytes, rng: random.Random) -> bytes:
    """One array of an npz file with a header that lies, or other bytes."""
    kind = rng.randrange(5)
    if kind == 0:
        return damage_bytes(content, rng, [content])
    if kind == 1:
        buffer = io.BytesIO()
        np.save(buffer, np.array([{"a": 1}], dtype=object), allow_pickle=True)
        return buffer.getvalue()
    if kind == 2:
        array = np.load(io.BytesIO(content), allow_pickle=False)
        buffer = io.BytesIO()
        changed = array.copy()
        if changed.dtype.kind in "fiu" and changed.size:
            with np.errstate(all="ignore"):
                changed.flat[rng.randrange(changed.size)] = rng.choice((0, 1, 2, 100))
        np.save(
            buffer, rng.choice((changed, changed.astype("U40"), changed[:1] if changed.ndim else changed, changed.T))
        )
        return buffer.getvalue()
    header = f"{{'descr': '{rng.choice(_MEMBERS)}', 'fortran_order': False, 'shape': {rng.choice(_SHAPES)}, }}"
    if kind == 4:
        header = damage_bytes(header.encode(), rng, [b"(" * 9000]).decode("latin1")
    text = header.encode("latin1", "replace") + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text) & 0xFFFF) + text + content[128:]


def damage_npz(content: bytes, rng: random.Random, others: list[bytes]) -> bytes:
    """Bytes of the archive, or an array in it."""
    if rng.random() < 0.35:
        return damage_bytes(content, rng, others)
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    name = rng.choice(list(members))
    if rng.random() < 0.1:
        del members[name]
    elif rng.random() < 0.1:
        members[f"{name}\x1b[2J"] = members[name]
    elif name == "about.npy" and rng.random() < 0.8:
        raw: list[str] = []
        document = change_document(json.loads(str(np.load(io.BytesIO(members[name])))), rng, raw, COMMON + JSON_ONLY)
        buffer = io.BytesIO()
        np.save(buffer, np.array(with_raw(json.dumps(document), raw, '"').decode("utf-8", "replace")))
        members[name] = buffer.getvalue()
    else:
        members[name] = _member(members[name], rng)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", rng.choice((zipfile.ZIP_DEFLATED, zipfile.ZIP_STORED))) as archive:
        for member, data in members.items():
            archive.writestr(member, data)
    return buffer.getvalue()


def damage_idx(content: bytes, rng: random.Random, others: list[bytes]) -> bytes:
    """The numbers of an IDX header; inside the compression, where there is one."""
    packed = content[:2] == b"\x1f\x8b"
    if rng.random() < 0.4:
        return damage_bytes(content, rng, others)
    data = bytearray(gzip.decompress(content)) if packed else bytearray(content)
    place = rng.choice((0, 2, 3, 4, 8, 12))
    if rng.random() < 0.05:
        data += bytes(1 << 31 if packed and rng.random() < 0.02 else 1 << 20)
    data[place : place + 4] = struct.pack(">I", rng.choice((0, 1, 5, 2**16, 2**31, 2**32 - 1)))
    return gzip.compress(bytes(data), 1) if packed else bytes(data)
