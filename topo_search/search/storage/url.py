"""URLs of databases: which driver serves, and no password in anything that is shown or kept."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote, quote_plus, unquote, unquote_plus

from optuna.exceptions import StorageInternalError

from topo_search.errors import InputError

if TYPE_CHECKING:
    import sqlalchemy

__all__ = ["SERVERS", "check_url", "failure_reason", "is_shareable", "resolved_url", "without_password"]

# The driver that is used where the URL names none: the first that is installed. With it, how to install one.
SERVERS = {
    "postgresql": (("psycopg", "psycopg2"), "pip install 'topo_search[postgresql]'"),
    "mysql": (("pymysql", "mysqldb"), "pip install 'topo_search[mysql]'"),
    "mariadb": (("pymysql", "mysqldb"), "pip install 'topo_search[mysql]'"),
}
_MODULES = {"mysqldb": "MySQLdb"}
EXPECTED = "expected a file, sqlite:///FILE, postgresql://USER@HOST/DATABASE or mysql://USER@HOST/DATABASE"

# As SQLAlchemy reads a URL.
_USERINFO = re.compile(r"^([\w+]+://[^:/]*):([^@]*)@")
_LOGIN = re.compile(r"^[\w+]+://(?:[^:/@]*(?::[^@]*)?@)?")
_SECRET_ENTRY = re.compile(
    r"([?&](?:[\w.-]*(?:password|passwd|passphrase|secret|token)|pwd|odbc_connect)=)([^&]*)", re.IGNORECASE
)


def without_password(url: str) -> str:
    """A storage URL fit for a file that others read; what cannot be read as a URL keeps its scheme alone."""
    if "://" not in url:
        return url
    try:
        _parse(url)
    except InputError:
        return f"{url.partition('://')[0]}://***"
    return _SECRET_ENTRY.sub(r"\1***", _USERINFO.sub(r"\1:***@", url))


def _secrets(url: str) -> set[str]:
    """Every form in which a password of the URL may turn up in a message."""
    found = [match[2] for match in (_USERINFO.match(url),) if match]
    found += [match[2] for match in _SECRET_ENTRY.finditer(url)]
    forms = {f(text) for text in found for f in (str, unquote, unquote_plus)}
    return {f(text) for text in forms for f in (str, quote, quote_plus, repr)} - {"", "''"}


def failure_reason(error: BaseException, url: str) -> str:
    """First line of what a database driver says, without passwords."""
    # Optuna hides the database's own words behind a sentence of its own.
    if isinstance(error, StorageInternalError) and error.__cause__ is not None:
        error = error.__cause__
    text = next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
    for secret in sorted(_secrets(url), key=len, reverse=True):
        text = text.replace(secret, "***")
    return text


def _parse(text: str) -> sqlalchemy.URL:
    from sqlalchemy.engine import make_url

    try:
        url = make_url(text)
    except Exception:
        # What the parser says may quote the URL: an error in it is often an unescaped password.
        url = None
    # A second @ is one of a password that was not written as %40, wherever the parser has put what follows it.
    if url is None or "@" in _LOGIN.sub("", text, count=1):
        scheme = text.partition("://")[0]
        raise InputError(
            f"storage {scheme}://... is no URL that can be read: {EXPECTED}; in a password write @ as %40, : as %3A"
        )
    return url


def check_url(text: str) -> str:
    """What was given as ``--storage``, if it is a URL.

    Raises:
        InputError: if it is none; what was given is not repeated, since it may hold a password.
    """
    if "://" not in text:
        raise InputError(
            "storage is no URL: expected sqlite:///FILE, postgresql://USER@HOST/DATABASE or mysql://USER@HOST/DATABASE"
        )
    _parse(text)
    return text


def resolved_url(text: str) -> sqlalchemy.URL:
    """The URL with a database driver that is installed.

    Raises:
        InputError: if it is no URL, or no driver for it is installed.
    """
    url = _parse(text.replace("postgres://", "postgresql://", 1) if text.startswith("postgres://") else text)
    backend = url.get_backend_name()
    if backend not in SERVERS or "+" in url.drivername:
        return url
    names, install = SERVERS[backend]
    for name in names:
        if importlib.util.find_spec(_MODULES.get(name, name)) is not None:
            return url.set(drivername=f"{backend}+{name}")
    raise InputError(f"storage {without_password(text)} needs a database driver: {install}")


def is_shareable(location: str | Path) -> bool:
    """Whether drivers on several machines can share a study there: PostgreSQL, MySQL or MariaDB.

    Raises:
        InputError: if it is no URL that can be read.
    """
    text = str(location)
    return "://" in text and _parse(text.replace("postgres://", "postgresql://", 1)).get_backend_name() in SERVERS
