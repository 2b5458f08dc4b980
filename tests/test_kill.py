"""Real processes, really killed: nothing that was finished is lost, nothing is counted twice."""

import csv
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from support.tiny import tiny_space

from topo_search.config import space_to_yaml

BUDGET = 40


@pytest.fixture(scope="module")
def space_file(tmp_path_factory):
    # Long enough that a kill falls into the middle, short enough for a test.
    space = tiny_space(training={"epochs": 6, "batch_size": 5}, ladder={"rungs": [2, 4, 6], "keep": 3})
    path = tmp_path_factory.mktemp("space") / "tiny.yaml"
    path.write_text(space_to_yaml(space))
    return path


def start(*arguments):
    return subprocess.Popen(
        [sys.executable, "-m", "topo_search", *map(str, arguments)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )


def evolve(space_file, folder):
    return start("evolve", "--space", space_file, "--budget", BUDGET, "--workers", 2, "--out", folder, "--quiet")


def rows(folder):
    with (folder / "trials.csv").open() as file:
        return [{k: v for k, v in r.items() if k not in ("seconds", "attempts")} for r in csv.DictReader(file)]


def results_logged(folder):
    log = folder / "evaluations.jsonl"
    if not log.exists():
        return []
    lines = log.read_bytes().split(b"\n")[:-1]
    return [record["key"] for record in map(json.loads, lines) if record["event"] == "result"]


def wait_for_results(process, folder, count):
    deadline = time.monotonic() + 120
    while process.poll() is None and len(results_logged(folder)) < count:
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory, space_file):
    folder = tmp_path_factory.mktemp("runs") / "whole"
    process = evolve(space_file, folder)
    assert process.wait(timeout=300) == 0, process.stderr.read()
    return folder


def check_same(folder, uninterrupted):
    assert rows(folder) == rows(uninterrupted)
    assert len(rows(folder)) == BUDGET
    assert (folder / "comparison.csv").read_bytes() == (uninterrupted / "comparison.csv").read_bytes()
    keys = results_logged(folder)
    assert len(keys) == len(set(keys)), "an evaluation that was finished ran again"
    assert not list(folder.rglob("*.tmp"))


@pytest.mark.slow
def test_killing_the_process_group_again_and_again(tmp_path, space_file, uninterrupted):
    rng = random.Random(0)
    folder = tmp_path / "run"
    kills = 0
    while True:
        begun = len(results_logged(folder))
        process = (
            evolve(space_file, folder)
            if not (folder / "space.yaml").exists()
            else start("resume", folder, "--workers", rng.choice([1, 2]), "--quiet")
        )
        if kills < 8:
            wait_for_results(process, folder, begun + rng.randrange(14))
            time.sleep(rng.random() * 0.3)
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                kills += 1
        status = process.wait(timeout=300)
        if status == 0:
            break
        assert status == -signal.SIGKILL, process.stderr.read()
    assert kills >= 4
    check_same(folder, uninterrupted)


@pytest.mark.slow
def test_ctrl_c_then_resume(tmp_path, space_file, uninterrupted):
    folder = tmp_path / "run"
    process = evolve(space_file, folder)
    wait_for_results(process, folder, 12)
    os.killpg(process.pid, signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert f"go on with: python -m topo_search resume {folder}" in err
    assert "Traceback" not in err
    resumed = start("resume", folder, "--quiet")
    assert resumed.wait(timeout=300) == 0, resumed.stderr.read()
    check_same(folder, uninterrupted)


@pytest.mark.slow
def test_a_script_without_the_main_guard_is_told_so_and_leaves_one_folder(tmp_path, space_file):
    script = tmp_path / "script.py"
    script.write_text(f"import topo_search\ntopo_search.evolve({str(space_file)!r}, budget=3, workers=2, out='run')\n")
    done = subprocess.run(
        [sys.executable, str(script)], cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode != 0
    assert "put the call of a script under" in done.stderr
    assert "no worker process could start" in done.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["run", "script.py"]


@pytest.mark.slow
def test_workers_do_not_outlive_a_killed_driver(tmp_path, space_file):
    folder = tmp_path / "run"
    process = evolve(space_file, folder)
    wait_for_results(process, folder, 3)
    children = subprocess.run(
        ["pgrep", "-g", str(process.pid)], capture_output=True, text=True, check=True
    ).stdout.split()
    process.kill()
    process.wait()
    deadline = time.monotonic() + 30
    while any(Path(f"/proc/{pid}").exists() for pid in children if int(pid) != process.pid):
        assert time.monotonic() < deadline, "a worker outlived its driver"
        time.sleep(0.2)
