"""What runs in a worker process: the data once, then one evaluation after another."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import scipy.linalg
import torch

from topo_search.executors.devices import worker_device
from topo_search.executors.guard import guarded
from topo_search.executors.memory_limit import memory_limit
from topo_search.executors.messages import decode, encode
from topo_search.search.evaluate import Evaluator, Request
from topo_search.search.history import Evaluation
from topo_search.search.space import SearchSpace

__all__ = ["READY", "Evaluate", "Start", "load_evaluator", "work"]

Evaluate = Callable[[Request], Evaluation]
Start = Callable[[int], Evaluate]
"""Run once in a worker, with its number: loads what it needs and returns what evaluates. It must be picklable."""

READY = "ready"
"""Key of a worker's first message: it has loaded its data."""

PARENT_POLL_SECONDS = 1.0
# The highest score is 1000; workers still come after what a person has marked as the first to go.
OOM_SCORE = 800


def load_evaluator(space_json: str, data_dir: str | None, device: str, threads: int, worker: int) -> Evaluate:
    """A worker's evaluator, its task loaded; with the other arguments bound it is a :data:`Start`.

    Raises:
        InputError: if the task cannot be loaded here.
    """
    from topo_search.tasks import load_task

    space = SearchSpace.model_validate_json(space_json)
    count = torch.cuda.device_count() if device == "cuda" else 0
    task = load_task(space.task, data_dir=data_dir)
    return Evaluator(space, task, device=worker_device(device, worker, count), threads=threads).evaluate


def work(end: socket.socket, parent: int, worker: int, start: Start) -> None:
    """Answer requests until the other end is closed.

    Args:
        end: of the connection to the driver.
        parent: process that this one must not outlive.
        worker: its number.
        start: makes what evaluates.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the driver's: it decides what to keep.
    threading.Thread(target=_exit_with_parent, args=(parent,), daemon=True).start()
    _print_to_standard_error()
    _go_first_when_memory_is_short()
    _take_buffers()
    evaluate = start(worker)
    # The driver may be gone while this worker answers.
    with contextlib.suppress(BrokenPipeError, ConnectionResetError), end, end.makefile("rb") as lines:
        end.sendall(encode({READY: True}))
        for line in lines:
            end.sendall(encode(_answer(evaluate, decode(line))))


def _answer(evaluate: Evaluate, message: dict[str, Any]) -> dict[str, Any]:
    def limited(request: Request) -> Evaluation:
        with memory_limit(message["memory"]):
            return evaluate(request)

    return {"ticket": message["ticket"], **guarded(limited, Request(**message["request"]))}


def _exit_with_parent(parent: int) -> None:
    # A driver killed with SIGKILL cannot stop its workers, and an orphan would train on for nobody.
    while os.getppid() == parent:
        time.sleep(PARENT_POLL_SECONDS)
    os._exit(1)


def _print_to_standard_error() -> None:
    # Standard output is the driver's, for --json: what a library prints here, also below Python, must not reach it.
    with contextlib.suppress(OSError):
        os.dup2(2, 1)
    sys.stdout = sys.stderr


def _take_buffers() -> None:
    # OpenBLAS, of which NumPy and SciPy have one each, takes its buffers at the first product, and ends the process
    # where memory is short: they are to be there before any limit is.
    square = np.eye(256)
    np.linalg.inv(square @ square)
    scipy.linalg.inv(square)
    torch.linalg.inv(torch.eye(256) @ torch.eye(256))


def _go_first_when_memory_is_short() -> None:
    # A lost worker costs an attempt, a lost driver ends the run: the kernel is to choose workers. Linux only.
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text(str(OOM_SCORE), encoding="ascii")
