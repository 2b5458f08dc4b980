"""Several drivers on one study in a real PostgreSQL server."""

import csv
import os
import secrets
import signal
import subprocess
import sys
import time

import numpy as np
import optuna
import pytest
from sqlalchemy import text
from support.joined_driver import DriverProcess
from support.postgres import running_server
from support.searching import ScrambledExecutor
from support.tiny import tiny_space

from topo_search import evolve
from topo_search.config import space_to_yaml
from topo_search.errors import InputError, RunFailedError
from topo_search.graph import make_family
from topo_search.search import (
    EvaluationLog,
    Proposal,
    RunFolder,
    SearchDriver,
    SearchStudy,
    Trial,
    has_study,
    open_storage,
)
from topo_search.search.locks.database_lock import DatabaseLock
from topo_search.search.storage import open_engine, recorded_run

pytestmark = pytest.mark.slow

BUDGET = 30


@pytest.fixture(scope="module")
def server():
    with running_server() as found:
        yield found


@pytest.fixture
def url(server):
    return server.database(f"study_{secrets.token_hex(4)}")


def join(url, folder, *, budget=BUDGET, seed=0, seconds=0.03):
    return DriverProcess(url, folder, budget=budget, seed=seed, seconds=seconds)


def ended(process, status=0):
    code, said = process.end()
    assert code == status, said
    return said


def evaluated(folder):
    file = folder / "evaluated"
    return file.read_text().split() if file.exists() else []


def wait_for(process, folder, number):
    deadline = time.monotonic() + 120
    while process.runs and len(evaluated(folder)) < number:
        assert time.monotonic() < deadline
        time.sleep(0.01)


def stored_numbers(url):
    trials = optuna.load_study(study_name="run", storage=open_storage(url)).get_trials(deepcopy=False)
    return [trial.user_attrs["number"] for trial in trials]


def rows(folder):
    with (folder / "trials.csv").open() as file:
        return list(csv.DictReader(file))


def without_times(table):
    return [{k: v for k, v in row.items() if k not in ("seconds", "attempts")} for row in table]


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """The same search by one driver on a journal."""
    folder = RunFolder(tmp_path_factory.mktemp("alone"))
    folder.create()
    study = SearchStudy(open_storage(folder.journal), "run", space=tiny_space())
    log = EvaluationLog(folder.log)
    SearchDriver(tiny_space(), seed=0, study=study, log=log, executor=ScrambledExecutor(), folder=folder).run([BUDGET])
    log.close()
    order = [t.user_attrs["number"] for t in study.study.get_trials(deepcopy=False)]
    return without_times(rows(folder.path)), order


def check_same(url, folders, alone):
    for folder in folders:
        assert without_times(rows(folder)) == alone[0]
        # The trial's time and attempts are those of the evaluation that counts, wherever it ran.
        assert rows(folder) == rows(folders[0])
        assert (folder / "comparison.csv").read_bytes() == (folders[0] / "comparison.csv").read_bytes()
        assert sorted(path.name for path in (folder / "winners").iterdir()) == ["1", "2"]
    assert stored_numbers(url) == alone[1]
    assert sorted(stored_numbers(url)) == list(range(BUDGET))


def check_no_password(server, folders, outputs):
    for said in outputs:
        assert server.password not in said
    for file in (file for folder in folders for file in folder.rglob("*") if file.is_file()):
        content = file.read_bytes()
        assert server.password.encode() not in content, file
        assert b"s3cr%2Fet" not in content, file


def test_two_drivers_share_one_study(server, url, tmp_path, alone):
    folders = [tmp_path / "a", tmp_path / "b"]
    outputs = [ended(process) for process in [join(url, folder) for folder in folders]]
    check_same(url, folders, alone)
    done = [evaluated(folder) for folder in folders]
    assert all(done), "one driver did all the work"
    assert len({*done[0], *done[1]}) == len(done[0]) + len(done[1]), "an evaluation ran twice"
    # One that comes when all is done finds every result, and trains the winners' networks for its own folder.
    outputs.append(ended(join(url, tmp_path / "c", budget=None)))
    assert evaluated(tmp_path / "c") == []
    check_same(url, [*folders, tmp_path / "c"], alone)
    check_no_password(server, [tmp_path], outputs)
    space, run = recorded_run(open_storage(url), "run")
    assert run == {"seed": 0, "budget": BUDGET}
    assert tiny_space() == type(tiny_space()).model_validate(space)


@pytest.mark.parametrize("kill_after", [1, 6, 17])
def test_one_of_two_drivers_is_killed(server, url, tmp_path, alone, kill_after):
    folders = [tmp_path / "killed", tmp_path / "left"]
    killed, left = (join(url, folder) for folder in folders)
    wait_for(killed, folders[0], kill_after)
    killed.kill()
    output = ended(left)
    late = ended(join(url, folders[0]))
    check_same(url, folders, alone)
    done = [key for folder in folders for key in evaluated(folder)]
    # What was in its hands when it was killed may have been noted and not stored: two slots, each once.
    assert len(done) - len(set(done)) <= 2
    check_no_password(server, [tmp_path], [output, late])


def test_drivers_that_are_killed_again_and_again_add_each_trial_once(url, tmp_path, alone):
    folders = [tmp_path / "a", tmp_path / "b"]
    processes = [join(url, folder, seconds=0.005) for folder in folders]
    for kills in range(6):
        victim = kills % 2
        wait_for(processes[victim], folders[victim], len(evaluated(folders[victim])) + 4)
        processes[victim].kill()
        numbers = stored_numbers(url)
        assert len(numbers) == len(set(numbers))
        processes[victim] = join(url, folders[victim], seconds=0.005)
    for process in processes:
        ended(process)
    check_same(url, folders, alone)


def test_who_does_not_join_is_kept_out_and_told_by_whom(url, tmp_path):
    joined = join(url, tmp_path / "a", seconds=0.2)
    wait_for(joined, tmp_path / "a", 1)
    owned = rf"study 'run' is in use by process {joined.pid} on host \S+ since .* UTC \(seen \d+ s ago\)"
    with pytest.raises(InputError, match=owned):
        DatabaseLock(url, "run")
    joined.kill()


def command(folder, url, *options):
    """The command line, in a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "topo_search", *options, "--workers", "1"],
        cwd=folder,
        env={**os.environ, "TOPO_SEARCH_STORAGE": url, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(process, status=0):
    out, err = process.communicate(timeout=240)
    assert process.returncode == status, err
    return out + err


def test_the_second_driver_joins_a_first_one_that_started_as_always(server, url, tmp_path):
    folders = [tmp_path / name for name in ("first", "second", "third")]
    for folder in folders:
        folder.mkdir()
        (folder / "tiny.yaml").write_text(space_to_yaml(tiny_space()))
    evolve = ("evolve", "--space", "tiny.yaml", "--out", "shared", "--quiet")
    first = command(folders[0], url, *evolve, "--budget", str(BUDGET))
    while not study_begun(url, "shared"):
        assert first.poll() is None, first.communicate()
        time.sleep(0.05)
    second = command(folders[1], url, *evolve, "--join")
    other_seed = command(folders[2], url, *evolve, "--join", "--seed", "5")
    refused = finish(other_seed, 2)
    assert "study 'shared' was begun with another seed" in refused
    assert not (folders[2] / "shared").exists()
    said = [refused, finish(command(folders[2], url, *evolve), 2), finish(first), finish(second)]
    assert "study 'shared' exists in the storage" in said[1]
    tables = [without_times(rows(folder / "shared")) for folder in folders[:2]]
    assert len(tables[0]) == BUDGET
    assert tables[0] == tables[1]
    stored = optuna.load_study(study_name="shared", storage=open_storage(url)).get_trials(deepcopy=False)
    assert sorted(trial.user_attrs["number"] for trial in stored) == list(range(BUDGET))
    # One of them extends the search; the other one learns of it when it joins again.
    said.append(finish(command(folders[0], url, "resume", "shared", "--budget", str(BUDGET + 3), "--quiet")))
    said.append(finish(command(folders[1], url, "resume", "shared", "--join", "--quiet")))
    tables = [without_times(rows(folder / "shared")) for folder in folders[:2]]
    assert len(tables[1]) == BUDGET + 3
    assert tables[0] == tables[1]
    check_no_password(server, folders[:2], said)


def study_begun(url, name):
    return has_study(open_storage(url), name) and bool(
        optuna.load_study(study_name=name, storage=open_storage(url)).user_attrs.get("budgets")
    )


def test_a_study_that_was_deleted_leaves_nothing_to_the_next_of_its_name(url, tmp_path):
    (tmp_path / "first").mkdir()
    (tmp_path / "second").mkdir()
    options = {"budget": 4, "workers": 1, "storage": url}
    evolve(tiny_space(), out=tmp_path / "first" / "run", **options)
    optuna.delete_study(study_name="run", storage=open_storage(url))
    slow = tiny_space().model_copy(
        update={"training": tiny_space().training.model_copy(update={"learning_rate": 1e-5})}
    )
    again = evolve(slow, out=tmp_path / "second" / "run", **options)
    alone = evolve(slow, out=tmp_path / "alone", budget=4, workers=1)
    assert again.evaluated == alone.evaluated
    assert without_times(rows(again.folder)) == without_times(rows(alone.folder))


def test_another_seed_and_a_larger_budget_are_refused(url, tmp_path):
    ended(join(url, tmp_path / "a", budget=6, seconds=0))
    assert "was begun with another seed" in ended(join(url, tmp_path / "b", seed=1), 2)
    assert "budget 7 is above the study's 6" in ended(join(url, tmp_path / "b", budget=7), 2)
    ended(join(url, tmp_path / "b", budget=None))
    assert (tmp_path / "a" / "trials.csv").read_bytes() == (tmp_path / "b" / "trials.csv").read_bytes()
    assert len(stored_numbers(url)) == 6


def test_a_driver_that_was_struck_off_stops_before_it_writes(url, tmp_path):
    sleeper = join(url, tmp_path / "a", seconds=0.1)
    wait_for(sleeper, tmp_path / "a", 3)
    sleeper.signal(signal.SIGSTOP)
    with open_engine(url).begin() as connection:
        connection.execute(text("DELETE FROM topo_search_drivers"))
    before = stored_numbers(url)
    sleeper.signal(signal.SIGCONT)
    assert "was taken over while this process gave no sign of life" in ended(sleeper, 1)
    assert stored_numbers(url) == before


def test_a_server_that_goes_away_is_said_in_one_line(tmp_path):
    with running_server() as own:
        url = own.database("study")
        driver = join(url, tmp_path / "a", seconds=0.1)
        wait_for(driver, tmp_path / "a", 3)
        own.process.send_signal(signal.SIGINT)
        own.process.wait(timeout=30)
        said = ended(driver, 1)
    assert "the study's database postgresql://searcher:***@127.0.0.1" in said
    assert own.password not in said
    assert len(said.strip().splitlines()) == 1


def test_a_trial_that_is_there_is_not_added_again(url):

    from topo_search.search.history import Evaluation

    graph = make_family("random_density", tiny_space().constraints, np.random.default_rng(0))
    trial = Trial(0, Proposal(graph, "random", "ring"), (Evaluation(0.5, (0.5,), (1.0,), best_epoch=1),), final=True)
    locks = [DatabaseLock(url, "run", joins=True) for _ in range(2)]
    studies = [SearchStudy(open_storage(url), "run", space=tiny_space(), lock=lock) for lock in locks]
    for study in studies:
        study.add(trial)
    assert stored_numbers(url) == [0]
    with locks[1].engine.begin() as connection:
        locks[0]._strike(connection, locks[0]._find(locks[1].token))
    with pytest.raises(RunFailedError, match="was taken over"):
        studies[1].add(trial)
    for lock in locks:
        lock.release()
