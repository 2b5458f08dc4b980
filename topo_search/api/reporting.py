"""The report of a run: ``report.html`` in its folder."""

from __future__ import annotations

from pathlib import Path

from topo_search.api.recorded import open_recorded, study_errors
from topo_search.api.training import is_training
from topo_search.config import parse_space, space_to_yaml
from topo_search.errors import InputError
from topo_search.files import write_atomically
from topo_search.search import read_budgets, read_trials

__all__ = ["write_report"]


def write_report(folder: str | Path, *, storage: str | None = None) -> Path:
    """Write the report of a run, finished or not: one page with figures, tables and how they were got.

    Nothing else in the folder is changed, but for a last line of the journal that a crash cut short, which is dropped;
    nothing is trained or judged anew: the page shows what the study and the files of the run say. Another process may
    drive the run meanwhile.

    Args:
        folder: of the run.
        storage: URL of the study, needed where it has a password.

    Returns:
        The file, ``report.html`` in the folder.

    Raises:
        InputError: if the folder is no run of ``evolve``, its study or a file of it cannot be read or is not what a run
            writes, or the page cannot be written.
        RunFailedError: if a database fails meanwhile.
    """
    from topo_search.report.page import read_record, read_summary, render_page

    path = Path(folder)
    if is_training(path):
        raise InputError(f"{path} holds trainings of one graph: expected the folder of a search")
    run = open_recorded(path, storage=storage)
    space = parse_space(run.values, where=run.where)
    # Before the study, which may grow meanwhile: a summary says that all of its trials are there.
    summary = read_summary(run.folder)
    with study_errors(run.location):
        budgets, trials = read_budgets(run.storage, run.study), read_trials(run.storage, run.study)
    record = read_record(run.folder, space, run.section, summary=summary, budgets=budgets, trials=trials)
    page = render_page(record, space_yaml=space_to_yaml(space))
    try:
        # A text of a file may hold half a surrogate pair, and so may the folder's name: neither has UTF-8.
        write_atomically(run.folder.report, page.encode(errors="backslashreplace"))
    except OSError as error:
        raise InputError(f"{run.folder.report} cannot be written: {error.strerror}") from None
    return run.folder.report
