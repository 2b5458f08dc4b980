"""What the runs of ``benchmarks/euler_limit.py`` found: certificates of the kept couplings, a table, a figure."""

from __future__ import annotations

import math
from dataclasses import fields
from pathlib import Path
from typing import Any

from safetensors.torch import load_file

from bench.limit_figure import draw
from bench.limit_runs import ARMS, DT, Run, Settings, network_of
from bench.limit_state import Record, RunFiles
from bench.tables import table
from topo_search.errors import InputError
from topo_search.files import read_json, write_atomically, write_json
from topo_search.model import Certificate, ComboNet, certify_matrices

__all__ = ["EULER_LIMIT", "report"]

EULER_LIMIT = math.sqrt((2 - DT) / DT)
"""Coupling norm from which forward Euler contracts in no metric."""

Row = dict[str, Any]


def report(out: Path, *, figure: Path) -> str:
    """Certify what is not certified yet, write ``report.md``, ``report.json`` and the figure.

    Args:
        out: folder of the runs.
        figure: file of the figure, PNG or SVG by its name.

    Returns:
        The table.

    Raises:
        InputError: if there are no runs, or one cannot be read.
    """
    rows = [_row(path.parent) for path in sorted(out.glob("*/run.json"))]
    if not rows:
        raise InputError(f"no runs in {out}: expected folders with run.json; train first")
    rows.sort(key=lambda row: (row["areas"], list(ARMS).index(row["arm"]), row["seed"]))
    text = table(_COLUMNS, rows)
    head = f"Euler's limit at dt {DT:g}: coupling norm sqrt((2 - h) / h) = {EULER_LIMIT:.2f}"
    write_atomically(out / "report.md", f"{head}\n\n{text}\n")
    write_json(out / "report.json", {"euler_limit": EULER_LIMIT, "rows": rows})
    draw(rows, figure, limit=EULER_LIMIT)
    return f"{head}\n{text}"


def _row(folder: Path) -> Row:
    identity = read_json(folder / "run.json", "run")
    run = Run(identity["areas"], identity["arm"], identity["seed"])
    files = RunFiles(folder)
    progress = files.progress()
    certificates = _certificates(run, Settings(**identity["settings"]), files)
    judged = [record for record in progress.records if record.validation_accuracy is not None]
    norms = [record.coupling_norm for record in progress.records if record.coupling_norm is not None]
    return {
        "areas": run.areas,
        "arm": run.arm,
        "seed": run.seed,
        "step": progress.step,
        "status": progress.diverged or "trained",
        "accuracy": judged[-1].validation_accuracy if judged and not progress.diverged else None,
        "images": judged[-1].validation_images if judged else 0,
        "norm_start": norms[0] if norms else None,
        "norm_end": norms[-1] if norms else None,
        "certificates": certificates,
        "records": [_plain(record) for record in progress.records],
        "seconds": progress.seconds,
    }


def _plain(record: Record) -> Row:
    return {"step": record.step, "loss": record.loss, "accuracy": record.validation_accuracy}


def _certificates(run: Run, settings: Settings, files: RunFiles) -> list[Row]:
    """A certificate of each kept coupling, from ``certificates.json`` where it has been made."""
    path = files.folder / "certificates.json"
    rows = read_json(path, "certificates")["rows"] if path.exists() else []
    known = {row["step"]: row for row in rows if not _outdated(row)}
    network: ComboNet | None = None
    for step, snapshot in files.snapshots().items():
        if step in known:
            continue
        if network is None:
            network = network_of(run, settings, channels=1, classes=2)
        tensors = load_file(snapshot)
        network.coupling.data.copy_(tensors["coupling"])
        network.area_weights.copy_(tensors["area_weights"])
        if tensors["coupling"].isfinite().all():
            known[step] = {"step": step, **_verdict(network)}
            write_json(path, {"rows": [known[key] for key in sorted(known)]})
    return [known[step] for step in sorted(known)]


def _outdated(row: Row) -> bool:
    """Whether it was made before certificates had a lower bound."""
    return row["rho_lower"] is None and "rho_lower" in {field.name for field in fields(Certificate)}


def _verdict(network: ComboNet) -> Row:
    certificate = certify_matrices(network.matrices())
    # Fields that only later certificates have are null where this one lacks them.
    verdict = {key: _number(getattr(certificate, key, None)) for key in ("rho", "rho_lower", "rate", "rate_upper")}
    sigma, h = certificate.coupling_norm, network.config.h
    euler = certificate.integrator == "euler"
    return {
        **verdict,
        "certified": certificate.certified,
        "reason": certificate.reason,
        "coupling_norm": sigma,
        # The step with every unit off, of largest modulus; contraction in any metric needs it below 1.
        "modulus_off": math.hypot(1 - h, h * sigma) if euler else None,
    }


def _number(value: float | None) -> float | None:
    return value if value is None or math.isfinite(value) else None


def _span(rows: list[Row], key: str, form: str) -> str:
    """First and last value along training."""
    values = [row[key] for row in rows if row[key] is not None]
    if not values:
        return "-"
    first, last = format(values[0], form), format(values[-1], form)
    return f"{first} to {last}" if len(values) > 1 else first


def _state(row: Row) -> str:
    return row["status"] if row["status"] != "trained" else f"{row['step']} steps"


_COLUMNS = {
    "areas": lambda row: str(row["areas"]),
    "arm": lambda row: row["arm"],
    "seed": lambda row: str(row["seed"]),
    "status": _state,
    "accuracy": lambda row: "-" if row["accuracy"] is None else f"{row['accuracy']:.3f} ({row['images']})",
    "coupling norm": lambda row: (
        "-" if row["norm_start"] is None else f"{row['norm_start']:.2f} to {row['norm_end']:.2f}"
    ),
    "modulus, units off": lambda row: _span(row["certificates"], "modulus_off", ".4f"),
    "rho": lambda row: _span(row["certificates"], "rho", ".4f"),
    "rho at least": lambda row: _span(row["certificates"], "rho_lower", ".4f"),
    "certified": lambda row: f"{sum(c['certified'] for c in row['certificates'])} of {len(row['certificates'])}",
}
