"""Arrays and data sets: tables of TopoBench, matrices of other programs, IDX and CIFAR-10."""

from __future__ import annotations

import gzip
import io
import struct
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from support.topobench import formula_table

from fuzzing.damage import damage
from fuzzing.harness import Case, Files, Target
from topo_search.model import Certificate
from topo_search.model.certificate.plain import certify_plain, load_plain
from topo_search.tasks.cifar_binary import open_binary
from topo_search.tasks.idx import read_idx
from topo_search.tasks.source import ImagePart
from topo_search.topobench import Table, graph_classes


@cache
def _table() -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "table.npz"
        formula_table().save(path)
        return path.read_bytes()


def _check_table(table: Table, case: Case) -> None:
    del case
    classes = graph_classes()
    assert set(table.masks.tolist()) <= set(classes.masks.tolist())
    assert np.isfinite(table.accuracy).all()
    assert table.accuracy.min(initial=0) >= 0
    assert table.accuracy.max(initial=0) <= 1
    assert table.reason.dtype.kind == "U"
    assert len(table.seeds) == len(set(table.seeds))


TABLE = Target(
    lambda: [{"table.npz": _table()}], damage(), lambda folder: Table.load(folder / "table.npz"), _check_table
)


def _plain_arrays() -> list[Files]:
    rng, found = np.random.default_rng(0), []
    for extra in ({}, {"M": np.ones(4), "tau": np.array(1.0), "slope": np.array(1.0), "sizes": np.array([2, 2])}):
        buffer, lower = io.BytesIO(), rng.normal(size=(4, 4))
        arrays: dict[str, Any] = {"W": np.eye(4) * 0.2, "L": (lower - lower.T) * 0.1, "dt": np.array(0.1), **extra}
        np.savez(buffer, **arrays)
        found.append({"arrays.npz": buffer.getvalue()})
    return found


def _check_plain(certificate: Certificate, case: Case) -> None:
    if not certificate.certified:
        assert certificate.reason
        return
    assert 0 < certificate.rho < 1
    with np.load(io.BytesIO(case.files["arrays.npz"]), allow_pickle=False) as file:
        arrays = {
            name: file[name].astype(float) for name in file.files if name in {"W", "L", "M", "dt", "tau", "slope"}
        }
    # Numbers may come as arrays of one number.
    dt, tau, slope = (float(np.ravel(arrays.get(name, 1.0))[0]) for name in ("dt", "tau", "slope"))
    h = dt / tau
    metric = arrays.get("M", np.ones(len(arrays["W"])))
    root = np.linalg.cholesky(np.diag(metric) if metric.ndim == 1 else metric).T
    rng, eye = np.random.default_rng(0), np.eye(len(root))
    for _ in range(20):
        slopes = slope * rng.integers(0, 2, len(root))
        step = (1 - h) * eye + h * arrays["W"] * slopes + h * arrays["L"]
        assert np.linalg.norm(root @ step @ np.linalg.inv(root), 2) <= certificate.rho + 1e-6


PLAIN_ARRAYS = Target(
    _plain_arrays, damage(), lambda folder: certify_plain(load_plain(folder / "arrays.npz")), _check_plain
)


def _idx() -> list[Files]:
    images = struct.pack(">4B3I", 0, 0, 8, 3, 5, 4, 4) + bytes(range(80))
    return [{"images.idx": images}, {"images.gz": gzip.compress(images, mtime=0)}]


def _check_idx(images: NDArray[np.uint8], case: Case) -> None:
    del case
    assert images.dtype == np.uint8
    assert images.shape[1:] == (4, 4)
    assert len(images) >= 1


IDX = Target(_idx, damage(), lambda folder: read_idx(next(folder.iterdir()), shape=(4, 4)), _check_idx)


def _cifar() -> list[Files]:
    record = bytes(3073)
    return [{"1.bin": record * 2, "2.bin": bytes([9]) + record[1:] + record}]


def _check_cifar(part: ImagePart, case: Case) -> None:
    count = sum(len(content) for content in case.files.values()) // 3073
    assert part.labels.shape == (count,)
    assert 0 <= part.labels.min() <= part.labels.max() <= 9
    assert part.read(np.arange(count)).shape == (count, 32, 32, 3)


CIFAR = Target(_cifar, damage(), lambda folder: open_binary([folder / "1.bin", folder / "2.bin"]), _check_cifar)
