"""Where a study lies: a journal file, SQLite, PostgreSQL or MySQL, opened through Optuna.

- :func:`open_storage`, :class:`StudyStorage`, :func:`open_engine`: a storage, and its database; :func:`holds_studies`,
  :func:`storage_notice`: what to know before.
- :func:`database_errors`: its failures in one line, without passwords.
- :func:`has_study`, :func:`check_study_name`, :func:`recorded_run`: a study in it, by its name.
- :func:`check_url`, :func:`is_shareable`, :func:`without_password`: what an address says, and how it may be shown.
"""

from topo_search.search.storage.opening import (
    StudyStorage,
    database_errors,
    holds_studies,
    open_engine,
    open_storage,
    storage_notice,
)
from topo_search.search.storage.studies import check_study_name, has_study, recorded_run
from topo_search.search.storage.url import check_url, is_shareable, without_password

__all__ = [
    "StudyStorage",
    "check_study_name",
    "check_url",
    "database_errors",
    "has_study",
    "holds_studies",
    "is_shareable",
    "open_engine",
    "open_storage",
    "recorded_run",
    "storage_notice",
    "without_password",
]
