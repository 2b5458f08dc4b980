"""The study of a run: where it lies, and how to open it to be read."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from topo_search.config import parse_run, read_space_file
from topo_search.errors import InputError
from topo_search.search import RunFolder, StudyStorage, check_url, database_errors, has_study, open_storage

__all__ = ["RecordedRun", "open_recorded", "study_errors", "study_location"]


@dataclass(frozen=True)
class RecordedRun:
    """A run whose study is open.

    Attributes:
        folder: of the run.
        values: of its ``space.yaml``.
        where: for messages: the file that they are from.
        section: ``run`` of these values.
        storage: that holds the study.
        location: of the storage, a path or a URL.
    """

    folder: RunFolder
    values: dict[str, Any]
    where: str
    section: dict[str, Any]
    storage: StudyStorage
    location: str | Path

    @property
    def study(self) -> str:
        """Name of the study."""
        return str(self.section["study"])


def open_recorded(path: Path, *, storage: str | None = None) -> RecordedRun:
    """Open the study of a run to read it.

    A last line of its journal that a crash cut short is dropped; nothing else is changed.

    Args:
        path: of the run's folder.
        storage: URL of the study, where it needs a password.

    Raises:
        InputError: if the folder is no run, or its study cannot be opened.
        RunFailedError: if a database fails meanwhile.
    """
    folder = RunFolder(path)
    if not folder.space.is_file():
        raise InputError(f"{path} is not a run: expected a folder with space.yaml that evolve left behind")
    if storage is not None:
        check_url(storage)
    values, where = read_space_file(folder.space)
    section = parse_run(values, where)
    if storage is not None and section.get("storage") is None and folder.journal.exists():
        raise InputError(f"the run's study is {folder.journal}: expected no --storage and no TOPO_SEARCH_STORAGE")
    location: str | Path = study_location(section, where, storage) or folder.journal
    if location == folder.journal:
        _check_journal(folder)
    with study_errors(location):
        opened = open_storage(location, to_write=False)
        if not has_study(opened, section["study"]):
            raise InputError(f"unknown study {section['study']!r}: expected it in the storage of the run")
    return RecordedRun(folder, values, where, section, opened, location)


def study_location(section: Mapping[str, Any], where: str, storage: str | None) -> str | None:
    """URL of a run's study; ``None`` for the journal in its folder.

    Args:
        section: ``run`` of the run's ``space.yaml``.
        where: for messages: the file that it is from.
        storage: URL that was given, if one was.

    Raises:
        InputError: if ``space.yaml`` names a path, or the password is not known.
    """
    recorded: str | None = section.get("storage")
    location = storage or recorded
    if storage is None and recorded is not None and "://" not in recorded:
        # A path would be opened, cut to whole lines and written to, wherever it leads.
        raise InputError(f"{where}: run.storage is {recorded!r}, no URL: give --storage where it is meant")
    if location is not None and "***" in location:
        raise InputError(f"the run's study is at {location}: give --storage with the password")
    return location


def study_errors(location: str | Path) -> AbstractContextManager[None]:
    """Say in one line what a database does to whoever reads a study in it; a journal is a file like others."""
    return database_errors(location) if isinstance(location, str) else nullcontext()


def _check_journal(folder: RunFolder) -> None:
    if folder.journal.is_symlink():
        raise InputError(f"{folder.journal} is a link: expected a file of the run's own")
    if not folder.journal.is_file():
        raise InputError(f"no study at {folder.journal}: expected the journal of a run")
