"""Rows as Markdown tables."""

from __future__ import annotations

import platform
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

__all__ = ["COMPARISON", "EPOCHS", "MEMORY", "POPULATION", "SCALING", "machine", "number", "table"]

Row = Mapping[str, Any]
Columns = Mapping[str, Callable[[Row], str]]


def machine(threads: int, engine: str) -> str:
    """One line on what ran where."""
    name = platform.processor() or platform.machine()
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        name = next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        pass
    versions = f"Python {platform.python_version()}, torch {torch.__version__}"
    return f"{name}, {platform.system()} {platform.machine()}, threads: {threads}; {versions}; engine: {engine}"


def number(key: str, form: str) -> Callable[[Row], str]:
    """A cell with a formatted number, a dash where it is ``None``."""
    return lambda row: "-" if row[key] is None else format(row[key], form)


def _seconds(contender: str) -> Callable[[Row], str]:
    def cell(row: Row) -> str:
        if row[f"{contender}_s"] is None:
            return "-"
        mark = "*" if row[f"{contender}_steps"] < row["steps"] else ""
        return f"{row[f'{contender}_s']:.4g}{mark}"

    return cell


COMPARISON: Columns = {
    "name": lambda row: row["name"],
    "network": lambda row: f"{row['title']}, B{row['batch']} T{row['steps']} C{row['channels']}",
    "engine s": _seconds("engine"),
    "reference s": _seconds("reference"),
    "autograd s": _seconds("autograd"),
    "GFLOP/s": number("useful_gflops", ".1f"),
    "of sgemm": number("sgemm_share", ".0%"),
    "ratio": number("ratio", ".1f"),
    "peak MB": number("peak_mb", ".0f"),
}
SCALING: Columns = {
    "areas": number("areas", "d"),
    "edges": number("edges", "d"),
    "engine s": number("engine_s", ".4g"),
    "us an edge and step": number("us_per_edge_and_step", ".3f"),
    "relative to the first": number("per_edge", ".3f"),
}
MEMORY: Columns = {
    "states": lambda row: row["states"],
    "engine s": number("engine_s", ".4g"),
    "time ratio": number("time_ratio", ".2f"),
    "peak MB": number("peak_mb", ".0f"),
}
POPULATION: Columns = {
    "networks": lambda row: f"{row['networks']} x {row['title']}",
    "threads": number("threads", "d"),
    "one by one, s each": number("single_s", ".4g"),
    "together, s each": number("together_s", ".4g"),
    "gain": number("gain", ".2f"),
}
EPOCHS: Columns = {
    "epoch": number("epoch", "d"),
    "seconds": number("seconds", ".1f"),
    "s on the whole training part": number("full_part_s", ".1f"),
    "loss": number("loss", ".4f"),
    "validation accuracy": number("validation_accuracy", ".4f"),
}


def table(columns: Columns, rows: Sequence[Row]) -> str:
    """A Markdown table with columns of equal width."""
    cells = [list(columns), *([cell(row) for cell in columns.values()] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = [[text.ljust(width) for text, width in zip(row, widths, strict=True)] for row in cells]
    lines.insert(1, ["-" * width for width in widths])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
