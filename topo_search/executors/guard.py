"""One evaluation on a worker, as plain values: whatever happens in it, the worker says what, in JSON's own types."""

from __future__ import annotations

import errno
import json
import math
import traceback
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, get_args

import torch

from topo_search.errors import InputError, RunFailedError
from topo_search.files import UnreadableError, is_disk_failure
from topo_search.search.evaluate import Request
from topo_search.search.executor import Finished, Loss
from topo_search.search.history import Evaluation

__all__ = ["guarded", "printable", "to_finished"]

TRACEBACK_FRAMES = 20
LONGEST_DETAIL = 8000
# Where memory runs out in a library, torch above all, it often comes as a RuntimeError.
_OUT_OF_MEMORY = ("can't allocate memory", "not enough memory", "out of memory", "bad_alloc", "STATUS_ALLOC_FAILED")


def printable(text: str) -> str:
    """Text without control characters and half surrogates, of bounded length: fit for a terminal and a database."""
    kept = "".join(c if c.isprintable() or c == "\n" else "\N{REPLACEMENT CHARACTER}" for c in text)
    return kept if len(kept) <= LONGEST_DETAIL else f"... {kept[-LONGEST_DETAIL:]}"


def guarded(evaluate: Callable[[Request], Evaluation], request: Request) -> dict[str, Any]:
    """Run one evaluation; never raises but for what ends the process (``KeyboardInterrupt``, ``SystemExit``).

    Returns:
        ``{"evaluation": ...}``; ``{"loss": ..., "detail": ...}`` where another try may help; or ``{"disk": ...}`` where
        the worker could not read or write a file, which is no fault of the candidate. It has a form in JSON.
    """
    try:
        evaluation = asdict(evaluate(request))
        wrong = next(_not_finite(evaluation), None)
        if wrong is not None:
            return _failed("diverged", f"{wrong} is not a finite number")
        # What the driver could not read is found here, where an error has a place to go.
        Evaluation.from_dict(json.loads(json.dumps(evaluation)))
        return {"evaluation": evaluation}
    except Exception as error:
        return _went_wrong(error, request)


def _went_wrong(error: Exception, request: Request) -> dict[str, Any]:
    if isinstance(error, UnreadableError):
        return {"disk": printable(str(error))}
    if isinstance(error, InputError):
        return _failed("bad input", str(error))
    if _is_out_of_memory(error):
        return _lost(_words(error))
    if isinstance(error, OSError) and (is_disk_failure(error) or _folder_is_gone(error, request)):
        return {"disk": printable(_words(error))}
    # A bug in one evaluation must not end the search; its traceback is kept with the trial.
    return _failed("error", "".join(traceback.format_exception(error, limit=-TRACEBACK_FRAMES)))


def _not_finite(values: Mapping[str, Any]) -> Iterator[str]:
    """Names of entries that hold a number which a log, a table and a strategy cannot take."""
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from (f"{name}.{inner}" for inner in _not_finite(value))
        else:
            numbers = value if isinstance(value, tuple) else (value,)
            if any(isinstance(number, float) and not math.isfinite(number) for number in numbers):
                yield name


def _is_out_of_memory(error: BaseException) -> bool:
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    if isinstance(error, OSError):
        return error.errno == errno.ENOMEM
    return isinstance(error, RuntimeError) and any(words in _words(error) for words in _OUT_OF_MEMORY)


def _folder_is_gone(error: OSError, request: Request) -> bool:
    """Whether an evaluation did not find the folder of its own checkpoint: the run's was moved or unmounted."""
    if error.errno != errno.ENOENT or request.checkpoint is None or not isinstance(error.filename, str):
        return False
    # Of the file that was not found: where no file system is shared, the request's folder is not there in any case.
    folder = Path(error.filename).absolute().parent
    return folder == Path(request.checkpoint).absolute().parent and not folder.is_dir()


def _words(error: BaseException) -> str:
    # Not str(error), which may itself be faulty, and is empty for most a MemoryError.
    return "".join(traceback.format_exception_only(error)).strip()


def _failed(reason: str, detail: str) -> dict[str, Any]:
    return {"evaluation": asdict(Evaluation.failure(reason, printable(detail)))}


def _lost(detail: str) -> dict[str, Any]:
    return {"loss": "out of memory", "detail": printable(detail)}


def to_finished(ticket: int, result: dict[str, Any]) -> Finished:
    """What :func:`guarded` returned on a worker, back in the driver.

    Raises:
        RunFailedError: if the worker could not read or write a file.
        KeyError, TypeError, ValueError: if it is something else.
    """
    if "disk" in result:
        raise RunFailedError(
            f"a worker could not read or write a file: {result['disk']}; what was finished is kept, go on with resume"
        )
    if "evaluation" in result:
        return Finished(ticket, Evaluation.from_dict(result["evaluation"]))
    loss, detail = result["loss"], result["detail"]
    if loss not in get_args(Loss) or not isinstance(detail, str):
        raise ValueError("expected a loss of a known class, and its detail")
    return Finished(ticket, None, loss, detail)
