"""Evaluations on a Ray cluster, as plain tasks; Ray itself is imported when a cluster is connected to.

- :func:`connect`: a cluster, as a :class:`RaySession`; :func:`check_address`: whether an address can be one.
- :class:`RayExecutor`: an executor on it.
"""

from topo_search.executors.ray_cluster.addresses import check_address
from topo_search.executors.ray_cluster.executor import RayExecutor
from topo_search.executors.ray_cluster.session import RaySession, connect

__all__ = ["RayExecutor", "RaySession", "check_address", "connect"]
