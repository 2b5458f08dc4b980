"""A connection to a Ray cluster: one that runs, or a private one on this machine."""

from __future__ import annotations

import logging
import os
from contextlib import ExitStack
from types import ModuleType, TracebackType
from typing import Any

from topo_search.errors import InputError, RunFailedError
from topo_search.executors.ray_cluster.addresses import find_cluster
from topo_search.executors.ray_cluster.protection import asks_for_token, check_protected, is_loopback
from topo_search.executors.ray_cluster.surroundings import (
    PrivateFolder,
    known_token,
    own_signals,
    quiet,
    reload_settings,
    set_variables,
    stay_on_loopback,
)
from topo_search.search.resources import TrialResources

__all__ = ["RaySession", "connect", "import_ray"]


class RaySession:
    """A connection, ended by :meth:`close` or at the end of a ``with`` block. A process has one at a time.

    Attributes:
        local: whether the cluster is a private one that ends with it.
    """

    def __init__(self, *, local: bool, undo: ExitStack) -> None:
        self.local, self._undo = local, undo

    def nodes(self) -> list[dict[str, Any]]:
        """The nodes that are there now, as Ray describes them."""
        return [node for node in import_ray().nodes() if node["Alive"]]

    def close(self) -> None:
        """Disconnect; a private cluster stops, and its files and its token are removed."""
        self._undo.close()

    def __enter__(self) -> RaySession:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


def import_ray() -> ModuleType:
    """Ray.

    Raises:
        InputError: if it is not installed.
    """
    try:
        import ray
    except ImportError:
        raise InputError("Ray is not installed: pip install 'topo_search[ray]'") from None
    return ray  # type: ignore[no-any-return,unused-ignore]


def connect(
    address: str, *, workers: int | None = None, resources: TrialResources, gpus: int | None = None
) -> RaySession:
    """Connect to a cluster.

    ``local`` starts a private one, which listens on 127.0.0.1 alone, asks for a token that no other user can read,
    keeps its files in a private folder and has no dashboard; it ends with the session.

    Args:
        address: ``local``; ``auto`` for the cluster that ``RAY_ADDRESS`` names, else the one that was started on this
            machine; or ``HOST:PORT``. This machine must be a node of the cluster.
        workers: of a private cluster: evaluations side by side, one a core where not given.
        resources: of one evaluation.
        gpus: of a private cluster: how many it deals out, those that Ray finds where not given.

    Raises:
        InputError: if Ray is not installed or in use already, the address is none, no cluster is there, or it can be
            reached from other machines and asks for no token.
        RunFailedError: if a private cluster does not start.
    """
    ray = import_ray()
    if ray.is_initialized():
        raise InputError("Ray is in use already in this process: call ray.shutdown() first")
    reload_settings()
    with ExitStack() as undo:
        with own_signals():
            if address == "local":
                _start(ray, _cpus(workers, resources), gpus, undo)
            else:
                _join(ray, find_cluster(address), undo)
        return RaySession(local=address == "local", undo=undo.pop_all())


def _cpus(workers: int | None, resources: TrialResources) -> int:
    if workers is not None:
        return workers * resources.cpus
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(cores, resources.cpus)


def _start(ray: ModuleType, cpus: int, gpus: int | None, undo: ExitStack) -> None:
    folder = PrivateFolder()
    undo.callback(folder.remove)
    set_variables(
        {
            "RAY_ADDRESS": None,
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN": None,
            "RAY_AUTH_TOKEN_PATH": str(folder.token),
            "RAY_USAGE_STATS_ENABLED": "0",
            # Ray's workers would be nicer than the driver, to the benefit of nobody here.
            "RAY_worker_niceness": "0",
            # Silences a warning about a future version.
            "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
            # What a worker that is killed leaves behind goes with the rest.
            "TMPDIR": str(folder.scratch),
        },
        undo,
    )
    stay_on_loopback(undo)
    quiet(undo)
    undo.callback(ray.shutdown, wait_for_processes=True)
    try:
        ray.init(
            "local",
            num_cpus=cpus,
            num_gpus=gpus,
            include_dashboard=False,
            log_to_driver=False,
            logging_level=logging.ERROR,
            _temp_dir=str(folder.ray),
        )
    except Exception as error:
        raise RunFailedError(f"Ray did not start: {_first_line(error)}") from error
    for node in ray.nodes():
        if not is_loopback(node["NodeManagerAddress"]):
            raise RunFailedError(f"Ray listens on {node['NodeManagerAddress']}: expected 127.0.0.1 alone")


def _join(ray: ModuleType, address: str, undo: ExitStack) -> None:
    if "RAY_AUTH_MODE" not in os.environ and known_token():
        # Ray itself does so for `auto`, but not for an address.
        set_variables({"RAY_AUTH_MODE": "token"}, undo)
    if is_loopback(address.rpartition(":")[0]):
        stay_on_loopback(undo)
    quiet(undo)
    undo.callback(ray.shutdown)
    try:
        ray.init(address, log_to_driver=False, logging_level=logging.ERROR)
    except Exception as error:
        raise InputError(f"the Ray cluster at {address} cannot be joined: {_first_line(error)}") from error
    hosts = {node["NodeManagerAddress"] for node in ray.nodes() if node["Alive"]}
    if not all(is_loopback(host) for host in hosts):
        check_protected(hosts, tokens_required=asks_for_token())


def _first_line(error: BaseException) -> str:
    text = str(error.__cause__ or error).strip() or type(error).__name__
    return text.splitlines()[0]
