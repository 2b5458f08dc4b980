"""Who may give work to a cluster: work is code, so anyone who may can do what the cluster's user can."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable

from topo_search.errors import InputError, RunFailedError

__all__ = ["asks_for_token", "check_protected", "is_loopback"]

ANSWER_SECONDS = 120.0
_HOW = (
    "`ray get-auth-token --generate` makes a token; with RAY_AUTH_MODE=token in the environment `ray start` asks for it"
)


def is_loopback(host: str) -> bool:
    """Whether an address is one that only this machine reaches; a name other than ``localhost`` is not looked up."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def check_protected(hosts: Iterable[str], *, tokens_required: bool) -> None:
    """Refuse a cluster that other machines reach and that asks for no token.

    Args:
        hosts: addresses of its nodes.
        tokens_required: whether it asks for one.

    Raises:
        InputError: if it is open.
    """
    reached = sorted(host for host in hosts if not is_loopback(host))
    if reached and not tokens_required:
        raise InputError(f"the Ray cluster at {reached[0]} takes work from anyone who reaches it: {_HOW}")


def asks_for_token() -> bool:
    """Whether the connected cluster asks for a token, as a worker of it says: a driver knows only its own mode.

    Raises:
        RunFailedError: if no worker answers.
    """
    import ray

    # Made here, the function travels as code: a node without this package can answer.
    def ask() -> bool:
        from importlib import import_module

        raylet = import_module("ray._raylet")
        return bool(raylet.get_authentication_mode() == raylet.AuthenticationMode.TOKEN)

    answer = ray.remote(num_cpus=0, max_retries=0)(ask).remote()
    done, _ = ray.wait([answer], timeout=ANSWER_SECONDS)
    if not done:
        ray.cancel(answer, force=True)
        raise RunFailedError(f"the Ray cluster has started no worker in {ANSWER_SECONDS:.0f} s")
    return bool(ray.get(answer))
