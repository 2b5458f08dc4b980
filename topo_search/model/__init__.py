"""Stable areas, their negative feedback, the network that they make, and its certificate.

- :class:`ComboNet`, :func:`build_network`: the network and its one builder.
- :class:`NetworkConfig`, :class:`SparseRecipe`: settings.
- :func:`certify_matrices`, :class:`Certificate`, :class:`NetworkMatrices`: the verdict, from the weights alone.
- :func:`sparse_area`, :func:`theorem1_metric`, :func:`to_metric_coordinates`: areas of Theorem 1.
- :func:`coupling_norm`, :func:`euler_cap`, :func:`project_to_cap`: the coupling and the cap of certified Euler.
- :func:`save_network`, :func:`load_network`, :func:`judge_saved`, :func:`export_arrays`: networks on disk.
"""

from topo_search.model.build import build_network
from topo_search.model.certificate import Certificate, NetworkMatrices, certify_matrices, norm_bound
from topo_search.model.combo_net import ComboNet
from topo_search.model.config import AreaSettings, NetworkConfig, SparseRecipe, Stability
from topo_search.model.coupling import coupling_norm, euler_cap, project_to_cap
from topo_search.model.joining import join_networks
from topo_search.model.routing import Routing
from topo_search.model.saved import export_arrays, judge_saved, load_network, save_network
from topo_search.model.subnetworks import (
    StableArea,
    sample_sparse,
    sparse_area,
    theorem1_metric,
    to_metric_coordinates,
    weight_magnitudes,
)

__all__ = [
    "AreaSettings",
    "Certificate",
    "ComboNet",
    "NetworkConfig",
    "NetworkMatrices",
    "Routing",
    "SparseRecipe",
    "Stability",
    "StableArea",
    "build_network",
    "certify_matrices",
    "coupling_norm",
    "euler_cap",
    "export_arrays",
    "join_networks",
    "judge_saved",
    "load_network",
    "norm_bound",
    "project_to_cap",
    "sample_sparse",
    "save_network",
    "sparse_area",
    "theorem1_metric",
    "to_metric_coordinates",
    "weight_magnitudes",
]
