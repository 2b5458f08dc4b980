"""Checks of the place that runs are written to: space, files, and the kind of file system."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from topo_search.doctor.check import Outcome

__all__ = ["check_disk", "check_file_system", "existing_part"]

MIN_FREE_GB = 1.0
# A run of 200 candidates leaves some hundred files; a file system that can hold no more of them is as good as full.
MIN_FREE_FILES = 10_000
IN_MEMORY = ("ramfs", "tmpfs")


def existing_part(path: Path) -> Path:
    """The folder itself, or the nearest one above it that exists."""
    absolute = path.absolute()
    return next(folder for folder in (absolute, *absolute.parents) if folder.exists())


def check_disk(out: Path) -> Outcome:
    """Free space and free files where runs are written to."""
    folder = existing_part(out)
    if not folder.is_dir():
        return "FAIL", f"{folder} is a file: expected a folder"
    free = shutil.disk_usage(folder).free / 1e9
    detail = f"{free:.1f} GB free in {folder}"
    if not os.access(folder, os.W_OK):
        return "FAIL", f"{detail}, which cannot be written to"
    if free < MIN_FREE_GB:
        return "FAIL", f"{detail}: expected {MIN_FREE_GB:g} GB or more"
    usage = os.statvfs(folder)
    # Some file systems, such as btrfs, make room for files as they need it and report none at all.
    if usage.f_files and usage.f_favail < MIN_FREE_FILES:
        return "warn", f"{detail}, but room for {usage.f_favail} files only"
    return "ok", f"{detail}, room for {usage.f_favail} files" if usage.f_files else detail


def check_file_system(out: Path) -> Outcome:
    """A study's files need locks and renames that hold; on network file systems they may not."""
    from topo_search.search.storage.file_systems import file_system, network_file_system

    folder = existing_part(out).resolve()
    network = network_file_system(folder)
    if network is not None:
        return "warn", (
            f"{folder} is on a network file system ({network}): a journal there is used with a warning, SQLite is "
            "refused; keep the study in PostgreSQL or MySQL, or write to a local disk (--out)"
        )
    kind = file_system(folder)
    if kind in IN_MEMORY:
        return "warn", f"{folder} is on {kind}, in memory: runs are lost when this machine or container ends"
    return "ok", f"{folder} is on a local file system" + ("" if kind is None else f", {kind}")
