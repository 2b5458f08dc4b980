"""Peak memory of one training step, in a process of its own."""

from __future__ import annotations

import resource
import sys
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from multiprocessing import get_context
from pathlib import Path

import torch

from bench.cases import Case
from bench.contenders import Engine, rollout_step
from bench.problem import make_problem

__all__ = ["peak_of_step"]


def _reset_peak() -> float:
    """Begin to look for the peak of this process's resident memory; MB (10^6 bytes) that it has now.

    Linux lets a process reset its peak. Elsewhere the peak so far is the baseline: what the step adds beyond it.
    """
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    return _peak()


def _peak() -> float:
    try:
        lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
        return next(int(line.split()[1]) * 1024e-6 for line in lines if line.startswith("VmHWM"))
    except (OSError, StopIteration):
        unit = 1 if sys.platform == "darwin" else 1024
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit * 1e-6


def _measure(case: Case, integrator: str, engine: Engine, threads: int, state_budget: int | None) -> float:
    torch.set_num_threads(threads)
    # What torch loads and allocates at the first step of any network is not the engine's.
    tiny = Case("tiny", "tiny", 2, "all_to_all", {}, 2, 2, case.channels, size=8)
    rollout_step(make_problem(tiny, integrator), engine)()
    step = rollout_step(make_problem(case, integrator), engine, state_budget=state_budget)
    baseline = _reset_peak()
    step()
    return max(0.0, _peak() - baseline)


def peak_of_step(
    case: Case, integrator: str, engine: Engine, *, threads: int, state_budget: int | None = None
) -> float | None:
    """MB (10^6 bytes) that a training step needs beyond the weights and the data.

    The peak of resident memory over one step of a fresh process, less what it had before: states, scratch space,
    gradients and the moments of Adam. ``None`` if the system ended the process.
    """
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        try:
            return pool.submit(_measure, case, integrator, engine, threads, state_budget).result()
        except BrokenProcessPool:
            return None
