"""The spectral radius of non-negative matrices, component by component, and its derivative."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import connected_components

from topo_search.model.subnetworks.area import Matrix, Vector

__all__ = ["PerronRoot", "perron_root", "spectral_radius"]

# Below this overlap of the two Perron vectors the root is all but defective and its derivative means nothing.
_LEAST_OVERLAP = 1e-9


class PerronRoot(NamedTuple):
    """The spectral radius rho and its derivative ``d rho / d A = left right^T``.

    Attributes:
        radius: rho, at least 0.
        left: ``(n,)``, non-negative, zero outside one strong component.
        right: ``(n,)``, likewise, with ``left . right = 1``; both are all zero where rho has no derivative to speak of.
    """

    radius: float
    left: Vector
    right: Vector


def spectral_radius(magnitudes: Matrix) -> float:
    """The spectral radius of a non-negative ``(n, n)`` matrix: exactly 0 for one without cycles."""
    return max((_block_radius(magnitudes[np.ix_(units, units)]) for units in _cyclic_components(magnitudes)), default=0)


def perron_root(magnitudes: Matrix) -> PerronRoot:
    """The spectral radius of a non-negative ``(n, n)`` matrix with the vectors of the component that has it.

    The whole matrix may be reducible, or nilpotent; a strong component is neither, so its Perron vectors are positive.
    """
    n = len(magnitudes)
    none = PerronRoot(0.0, np.zeros(n), np.zeros(n))
    components = _cyclic_components(magnitudes)
    if not components:
        return none
    radii = [_block_radius(magnitudes[np.ix_(units, units)]) for units in components]
    units = components[int(np.argmax(radii))]
    radius = max(radii)
    block = magnitudes[np.ix_(units, units)]
    x, y = _perron_vector(block), _perron_vector(block.T)
    overlap = float(x @ y)
    if not overlap > _LEAST_OVERLAP:
        return none._replace(radius=radius)
    root = PerronRoot(radius, np.zeros(n), np.zeros(n))
    root.left[units], root.right[units] = y / overlap, x
    return root


def _cyclic_components(magnitudes: Matrix) -> list[np.ndarray[tuple[int], np.dtype[np.intp]]]:
    """Units of each strong component that has a cycle."""
    count, labels = connected_components(csr_matrix(magnitudes), directed=True, connection="strong")
    if count == len(magnitudes):
        return [np.array([unit]) for unit in np.flatnonzero(np.diag(magnitudes))]
    components = [np.flatnonzero(labels == label) for label in range(count)]
    return [units for units in components if len(units) > 1 or magnitudes[units[0], units[0]] > 0]


def _block_radius(block: Matrix) -> float:
    return float(np.abs(np.linalg.eigvals(block)).max())


def _perron_vector(block: Matrix) -> Vector:
    values, vectors = np.linalg.eig(block)
    vector: Vector = np.abs(vectors[:, int(np.argmax(values.real))])
    return vector
