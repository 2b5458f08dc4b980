"""The rows of the comparison: one network, three contenders, the peak of dense products, the peak of memory."""

from __future__ import annotations

from typing import Any, NamedTuple

from bench.cases import Case
from bench.contenders import Engine, TrainingStep, autograd_step, rollout_step
from bench.memory import peak_of_step
from bench.problem import make_problem
from bench.timing import SgemmPeak, check_agreement, interleave
from bench.work import longest_affordable, useful_work
from topo_search.engine.native.budget import available_memory

__all__ = ["Settings", "comparison_row", "finish"]

CONTENDERS = ("engine", "reference", "autograd")
# After so many time steps the contenders' losses are compared.
AGREEMENT_STEPS = 4

Row = dict[str, Any]


class Settings(NamedTuple):
    """What holds for every row of a run.

    Attributes:
        integrator: ``euler``, ``cayley`` or ``edge_cayley``.
        engine: what the column ``engine`` times, ``native`` or ``reference``.
        threads: of torch and of the engine.
        repeats: rounds.
        engine_only: whether the slow contenders are left out.
    """

    integrator: str
    engine: Engine
    threads: int
    repeats: int
    engine_only: bool = False


def comparison_row(case: Case, settings: Settings, peak: SgemmPeak) -> Row:
    """Time one case; the share of the peak is filled in by :func:`finish`, when the peak is known best.

    Raises:
        InputError: if there is no such integrator.
        RunFailedError: if the contenders do not compute the same function.
    """
    problem = make_problem(case, settings.integrator)
    peak.measure()
    wanted = CONTENDERS[:1] if settings.engine_only else CONTENDERS
    limits = dict.fromkeys(wanted, case.steps)
    for name in wanted:
        if name != "engine" or settings.engine == "reference":
            limits[name] = longest_affordable(
                "autograd" if name == "autograd" else "reference",
                problem.dynamics,
                batch=case.batch,
                steps=case.steps,
                gflops=peak.gflops,
                memory=available_memory(),
            )
    runs: dict[str, TrainingStep] = {}
    for name in wanted:
        if limits[name]:
            engine: Engine = settings.engine if name == "engine" else "reference"
            runs[name] = autograd_step(problem) if name == "autograd" else rollout_step(problem, engine)
    check_agreement(runs, min(case.steps, AGREEMENT_STEPS))
    timings = interleave(runs, case.steps, repeats=settings.repeats, affordable=limits, between=peak.glance)
    peak.measure()
    # Their memory is wanted by the process that measures the engine's.
    runs.clear()

    row: Row = {"name": case.name}
    for name in CONTENDERS:
        row[f"{name}_s"] = timings[name].seconds if name in timings else None
    multiplies, form = useful_work(problem, settings.engine)
    engine_s, autograd_s = row["engine_s"], row["autograd_s"]
    row["useful_gflops"] = 2e-9 * multiplies * case.steps * case.batch / engine_s if engine_s else None
    row["sgemm_share"] = None
    row["ratio"] = autograd_s / engine_s if engine_s and autograd_s else None
    measured = peak_of_step(case, settings.integrator, settings.engine, threads=settings.threads) if engine_s else None
    row["peak_mb"] = measured
    for name in CONTENDERS:
        timing = timings.get(name)
        row[f"{name}_median_s"] = timing.median if timing else None
        row[f"{name}_steps"] = timing.steps if timing else None
        row[f"{name}_repeats"] = timing.repeats if timing else None
    row |= {
        "title": case.title,
        "integrator": settings.integrator,
        "form": form,
        "engine": settings.engine,
        "threads": settings.threads,
        "edges": len(problem.dynamics.layout.edges),
        "batch": case.batch,
        "steps": case.steps,
        "channels": case.channels,
    }
    return row


def finish(rows: list[Row], peak: SgemmPeak) -> None:
    """Fill in the peak of the whole run, and each row's share of it."""
    for row in rows:
        row["sgemm_gflops"] = peak.gflops
        if row["useful_gflops"] is not None:
            row["sgemm_share"] = row["useful_gflops"] / peak.gflops
