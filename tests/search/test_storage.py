import json
import os
import signal
import threading
import time
from pathlib import Path

import optuna
import pytest
from optuna.storages.journal import JournalFileSymlinkLock
from sqlalchemy import text

from topo_search.errors import InputError, RunFailedError
from topo_search.search.storage import check_study_name, database_errors, has_study, open_engine, open_storage, opening
from topo_search.search.storage import url as storage_url
from topo_search.search.storage.journal_lock import JournalLock
from topo_search.search.storage.url import is_shareable, resolved_url, without_password

URLS = [
    "postgresql://user:s3cret@host/name",
    "postgresql://us@er:s3cret@host:5432/name",
    "postgresql://user:s3cret:x@host/name",
    "postgresql://user:s3c/ret@host/name",
    "postgresql://user:s3cret%40@host/name",
    "postgresql://user:s3c@ret@host/name",
    "postgresql://user:s3cret?@host/name",
    "postgresql://user:s3cret#@host/name",
    "postgresql+psycopg://user:s3cret@[::1]/name",
    "postgresql://host/name?user=me&password=s3cret",
    "postgresql://host/name?password=s3cret&x=1",
    "mysql://user@host/name?ssl_password=s3cret",
    "mysql://user:s3cret@host/name?passwd=s3cret",
    "nosuchdb://user:s3cret@host",
    "postgresql://user:s3cret@host:notaport/name",
    "postgresql://user:s3c?ret@x@host/name",
    "postgresql://user:s3c/ret@x@host/name",
    "mysql://user@host/name?ssl_key_passphrase=s3cret",
    "nosuchdb://host/?odbc_connect=UID%3Duser%3BPWD%3Ds3cret",
]


@pytest.mark.parametrize("url", URLS)
def test_no_message_and_no_file_holds_a_password(url):
    shown = without_password(url)
    assert "s3c" not in shown
    assert "ret" not in shown
    assert "***" in shown
    with pytest.raises(InputError) as caught:
        open_storage(url)
    assert "s3c" not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_url_without_password_stays_as_it_is():
    for url in ("sqlite:///a b.db", "postgresql://user@host/name?sslmode=require", "outputs/run/study.journal"):
        assert without_password(url) == url


def test_what_a_driver_says_is_shown_without_the_password_in_any_form():
    url = "postgresql://user:pass%20w%2Ford@host/name?sslpassword=other"
    error = ValueError("cannot use 'pass w/ord', pass%20w%2Ford, pass+w%2Ford or other\nsecond line")
    assert storage_url.failure_reason(error, url) == "cannot use ***, ***, *** or ***"


@pytest.mark.parametrize(
    ("url", "installed", "driver"),
    [
        ("postgresql://host/name", {"psycopg", "psycopg2"}, "postgresql+psycopg"),
        ("postgres://host/name", {"psycopg"}, "postgresql+psycopg"),
        ("postgresql://host/name", {"psycopg2"}, "postgresql+psycopg2"),
        ("postgresql+asyncpg://host/name", set(), "postgresql+asyncpg"),
        ("mysql://host/name", {"pymysql"}, "mysql+pymysql"),
        ("mysql://host/name", {"MySQLdb"}, "mysql+mysqldb"),
        ("mariadb://host/name", {"pymysql"}, "mariadb+pymysql"),
    ],
)
def test_the_database_driver_that_is_installed_serves(monkeypatch, url, installed, driver):
    monkeypatch.setattr(storage_url.importlib.util, "find_spec", lambda name: name if name in installed else None)
    assert resolved_url(url).drivername == driver
    assert is_shareable(url)


@pytest.mark.parametrize(("scheme", "extra"), [("postgresql", "postgresql"), ("mysql", "mysql"), ("mariadb", "mysql")])
def test_a_missing_database_driver_is_named_with_its_remedy(monkeypatch, scheme, extra):
    monkeypatch.setattr(storage_url.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(InputError, match=rf"pip install 'topo_search\[{extra}\]'") as caught:
        open_storage(f"{scheme}://user:s3cret@host/name")
    assert "s3cret" not in str(caught.value)


def test_only_servers_can_be_shared(tmp_path):
    assert not is_shareable("sqlite:///study.db")
    assert not is_shareable(tmp_path / "study.journal")


@pytest.mark.parametrize("url", ["sqlite://", "sqlite:///:memory:"])
def test_a_storage_that_keeps_nothing_is_refused(url):
    with pytest.raises(InputError, match="keeps nothing"):
        open_storage(url)


def test_every_connection_of_sqlite_has_its_settings(tmp_path):
    url = f"sqlite:///{tmp_path}/study.db"
    opened = open_storage(url)
    for engine in (opened._backend.engine, open_engine(url)):
        with engine.connect() as connection:
            assert connection.execute(text("PRAGMA journal_mode")).scalar() == "wal"
            assert connection.execute(text("PRAGMA synchronous")).scalar() == 1
            assert connection.execute(text("PRAGMA busy_timeout")).scalar() == opening.BUSY_SECONDS * 1000


def test_a_database_that_fails_in_a_run_is_said_in_one_line(tmp_path):
    url = f"sqlite:///{tmp_path}/study.db"
    failing = pytest.raises(RunFailedError, match="no such table: absent")
    with failing as caught, database_errors(url), open_engine(url).connect() as connection:
        connection.execute(text("SELECT 1 FROM absent"))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "../a", "a\\b", "a\nb", "\x00", "x" * 201])
def test_a_study_cannot_be_named_like_a_path(name):
    with pytest.raises(InputError, match="expected the name of a folder"):
        check_study_name(name)


@pytest.mark.parametrize("name", ["run", "digits-20261122-ab12", "größer", "...", "a b"])
def test_folder_names_name_studies(name):
    assert check_study_name(name) == name


# ---- the journal's lock


def journal(tmp_path):
    path = tmp_path / "study.journal"
    optuna.create_study(study_name="run", storage=open_storage(path))
    return path


def test_the_lock_of_a_writer_that_was_killed_is_removed_at_once(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = journal(tmp_path)
    reading, telling = os.pipe()
    holder = os.fork()
    if holder == 0:
        JournalLock(Path(path.name)).acquire()
        os.write(telling, b"held")
        time.sleep(60)
        os._exit(0)
    assert os.read(reading, 4) == b"held"
    os.kill(holder, signal.SIGKILL)
    os.waitpid(holder, 0)
    link = tmp_path / "study.journal.lock"
    assert link.is_symlink()
    # Other programs look at the journal's age through the link.
    assert link.samefile(path)
    # Optuna's own wait, of half a minute, must not begin.
    monkeypatch.setattr(JournalFileSymlinkLock, "acquire", _once)
    open_storage(path).create_new_study([optuna.study.StudyDirection.MAXIMIZE], "other")
    assert not link.is_symlink()
    assert has_study(open_storage(path), "other")


def _once(lock):
    Path(lock._lock_file).symlink_to(lock._lock_target_file)
    return True


def test_the_lock_of_another_program_is_waited_for(tmp_path):
    path = journal(tmp_path)
    foreign = JournalFileSymlinkLock(str(path))
    foreign.acquire()
    lock, order = JournalLock(path), []
    waiting = threading.Thread(target=lambda: (lock.acquire(), order.append("ours"), lock.release()))
    waiting.start()
    time.sleep(0.2)
    order.append("foreign")
    foreign.release()
    waiting.join(timeout=30)
    assert order == ["foreign", "ours"]


def test_a_lock_that_another_host_may_hold_is_left_alone(tmp_path, monkeypatch):
    from topo_search.search.storage import journal_lock

    path = journal(tmp_path)
    held = JournalLock(path)
    held.acquire()
    held._file.close()  # As if the process had died: its flock is gone, its link is there.
    monkeypatch.setattr(journal_lock, "network_file_system", lambda path: "nfs")
    monkeypatch.setattr(JournalFileSymlinkLock, "acquire", lambda lock: pytest.fail("waits"))
    with pytest.raises(pytest.fail.Exception, match="waits"):
        JournalLock(path).acquire()
    assert (tmp_path / "study.journal.lock").is_symlink()


def test_a_record_that_is_being_written_is_not_taken_for_torn(tmp_path):
    path = journal(tmp_path)
    whole = path.read_bytes()
    writer = JournalLock(path)
    writer.acquire()
    path.write_bytes(whole + b'{"op_code"')
    opening = threading.Thread(target=lambda: open_storage(path))
    opening.start()
    time.sleep(0.2)
    record = json.dumps({"op_code": 0, "worker_id": "x", "study_name": "late", "directions": [1]}).encode()
    path.write_bytes(whole + record + b"\n")
    writer.release()
    opening.join(timeout=30)
    assert path.read_bytes() == whole + record + b"\n"


@pytest.mark.parametrize("spoil", [b"garbage", b"[1]", b"{}", b'{"op_code": 99}', b"\x00\xff", b"{" * 100_000])
def test_a_line_damaged_in_the_middle_is_refused_in_one_line(tmp_path, spoil):
    path = journal(tmp_path)
    lines = path.read_bytes().splitlines()
    path.write_bytes(b"\n".join([lines[0], spoil, *lines[1:]]) + b"\n")
    before = path.read_bytes()
    with pytest.raises(InputError, match="the journal is damaged: ") as caught:
        open_storage(path)
    assert "\n" not in str(caught.value)
    assert path.read_bytes() == before


def test_the_damaged_line_is_named(tmp_path):
    path = journal(tmp_path)
    optuna.create_study(study_name="second", storage=open_storage(path))
    lines = path.read_bytes().splitlines()
    lines[1] = lines[1].replace(b'"', b"", 1)
    path.write_bytes(b"\n".join([*lines, lines[0]]) + b"\n")
    with pytest.raises(InputError, match=r"the journal is damaged: line 2 \("):
        open_storage(path)
