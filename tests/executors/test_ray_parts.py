"""Parts of the Ray executor that need no cluster."""

import builtins
import contextlib
import os
import signal
import socket
import threading
from pathlib import Path
from types import SimpleNamespace

import pytest
from support.tiny import tiny_space, tiny_task

from topo_search.api import execution
from topo_search.errors import InputError, RunFailedError
from topo_search.executors import ray_cluster
from topo_search.executors.ray_cluster import addresses, connect
from topo_search.executors.ray_cluster.data import pack_split, pack_task, unpack_split, unpack_task
from topo_search.executors.ray_cluster.files import collect_files, keep_files, take_files, unpack_files
from topo_search.executors.ray_cluster.losses import to_loss
from topo_search.executors.ray_cluster.pace import Pace
from topo_search.executors.ray_cluster.protection import check_protected, is_loopback
from topo_search.executors.ray_cluster.room import Room
from topo_search.executors.ray_cluster.surroundings import own_signals
from topo_search.search import Request
from topo_search.search.resources import TrialResources

ONE = TrialResources()


def test_without_ray_one_line_says_what_to_install(monkeypatch):
    real = builtins.__import__

    def without(name, *given, **options):
        if name.split(".")[0] == "ray":
            raise ImportError(name)
        return real(name, *given, **options)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(InputError, match=r"^Ray is not installed: pip install 'topo_search\[ray\]'$"):
        connect("local", resources=ONE)


@pytest.mark.parametrize("hosts", [["127.0.0.1"], ["127.0.0.1", "::1"], []])
def test_a_cluster_that_only_this_machine_reaches_needs_no_token(hosts):
    check_protected(hosts, tokens_required=False)


def test_a_cluster_that_others_reach_needs_a_token():
    check_protected(["10.0.0.1", "127.0.0.1"], tokens_required=True)
    with pytest.raises(InputError, match=r"^the Ray cluster at 10\.0\.0\.1 takes work from anyone.*ray get-auth-token"):
        check_protected(["127.0.0.1", "10.0.0.1"], tokens_required=False)


@pytest.mark.parametrize(
    ("host", "expected"),
    [("127.0.0.1", True), ("127.3.2.1", True), ("[::1]", True), ("localhost", True), ("0.0.0.0", False), ("a", False)],
)
def test_loopback_is_told_from_other_addresses(host, expected):
    assert is_loopback(host) is expected


@pytest.mark.parametrize("address", ["", "somewhere", "ray://a:1", "a:0", "a:99999", "a:1:2", "a b:1", "a..b:1"])
def test_what_is_no_address_is_refused(address):
    pytest.importorskip("ray")
    with pytest.raises(InputError, match="expected auto, local or HOST:PORT"):
        connect(address, resources=ONE)


def test_auto_says_when_there_is_no_cluster_and_where_an_address_comes_from(monkeypatch, tmp_path):
    pytest.importorskip("ray")
    monkeypatch.setenv("RAY_TMPDIR", str(tmp_path))
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    with pytest.raises(InputError, match="no Ray cluster found: RAY_ADDRESS is not set"):
        connect("auto", resources=ONE)
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:9")
    with pytest.raises(InputError, match=r"no Ray cluster answers at 127\.0\.0\.1:9 \(.*\), given by RAY_ADDRESS"):
        connect("auto", resources=ONE)


@contextlib.contextmanager
def answering(answer):
    """A server on this machine that says so to the first who comes; where it is ``None``, nothing without end."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve():
            with contextlib.suppress(OSError):
                kept.append(server.accept()[0])
                if answer is not None:
                    kept[0].recv(1000)
                    kept[0].sendall(answer)
                    kept[0].close()

        kept = []
        thread = threading.Thread(target=serve)
        thread.start()
        yield f"127.0.0.1:{server.getsockname()[1]}"
        thread.join()
        for connection in kept:
            connection.close()


@pytest.mark.parametrize("answer", [None, b"", b"HTTP/1.0 400 Bad Request\r\n\r\n"])
def test_a_port_of_something_else_is_refused_before_ray_waits_for_it(monkeypatch, answer):
    monkeypatch.setattr(addresses, "GREETING_SECONDS", 0.2)
    with answering(answer) as address, pytest.raises(InputError, match=f"^what answers at {address} is no Ray cluster"):
        addresses.find_cluster(address)


def test_what_greets_as_ray_does_is_taken(monkeypatch):
    with answering(bytes([0, 0, 0, 4, 0, 0, 0, 0, 0])) as address:
        assert addresses.find_cluster(address) == address
    monkeypatch.setenv("RAY_USE_TLS", "1")
    with answering(b"") as address:
        assert addresses.find_cluster(address) == address


@pytest.mark.parametrize(
    "variables", [{}, {"TMPDIR": "/a"}, {"RAY_TMPDIR": "/b"}, {"TMPDIR": "/a", "RAY_TMPDIR": "/b"}]
)
def test_an_address_is_looked_for_where_ray_leaves_it(monkeypatch, variables):
    utils = pytest.importorskip("ray._common.utils")
    for name in ("TMPDIR", "RAY_TMPDIR"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert addresses._address_file() == Path(utils.get_ray_address_file(None))


def test_an_address_that_another_user_left_is_not_followed(monkeypatch, tmp_path):
    monkeypatch.setenv("RAY_TMPDIR", str(tmp_path))
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    assert addresses.left_address() is None
    file = tmp_path / "ray" / "ray_current_cluster"
    file.parent.mkdir()
    file.write_text("10.0.0.1:6379\n")
    assert addresses.left_address() == "10.0.0.1:6379"
    with monkeypatch.context() as patch:
        patch.setattr(addresses, "_owner", lambda descriptor: os.geteuid() + 1)
        with pytest.raises(InputError, match=rf"^{file} was left by another user \(id {os.geteuid() + 1}\): give the"):
            addresses.find_cluster("auto")
    file.rename(tmp_path / "mine")
    file.symlink_to(tmp_path / "mine")
    assert addresses.left_address() is None
    file.unlink()
    os.mkfifo(file)  # Would be waited for.
    assert addresses.left_address() is None


@pytest.fixture
def interrupting():
    """SIGTERM as commands answer it."""

    def interrupt(number, frame):
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    yield interrupt
    signal.signal(signal.SIGTERM, before)


@pytest.mark.parametrize("fails", [False, True])
def test_sigterm_is_put_off_while_ray_starts_and_then_answered(interrupting, fails):
    utils = pytest.importorskip("ray._private.utils")
    setter, went_on = utils.set_sigterm_handler, []

    def starts():
        with own_signals():
            utils.set_sigterm_handler(lambda number, frame: pytest.fail("Ray's answer"))
            signal.raise_signal(signal.SIGTERM)
            went_on.append(True)
            if fails:
                raise RuntimeError("Ray did not start")

    with pytest.raises(KeyboardInterrupt):
        starts()
    assert went_on == [True]
    assert signal.getsignal(signal.SIGTERM) is interrupting
    assert utils.set_sigterm_handler is setter


def test_a_second_sigterm_is_answered_at_once(interrupting):
    pytest.importorskip("ray")
    went_on = []

    def starts():
        with own_signals():
            signal.raise_signal(signal.SIGTERM)
            went_on.append(1)
            signal.raise_signal(signal.SIGTERM)
            went_on.append(2)

    with pytest.raises(KeyboardInterrupt):
        starts()
    assert went_on == [1]


def test_a_process_that_is_told_to_end_while_ray_starts_is_not_aborted_later():
    pytest.importorskip("ray")
    timer = signal.setitimer(signal.ITIMER_REAL, 0)
    try:
        with own_signals():
            signal.alarm(1000)  # As Ray does.
        assert signal.alarm(0) == 0
        signal.alarm(1000)
        with own_signals():
            pass
        assert signal.alarm(0) > 0, "one that was set before is another's"
    finally:
        signal.setitimer(signal.ITIMER_REAL, *timer)


def test_as_many_workers_as_were_asked_for_are_what_a_cluster_is_asked_for(monkeypatch):
    asked = {}
    monkeypatch.setattr(ray_cluster, "connect", lambda *given, **options: contextlib.nullcontext())
    monkeypatch.setattr(
        ray_cluster, "RayExecutor", lambda *given, **options: asked.update(options) or SimpleNamespace(close=int)
    )
    where = execution.plan_execution(
        workers=3, most_workers=None, device="cpu", ray="auto", resources=ONE, data_dir=None
    )
    with execution.open_executor(where, tiny_space(), tiny_task()):
        assert asked["workers"] == 3


def node(cpus, gpus=0.0, memory=8e9):
    return {"Resources": {"CPU": cpus, "GPU": gpus, "memory": memory}}


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        ({}, 10),
        ({"cpus": 2}, 4),
        ({"gpus": 0.5}, 4),
        ({"gpus": 0.3}, 6),
        ({"gpus": 1.0}, 2),
        ({"gpus": 2.0}, 1),
        ({"memory_gb": 4.0}, 4),
        ({"cpus": 5}, 1),
        ({"cpus": 8}, 0),
    ],
)
def test_what_fits_is_counted_node_by_node(wanted, expected):
    nodes = [node(3.0), node(7.0, gpus=2.0)]
    assert Room(lambda: nodes, TrialResources(**wanted)).evaluations == expected


def test_a_cluster_of_a_head_without_cpus_is_waited_for_and_one_of_small_nodes_refused():
    Room(lambda: [node(0)], ONE).check()
    with pytest.raises(InputError, match="no node of the Ray cluster has room"):
        Room(lambda: [node(2), node(3)], TrialResources(cpus=4)).check()


def test_a_second_try_reserves_more_but_never_more_than_a_node_has():
    def reserved(factor, **wanted):
        room = Room(lambda: [node(3.0)], TrialResources(**wanted))
        room.refresh()
        return room.options(factor)

    assert reserved(1.0, memory_gb=3.0)["memory"] == 3e9
    assert reserved(2.0, memory_gb=3.0)["memory"] == 6e9
    assert reserved(4.0, memory_gb=3.0)["memory"] == 8e9
    # Nodes with enough that are gone for now are waited for: it is a limit too, which was not asked to be lower.
    assert reserved(1.0, memory_gb=9.0)["memory"] == 9e9
    assert reserved(2.0, memory_gb=9.0)["memory"] == 9e9
    assert reserved(1.0) == {"num_cpus": 1, "num_gpus": 0.0}
    assert [reserved(factor)["num_cpus"] for factor in (2.0, 4.0)] == [2, 3]


def test_only_what_takes_milliseconds_shares_a_task():
    def asked(epochs):
        return Request("{}", epochs, 0)

    pace = Pace()
    assert (pace.evaluations, pace.fit([asked(1)] * 2)) == (1, False)  # Nothing is known yet.
    for seconds in (5.0, 0.04, 0.04, 0.04):  # The first one of a worker loads what it needs.
        pace.note(asked(2), seconds)
    assert pace.evaluations == 5
    assert pace.fit([asked(2)] * 5)
    assert not pace.fit([asked(2)] * 6)
    assert pace.fit([asked(2), asked(7)])
    assert not pace.fit([asked(2), asked(9)])  # As an evaluation on a higher rung.
    for _ in range(20):
        pace.note(asked(2), 1e-6)
    assert (pace.evaluations, pace.fit([asked(1)] * 16), pace.fit([asked(1)] * 17)) == (16, True, False)
    for _ in range(20):
        pace.note(asked(2), 0.11)
    assert (pace.evaluations, pace.fit([asked(2)] * 2)) == (1, False)


def losses():
    exceptions = pytest.importorskip("ray.exceptions")
    return [
        (exceptions.NodeDiedError("gone"), "node lost"),
        (exceptions.OutOfMemoryError("short"), "out of memory"),
        (exceptions.WorkerCrashedError(), "worker lost"),
        (exceptions.TaskCancelledError(), "worker lost"),
        (exceptions.ObjectLostError("00" * 28, None, ""), "node lost"),
    ]


def test_what_ray_raises_becomes_a_class_of_loss():
    for error, expected in losses():
        assert to_loss(error, node="a", is_alive=lambda node: True)[0] == expected, error


def test_a_worker_that_crashed_with_its_node_was_lost_with_it():
    exceptions = pytest.importorskip("ray.exceptions")
    crashed = exceptions.WorkerCrashedError()
    assert to_loss(crashed, node="a", is_alive=lambda node: node != "a")[0] == "node lost"
    assert to_loss(crashed, node=None, is_alive=lambda node: False)[0] == "worker lost"


def test_what_another_try_would_meet_again_ends_the_run():
    exceptions = pytest.importorskip("ray.exceptions")
    with pytest.raises(RunFailedError, match=r"^the Ray cluster cannot run evaluations: OutOfDiskError: .*$"):
        to_loss(exceptions.OutOfDiskError("full"), node=None, is_alive=lambda node: True)


def named(folder, **options):
    return Request("{}", 1, 0, **{name: str(folder / name) for name in options}, **{})


def test_files_travel_and_come_back_whole(tmp_path):
    home, away = tmp_path / "home", tmp_path / "away"
    home.mkdir(), away.mkdir()
    (home / "checkpoint").write_bytes(b"old")
    request = named(home, checkpoint=1, inherit=1, keep_coupling=1, save_to=1)
    here = unpack_files(request, take_files(request), away)
    assert (away / "checkpoint").read_bytes() == b"old"
    assert here.inherit == request.inherit, "what is missing keeps its name"
    (away / "checkpoint").write_bytes(b"new")
    (away / "save_to").mkdir()
    (away / "save_to" / "graph.json").write_bytes(b"graph")
    keep_files(request, collect_files(here))
    assert (home / "checkpoint").read_bytes() == b"new"
    assert [(path.name, path.read_bytes()) for path in (home / "save_to").iterdir()] == [("graph.json", b"graph")]
    assert sorted(path.name for path in home.iterdir()) == ["checkpoint", "save_to"]


def test_a_folder_that_is_there_keeps_its_other_files(tmp_path):
    (tmp_path / "save_to").mkdir()
    (tmp_path / "save_to" / "metrics.json").write_bytes(b"own")
    (tmp_path / "save_to" / "graph.json").write_bytes(b"old")
    keep_files(named(tmp_path, save_to=1), {"save_to/graph.json": b"new", "save_to/certificate.json": b"c"})
    found = {path.name: path.read_bytes() for path in (tmp_path / "save_to").iterdir()}
    assert found == {"metrics.json": b"own", "graph.json": b"new", "certificate.json": b"c"}


def test_a_folder_that_cannot_be_written_is_not_there_at_all(tmp_path, monkeypatch):
    def full(path, content):
        raise OSError(28, "No space left on device", str(path))

    monkeypatch.setattr("topo_search.executors.ray_cluster.files.write_atomically", full)
    with pytest.raises(RunFailedError, match=r"^a result cannot be written: No space left on device: "):
        keep_files(named(tmp_path, save_to=1), {"save_to/graph.json": b"new"})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "name",
    ["save_to/../escaped", "save_to//etc/x", "save_to/..", "save_to/", "save_to/a\\b", "other", "../x", "inherit"],
)
def test_names_from_a_worker_cannot_leave_the_folder(tmp_path, name):
    folder = tmp_path / "inner"
    folder.mkdir()
    with pytest.raises(RunFailedError, match="a worker sent a file that was not asked for"):
        keep_files(named(folder, save_to=1, checkpoint=1), {"save_to/fine": b"", name: b"x"})
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_a_folder_that_was_not_asked_for_is_refused(tmp_path):
    with pytest.raises(RunFailedError, match="not asked for"):
        keep_files(named(tmp_path, checkpoint=1), {"save_to/fine": b""})


def test_a_task_survives_its_journey_without_its_test_part():
    space, task = tiny_space(), tiny_task()
    packed = pack_task(space, task)
    test = pack_split(task.test())
    for split in (packed["train"], packed["validation"], test):
        for array in split.values():
            array.flags.writeable = False  # As arrays from the object store are.
    there = unpack_task(packed, lambda: unpack_split(test))
    for split, expected in ((there.train, task.train), (there.test(), task.test())):
        sequences, labels = there.batch(split)
        wanted, wanted_labels = task.batch(expected)
        assert sequences.equal(wanted)
        assert labels.equal(wanted_labels)
    assert (there.channels, there.steps, there.label) == (task.channels, task.steps, task.label)


def test_the_digest_names_space_and_data():
    space, task = tiny_space(), tiny_task()
    digest = pack_task(space, task)["digest"]
    assert pack_task(tiny_space(), tiny_task())["digest"] == digest
    assert pack_task(tiny_space(name="other"), task)["digest"] != digest
    assert pack_task(space, tiny_task(train_size=61))["digest"] != digest
