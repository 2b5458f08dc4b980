"""Two further measurements of the engine alone: time against the number of edges, and time against memory."""

from __future__ import annotations

from typing import Any

from bench.cases import CASES, SCALING_AREAS, degree_4
from bench.contenders import rollout_step
from bench.memory import peak_of_step
from bench.problem import make_problem
from bench.rows import Settings
from bench.timing import interleave

__all__ = ["STATE_BUDGET", "memory_rows", "scaling_rows"]

Row = dict[str, Any]

SCALING_STEPS = 128
STATE_BUDGET = 64_000_000
"""Bytes of states in the measurement of memory."""


def scaling_rows(settings: Settings, areas: tuple[int, ...] = SCALING_AREAS, steps: int = SCALING_STEPS) -> list[Row]:
    """Time of a training step at degree 4 for several numbers of areas, timed in turn.

    ``per_edge`` is the time an edge relative to that of the smallest network: 1 for all where time is linear in the
    number of edges. ``deviation`` is its distance from 1.
    """
    cases = {count: degree_4(count, steps=steps) for count in areas}
    problems = {count: make_problem(case, settings.integrator) for count, case in cases.items()}
    runs = {str(count): rollout_step(problem, settings.engine) for count, problem in problems.items()}
    timings = interleave(runs, steps, repeats=settings.repeats)
    rows: list[Row] = []
    for count, problem in problems.items():
        edges, timing = len(problem.dynamics.layout.edges), timings[str(count)]
        first = rows[0]["us_per_edge_and_step"] if rows else None
        each = 1e6 * timing.seconds / edges / steps
        rows.append(
            {
                "areas": count,
                "edges": edges,
                "engine_s": timing.seconds,
                "us_per_edge_and_step": each,
                "per_edge": each / first if first else 1.0,
                "deviation": abs(each / first - 1) if first else 0.0,
                "batch": cases[count].batch,
                "steps": steps,
                "repeats": timing.repeats,
                "integrator": settings.integrator,
                "engine": settings.engine,
                "threads": settings.threads,
            }
        )
    return rows


def memory_rows(settings: Settings) -> list[Row]:
    """24x32, half of all pairs, batch 128, 1024 steps: states kept in full, and within :data:`STATE_BUDGET`.; the
    reference keeps them in full whatever the budget.
    """
    case = CASES["half24"]
    problem = make_problem(case, settings.integrator)
    # No limit rather than the engine's own choice, which depends on the memory that is free.
    budgets = {"kept in full": 0, "64 MB": STATE_BUDGET}
    runs = {name: rollout_step(problem, settings.engine, state_budget=bytes_) for name, bytes_ in budgets.items()}
    timings = interleave(runs, case.steps, repeats=settings.repeats)
    whole = timings["kept in full"].seconds
    runs.clear()
    return [
        {
            "states": name,
            "engine_s": timings[name].seconds,
            "time_ratio": timings[name].seconds / whole,
            "peak_mb": peak_of_step(
                case, settings.integrator, settings.engine, threads=settings.threads, state_budget=bytes_
            ),
            "state_budget": bytes_,
            "repeats": timings[name].repeats,
            "integrator": settings.integrator,
            "engine": settings.engine,
            "threads": settings.threads,
        }
        for name, bytes_ in budgets.items()
    ]
