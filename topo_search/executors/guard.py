"""One evaluation on a worker, as plain values: whatever happens in it, the worker says what, in JSON's own types."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import torch

from topo_search.errors import InputError
from topo_search.search.evaluate import Request
from topo_search.search.executor import Finished
from topo_search.search.history import Evaluation

__all__ = ["guarded", "printable", "to_finished"]

TRACEBACK_FRAMES = 20
LONGEST_DETAIL = 8000
# torch has no exception of its own for a CPU that has no more memory.
_OUT_OF_MEMORY = ("can't allocate memory", "not enough memory", "out of memory")


def printable(text: str) -> str:
    """Text without control characters and half surrogates, of bounded length: fit for a terminal and a database."""
    kept = "".join(c if c.isprintable() or c == "\n" else "\N{REPLACEMENT CHARACTER}" for c in text)
    return kept if len(kept) <= LONGEST_DETAIL else f"... {kept[-LONGEST_DETAIL:]}"


def guarded(evaluate: Callable[[Request], Evaluation], request: Request) -> dict[str, Any]:
    """Run one evaluation; never raises but for what ends the process (``KeyboardInterrupt``, ``SystemExit``).

    Returns:
        ``{"evaluation": ...}``, or ``{"loss": ..., "detail": ...}`` where another try may help.
    """
    try:
        return {"evaluation": asdict(evaluate(request))}
    except InputError as error:
        return _failed("bad input", str(error))
    except MemoryError as error:
        return _lost(str(error))
    except Exception as error:
        if isinstance(error, torch.OutOfMemoryError) or _is_out_of_memory(error):
            return _lost(str(error))
        # A bug in one evaluation must not end the search; its traceback is kept with the trial.
        return _failed("error", traceback.format_exc(limit=-TRACEBACK_FRAMES))


def _is_out_of_memory(error: Exception) -> bool:
    return isinstance(error, RuntimeError) and any(words in str(error) for words in _OUT_OF_MEMORY)


def _failed(reason: str, detail: str) -> dict[str, Any]:
    return {"evaluation": asdict(Evaluation.failure(reason, printable(detail)))}


def _lost(detail: str) -> dict[str, Any]:
    return {"loss": "out of memory", "detail": printable(detail)}


def to_finished(ticket: int, result: dict[str, Any]) -> Finished:
    """What :func:`guarded` returned on a worker, back in the driver.

    Raises:
        KeyError: if it is something else.
        TypeError: if its evaluation is not one.
    """
    if "evaluation" in result:
        return Finished(ticket, Evaluation.from_dict(result["evaluation"]))
    return Finished(ticket, None, result["loss"], result["detail"])
