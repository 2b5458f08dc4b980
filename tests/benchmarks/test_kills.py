"""Real processes, really killed: nothing that was finished is lost, nothing is counted twice, and a check sees it."""

import csv
import functools
import json
import re
import sys
import time

import kills as command
import pytest
from bench.killing_checks import State, differences, losses, phase, results_logged
from bench.killing_kinds import EXECUTORS
from bench.killing_processes import Session
from bench.killing_runs import BUDGET, SPACE, References
from support.searching import ScrambledExecutor
from support.tiny import tiny_space

from topo_search.search import EvaluationLog, RunFolder, SearchDriver, SearchStudy, open_storage

N_TRIALS = 6

needs_proc = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="finds processes in /proc")


@pytest.fixture(scope="module")
def searched(tmp_path_factory):
    """A folder of a search without what follows it."""
    folder = RunFolder(tmp_path_factory.mktemp("runs") / "run")
    folder.create()
    log = EvaluationLog(folder.log)
    study = SearchStudy(open_storage(folder.journal), "run", space=tiny_space())
    driver = SearchDriver(study.space, seed=0, study=study, log=log, executor=ScrambledExecutor(slots=1), folder=folder)
    driver.run([N_TRIALS])
    log.close()
    folder.write_comparison([["key", "winner", 0, 5, 100, "0.5", "0.5"]])
    return folder.path


@pytest.fixture
def run(searched, tmp_path):
    """A copy of it."""
    import shutil

    return shutil.copytree(searched, tmp_path / "copy")


def edit(path, change):
    path.write_text(change(path.read_text()))


def test_what_is_whole_is_not_complained_of(searched, run):
    assert len(State.of(run).trials) == N_TRIALS
    assert len(State.of(run).results) == results_logged(run) > N_TRIALS
    assert losses(State.of(searched), State.of(run)) == []
    assert differences(run, searched, budget=N_TRIALS) == []


def test_a_run_that_has_not_begun_has_nothing_to_lose(tmp_path):
    assert State.of(tmp_path) == State()
    assert phase(tmp_path) == "start"


def test_a_lost_and_a_changed_trial_are_seen(searched, run):
    before = State.of(searched)
    lines = (run / "study.journal").read_text().splitlines(keepends=True)
    (run / "study.journal").write_text("".join(lines[:-1]))
    assert losses(before, State.of(run)) == [f"trial {list(before.trials)[-1]} was lost"]
    (run / "study.journal").write_text("".join([*lines[:-1], lines[-1].replace('"attempts":1', '"attempts":9')]))
    assert losses(before, State.of(run)) == [f"trial {list(before.trials)[-1]} was changed"]


def test_a_trial_and_a_result_that_are_there_twice_are_seen(searched, run):
    for name in ("study.journal", "evaluations.jsonl"):
        edit(run / name, lambda text: text + text.splitlines(keepends=True)[-1])
    problems = losses(State.of(searched), State.of(run))
    assert [re.sub(r"trial \d+|evaluation \w+", "it", problem) for problem in problems] == [
        "it is in the study twice",
        "it ended twice",
    ]


@pytest.mark.parametrize("name", ["trials.csv", "comparison.csv"])
def test_a_table_that_is_cut_short_is_seen(run, name):
    edit(run / name, lambda text: text[:-4])
    assert State.of(run).problems == (f"{name} is cut short",)


def test_an_end_that_differs_is_seen(searched, run):
    rows = list(csv.reader((run / "trials.csv").read_text().splitlines()))
    rows[1][rows[0].index("attempts")] = "3"
    (run / "trials.csv").write_text("".join(",".join(row) + "\n" for row in rows))
    assert differences(run, searched, budget=N_TRIALS) == [], "attempts may differ"
    rows[1][rows[0].index("score")] = "0.25"
    (run / "trials.csv").write_text("".join(",".join(row) + "\n" for row in rows))
    edit(run / "comparison.csv", lambda text: text.replace("0.5", "0.75"))
    (run / ".summary.json.abc.tmp").touch()
    assert differences(run, searched, budget=N_TRIALS) == [
        "trials.csv differs from that of the uninterrupted run",
        "comparison.csv differs from that of the uninterrupted run",
        ".summary.json.abc.tmp was left",
    ]
    assert f"the study holds {N_TRIALS} trials, not 0 to 9" in differences(run, searched, budget=10)


# A child that leaves the group and the session, and is its parent's no more.
_ORPHAN = "import os, time\nif os.fork() == 0:\n    os.setsid()\n    os.fork() and os._exit(0)\ntime.sleep(60)"


@pytest.fixture
def session(tmp_path):
    with (tmp_path / "errors").open("w") as errors:
        made = Session([sys.executable, "-c", _ORPHAN], errors=errors, temporary=tmp_path)
    yield made
    made.kill_all()


def wait_for(condition):
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@needs_proc
def test_an_orphan_that_left_the_group_is_found(session):
    wait_for(lambda: len(session.family()) == 2)
    assert len(session.children(lambda line: "sleep" in line)) == 1
    assert session.kill_driver()
    assert not session.kill_driver(), "it is dead"
    (left,) = session.left_over(0.1)
    assert "time.sleep(60)" in left
    assert session.family() == []


@needs_proc
def test_all_processes_of_a_command_are_killed(session):
    wait_for(lambda: len(session.family()) == 2)
    assert session.kill_all()
    assert session.left_over(0.0) == []


@pytest.mark.slow
@needs_proc
@pytest.mark.parametrize("executor", EXECUTORS)
def test_kills_lose_nothing(executor, tmp_path, capsys):
    if executor == "ray":
        pytest.importorskip("ray")
    status = command.main(["--kills", "4", "--executors", executor, "--dir", str(tmp_path), "--json"])
    printed = capsys.readouterr()
    assert status == 0, printed.err
    (row,) = json.loads(printed.out.splitlines()[-1])["rows"]
    assert row["kills"] == row["driver"] + row["worker"] + row["raylet"] + row["group"] == 4
    assert row["violations"] == 0
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
@needs_proc
def test_ctrl_c_then_resume(tmp_path):
    whole = References(tmp_path, tmp_path).of(0)
    folder, errors = tmp_path / "run", tmp_path / "errors"
    with errors.open("w") as file:
        start = functools.partial(Session, errors=file, temporary=tmp_path)
        begin = [sys.executable, "-m", "topo_search"]
        flags = ["--workers", "2", "--quiet"]
        session = start([*begin, "evolve", "--space", SPACE, "--budget", BUDGET, "--out", folder, *flags])
        assert session.wait(lambda: results_logged(folder) >= 12, 120)
        session.interrupt()
        assert session.wait(lambda: False, 60)
    assert session.status == 130
    assert session.left_over(10.0) == []
    said = errors.read_text()
    assert f"go on with: python -m topo_search resume {folder}" in said
    assert "Traceback" not in said
    with errors.open("w") as file:
        resumed = Session([*begin, "resume", folder, "--quiet"], errors=file, temporary=tmp_path)
        assert resumed.wait(lambda: False, 300)
    assert resumed.status == 0, errors.read_text()
    assert differences(folder, whole, budget=BUDGET) == []


@needs_proc
def test_violations_are_an_exit_status(tmp_path, monkeypatch, capsys):
    def deliver(self, kills):
        self.violations.append("run: trial 3 was lost")
        counts = dict.fromkeys(
            ("driver", "worker", "raylet", "group", "start", "search", "after", "resumes", "runs"), 0
        )
        return {"executor": self.executor, "kills": kills, **counts, "seconds": 1.0, "violations": 1}

    monkeypatch.setattr("bench.killing_runs.Killing.deliver", deliver)
    assert command.main(["--kills", "5", "--executors", "serial,processes", "--dir", str(tmp_path), "--json"]) == 1
    printed = capsys.readouterr()
    found = json.loads(printed.out.splitlines()[-1])
    assert [row["kills"] for row in found["rows"]] == [3, 2]
    assert "2 violations" in printed.err
    assert "trial 3 was lost" in printed.err


@needs_proc
@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--executors", "serial,threads"], "unknown executors ['threads']: expected some of serial, processes, ray"),
        (["--dir", "/nowhere"], "no folder /nowhere"),
        (["--kills", "0"], "expected an integer of at least 1"),
    ],
)
def test_bad_input_is_one_line(arguments, said, capsys):
    assert command.main(arguments) == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1


@needs_proc
def test_ray_is_left_out_where_it_is_not_installed(monkeypatch, capsys):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert command.main(["--executors", "ray"]) == 2
    assert "ray: left out" in capsys.readouterr().err
