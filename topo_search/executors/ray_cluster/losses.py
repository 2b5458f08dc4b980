"""From what Ray says of a lost task to a class of loss.

As observed with Ray 2.60:

| what happened | what Ray raises | loss |
|---|---|---|
| the node is gone, raylet and workers | ``NodeDiedError`` | node lost |
| the result was on a node that is gone | ``ObjectLostError`` and its kin | node lost |
| a worker was killed, crashed, or left | ``WorkerCrashedError`` | worker lost |
| Ray's monitor ended a worker: memory of the node is short | ``OutOfMemoryError`` | out of memory |
| a task was interrupted, not by us | ``TaskCancelledError`` | worker lost |
| it cannot be loaded, a disk or the object store is full | ``RayTaskError``, others | none: the run fails |

A raylet that is killed alone loses nothing: its workers end what they do and hand it over.
"""

from __future__ import annotations

from collections.abc import Callable

from topo_search.errors import RunFailedError
from topo_search.search.executor import Loss

__all__ = ["to_loss"]


def to_loss(error: Exception, *, node: str | None, is_alive: Callable[[str], bool]) -> tuple[Loss, str]:
    """How a task was lost, and details for people.

    Args:
        error: raised by Ray for its result.
        node: id of the node on which the task began; ``None`` if it has not.
        is_alive: whether a node is there.

    Raises:
        RunFailedError: if another try would meet the same.
    """
    from ray import exceptions as ray

    detail = _first_line(error)
    if isinstance(error, ray.OutOfMemoryError):
        return "out of memory", detail
    if isinstance(error, ray.TaskCancelledError):
        return "worker lost", "the task was cancelled or interrupted"
    if isinstance(error, ray.WorkerCrashedError):
        # Ray asks the node why; where the node ends at that moment it may not learn that it does.
        gone = node is not None and not is_alive(node)
        return ("node lost" if gone else "worker lost"), detail
    lost_with_node = (
        ray.NodeDiedError,
        ray.LocalRayletDiedError,
        ray.ObjectLostError,
        ray.RpcError,
        ray.TaskUnschedulableError,
    )
    if isinstance(error, lost_with_node):
        return "node lost", detail
    kind = type(error).__name__
    words = str(error).strip().splitlines() or ["no detail"]
    # Of an exception with a traceback the last line says what it was, of another the first.
    said = words[-1] if isinstance(error, ray.RayTaskError) else words[0]
    raise RunFailedError(f"the Ray cluster cannot run evaluations: {kind}: {said}") from error


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
