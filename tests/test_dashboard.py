"""The dashboard serves a run's study on this machine alone, and says what opens where it is told otherwise."""

import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request

import optuna
import pytest

import topo_search.dashboard
from topo_search.cli import main
from topo_search.errors import InputError
from topo_search.search import open_storage

WARNING = "warning: anyone who reaches {}:{} can read and change this study: the dashboard has no passwords\n"


SPACE = "name: tiny\nrun: {{study: run, seed: 0, budget: 3, storage: {}}}\n"


@pytest.fixture
def folder(tmp_path):
    """A run's folder, as far as the dashboard looks at it."""
    path = tmp_path / "run"
    path.mkdir()
    (path / "space.yaml").write_text(SPACE.format("null"))
    study = optuna.create_study(storage=open_storage(path / "study.journal"), study_name="run")
    study.add_trial(optuna.trial.create_trial(value=0.5))
    return path


@pytest.fixture
def port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture
def served(monkeypatch):
    """Where the server was asked to listen, instead of a server that listens."""
    places = []
    monkeypatch.setattr(
        topo_search.dashboard, "_serve_until_interrupted", lambda _, host, port: places.append((host, port))
    )
    return places


def dashboard(monkeypatch, capsys, *arguments):
    monkeypatch.setattr("sys.argv", ["topo_search", "dashboard", *map(str, arguments)])
    with pytest.raises(SystemExit) as caught:
        main()
    return caught.value.code or 0, *capsys.readouterr()


def test_it_stays_on_this_machine_unless_told_otherwise(monkeypatch, capsys, folder, served, port):
    status, out, err = dashboard(monkeypatch, capsys, folder, "--port", port)
    assert (status, err) == (0, "")
    assert out == f"dashboard at http://127.0.0.1:{port}/dashboard  (Ctrl-C ends it)\n"
    assert served == [("127.0.0.1", port)]


def test_any_other_address_is_warned_of(monkeypatch, capsys, folder, served, port):
    status, _, err = dashboard(monkeypatch, capsys, folder, "--port", port, "--host", "0.0.0.0")
    assert (status, err) == (0, WARNING.format("0.0.0.0", port))
    assert served == [("0.0.0.0", port)]


@pytest.mark.parametrize(
    ("host", "stays"),
    [
        ("127.0.0.1", True),
        ("127.8.8.8", True),
        ("localhost", True),
        ("::1", True),
        ("0.0.0.0", False),
        ("::", False),
        ("192.168.1.5", False),
        ("localhost.example.com", False),
    ],
)
def test_which_addresses_stay_on_this_machine(host, stays):
    assert topo_search.dashboard._stays_here(host) == stays


# A network for documentation, and a domain that never exists: neither is of this machine.
@pytest.mark.parametrize("host", ["203.0.113.77", "nowhere.invalid", ""])
def test_an_address_of_another_machine_is_refused(folder, served, port, host):
    with pytest.raises(InputError, match=host or "an empty one"):
        topo_search.dashboard.serve(folder, port=port, host=host)
    assert served == []


def test_a_port_that_is_taken_is_refused(folder, served):
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(InputError, match=f"port {port} on 127.0.0.1 cannot be used"):
            topo_search.dashboard.serve(folder, port=port)
    assert served == []


def test_a_masked_password_is_asked_for(folder, served, port):
    (folder / "space.yaml").write_text(SPACE.format("'postgresql://me:***@host/db'"))
    with pytest.raises(InputError, match="give --storage with the password"):
        topo_search.dashboard.serve(folder, port=port)


def test_a_study_that_is_not_there_is_refused(folder, served, port):
    (folder / "study.journal").unlink()
    with pytest.raises(InputError, match="no study at"):
        topo_search.dashboard.serve(folder, port=port)


def test_a_database_that_holds_no_such_study_is_refused_and_not_made(folder, served, port, tmp_path):
    (folder / "study.journal").unlink()
    with pytest.raises(InputError, match="holds no studies"):
        topo_search.dashboard.serve(folder, port=port, storage=f"sqlite:///{tmp_path}/new.db")
    assert not (tmp_path / "new.db").exists()
    optuna.create_study(storage=f"sqlite:///{tmp_path}/other.db", study_name="other")
    with pytest.raises(InputError, match="unknown study 'run'"):
        topo_search.dashboard.serve(folder, port=port, storage=f"sqlite:///{tmp_path}/other.db")
    assert served == []


def test_a_run_with_a_journal_is_not_looked_for_elsewhere(folder, served, port, tmp_path):
    with pytest.raises(InputError, match=r"the run's study is .*study\.journal: expected no --storage"):
        topo_search.dashboard.serve(folder, port=port, storage=f"sqlite:///{tmp_path}/new.db")
    with pytest.raises(InputError, match="storage is no URL"):
        topo_search.dashboard.serve(folder, port=port, storage=str(folder / "study.journal"))


PRECIOUS = "precious, and no whole line"


def test_a_journal_that_is_a_link_is_refused_and_its_target_stays(folder, served, port, tmp_path):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.write_text(PRECIOUS)
    (folder / "study.journal").unlink()
    (folder / "study.journal").symlink_to(elsewhere)
    with pytest.raises(InputError, match="is a link: expected a file of the run's own"):
        topo_search.dashboard.serve(folder, port=port)
    assert elsewhere.read_text() == PRECIOUS
    assert served == []


def test_a_path_in_the_folder_s_own_words_is_refused_and_its_file_stays(folder, served, port, tmp_path):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.write_text(PRECIOUS)
    (folder / "space.yaml").write_text(SPACE.format(elsewhere))
    with pytest.raises(InputError, match=r"run\.storage is '.*elsewhere', no URL: give --storage where it is meant"):
        topo_search.dashboard.serve(folder, port=port)
    with pytest.raises(InputError, match="storage is no URL"):
        topo_search.dashboard.serve(folder, port=port, storage=str(elsewhere))
    assert elsewhere.read_text() == PRECIOUS
    assert served == []


@pytest.mark.parametrize("run", ["{study: a, seed: 0, budget: 3, storage: [a]}", "{storage: null}", "3", "[a]", "null"])
def test_a_section_run_that_is_none_is_refused(folder, served, port, run):
    (folder / "space.yaml").write_text(f"name: tiny\nrun: {run}\n")
    with pytest.raises(InputError, match=r"space\.yaml: (run\.|it has no section run)"):
        topo_search.dashboard.serve(folder, port=port)
    assert served == []


def test_an_interrupt_that_meets_a_request_ends_the_dashboard(port):
    """A page that is open asks all the time: what Ctrl-C meets is often a request."""
    returned = threading.Event()
    interrupts = []

    def interrupt():
        interrupts.append(None)
        os.kill(os.getpid(), signal.SIGINT)

    def application(environ, start_response):
        interrupt()
        # Time for an interrupt to be raised here, were this the main thread.
        time.sleep(0.2)
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [b"an answer"]

    def ask():
        for _ in range(100):
            try:
                with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
                    connection.sendall(b"GET / HTTP/1.0\r\n\r\n")
                    connection.recv(100)
                break
            except ConnectionRefusedError:
                time.sleep(0.05)
        # So that a lost interrupt fails this test instead of holding up all tests.
        if not returned.wait(20):
            interrupt()

    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    client = threading.Thread(target=ask)
    client.start()
    try:
        topo_search.dashboard._serve_until_interrupted(application, "127.0.0.1", port)
    finally:
        returned.set()
        client.join()
        signal.signal(signal.SIGINT, before)
    assert len(interrupts) == 1


def test_a_server_that_fails_is_told(monkeypatch, port):
    def fail(self):
        raise RuntimeError("broken")

    monkeypatch.setattr(topo_search.dashboard._Server, "service_actions", fail)
    with pytest.raises(RuntimeError, match="broken"):
        topo_search.dashboard._serve_until_interrupted(lambda *_: [], "127.0.0.1", port)


@pytest.mark.slow
def test_it_answers_here_and_nowhere_else(folder, port):
    server = subprocess.Popen(
        [sys.executable, "-m", "topo_search", "dashboard", str(folder), "--port", str(port)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        assert f"http://127.0.0.1:{port}/dashboard" in server.stdout.readline()
        for _ in range(600):
            try:
                reply = urllib.request.urlopen(f"http://127.0.0.1:{port}/api/studies", timeout=10)
                break
            except OSError:
                assert server.poll() is None
                time.sleep(0.1)
        assert b'"run"' in reply.read()
        # 127.0.0.2 is this machine's as well, but not what it listens on.
        with socket.socket() as other:
            assert other.connect_ex(("127.0.0.2", port)) != 0
    finally:
        server.send_signal(signal.SIGINT)
        try:
            status = server.wait(timeout=60)
        finally:
            server.kill()
    assert status == 0
