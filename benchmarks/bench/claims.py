"""Further measurements of the engine alone: time against edges, time against memory, networks side by side."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch

from bench.cases import CASES, DEFAULT_SPACE, SCALING_AREAS, Case, degree_4
from bench.contenders import rollout_step
from bench.memory import peak_of_step
from bench.problem import make_problem
from bench.rows import Settings
from bench.timing import interleave
from topo_search.engine import rollouts

__all__ = ["STATE_BUDGET", "memory_rows", "population_rows", "scaling_rows"]

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


def _passes(case: Case, settings: Settings, networks: int, together: bool) -> Callable[[int], None]:
    """Forward and backward passes of several networks with graphs of their own, in one call or one after another."""
    problems = [make_problem(replace(case, name=f"{case.name} {k}"), settings.integrator) for k in range(networks)]

    def run(steps: int) -> None:
        calls = [
            replace(problem.network.call(problem.inputs[:steps]), dynamics=problem.dynamics) for problem in problems
        ]
        for part in [calls] if together else [[call] for call in calls]:
            states = rollouts(part, engine=settings.engine)
            torch.autograd.backward([state.sum() for state in states])

    return run


def population_rows(settings: Settings, networks: int = 8) -> list[Row]:
    """Forward and backward passes of several small networks in one call, against one call each.

    On one thread the difference is what a call costs; on more, slices of several networks fill threads that one small
    network leaves idle.
    """
    rows: list[Row] = []
    for case in (DEFAULT_SPACE, CASES["small8"], CASES["small16"]):
        for threads in sorted({1, settings.threads}):
            torch.set_num_threads(threads)
            runs = {
                name: _passes(case, settings, networks, together)
                for name, together in (("one by one", False), ("together", True))
            }
            timings = interleave(runs, case.steps, repeats=settings.repeats)
            single, joint = (timings[name].seconds / networks for name in runs)
            rows.append(
                {
                    "name": case.name,
                    "title": case.title,
                    "networks": networks,
                    "threads": threads,
                    "single_s": single,
                    "together_s": joint,
                    "gain": single / joint,
                    "integrator": settings.integrator,
                    "engine": settings.engine,
                }
            )
    torch.set_num_threads(settings.threads)
    return rows
