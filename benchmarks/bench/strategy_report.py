"""The table of ``benchmarks/strategies.py``: what each strategy's best graph is worth, against random graphs."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np

from bench.strategy_runs import table_of
from bench.tables import table
from topo_search.analysis import bootstrap_mean, compare_groups
from topo_search.files import read_json, write_atomically, write_json
from topo_search.seeds import generator

__all__ = ["report"]

CONTROL = "random_control"
Row = dict[str, Any]


def _between(low: float | None, high: float | None, form: str) -> str:
    return "" if low is None or high is None else f" ({low:{form}} to {high:{form}})"


_COLUMNS = {
    "graph": lambda row: row["name"],
    "n": lambda row: f"{row['graphs']} x {row['seeds']}",
    "edges": lambda row: row["edges"],
    "parameters": lambda row: row["parameters"],
    "validation": lambda row: f"{row['validation']:.3f}",
    "test, 95 %": lambda row: f"{row['test']:.3f}{_between(row['low'], row['high'], '.3f')}",
    "less random controls, 95 %": lambda row: (
        "-" if row["gain"] is None else f"{row['gain']:+.3f}{_between(row['gain_low'], row['gain_high'], '+.3f')}"
    ),
    "core s of a search": lambda row: "-" if row["core_seconds"] is None else f"{row['core_seconds']:.0f}",
}


def report(out: Path) -> str:
    """Write ``report.md`` and ``report.json``; the table.

    Intervals are over graphs (the searches' winners, or the control graphs) and seeds, crossed.

    Raises:
        InputError: if there is nothing to report, or it cannot be read.
    """
    trainings = read_json(out / "trainings.json", "trainings")["rows"]
    searches = read_json(out / "searches.json", "searches")["rows"]
    plan = read_json(out / "plan.json", "plan")
    rows = [_row(trainings, searches, name) for name in dict.fromkeys(row["name"] for row in trainings)]
    rows.sort(key=lambda row: -row["test"])
    budget, edges = plan["budget"], plan["space"]["edges"]["max_edges"]
    head = f"{plan['space']['name']}, {edges} edges at most, {budget} candidates a search"
    text = table(_COLUMNS, rows)
    write_atomically(out / "report.md", f"{head}\n\n{text}\n")
    write_json(out / "report.json", {"space": plan["space"]["name"], "budget": budget, "rows": rows})
    return f"{head}\n{text}"


def _span(values: list[int]) -> str:
    low, high = min(values), max(values)
    return str(low) if low == high else f"{low}-{high}"


def _row(trainings: list[Row], searches: list[Row], name: str) -> Row:
    own = [row for row in trainings if row["name"] == name]
    test = np.array(table_of(trainings, name, "test"))
    control = np.array(table_of(trainings, CONTROL, "test"))
    interval = bootstrap_mean(test, generator("strategies", "interval", name))
    spent = [row["core_seconds"] for row in searches if row["strategy"] == name]
    row: Row = {
        "name": name,
        "graphs": test.shape[0],
        "seeds": test.shape[1],
        "edges": _span([entry["edges"] for entry in own]),
        "parameters": _span([entry["parameters"] for entry in own]),
        "validation": float(np.mean(table_of(trainings, name, "validation"))),
        "test": interval.estimate,
        "low": interval.low,
        "high": interval.high,
        "core_seconds": float(np.mean(spent)) if spent else None,
        "gain": None,
    }
    if name != CONTROL:
        compared = compare_groups(test, control, generator("strategies", "compared", name))
        row |= {
            "gain": compared.by_seed.mean,
            "gain_low": compared.crossed.low,
            "gain_high": compared.crossed.high,
            "p_seeds": compared.by_seed.p_t,
        }
    # A single training has no interval.
    return {key: None if isinstance(value, float) and math.isnan(value) else value for key, value in row.items()}
