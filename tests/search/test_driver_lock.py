import json
import os
import signal
import threading
import time
from pathlib import Path

import pytest
from sqlalchemy import text

from topo_search.errors import InputError, RunFailedError
from topo_search.search.locks import driver_lock, owner
from topo_search.search.locks.database_lock import DatabaseLock
from topo_search.search.locks.driver_lock import FolderLock
from topo_search.search.locks.owner import Heartbeat, Owner
from topo_search.search.storage import open_engine, open_storage

# Of a test; a driver elsewhere is watched for two and a half of them.
BEAT = 0.08
OWNED = (
    r"is in use by process \d+ on host \S+ since \d{4}-\d\d-\d\d \d\d:\d\d UTC \(seen \d+ s ago\): expected one driver"
)


def record(folder):
    return json.loads((folder / ".lock").read_bytes())


def elsewhere(monkeypatch):
    """From here on this process counts as one on another machine."""
    monkeypatch.setattr(owner, "_place", lambda: "another machine")


def on_nfs(monkeypatch, *, flock=False):
    """A network file system whose locks do not reach other hosts, or reach them."""
    monkeypatch.setattr(driver_lock, "network_file_system", lambda path: "nfs4")
    if not flock:
        monkeypatch.setattr(driver_lock.fcntl, "flock", lambda file, how: None)


# ---- a folder


def test_a_second_driver_is_told_who_holds_the_run(tmp_path):
    lock = FolderLock(tmp_path, interval=BEAT)
    with pytest.raises(InputError, match=f"run {tmp_path} {OWNED}") as caught:
        FolderLock(tmp_path)
    assert f"process {os.getpid()} " in str(caught.value)
    lock.release()
    FolderLock(tmp_path).release()


@pytest.mark.parametrize("years", [-30, 30])
def test_a_jump_of_the_clock_changes_nothing(tmp_path, monkeypatch, years):
    lock = FolderLock(tmp_path, interval=BEAT)
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + years * 3.15e7)
    os.utime(tmp_path / ".lock", (now - years * 3.15e7,) * 2)
    with pytest.raises(InputError, match=r"seen \d s ago"):
        FolderLock(tmp_path)
    with lock.writing():
        pass
    lock.release()
    FolderLock(tmp_path).release()


def test_the_lock_of_a_dead_process_is_free_at_once(tmp_path, monkeypatch):
    child = os.fork()
    if child == 0:
        FolderLock(tmp_path, interval=BEAT)
        os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(child, 0)
    assert record(tmp_path)["pid"] == child
    monkeypatch.setattr(driver_lock, "watch", lambda *args, **options: pytest.fail("it waits"))
    FolderLock(tmp_path).release()


def test_the_beat_goes_on_and_ends_with_the_lock(tmp_path):
    lock = FolderLock(tmp_path, interval=0.01)
    first = record(tmp_path)["beat"]
    deadline = time.monotonic() + 30
    while record(tmp_path)["beat"] < first + 3:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    lock.release()
    assert (tmp_path / ".lock").read_bytes() == b""
    assert not any(thread is lock._heart._thread for thread in threading.enumerate())


@pytest.mark.parametrize("content", [b"", b"process 12\n", b"{}", b"[]", b"{" * 50_000, b"\x00\xff", b'{"token": 1}'])
def test_any_content_of_the_file_is_survived(tmp_path, content):
    (tmp_path / ".lock").write_bytes(content)
    lock = FolderLock(tmp_path, interval=BEAT)
    assert record(tmp_path)["pid"] == os.getpid()
    lock.release()


def test_a_lock_that_cannot_be_made_is_bad_input(tmp_path):
    with pytest.raises(InputError, match="cannot be locked: No such file"):
        FolderLock(tmp_path / "nowhere")


def test_a_driver_on_another_host_that_beats_is_not_disturbed(tmp_path, monkeypatch):
    on_nfs(monkeypatch)
    lock = FolderLock(tmp_path, interval=BEAT)
    elsewhere(monkeypatch)
    with pytest.raises(InputError, match=OWNED):
        FolderLock(tmp_path, interval=4 * BEAT)
    with lock.writing():
        pass
    lock.release()


@pytest.mark.parametrize("years", [-30, 0, 30])
def test_a_driver_on_another_host_that_is_silent_is_replaced_and_learns_of_it(tmp_path, monkeypatch, years):
    on_nfs(monkeypatch)
    sleeper = FolderLock(tmp_path, interval=BEAT)
    sleeper._heart.stop()
    elsewhere(monkeypatch)
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + years * 3.15e7)
    begun = time.monotonic()
    next_one = FolderLock(tmp_path, interval=BEAT)
    assert time.monotonic() - begun >= owner.SILENT_BEATS * BEAT
    with pytest.raises(RunFailedError, match="was taken over by process"), sleeper.writing():
        pytest.fail("it writes on")
    assert not sleeper._beat()
    sleeper.release()
    with next_one.writing():
        assert record(tmp_path)["token"] == next_one._owner.token
    next_one.release()


def test_of_two_hosts_that_begin_together_one_gives_way(tmp_path, monkeypatch):
    on_nfs(monkeypatch)
    place = threading.local()
    monkeypatch.setattr(owner, "_place", lambda: getattr(place, "name", "main"))
    barrier, outcome = threading.Barrier(2), []

    def drive(name):
        place.name = name
        barrier.wait()
        try:
            outcome.append(FolderLock(tmp_path, interval=0.5))
        except InputError as error:
            outcome.append(error)

    threads = [threading.Thread(target=drive, args=(name,)) for name in ("a", "b")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    assert sorted(type(entry).__name__ for entry in outcome) == ["FolderLock", "InputError"]
    next(entry for entry in outcome if isinstance(entry, FolderLock)).release()


def test_where_there_is_no_flock_the_process_is_looked_up(tmp_path, monkeypatch):
    def none(file, how):
        raise OSError(driver_lock.errno.ENOLCK, "no locks")

    monkeypatch.setattr(driver_lock.fcntl, "flock", none)
    lock = FolderLock(tmp_path, interval=BEAT)
    with pytest.raises(InputError, match=OWNED):
        FolderLock(tmp_path)
    lock.release()
    FolderLock(tmp_path).release()


# ---- who and where


def test_a_process_number_that_is_used_again_is_another_process():
    this = Owner.this()
    assert this.is_here
    assert this.is_running
    assert not Owner(**{**this.__dict__, "started": "1"}).is_running
    child = os.fork()
    if child == 0:
        os._exit(0)
    while Path(f"/proc/{child}/stat").read_text().rpartition(")")[2].split()[0] != "Z":
        time.sleep(0.01)
    # Ended, and not yet asked for by its parent.
    assert not Owner(**{**this.__dict__, "pid": child}).is_running
    os.waitpid(child, 0)
    assert not Owner(**{**this.__dict__, "pid": child}).is_running


def test_a_beat_that_fails_or_hangs_holds_nothing_up():
    calls, hang = [], threading.Event()

    def fail():
        calls.append(1)
        if len(calls) > 2:
            hang.wait(30)
        raise OSError("no space left on device")

    heart = Heartbeat(fail, interval=0.01)
    deadline = time.monotonic() + 30
    while len(calls) < 3:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    heart.stop()
    assert heart._thread.daemon
    hang.set()


# ---- a database


@pytest.fixture
def url(tmp_path):
    found = f"sqlite:///{tmp_path}/study.db"
    open_storage(found)
    return found


def drivers(url):
    with open_engine(url).connect() as connection:
        return connection.execute(text("SELECT study, beat FROM topo_search_drivers")).all()


def test_a_study_has_one_driver(url):
    lock = DatabaseLock(url, "run", interval=BEAT)
    other = DatabaseLock(url, "other", interval=BEAT)
    with pytest.raises(InputError, match=f"study 'run' {OWNED}"):
        DatabaseLock(url, "run")
    with lock.writing():
        pass
    lock.release()
    assert [row.study for row in drivers(url)] == ["other"]
    DatabaseLock(url, "run").release()
    other.release()


def test_the_row_of_a_dead_process_counts_for_nothing(url, monkeypatch):
    from topo_search.search.locks import database_lock

    child = os.fork()
    if child == 0:
        DatabaseLock(url, "run", interval=60)
        os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(child, 0)
    assert len(drivers(url)) == 1
    monkeypatch.setattr(database_lock, "watch", lambda *args, **options: pytest.fail("it waits"))
    lock = DatabaseLock(url, "run", interval=60)
    assert len(drivers(url)) == 1
    lock.release()


@pytest.mark.parametrize("years", [-30, 0, 30])
def test_a_driver_elsewhere_is_watched_by_its_beat_alone(url, monkeypatch, years):
    # On a busy machine a beat may be late: the one that must be seen beats fast, the one that watches is patient.
    alive = DatabaseLock(url, "run", interval=BEAT)
    elsewhere(monkeypatch)
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + years * 3.15e7)
    with pytest.raises(InputError, match=OWNED):
        DatabaseLock(url, "run", interval=20 * BEAT)
    alive._heart.stop()
    next_one = DatabaseLock(url, "run", interval=BEAT)
    with pytest.raises(RunFailedError, match=r"was taken over by process \d+ on host"), alive.writing():
        pytest.fail("it writes on")
    assert not alive._beat()
    alive.release()
    with next_one.writing():
        pass
    next_one.release()


def test_only_a_server_can_be_joined(url):
    with pytest.raises(InputError, match="expected a PostgreSQL or MySQL URL"):
        DatabaseLock(url, "run", joins=True)


@pytest.fixture
def joinable(url, monkeypatch):
    """SQLite taken for a server: enough for drivers that take turns in one process."""
    from topo_search.search.locks import database_lock

    monkeypatch.setattr(database_lock, "is_shareable", lambda location: True)
    return url


def test_drivers_that_join_are_let_in_and_others_are_not(joinable):
    first = DatabaseLock(joinable, "run")
    assert not first.exclusive  # It must expect another driver's trials, since others may join it.
    second = DatabaseLock(joinable, "run", joins=True)
    with pytest.raises(InputError, match=f"{OWNED} at a time, or --join to drive it together$"):
        DatabaseLock(joinable, "run")
    first.release()
    with pytest.raises(InputError, match=OWNED):
        DatabaseLock(joinable, "run")
    second.release()
    DatabaseLock(joinable, "run").release()


def test_a_study_that_cannot_be_joined_has_one_driver(url):
    lock = DatabaseLock(url, "run")
    assert lock.exclusive
    with pytest.raises(InputError, match=r"expected one driver at a time$"):
        DatabaseLock(url, "run")
    lock.release()


def test_others_are_alive_while_they_beat(joinable, monkeypatch):
    first = DatabaseLock(joinable, "run", joins=True, interval=BEAT)
    assert first.is_alive(first.token)
    assert not first.is_alive("nobody")
    elsewhere(monkeypatch)
    second = DatabaseLock(joinable, "run", joins=True, interval=BEAT)
    assert second.is_alive(first.token)
    first._heart.stop()
    begun = time.monotonic()
    while second.is_alive(first.token):
        assert time.monotonic() - begun < 60
        time.sleep(0.01)
    assert time.monotonic() - begun >= BEAT
    with pytest.raises(RunFailedError, match="was taken over"), first.writing():
        pytest.fail("it writes on")
    first.release()
    second.release()
