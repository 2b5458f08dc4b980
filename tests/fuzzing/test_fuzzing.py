"""Damaged files are refused in one line, or make sense: no traceback, no hang, no nonsense, nothing printed.

``TOPO_SEARCH_FUZZ_REPLAY=target:seed:number`` runs one case again; ``TOPO_SEARCH_FUZZ_SECONDS`` is how long each slow
test runs (600 where it is not set); ``TOPO_SEARCH_FUZZ_SEED`` starts them elsewhere.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from pathlib import Path

import pytest

from fuzzing.harness import Case, Report, Target, run_cases
from fuzzing.targets import TARGETS
from topo_search.errors import InputError

SECONDS = float(os.environ.get("TOPO_SEARCH_FUZZ_SECONDS", "600"))
SEED = int(os.environ.get("TOPO_SEARCH_FUZZ_SEED", "1"))
REPLAY = os.environ.get("TOPO_SEARCH_FUZZ_REPLAY", "")
# A space, a study, a table or a network takes tens of milliseconds to damage and read; a page with figures, a second.
FEWER = {
    "space": 40,
    "run_section": 30,
    "overrides": 30,
    "summary": 30,
    "journal": 40,
    "report": 80,
    "report_figures": 12,
    "table": 40,
    "certificate": 80,
    "saved_network": 80,
    "checkpoint": 60,
    "coupling": 60,
}
HERE = Path(__file__).resolve().parent


def fuzz(target: str, out: Path, *options: str, timeout: float) -> dict:
    """A run in a process of its own; its report."""
    done = subprocess.run(
        [sys.executable, "-m", "fuzzing.harness", target, "--out", str(out), *options],
        cwd=HERE.parent,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )
    current = (out / "current").read_text().strip() if (out / "current").exists() else "no case"
    assert done.returncode == 0, f"the interpreter ended in {current}: {done.stderr[-2000:]}"
    return json.loads(done.stdout)


def no_findings(report: dict) -> None:
    faults = [f"{finding['replay']}: {finding['fault']}" for finding in report["findings"]]
    assert not faults, "\n\n".join(faults)


@pytest.mark.parametrize("name", TARGETS)
def test_some_hundred_damaged_files(name, tmp_path):
    report = run_cases(name, TARGETS[name], seed=0, cases=FEWER.get(name, 200), seconds=60, only=None, out=tmp_path)
    no_findings(vars(report))
    assert report.accepted >= len(TARGETS[name].seeds())
    assert report.refused > report.cases // 4


@pytest.mark.slow
@pytest.mark.timeout(SECONDS + 300)
@pytest.mark.parametrize("name", TARGETS)
def test_damaged_files_for_long(name, tmp_path):
    options = ("--seconds", str(SECONDS), "--seed", str(SEED))
    no_findings(fuzz(name, tmp_path, *options, timeout=SECONDS + 240))


@pytest.mark.skipif(not REPLAY, reason="no case is given in TOPO_SEARCH_FUZZ_REPLAY")
def test_replay(tmp_path):
    name, seed, number = REPLAY.split(":")
    no_findings(fuzz(name, tmp_path, "--seed", seed, "--only", number, timeout=300))


def test_each_target_runs_in_a_process_of_its_own(tmp_path):
    report = fuzz("adjacency", tmp_path, "--cases", "30", "--seed", "3", timeout=120)
    assert report["cases"] == 30
    no_findings(report)


def _refusing(folder: Path) -> bytes:
    content = (folder / "file").read_bytes()
    if content == b"0":
        raise InputError("file: expected 1")
    if content == b"1":
        raise KeyError("not caught")
    if content == b"2":
        print("hello")
    if content == b"3":
        error = InputError("")
        error.args = ("word " * 1000,)
        raise error
    return content


def _check(content: bytes, case: Case) -> None:
    assert content != b"4"


def _toy(content: bytes) -> Target:
    def mutate(files: dict[str, bytes], rng: random.Random, seeds: list[dict[str, bytes]]) -> dict[str, bytes]:
        return {"file": content}

    return Target(lambda: [{"file": b"seed"}], mutate, _refusing, _check)


@pytest.mark.parametrize(
    ("content", "fault"), [(b"0", ""), (b"1", "KeyError"), (b"3", "characters"), (b"4", "accepted, but"), (b"5", "")]
)
def test_the_harness_notices_what_is_wrong(content, fault, tmp_path):
    report: Report = run_cases("toy", _toy(content), seed=0, cases=3, seconds=10, only=None, out=tmp_path)
    assert report.cases == 3
    assert [fault in finding["fault"] for finding in report.findings] == ([True] if fault else [])
    if fault:
        # One of a kind, with its file, under the name that it can be replayed by.
        assert report.findings[0]["replay"] == "toy:0:1"
        assert (tmp_path / "toy-0-1" / "file").read_bytes() == content
