"""Clocks, counts and estimates, on runs whose time is known."""

import pytest
from bench import timing
from bench.cases import Case
from bench.problem import make_problem
from bench.timing import SgemmPeak, interleave
from bench.work import longest_affordable, useful_work

from topo_search.engine import AreaLayout, Dynamics


class Clock:
    """Time that passes only when a run says so."""

    def __init__(self) -> None:
        self.now = 0.0

    def perf_counter(self) -> float:
        return self.now

    def run(self, fixed: float, each: float, log: list[int]):
        def run(steps: int) -> None:
            log.append(steps)
            self.now += fixed + each * steps

        return run


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(timing, "time", clock)
    return clock


def test_a_quick_step_is_timed_whole(clock: Clock) -> None:
    log: list[int] = []
    result = interleave({"quick": clock.run(0.01, 0.001, log)}, 100, repeats=5)["quick"]
    assert (result.steps, result.seconds) == (100, pytest.approx(0.11))
    assert result.median == pytest.approx(0.11)
    assert result.repeats == 5 == log[-5:].count(100)


def test_a_long_step_is_shortened_and_extrapolated_by_a_straight_line(clock: Clock) -> None:
    log: list[int] = []
    result = interleave({"long": clock.run(3.0, 0.5, log)}, 256, repeats=5)["long"]
    assert result.steps < 256
    assert result.seconds == pytest.approx(3 + 0.5 * 256)
    assert 0.5 * max(log) <= timing.LONGEST_STEP / 2


def test_what_does_not_fit_is_not_asked_for(clock: Clock) -> None:
    log: list[int] = []
    result = interleave({"big": clock.run(0.0, 0.01, log)}, 100, repeats=3, affordable={"big": 20})["big"]
    assert (max(log), result.steps, result.seconds) == (20, 20, pytest.approx(1.0))


def test_slow_and_quick_contenders_take_turns(clock: Clock) -> None:
    order: list[str] = []

    def run(name: str, seconds: float):
        def step(steps: int) -> None:
            if steps == 8:
                order.append(name)
            clock.now += seconds * steps / 8

        return step

    interleave({"quick": run("quick", 0.5), "slow": run("slow", 4.0)}, 8, repeats=6)
    # The probes reach full length for the first of them; then the slow one has two turns of six.
    timed = order[-8:]
    assert timed.count("slow") == 2
    assert timed == ["quick", "quick", "quick", "slow", "quick", "quick", "quick", "slow"]


def test_the_peak_is_the_best_seen() -> None:
    peak = SgemmPeak()
    assert peak.measure() > 0.1
    peak.gflops = 1e9
    assert peak.measure() == 1e9


@pytest.mark.parametrize("engine", ["native", "reference"])
def test_useful_work_by_hand(engine: str) -> None:
    case = Case("tiny", "tiny", 6, "ring", {}, 2, 2, 1, size=4)
    assert useful_work(make_problem(case, "euler"), engine) == (6 * 6 * 16, "blocks")
    assert useful_work(make_problem(case, "edge_cayley"), engine) == (10 * 6 * 16, "edges")


def test_the_reference_multiplies_by_a_dense_step_matrix() -> None:
    case = Case("tiny", "tiny", 6, "ring", {}, 2, 2, 1, size=4)
    assert useful_work(make_problem(case, "cayley"), "reference") == (2 * 24 * 24 + 2 * 6 * 16, "dense")


def test_a_contender_that_would_take_all_memory_or_an_hour_is_left_out() -> None:
    layout = AreaLayout.of([32] * 8, [(i, i + 1) for i in range(7)])

    def steps(integrator: str, *, gflops: float = 100.0, memory: float = 1e9, contender: str = "autograd") -> int:
        dynamics = Dynamics(layout, integrator, 0.1, "relu")
        return longest_affordable(contender, dynamics, batch=64, steps=50, gflops=gflops, memory=memory)

    assert steps("euler") == steps("cayley") == 50
    assert steps("euler", memory=1e6) == 0
    assert 4 <= steps("euler", memory=1e7) < 50
    assert steps("cayley", gflops=1e-3) == 0
    assert steps("euler", gflops=1e-3) == 50
    assert steps("edge_cayley", gflops=1e-3) == 0
