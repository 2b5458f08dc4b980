"""Stable areas: the recipes of Theorems 1 to 5, fixed or trainable, and their metrics.

- :func:`draw`, :func:`realise`, :func:`fixed_area`: every recipe behind one interface (``areas``).
- :class:`StableArea`, :class:`AreaDraw`, :class:`Realised`: what they return.
- :func:`guaranteed_rate`, :func:`raw_size`: what a recipe promises, and how many numbers it is made of.
- :func:`theorem1_metric`, :func:`to_metric_coordinates`, :func:`weight_magnitudes`: the diagonal metric of Theorem 1.
- :func:`theorem1_rate`, :func:`schur_norm`: what two positive vectors prove, by products alone.
- :func:`resolvent_for`, :func:`exact_metric`, :func:`find_diagonal_metric`: better diagonal metrics.
- :func:`sample_sparse`, :func:`sparse_area`: the published recipe; :func:`sample_rescaled`: without rejection.

One file a recipe: ``sparse``, ``rescaled``, ``symmetric``, ``product``, ``triangular``, ``svd``.
"""

from topo_search.model.subnetworks.area import AreaDraw, StableArea
from topo_search.model.subnetworks.areas import draw, fixed_area, guaranteed_rate, raw_size, realise
from topo_search.model.subnetworks.conditioning import exact_metric, magnitude_rate, resolvent_for
from topo_search.model.subnetworks.diagonal_metric import (
    schur_norm,
    theorem1_metric,
    theorem1_rate,
    to_metric_coordinates,
    weight_magnitudes,
)
from topo_search.model.subnetworks.perron import spectral_radius
from topo_search.model.subnetworks.realised import Realised
from topo_search.model.subnetworks.rescaled import sample_rescaled
from topo_search.model.subnetworks.smallest_norm import find_diagonal_metric
from topo_search.model.subnetworks.sparse import sample_sparse, sparse_area

__all__ = [
    "AreaDraw",
    "Realised",
    "StableArea",
    "draw",
    "exact_metric",
    "find_diagonal_metric",
    "fixed_area",
    "guaranteed_rate",
    "magnitude_rate",
    "raw_size",
    "realise",
    "resolvent_for",
    "sample_rescaled",
    "sample_sparse",
    "schur_norm",
    "sparse_area",
    "spectral_radius",
    "theorem1_metric",
    "theorem1_rate",
    "to_metric_coordinates",
    "weight_magnitudes",
]
