"""A scheduler that takes back the machine says so with SIGTERM: the run ends in order and can go on."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest
from support.tiny import tiny_space

from topo_search.config import space_to_yaml


def command(*arguments, **variables):
    return subprocess.Popen(
        [sys.executable, "-m", "topo_search", *map(str, arguments), "--quiet"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1", **variables},
    )


@pytest.mark.slow
@pytest.mark.parametrize("where", [("--workers", 1), ("--workers", 2), ("--workers", 2, "--ray", "local")])
def test_a_terminated_search_says_how_to_go_on_and_does(where, tmp_path):
    if "--ray" in where:
        pytest.importorskip("ray", reason="Ray is not installed")
    space = tmp_path / "tiny.yaml"
    space.write_text(space_to_yaml(tiny_space(training={"epochs": 6, "batch_size": 5})))
    folder = tmp_path / "run"
    process = command("evolve", "--space", space, "--budget", 30, "--out", folder, *where)
    log = folder / "evaluations.jsonl"
    deadline = time.monotonic() + 120
    while not log.exists() or b"result" not in log.read_bytes():
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.02)
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 143
    assert err == f"terminated: what was finished is kept; go on with: python -m topo_search resume {folder}\n"
    resumed = command("resume", folder, *where)
    _, err = resumed.communicate(timeout=300)
    assert resumed.returncode == 0, err
    assert len((folder / "trials.csv").read_text().splitlines()) == 31


@pytest.fixture
def short_folder():
    """A folder for temporary files whose name is short enough for Ray's sockets."""
    folder = Path(tempfile.mkdtemp(prefix="t", dir="/tmp"))
    yield folder
    shutil.rmtree(folder)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["evolve", "probe"])
def test_what_is_terminated_while_ray_starts_says_so_and_leaves_nothing(name, tmp_path, short_folder):
    pytest.importorskip("ray", reason="Ray is not installed")
    space = tmp_path / "tiny.yaml"
    space.write_text(space_to_yaml(tiny_space()))
    folder = tmp_path / "run"
    to = ("--out", folder) if name == "evolve" else ()
    process = command(name, "--space", space, *to, "--workers", 1, "--ray", "local", TMPDIR=str(short_folder))
    deadline = time.monotonic() + 120
    while not list(short_folder.glob("topo-*/r/session_*")):
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.02)
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 143, err
    how = f": what was finished is kept; go on with: python -m topo_search resume {folder}" if to else ""
    assert err == f"terminated{how}\n"
    assert not list(short_folder.glob("topo-*"))
