"""Evaluations that go wrong in real workers: the request's graph names the fault."""

from __future__ import annotations

import ctypes
import math
import os
import signal
import stat
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from topo_search.errors import InputError
from topo_search.search import Evaluation, Request

GOOD = Evaluation(0.5, (0.5,), (1.0,), best_epoch=1, parameters=7)
CURVE = tuple(i / 200_000 for i in range(200_000))
# Control characters, half a surrogate and an escape sequence of terminals.
DIRT = "\x00\x07\x1b[2J\udcff"


def request(fault: str, *, seed: int = 0, marker: Path | None = None) -> Request:
    return Request(fault, 1, seed, save_to=None, checkpoint=None if marker is None else str(marker))


def good(request: Request) -> Evaluation:
    return GOOD


def raises(request: Request) -> Evaluation:
    raise ZeroDivisionError(f"a bug {DIRT}")


def raises_without_words(request: Request) -> Evaluation:
    class SilentError(RuntimeError):
        def __str__(self) -> str:
            raise ValueError("no words")

    raise SilentError


def bad_input(request: Request) -> Evaluation:
    raise InputError(f"no such area {DIRT}")


def diverges(request: Request) -> Evaluation:
    return Evaluation.failure("diverged", "loss 1e9 at epoch 1, batch 1")


def nan_score(request: Request) -> Evaluation:
    return Evaluation(math.nan, (0.5,), (1.0,), best_epoch=1)


def infinite_loss(request: Request) -> Evaluation:
    return Evaluation(0.5, (0.5, 0.5), (1.0, math.inf), best_epoch=1)


def nan_edge_score(request: Request) -> Evaluation:
    return Evaluation(0.5, (0.5,), (1.0,), best_epoch=1, edge_scores={"magnitude": (1.0, math.nan)})


def nothing(request: Request) -> Evaluation:
    return None  # type: ignore[return-value]


def array(request: Request) -> Evaluation:
    return Evaluation(np.float32(0.5), (0.5,), (1.0,), best_epoch=1)  # type: ignore[arg-type]


def impossible_score(request: Request) -> Evaluation:
    return Evaluation(1.5, (1.5,), (1.0,), best_epoch=1)


def long_result(request: Request) -> Evaluation:
    return Evaluation(0.5, CURVE, (), best_epoch=1)


def prints(request: Request) -> Evaluation:
    print("a word of a library", DIRT)
    os.write(1, bytes(range(256)) + b'\n{"ready": true}\n{"ticket": 1}\n')
    os.write(1, b"x" * 3_000_000)
    return GOOD


def hangs(request: Request) -> Evaluation:
    while True:
        time.sleep(60)


def hangs_and_ignores_sigterm(request: Request) -> Evaluation:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    return hangs(request)


def tells_and_ignores_sigterm(request: Request) -> Evaluation:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    assert request.checkpoint is not None
    Path(request.checkpoint).write_text(str(os.getpid()))
    return hangs(request)


def waits_for_marker(request: Request) -> Evaluation:
    assert request.checkpoint is not None
    while not Path(request.checkpoint).exists():
        time.sleep(0.01)
    return GOOD


def stops(request: Request) -> Evaluation:
    os.kill(os.getpid(), signal.SIGSTOP)
    return GOOD


def exits(request: Request) -> Evaluation:
    os._exit(7)


def leaves(request: Request) -> Evaluation:
    sys.exit("leaving")


def kills_itself(request: Request) -> Evaluation:
    os.kill(os.getpid(), signal.SIGKILL)
    return GOOD


def crashes(request: Request) -> Evaluation:
    ctypes.string_at(0)
    return GOOD


def dies_once(request: Request) -> Evaluation:
    assert request.checkpoint is not None
    if Path(request.checkpoint).exists():
        return GOOD
    Path(request.checkpoint).touch()
    return exits(request)


def fills_lists(request: Request) -> Evaluation:
    held: list[list[int]] = []
    while True:
        held.append(list(range(1000, 100_000)))


def fills_arrays(request: Request) -> Evaluation:
    held = []
    while True:
        held.append(np.ones(1_000_000))


def fills_tensors(request: Request) -> Evaluation:
    held = []
    while True:
        held.append(torch.ones(1_000_000))


def asks_too_much(request: Request) -> Evaluation:
    torch.empty(10**13)
    return GOOD


def needs_150_mb(request: Request) -> Evaluation:
    np.ones(150_000_000, dtype=np.uint8)
    return GOOD


def _to_driver(content: bytes) -> None:
    """Write into this worker's connection, as only a program gone mad would."""
    for entry in list(Path("/proc/self/fd").iterdir()):
        try:
            if stat.S_ISSOCK(entry.stat().st_mode):
                os.write(int(entry.name), content)
        except OSError:
            continue


def sends_garbage(request: Request) -> Evaluation:
    _to_driver(b"\x80\x04\x95 no message\n")
    return hangs(request)


def sends_another_answer(request: Request) -> Evaluation:
    _to_driver(b'{"ticket": 999999, "evaluation": {}}\n')
    return hangs(request)


def sends_half_and_exits(request: Request) -> Evaluation:
    _to_driver(b'{"ticket": ')
    return exits(request)


def sends_half_and_hangs(request: Request) -> Evaluation:
    _to_driver(b'{"ticket": ')
    return hangs(request)


def evaluate(request: Request) -> Evaluation:
    """What the request's graph names, up to the first space."""
    found: Callable[[Request], Evaluation] = globals()[request.graph.split(" ", 1)[0]]
    return found(request)


def start(worker: int) -> Callable[[Request], Evaluation]:
    return evaluate


def never_start(worker: int) -> Callable[[Request], Evaluation]:
    os._exit(3)


def start_first_worker_only(worker: int) -> Callable[[Request], Evaluation]:
    return evaluate if worker == 0 else never_start(worker)
