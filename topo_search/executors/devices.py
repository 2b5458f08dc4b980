"""Which device a worker of this machine trains on."""

from __future__ import annotations

__all__ = ["worker_device"]


def worker_device(device: str, worker: int, count: int) -> str:
    """The device of one of several workers: visible GPUs are dealt out in turn.

    Args:
        device: ``cpu`` or ``cuda``; one with an index, such as ``cuda:1``, is that of all workers.
        worker: its number, from 0. A worker that takes the place of another has the other's number.
        count: GPUs that the worker sees; 0 where there are none.

    Returns:
        The device as torch names it.
    """
    if device != "cuda" or count < 1:
        return device
    return f"cuda:{worker % count}"
