"""All checks, in the order in which they are shown."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from topo_search.doctor import computing, installation, machine, storage_place
from topo_search.doctor.check import Check, Outcome, outcome_of
from topo_search.doctor.ray_cluster import check_ray
from topo_search.doctor.study_storage import check_storage

__all__ = ["run_checks"]

OUTPUTS = Path("outputs")


def run_checks(
    data_dir: Path | None = None,
    *,
    out: Path | None = None,
    ray: str | None = None,
    storage: str | None = None,
) -> list[Check]:
    """Run all checks, within some ten seconds; nothing is written and nothing is started.

    Args:
        data_dir: where data sets lie.
        out: where runs shall be written to; ``outputs`` where not given. It need not exist.
        ray: a Ray cluster that shall be reached: ``auto`` or ``HOST:PORT``; where not given it is only said whether one
            runs here.
        storage: URL of an Optuna storage that shall be opened.

    Returns:
        One outcome a check. A check that raises has failed, with the error as its detail.
    """
    folder = out or OUTPUTS
    checks: dict[str, Callable[[], Outcome]] = {
        "python": installation.check_python,
        "torch": computing.check_torch,
        "cores": machine.check_cores,
        "memory": machine.check_memory,
        "engine": computing.check_engine,
        "gradient": computing.check_gradient,
        "agreement": computing.check_agreement,
        "compiler": installation.check_compiler,
        "certificate": computing.check_certificate,
        "search spaces": installation.check_spaces,
        "disk": lambda: storage_place.check_disk(folder),
        "file system": lambda: storage_place.check_file_system(folder),
        "ray": lambda: check_ray(ray),
        "storage": lambda: check_storage(storage),
        "data": lambda: installation.check_data(data_dir),
    }
    return [outcome_of(name, check) for name, check in checks.items()]
