"""Clocks: contenders in turn, long ones shortened, and the peak of dense products on this machine."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch

from topo_search.errors import RunFailedError

__all__ = ["SgemmPeak", "Timing", "check_agreement", "interleave"]

# A probe that takes this long says how long the whole would take.
PROBE_SECONDS = 0.5
# A step that would take longer than this is timed on fewer time steps.
LONGEST_STEP = 20.0
# Repeats of one contender may take about this long in all.
SECONDS_EACH = 10.0
# A quick contender runs this long before it is the next one's turn: what the one before left in caches, and threads
# that still wait for its work, meet the first of its runs only.
TURN_SECONDS = 0.05
SGEMM_SIZES = (1024, 1536, 2048)
SGEMM_SECONDS = 0.5
SGEMM_PRODUCTS = 3


@dataclass(frozen=True)
class Timing:
    """How long a step takes.

    Attributes:
        seconds: the least of the repeats.
        median: of the repeats.
        repeats: runs that were timed.
        steps: time steps that were run; where they are fewer than the task's, the seconds are extrapolated from this
            length and half of it by a straight line, so that what is done once a training step is counted once.
    """

    seconds: float
    median: float
    repeats: int
    steps: int


def _clock(run: Callable[[int], object], steps: int) -> float:
    begin = time.perf_counter()
    run(steps)
    return time.perf_counter() - begin


class _Entry:
    """One contender: the lengths that it is run at, and what they took."""

    def __init__(self, run: Callable[[int], object], steps: int, affordable: int) -> None:
        self.run, self.steps = run, steps
        # The first run pays for what is made once in a process; it is not looked at.
        _clock(run, 1)
        length = min(2, affordable)
        seconds, slope = _clock(run, length), 0.0
        while length < affordable and (length < 4 or seconds < PROBE_SECONDS):
            previous, shorter = length, seconds
            length = min(2 * length, affordable)
            seconds = _clock(run, length)
            if seconds >= PROBE_SECONDS:
                # The last probe decides, and the first run at a length may be slow for other reasons.
                seconds = min(seconds, _clock(run, length))
            # Not less than a tenth of the mean: a disturbed probe must not promise that time steps are free.
            slope = max((seconds - shorter) / (length - previous), 0.1 * seconds / length)
        longest = steps
        if seconds + (steps - length) * slope > LONGEST_STEP:
            longest = max(int(0.5 * LONGEST_STEP / slope), 4)
        longest = min(longest, affordable)
        self.lengths: tuple[int, ...] = (steps,) if longest == steps else (longest, longest // 2)
        self.samples: list[list[float]] = [[] for _ in self.lengths]
        self.cost = sum(max(seconds + (each - length) * slope, 0.0) for each in self.lengths)

    def sample(self) -> None:
        for length, samples in zip(self.lengths, self.samples, strict=True):
            end = time.perf_counter() + TURN_SECONDS
            samples.append(_clock(self.run, length))
            while time.perf_counter() < end:
                samples.append(_clock(self.run, length))

    def timing(self) -> Timing:
        least = self._whole([min(samples) for samples in self.samples])
        median = self._whole([statistics.median(samples) for samples in self.samples])
        return Timing(least, median, len(self.samples[0]), self.lengths[0])

    def _whole(self, seconds: list[float]) -> float:
        if len(seconds) == 1:
            return seconds[0]
        long, short = self.lengths
        return seconds[0] + (self.steps - long) * max(seconds[0] - seconds[1], 0.0) / (long - short)


def interleave(
    runs: Mapping[str, Callable[[int], object]],
    steps: int,
    *,
    repeats: int,
    affordable: Mapping[str, int] | None = None,
    between: Callable[[], object] | None = None,
) -> dict[str, Timing]:
    """Time several contenders in turn, so that a change of the machine's mood meets all of them.

    Args:
        runs: each trains one step on so many time steps.
        steps: time steps of the task.
        repeats: rounds, at least 1; a contender that takes long sits some of them out.
        affordable: most time steps that a contender may be asked for; all where not given.
        between: called before each round.
    """
    limits = affordable or {}
    entries = {name: _Entry(run, steps, limits.get(name, steps)) for name, run in runs.items()}
    # At least two: the first run at full length may be the first to touch its memory.
    turns = {name: min(repeats, max(2, int(SECONDS_EACH / max(entry.cost, 1e-6)))) for name, entry in entries.items()}
    for turn in range(repeats):
        if between is not None:
            between()
        for name, entry in entries.items():
            # Turns of a contender are spread evenly over the rounds.
            if (turn + 1) * turns[name] // repeats > turn * turns[name] // repeats:
                entry.sample()
    return {name: entry.timing() for name, entry in entries.items()}


def check_agreement(runs: Mapping[str, Callable[[int], float]], steps: int) -> None:
    """Raise RunFailedError unless all contenders find the same loss after so many time steps."""
    losses = {name: run(steps) for name, run in runs.items()}
    least, largest = min(losses.values(), default=0.0), max(losses.values(), default=0.0)
    # A loss that is not a number fails too.
    if not all(largest - least <= 1e-3 * abs(loss) for loss in losses.values()):
        shown = ", ".join(f"{name} {loss:.6g}" for name, loss in losses.items())
        raise RunFailedError(f"the contenders do not compute the same function: loss {shown}")


class SgemmPeak:
    """The fastest product of two square float32 matrices seen so far, with the threads that torch has.

    Attributes:
        gflops: 10^9 operations a second, a multiply-add counted as two.
    """

    def __init__(self) -> None:
        self.gflops = 0.0

    def measure(self) -> float:
        """Look again, longer, at several sizes; the best so far."""
        end = time.perf_counter() + SGEMM_SECONDS
        while time.perf_counter() < end:
            self.glance()
        return self.gflops

    def glance(self) -> None:
        """Look again at each size."""
        for n in SGEMM_SIZES:
            a, b, out = torch.ones(n, n), torch.ones(n, n), torch.empty(n, n)
            for _ in range(SGEMM_PRODUCTS):
                begin = time.perf_counter()
                torch.mm(a, b, out=out)
                self.gflops = max(self.gflops, 2e-9 * n**3 / (time.perf_counter() - begin))
