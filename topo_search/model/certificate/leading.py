"""Leading eigenpairs of a sequence of nearby quadratic forms, each found from those of the last."""

from __future__ import annotations

import numpy as np
from scipy import linalg

from topo_search.model.certificate.eigen import Matrix, Vector
from topo_search.model.certificate.s_procedure import Point
from topo_search.seeds import generator

__all__ = ["Leading"]

# Above this size only leading eigenvectors are computed, from those of the last point.
DENSE = 128
LEADING = 16
KRYLOV_DEPTH = 5


class Leading:
    """Leading eigenpairs of a sequence of nearby forms."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        self.size = shape[-1]
        self._block: Matrix | None = None

    def of(self, point: Point) -> tuple[Matrix, Matrix]:
        """Eigenvalues ``(b, k)``, ascending, and vectors ``(b, n, k)``; all of them where n is small."""
        if self.size <= DENSE:
            matrix = point.apply(np.broadcast_to(np.eye(self.size), (len(point.feasible), self.size, self.size)))
            return np.linalg.eigh(0.5 * (matrix + matrix.swapaxes(-1, -2)))
        depth = KRYLOV_DEPTH
        if self._block is None:
            self._block = generator(0, "leading eigenvectors").normal(size=(self.size, LEADING))
            depth = 3 * KRYLOV_DEPTH
        values, vectors = _krylov(point, self._block, min(depth, self.size // (2 * LEADING)))
        self._block = vectors
        return values[None], vectors[None]


def _krylov(point: Point, block: Matrix, depth: int) -> tuple[Vector, Matrix]:
    """Leading Ritz pairs of a block Krylov space of a single form."""
    basis = _orthonormal(block)
    images = point.apply(basis[None])[0]
    latest = images
    for _ in range(depth - 1):
        fresh = latest
        for _ in range(2):
            fresh = fresh - basis @ (basis.T @ fresh)
        fresh = _orthonormal(fresh)
        latest = point.apply(fresh[None])[0]
        basis, images = np.hstack([basis, fresh]), np.hstack([images, latest])
    values, rotation = np.linalg.eigh(0.5 * (basis.T @ images + images.T @ basis))
    return values[-LEADING:], basis @ rotation[:, -LEADING:]


def _orthonormal(vectors: Matrix) -> Matrix:
    """An orthonormal basis of the columns' span."""
    try:
        # Twice, as once loses digits where columns are nearly dependent; far cheaper than Householder reflections.
        for _ in range(2):
            factor = linalg.cholesky(vectors.T @ vectors, lower=True, check_finite=False)
            vectors = vectors @ np.linalg.inv(factor).T
    except linalg.LinAlgError:
        return np.linalg.qr(vectors)[0]
    return vectors
