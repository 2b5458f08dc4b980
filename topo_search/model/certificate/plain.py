"""The verdict on matrices that another program made: a network in its own coordinates, with its own metric.

``tau x' = -x + W phi(x) + L x + u``, stepped by forward Euler, phi acting unit by unit with slopes in [0, g]. With the
metric ``M = F^T F`` and ``y = F x`` it is judged as ``g F W``, ``V = F^-1`` and ``F L F^-1``, whose symmetric part is
measured and counted: no convention of how L was made is assumed. Negative feedback in the metric M is a skew M L, that
is ``L = B - M^-1 B^T M`` (Kozachkov, Ennis and Slotine, RNNs of RNNs, arXiv 2106.08928). ``L = B - B^T`` is that only
where M is a multiple of the identity, and with M and its inverse exchanged it is another condition.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from topo_search.errors import InputError
from topo_search.model.certificate.eigen import Matrix, Vector, largest_eigenvalue, symmetric_part, weight_magnitudes
from topo_search.model.certificate.frame import Frame
from topo_search.model.certificate.judge import certify_frame
from topo_search.model.certificate.network import NetworkMatrices
from topo_search.model.certificate.verdict import Certificate
from topo_search.npz import array_names, unpack

__all__ = ["certify_plain", "load_plain"]

# Three float64 matrices of 8,192 units.
MOST_BYTES = 3 << 29
KNOWN = ("W", "L", "M", "dt", "tau", "slope", "sizes")
# A symmetric part of this share of the coupling is more than rounding.
ROUNDING = 1e-9


@dataclass(frozen=True)
class _Plain:
    """Arrays that were checked."""

    weights: Matrix
    coupling: Matrix
    metric: Matrix | Vector | None
    dt: float
    tau: float
    slope: float
    sizes: tuple[int, ...]


def load_plain(path: str | Path) -> dict[str, NDArray[Any]]:
    """Arrays of an ``.npz`` file; nothing is unpickled.

    Raises:
        InputError: if the file is missing, corrupt, no ``.npz`` file, or holds an array that means nothing here.
    """
    try:
        content = Path(path).read_bytes()
        names = array_names(content)
        arrays = unpack(content, KNOWN, most_bytes=MOST_BYTES)
    except FileNotFoundError:
        raise InputError(f"no file {path}: expected an .npz file with arrays W and L") from None
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read: expected an .npz file with arrays W and L ({error})") from None
    _check_names(names, f"{path}: ")
    return arrays


def certify_plain(arrays: Mapping[str, NDArray[Any]]) -> Certificate:
    """Judge a network of plain matrices under forward Euler.

    Args:
        arrays: ``W`` and ``L``, ``(N, N)``, in the network's own coordinates; ``dt``; and where they differ from the
            defaults ``M``, ``(N,)`` positive or ``(N, N)`` symmetric positive definite (the identity), ``tau`` (1),
            ``slope`` g, the largest slope of phi (1), and ``sizes``, units of each area (one area).

    Raises:
        InputError: if an array is missing, unknown, of another shape, not finite, or M is not a metric.
    """
    _check_names(arrays)
    plain = _checked(arrays)
    forward, back = _change_of_coordinates(plain)
    weights, linear = plain.slope * plain.weights, plain.coupling
    gauge = None
    if forward is not None and back is not None:
        linear = forward @ linear @ back
        weights = forward @ weights
        if plain.metric is not None and plain.metric.ndim == 1:
            # A diagonal V commutes with the slopes.
            weights = weights @ back
        else:
            gauge = back
    skew, symmetric = 0.5 * (linear - linear.T), symmetric_part(linear)
    sizes = plain.sizes if _block_diagonal(plain) else (len(weights),)
    ones, h = np.ones(len(weights)), plain.dt / plain.tau
    frame = Frame(sizes, h, ones, weights, gauge, None, skew, symmetric if symmetric.any() else None)
    network = NetworkMatrices(
        sizes, (), weights, np.zeros_like(weights), None, "euler", plain.dt, plain.tau, stability="continuous"
    )
    try:
        certificate = certify_frame(frame, network, defect="")
    except np.linalg.LinAlgError as error:
        raise InputError(f"arrays cannot be judged: {error} (extreme weights)") from None
    return replace(certificate, notes=(*certificate.notes, *_notes(plain, certificate)))


def _check_names(names: Iterable[str], where: str = "") -> None:
    """Raise InputError for an unknown name: without its array the verdict could be that of another network."""
    for name in names:
        if name not in KNOWN:
            close = difflib.get_close_matches(name, KNOWN, n=1)
            hint = f" (did you mean {close[0]!r}?)" if close else ""
            raise InputError(f"{where}unknown array {name!r}: expected {', '.join(KNOWN)}{hint}")


def _checked(arrays: Mapping[str, NDArray[Any]]) -> _Plain:
    missing = [name for name in ("W", "L", "dt") if name not in arrays]
    if missing:
        raise InputError(f"arrays cannot be judged: expected W, L and dt, missing {', '.join(missing)}")
    weights, coupling = _matrix(arrays, "W"), _matrix(arrays, "L")
    if weights.shape != coupling.shape:
        raise InputError(f"L cannot be judged: expected the shape of W, {weights.shape}, got {coupling.shape}")
    dt, tau, slope = (_number(arrays, name, default) for name, default in (("dt", 0.0), ("tau", 1.0), ("slope", 1.0)))
    if not 0 < dt <= tau:
        raise InputError(f"dt and tau cannot be judged: expected 0 < dt <= tau, got dt {dt}, tau {tau}")
    if not slope > 0:
        raise InputError(f"slope cannot be judged: expected a positive number, got {slope}")
    metric = _metric(arrays["M"], len(weights)) if "M" in arrays else None
    return _Plain(weights, coupling, metric, dt, tau, slope, _sizes(arrays, len(weights)))


def _floats(array: NDArray[Any], name: str) -> Matrix:
    if array.dtype.kind not in "fiu":
        raise InputError(f"{name} cannot be judged: expected real numbers, got {array.dtype}")
    numbers = array.astype(np.float64)
    if not np.isfinite(numbers).all():
        raise InputError(f"{name} cannot be judged: expected finite numbers, found NaN or infinity")
    return numbers


def _matrix(arrays: Mapping[str, NDArray[Any]], name: str) -> Matrix:
    matrix = _floats(np.asarray(arrays[name]), name)
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1] or matrix.size == 0:
        raise InputError(f"{name} cannot be judged: expected a square matrix, got shape {matrix.shape}")
    return matrix


def _number(arrays: Mapping[str, NDArray[Any]], name: str, default: float) -> float:
    if name not in arrays:
        return default
    value = _floats(np.asarray(arrays[name]), name)
    if value.size != 1:
        raise InputError(f"{name} cannot be judged: expected one number, got shape {value.shape}")
    return float(value.reshape(()))


def _metric(array: NDArray[Any], n: int) -> Matrix | Vector:
    metric = _floats(np.asarray(array), "M")
    if metric.shape not in {(n,), (n, n)}:
        raise InputError(f"M cannot be judged: expected shape ({n},) or ({n}, {n}), got {metric.shape}")
    if metric.ndim == 2:
        if np.abs(metric - metric.T).max() > 1e-9 * np.abs(metric).max():
            raise InputError("M is not a metric: expected a symmetric matrix")
        metric = symmetric_part(metric)
        if not metric[~np.eye(n, dtype=bool)].any():
            metric = np.diag(metric).copy()
    least = metric.min() if metric.ndim == 1 else np.linalg.eigvalsh(metric)[0]
    # Below this share of the largest an eigenvalue of a full matrix has no digit left.
    floor = 0.0 if metric.ndim == 1 else 1e-13 * float(np.abs(metric).max())
    if not least > floor:
        raise InputError(f"M is not a metric: expected a positive definite matrix, smallest eigenvalue {least:.4g}")
    return metric


def _sizes(arrays: Mapping[str, NDArray[Any]], n: int) -> tuple[int, ...]:
    if "sizes" not in arrays:
        return (n,)
    sizes = np.atleast_1d(np.asarray(arrays["sizes"]))
    if sizes.ndim != 1 or sizes.dtype.kind not in "iu" or sizes.size == 0 or sizes.min() < 1 or int(sizes.sum()) != n:
        raise InputError(f"sizes cannot be judged: expected positive integers that sum to {n}")
    return tuple(int(size) for size in sizes)


def _change_of_coordinates(plain: _Plain) -> tuple[Matrix | None, Matrix | None]:
    """F and its inverse, ``M = F^T F``; ``None`` for the identity."""
    if plain.metric is None:
        return None, None
    if plain.metric.ndim == 1:
        root = np.sqrt(plain.metric)
        return np.diag(root), np.diag(1 / root)
    values, vectors = np.linalg.eigh(plain.metric)
    root = np.sqrt(values)
    return (vectors * root) @ vectors.T, (vectors / root) @ vectors.T


def _block_diagonal(plain: _Plain) -> bool:
    """Whether W and M keep to the areas."""
    inside = np.zeros(plain.weights.shape, dtype=bool)
    for first, last in pairwise(np.cumsum([0, *plain.sizes]).tolist()):
        inside[first:last, first:last] = True
    full = plain.metric is not None and plain.metric.ndim == 2 and bool(plain.metric[~inside].any())
    return not full and not plain.weights[~inside].any()


def _notes(plain: _Plain, certificate: Certificate) -> tuple[str, ...]:
    notes = []
    if certificate.coupling_symmetric_part > ROUNDING * certificate.coupling_norm:
        notes.append(
            "L is not negative feedback in this metric: its symmetric part there has eigenvalue "
            f"{certificate.coupling_symmetric_part:.4g} (M L would have to be skew)"
        )
    if plain.metric is None:
        notes.append("no M was given: judged in the identity metric")
        areas = _theorem1_rate(plain.slope * plain.weights) if _block_diagonal(plain) else 0.0
        if areas > 0:
            notes.append(
                f"in the metric diag(w / v) of Theorem 1, of the magnitudes of W, the areas alone contract at rate "
                f"{areas:.4g}: give it as M, and an L with M L skew"
            )
    return tuple(notes)


def _theorem1_rate(weights: Matrix) -> float:
    """``1 - lmax(sym |W~|)`` in the metric ``w / v`` with ``v = (I - |W|)^-1 1``, ``w = (I - |W|^T)^-1 1``; else 0."""
    difference = np.eye(len(weights)) - weight_magnitudes(weights)
    try:
        right, left = (np.linalg.solve(matrix, np.ones(len(weights))) for matrix in (difference, difference.T))
    except np.linalg.LinAlgError:
        return 0.0
    if not (right.min() > 0 and left.min() > 0):
        return 0.0
    root = np.sqrt(left / right)
    rate = 1 - largest_eigenvalue(symmetric_part(weight_magnitudes(root[:, None] * weights / root)))
    return rate if math.isfinite(rate) else 0.0
