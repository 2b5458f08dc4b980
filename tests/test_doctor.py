"""Each check says what it found: on this machine, and on machines that files made here stand for."""

import contextlib
import functools
import importlib.metadata
import json
import os
import socket
import stat

import pytest

from topo_search.cli import main
from topo_search.doctor import Check, computing, installation, machine, ray_cluster, run_checks, storage_place
from topo_search.doctor.check import outcome_of
from topo_search.doctor.study_storage import check_storage
from topo_search.executors.control_group import Limits
from topo_search.executors.ray_cluster import addresses
from topo_search.search.storage import file_systems

NAMES = [
    *("python", "torch", "cores", "memory", "engine", "gradient", "agreement", "compiler", "certificate"),
    *("search spaces", "disk", "file system", "ray", "storage", "data"),
]


@pytest.fixture(autouse=True)
def no_cluster(monkeypatch, tmp_path):
    """Whatever runs on this machine is not what is tested."""
    for name in [name for name in os.environ if name.startswith("RAY_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("RAY_TMPDIR", str(tmp_path / "no-ray"))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.delenv("TOPO_SEARCH_STORAGE", raising=False)


@pytest.fixture
def quick(monkeypatch):
    """Leave out what takes seconds."""
    for name in ("check_gradient", "check_agreement", "check_certificate", "check_engine"):
        monkeypatch.setattr(computing, name, lambda: ("ok", "left out"))


def doctor(monkeypatch, capsys, *arguments):
    monkeypatch.setattr("sys.argv", ["topo_search", "doctor", *map(str, arguments)])
    with pytest.raises(SystemExit) as caught:
        main()
    return caught.value.code or 0, *capsys.readouterr()


def test_there_is_one_line_a_check_and_nothing_is_written(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    checks = run_checks()
    assert [check.name for check in checks] == NAMES
    assert not [check for check in checks if "\n" in check.detail or not check.detail]
    assert list(tmp_path.iterdir()) == []


def test_the_command_prints_them(monkeypatch, capsys, tmp_path, quick):
    monkeypatch.chdir(tmp_path)
    status, out, _ = doctor(monkeypatch, capsys)
    assert status == 0
    assert [line[6:].partition(":")[0] for line in out.splitlines()] == NAMES
    assert {line[:4] for line in out.splitlines()} <= {"ok  ", "warn"}
    found = json.loads(doctor(monkeypatch, capsys, "--json")[1])
    assert list(found) == NAMES
    assert all(entry.keys() == {"ok", "level", "detail"} for entry in found.values())


@pytest.mark.parametrize(("level", "status", "ok"), [("ok", 0, True), ("warn", 0, True), ("FAIL", 1, False)])
def test_only_a_failure_is_a_failure(monkeypatch, capsys, quick, level, status, ok):
    monkeypatch.setattr(machine, "check_memory", lambda: (level, "so it is"))
    got, out, _ = doctor(monkeypatch, capsys)
    assert got == status
    assert f"{level:<4}  memory: so it is" in out.splitlines()
    entry = json.loads(doctor(monkeypatch, capsys, "--json")[1])["memory"]
    assert entry == {"ok": ok, "level": level, "detail": "so it is"}


def test_a_check_that_raises_has_failed_in_one_line():
    def broken():
        raise RuntimeError("libfoo.so:\n  cannot open")

    assert outcome_of("torch", broken) == Check("torch", "FAIL", "libfoo.so: cannot open")
    assert outcome_of("x", lambda: 1 / 0).level == "FAIL"


def limits(monkeypatch, cpus=None, memory=None, used=None):
    monkeypatch.setattr(machine, "control_group_limits", lambda: Limits(cpus, memory, used))


def test_cores_beyond_the_time_that_is_granted_are_warned_of(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)), raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 64)
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    limits(monkeypatch)
    level, detail = machine.check_cores()
    assert level == "ok"
    assert detail.startswith("8: ")
    assert "the machine has 64" in detail
    assert "OMP_NUM_THREADS is 3" in detail
    limits(monkeypatch, cpus=2.5)
    level, detail = machine.check_cores()
    assert (level, detail.endswith("grants the time of 2.5: give --workers 2")) == ("warn", True)


def test_memory_is_what_the_control_group_leaves(monkeypatch, tmp_path):
    file = tmp_path / "meminfo"
    file.write_text("MemTotal:       64000000 kB\nMemFree: 1 kB\nMemAvailable:   48000000 kB\nHugePages_Total: 0\n")
    monkeypatch.setattr(machine, "MEMORY_INFO", file)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(4)), raising=False)
    limits(monkeypatch)
    assert machine.check_memory() == ("ok", "49.2 GB available of 65.5 GB")
    limits(monkeypatch, memory=4_000_000_000, used=2_600_000_000)
    level, detail = machine.check_memory()
    assert level == "warn"
    assert detail.startswith("1.4 GB available of 65.5 GB, limited to 4.0 GB")
    assert "enough for 2 workers" in detail
    monkeypatch.setattr(machine, "MEMORY_INFO", tmp_path / "absent")
    limits(monkeypatch)
    assert machine.check_memory()[0] == "ok"


def program(path, text):
    path.write_text(text)
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


def test_a_compiler_is_named_with_its_version_and_is_optional(monkeypatch, tmp_path):
    monkeypatch.delenv("CXX", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert installation.check_compiler() == (
        "ok",
        "no c++ or g++ or clang++ found (optional: needed only to install the native engine)",
    )
    found = program(tmp_path / "g++", "#!/bin/sh\necho 'g++ 13.2'\necho 'more'\n")
    assert installation.check_compiler()[1].startswith(f"{found}: g++ 13.2 (")
    program(tmp_path / "broken", "#!/bin/sh\nexit 3\n")
    monkeypatch.setenv("CXX", "broken -O2")
    level, detail = installation.check_compiler()
    assert (level, "exit status 3" in detail) == ("warn", True)


def test_a_disk_is_judged_where_runs_will_lie(tmp_path):
    level, detail = storage_place.check_disk(tmp_path / "not" / "yet")
    assert (level, f"free in {tmp_path}" in detail) == ("ok", True)
    (tmp_path / "file").write_text("")
    assert storage_place.check_disk(tmp_path / "file") == ("FAIL", f"{tmp_path / 'file'} is a file: expected a folder")


@pytest.mark.parametrize(
    ("free_gb", "files", "free_files", "level"),
    [(50, 1000_000, 500_000, "ok"), (0.5, 1000_000, 500_000, "FAIL"), (50, 1000_000, 12, "warn"), (50, 0, 0, "ok")],
)
def test_few_bytes_fail_and_few_files_warn(monkeypatch, tmp_path, free_gb, files, free_files, level):
    class Usage:
        free = free_gb * 1e9
        f_files, f_favail = files, free_files

    monkeypatch.setattr(storage_place.shutil, "disk_usage", lambda _: Usage)
    monkeypatch.setattr(os, "statvfs", lambda _: Usage)
    assert storage_place.check_disk(tmp_path)[0] == level


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_cannot_be_written_to_fails(tmp_path):
    tmp_path.chmod(0o500)
    try:
        assert storage_place.check_disk(tmp_path)[0] == "FAIL"
    finally:
        tmp_path.chmod(0o700)


@pytest.mark.parametrize(
    ("kind", "level", "said"),
    [
        ("ext4", "ok", "is on a local file system, ext4"),
        ("nfs4", "warn", "network file system (nfs4)"),
        ("tmpfs", "warn", "in memory"),
    ],
)
def test_the_kind_of_file_system_is_told(monkeypatch, tmp_path, kind, level, said):
    folder = tmp_path / "a b"
    folder.mkdir()
    point = str(folder.resolve()).replace(" ", "\\040")
    mounts = tmp_path / "mountinfo"
    mounts.write_text(f"22 1 8:1 / / rw - xfs /dev/sda1 rw\n30 22 0:40 / {point} rw,relatime - {kind} server:/x rw\n")
    for name in ("file_system", "network_file_system"):
        monkeypatch.setattr(file_systems, name, functools.partial(getattr(file_systems, name), mounts=mounts))
    found, detail = storage_place.check_file_system(folder / "run")
    assert (found, said in detail) == (level, True), detail
    assert storage_place.check_file_system(tmp_path)[1].endswith("xfs")


def test_storage_files_can_be_made_and_are_not_made(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert check_storage(None)[0] == "ok"
    assert check_storage("sqlite:///study.db") == ("ok", "sqlite:///study.db can be made and can be written to")
    assert check_storage("study.journal")[0] == "ok"
    assert check_storage("sqlite:///nowhere/study.db")[0] == "FAIL"
    assert check_storage("sqlite://")[0] == "FAIL"
    assert list(tmp_path.iterdir()) == []
    monkeypatch.setattr(file_systems, "network_file_system", lambda _: "nfs4")
    assert check_storage("sqlite:///study.db")[0] == "FAIL"
    assert check_storage("study.journal")[0] == "warn"


@pytest.mark.parametrize("url", ["postgresql://me:hunter2@127.0.0.1:1/db", "mysql://me:hunter2@127.0.0.1:1/db"])
def test_a_server_that_does_not_answer_fails_without_its_password(monkeypatch, capsys, quick, url):
    status, out, err = doctor(monkeypatch, capsys, "--storage", url)
    assert status == 1
    assert "FAIL  storage: " in out
    assert "hunter2" not in out + err
    # From the environment too, so that the password need not stand on a command line.
    monkeypatch.setenv("TOPO_SEARCH_STORAGE", url)
    assert "FAIL  storage: " in doctor(monkeypatch, capsys)[1]


def installed(monkeypatch, version):
    def found(name):
        if version is None:
            raise importlib.metadata.PackageNotFoundError(name)
        return version

    monkeypatch.setattr(ray_cluster.importlib.metadata, "version", found)


def test_ray_is_optional_until_it_is_asked_for(monkeypatch):
    installed(monkeypatch, None)
    assert ray_cluster.check_ray(None) == ("ok", "not installed (optional: pip install 'topo_search[ray]')")
    assert ray_cluster.check_ray("auto") == ("FAIL", "not installed: pip install 'topo_search[ray]'")


@contextlib.contextmanager
def listening():
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"127.0.0.1:{server.getsockname()[1]}"


def test_a_running_cluster_is_found_and_not_joined(monkeypatch, tmp_path):
    installed(monkeypatch, "2.60.0")
    monkeypatch.setattr(ray_cluster, "_probe", lambda *_: pytest.fail("joined"))
    assert "no cluster runs here" in ray_cluster.check_ray(None)[1]
    with listening() as address:
        monkeypatch.setenv("RAY_ADDRESS", address)
        assert ray_cluster.check_ray(None) == ("ok", f"2.60.0; a cluster runs at {address} (--ray auto uses it)")
        monkeypatch.delenv("RAY_ADDRESS")
        (tmp_path / "no-ray" / "ray").mkdir(parents=True)
        (tmp_path / "no-ray" / "ray" / "ray_current_cluster").write_text(address)
        assert f"runs at {address}" in ray_cluster.check_ray(None)[1]
    assert ray_cluster.check_ray(None) == ("ok", f"2.60.0; a cluster was started at {address} but does not answer")
    level, detail = ray_cluster.check_ray("auto")
    assert (level, f"nothing answers at {address}" in detail) == ("FAIL", True)


def test_an_address_that_another_user_left_is_not_asked(monkeypatch, tmp_path):
    installed(monkeypatch, "2.60.0")
    monkeypatch.setattr(ray_cluster, "_probe", lambda *_: pytest.fail("joined"))
    (tmp_path / "no-ray" / "ray").mkdir(parents=True)
    (tmp_path / "no-ray" / "ray" / "ray_current_cluster").write_text("127.0.0.1:1")
    monkeypatch.setattr(addresses, "_owner", lambda _: os.geteuid() + 1)
    level, detail = ray_cluster.check_ray(None)
    assert (level, "was left by another user" in detail) == ("ok", True)
    assert ray_cluster.check_ray("auto") == ("FAIL", detail)


@pytest.mark.parametrize("address", ["nonsense", "host:", ":1", "127.0.0.1:99999", "127.0.0.1:-1", "a..b:1"])
def test_a_bad_address_fails_at_once(monkeypatch, address):
    installed(monkeypatch, "2.60.0")
    assert ray_cluster.check_ray(address)[0] == "FAIL"
    assert ray_cluster.check_ray("auto")[0] == "FAIL"


NODES = {"nodes": 3, "cpus": 48.0, "gpus": 1.5}
REFUSED = {"error": "the token is missing", "refused": True}
REPLIES = {
    "asks for a token": (NODES, REFUSED, "10.0.0.1", "ok", "has 3 nodes, 48 CPUs, 1.5 GPUs; it asks for a token"),
    "asks for none": (NODES, NODES, "10.0.0.1", "FAIL", "whoever reaches it can run code in it"),
    "asks for none, on loopback": (NODES, NODES, "127.0.0.1", "warn", "any user of this machine"),
    "cannot be told": (NODES, {"error": "no reply"}, "10.0.0.1", "warn", "cannot be told: no reply"),
    "our token is wrong": (REFUSED, REFUSED, "10.0.0.1", "FAIL", "cannot be used: the token is missing"),
}


@pytest.mark.parametrize("case", REPLIES)
def test_a_cluster_is_judged_by_what_it_lets_in(monkeypatch, case):
    ours, to_stranger, host, level, said = REPLIES[case]
    monkeypatch.setenv("RAY_AUTH_TOKEN", "secret")

    def probe(address, environment):
        assert address == f"{host}:6379"
        if environment["RAY_AUTH_MODE"] == "token":
            return ours
        assert "RAY_AUTH_TOKEN" not in environment
        return to_stranger

    installed(monkeypatch, "2.60.0")
    monkeypatch.setattr(ray_cluster, "_answers", lambda _: True)
    monkeypatch.setattr(ray_cluster, "_probe", probe)
    found, detail = ray_cluster.check_ray(f"{host}:6379")
    assert (found, said in detail) == (level, True), detail
    assert "secret" not in detail


PROBES = {
    "an answer": ("print('noise'); print('{\"nodes\": 1}'); time.sleep(60)", {"nodes": 1}),
    "a refusal that goes on": ("print('InvalidAuthToken', flush=True); time.sleep(60)", None),
    "an end": ("print('Segmentation fault'); sys.exit(3)", {"error": "Segmentation fault"}),
    "silence": ("time.sleep(60)", {"error": "no reply within 0.5 s"}),
}


@pytest.mark.parametrize("case", PROBES)
def test_the_probe_is_ended_whatever_it_does(monkeypatch, tmp_path, case):
    code, expected = PROBES[case]
    script = tmp_path / "probe.py"
    # The number of the process in a file: that it is gone can be asked then.
    script.write_text(
        "import os, sys, time, pathlib\n"
        f"pathlib.Path({str(tmp_path / 'pid')!r}).write_text(str(os.getpid()))\n"
        f"sys.stdout.reconfigure(line_buffering=True)\n{code}\n"
    )
    monkeypatch.setattr(ray_cluster, "PROBE", script)
    monkeypatch.setattr(ray_cluster, "PROBE_SECONDS", 0.5 if case == "silence" else 60.0)
    reply = ray_cluster._probe("127.0.0.1:1", dict(os.environ))
    assert reply.get("refused") if expected is None else reply == expected
    # On a busy machine a silent one may have been ended before it could say which process it is.
    for number in (tmp_path / "pid").read_text().split() if (tmp_path / "pid").exists() else []:
        with pytest.raises(ProcessLookupError):
            os.kill(int(number), 0)


@pytest.mark.slow
def test_a_real_cluster_with_a_token(monkeypatch):
    """A private cluster of this machine: its token lets in, none does not."""
    pytest.importorskip("ray", reason="Ray is not installed")
    from topo_search.executors.ray_cluster import connect
    from topo_search.search import TrialResources

    # Two processes import Ray, beside whatever else keeps the cores busy.
    monkeypatch.setattr(ray_cluster, "PROBE_SECONDS", 60.0)
    with connect("local", workers=1, resources=TrialResources()):
        import ray

        address = ray.get_runtime_context().gcs_address
        level, detail = ray_cluster.check_ray(address)
        assert (level, "has 1 node, 1 CPUs, 0 GPUs; it asks for a token" in detail) == ("ok", True), detail
        monkeypatch.setenv("RAY_AUTH_TOKEN", "0" * 64)
        level, detail = ray_cluster.check_ray(address)
        assert (level, "the token is missing or wrong" in detail) == ("FAIL", True), detail
