"""Nonlinear couplings from free parameters: scaled down until a small-gain bound certifies the network.

Each bound of :mod:`topo_search.model.certificate.small_gain` certifies a coupling ``C`` exactly while a number that is
homogeneous of degree 1 in C, its *root*, stays below 1. With ``N = [r_i ||C_ij||_2]`` and the areas' rates Lambda:

- ``scaled``: the spectral radius of ``Lambda^-1 N``, areas being scaled freely;
- ``aligned``: ``lmax(Lambda^-1/2 A Lambda^-1/2)``, ``A_ij = (||L_ij + L_ji^T|| + N_ij + N_ji) / 4``, ``L = R C``;
- ``whole``: ``(mu(L) + ||L||) / (2 min Lambda)``, ``mu(L) = lmax(sym L)``;
- ``norm``: ``||L|| / min Lambda``, which is certified by the former.

For areas of rates ``r_i (1 - s_i)``, ``scaled`` and ``norm`` hold for explicit steps too, at every ``h <= 1``: their
blocks stay below the rate in norm. ``aligned`` and ``whole`` are statements on continuous time.

``C = (1 - margin) / root * R`` wherever the root of R exceeds ``1 - margin``, so couplings inside are left alone.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse.csgraph import connected_components
from torch import Tensor

from topo_search.engine import AreaLayout

__all__ = ["Bound", "project_small_gain"]

Bound = Literal["scaled", "aligned", "whole", "norm"]


class _Coupling(NamedTuple):
    """A coupling with speeds in it, in float64, packed as forward and backward blocks."""

    layout: AreaLayout
    forward: Tensor
    backward: Tensor
    rates: Tensor


def project_small_gain(
    layout: AreaLayout,
    forward: Tensor,
    backward: Tensor,
    rates: Tensor,
    *,
    margin: float,
    speeds: Tensor | None = None,
    bounds: Sequence[Bound] = ("scaled",),
) -> tuple[Tensor, Tensor]:
    """Scale a nonlinear coupling down until one of the bounds certifies it.

    Args:
        layout: sizes and edges.
        forward: blocks ``R_ji`` of shape ``(n_j, n_i)`` for edges ``i < j``, packed, ``(n_coupling,)``.
        backward: blocks ``R_ij``, stored transposed, packed alike.
        rates: ``(p,)``, positive: the certified rate of each area, its speed included (``r_i lambda_i``).
        margin: how far below the limit the coupling is held, in ``(0, 1)``; at least 1e-6 where it is stored in
            float32.
        speeds: ``(p,)``, r of each area; 1 when None.
        bounds: which bounds may be relied on; the one that admits the largest coupling serves. ``scaled`` only in
            networks without linear coupling.

    Returns:
        The blocks of C, packed alike; differentiable, with finite gradients also for zero couplings and repeated roots.
        A coupling that is not finite comes back as it is: the next loss shows that the training diverged.

    Raises:
        ValueError: if the margin or a rate is out of range, or no bound is named.
    """
    p = len(layout.sizes)
    if not 0 < margin < 1 or not bounds:
        raise ValueError(f"expected a margin between 0 and 1 and at least one bound, got {margin} and {tuple(bounds)}")
    if rates.shape != (p,) or not bool((rates > 0).all()):
        raise ValueError(f"rates must be {p} positive numbers, one an area, got {rates.tolist()}")
    if not layout.edges or not bool(torch.isfinite(forward).all() & torch.isfinite(backward).all()):
        return forward, backward
    into, out_of = (_per_entry(layout, end, speeds) for end in (1, 0))
    coupling = _Coupling(layout, forward.double() * into, backward.double() * out_of, rates.double())
    root = torch.stack([_ROOTS[name](coupling) for name in bounds]).min()
    # The least of 1 and (1 - margin) / root; in this order, a coupling inside keeps its bits, and zero divides nothing.
    scale = 1 / torch.clamp(root / (1 - margin), min=1.0)
    return (forward.double() * scale).to(forward.dtype), (backward.double() * scale).to(backward.dtype)


def _per_entry(layout: AreaLayout, end: int, speeds: Tensor | None) -> Tensor:
    """The speed of the area that each packed entry leads into; ``end`` is its place in the edge."""
    if speeds is None:
        return torch.ones((), dtype=torch.float64)
    areas = torch.tensor([edge[end] for edge in layout.edges], device=speeds.device)
    counts = torch.tensor([layout.sizes[i] * layout.sizes[j] for i, j in layout.edges], device=speeds.device)
    return speeds.double()[areas].repeat_interleave(counts)


def _block_norms(layout: AreaLayout, packed: Tensor) -> Tensor:
    """The spectral norm of each edge's block, ``(m,)``; blocks of one shape are taken together."""
    groups: dict[tuple[int, ...], list[int]] = defaultdict(list)
    blocks = layout.coupling_blocks(packed)
    for edge, block in enumerate(blocks):
        groups[tuple(block.shape)].append(edge)
    norms = [torch.linalg.matrix_norm(torch.stack([blocks[e] for e in edges]), ord=2) for edges in groups.values()]
    order = torch.tensor([edge for edges in groups.values() for edge in edges], device=packed.device)
    return torch.cat(norms)[torch.argsort(order)]


def _between_areas(layout: AreaLayout, forward: Tensor, backward: Tensor) -> Tensor:
    """The ``(p, p)`` matrix with ``forward`` at (j, i) and ``backward`` at (i, j) of each edge."""
    p, device = len(layout.sizes), forward.device
    to = torch.tensor([j * p + i for i, j in layout.edges], device=device)
    back = torch.tensor([i * p + j for i, j in layout.edges], device=device)
    return forward.new_zeros(p * p).index_copy(0, to, forward).index_copy(0, back, backward).view(p, p)


def _scaled_root(coupling: _Coupling) -> Tensor:
    layout, forward, backward, rates = coupling
    norms = _between_areas(layout, _block_norms(layout, forward), _block_norms(layout, backward)) / rates[:, None]
    right, left = (torch.as_tensor(v, device=norms.device) for v in _perron_vectors(norms.detach().cpu().numpy()))
    # With both Perron vectors held fixed this quotient is the root, and its gradient is the root's.
    root: Tensor = (left @ norms @ right) / (left @ right)
    return root


def _aligned_root(coupling: _Coupling) -> Tensor:
    layout, forward, backward, rates = coupling
    norms = _block_norms(layout, forward + backward) + _block_norms(layout, forward) + _block_norms(layout, backward)
    weight = 1 / torch.sqrt(rates)
    matrix = _between_areas(layout, norms / 4, norms / 4) * weight[:, None] * weight
    largest: Tensor = torch.linalg.eigvalsh(matrix)[-1]
    return largest


def _whole_root(coupling: _Coupling) -> Tensor:
    dense = _dense(coupling)
    symmetric: Tensor = torch.linalg.eigvalsh((dense + dense.t()) / 2)[-1]
    norm: Tensor = torch.linalg.matrix_norm(dense, ord=2)
    return (symmetric + norm) / (2 * coupling.rates.min())


def _norm_root(coupling: _Coupling) -> Tensor:
    norm: Tensor = torch.linalg.matrix_norm(_dense(coupling), ord=2)
    return norm / coupling.rates.min()


def _dense(coupling: _Coupling) -> Tensor:
    """L, ``(N, N)``."""
    layout = coupling.layout
    return layout.dense_coupling(coupling.forward) + layout.dense_coupling(coupling.backward).t()


_ROOTS: dict[str, Callable[[_Coupling], Tensor]] = {
    "scaled": _scaled_root,
    "aligned": _aligned_root,
    "whole": _whole_root,
    "norm": _norm_root,
}


def _perron_vectors(matrix: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Right and left Perron vectors of the strongly connected part of the largest spectral radius, ``(p,)`` each.

    Within such a part both are positive, so their product is too; those of the whole matrix may be orthogonal. Of
    several parts with the same root the first is taken, and any vectors where all roots are zero.
    """
    count, part_of = connected_components(matrix > 0, directed=True, connection="strong")
    best, right, left = -1.0, np.zeros(len(matrix)), np.zeros(len(matrix))
    for part in range(count):
        areas = np.flatnonzero(part_of == part)
        values, vectors = np.linalg.eig(matrix[np.ix_(areas, areas)])
        top = int(np.argmax(values.real))
        if values[top].real > best:
            values_left, vectors_left = np.linalg.eig(matrix[np.ix_(areas, areas)].T)
            best, right, left = float(values[top].real), np.zeros(len(matrix)), np.zeros(len(matrix))
            right[areas] = np.abs(vectors[:, top].real)
            left[areas] = np.abs(vectors_left[:, int(np.argmax(values_left.real))].real)
    return right, left
