"""Runs beside other drivers, in studies that are not theirs, and after a crash between two of their files."""

import contextlib
import csv
import json
import shutil
import sqlite3

import optuna
import pytest
from support.tiny import tiny_space

from topo_search import evolve, resume
from topo_search.api import is_finished, remove_scratch, running
from topo_search.config import parse_run, read_space_file, space_to_yaml
from topo_search.errors import InputError, RunFailedError
from topo_search.search import RunFolder, SearchStudy, open_storage
from topo_search.search.locks.database_lock import DatabaseLock

BUDGET = 3
QUICK = tiny_space(after={"rescored": 1, "rescore_seeds": 1, "winners": 1, "seeds": 1, "agreement": 0})


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run") / "finished"
    evolve(QUICK, budget=BUDGET, workers=1, out=folder)
    return folder


@pytest.fixture
def folder(finished, tmp_path):
    return shutil.copytree(finished, tmp_path / "finished")


@pytest.fixture
def url(tmp_path):
    return f"sqlite:///{tmp_path}/study.db"


def files(folder):
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def numbers(folder):
    with (folder / "trials.csv").open() as file:
        return [int(row["number"]) for row in csv.DictReader(file)]


def set_budget(folder, budget):
    values, where = read_space_file(folder / "space.yaml")
    run = parse_run(values, where)
    (folder / "space.yaml").write_text(space_to_yaml(QUICK, {**run, "budget": budget}))


# ---- beside a driver that extends the run


def test_a_run_that_is_being_extended_is_not_finished_and_keeps_its_checkpoints(folder):
    assert is_finished(folder)
    assert is_finished(folder, BUDGET)
    assert not is_finished(folder, BUDGET + 1)
    set_budget(folder, 300)
    (folder / "rungs").mkdir(exist_ok=True)
    (folder / "rungs" / "7.safetensors").write_bytes(b"hours of work")
    assert not is_finished(folder, BUDGET)
    remove_scratch(folder)
    assert (folder / "rungs" / "7.safetensors").exists()
    with pytest.raises(InputError, match="budget 3 is below the run's 300"):
        resume(folder, budget=BUDGET, workers=1)


def test_what_only_an_unfinished_run_needs_is_left_while_a_driver_holds_it(folder):
    (folder / "rungs").mkdir(exist_ok=True)
    (folder / "rungs" / "7.safetensors").write_bytes(b"hours of work")
    holder = RunFolder(folder)
    holder.lock()
    remove_scratch(folder)
    assert (folder / "rungs" / "7.safetensors").exists()
    holder.unlock()
    remove_scratch(folder)
    assert not (folder / "rungs").exists()


def test_a_driver_that_was_taken_over_leaves_the_table_to_the_next_one(tmp_path, monkeypatch):
    folder = tmp_path / "run"

    class TakenOver(running.SearchDriver):
        def run(self, budgets):
            owner = json.loads((folder / ".lock").read_bytes())
            (folder / ".lock").write_text(json.dumps({**owner, "token": "another"}))
            (folder / "trials.csv").write_text("of the next driver")
            super().run(budgets)

    monkeypatch.setattr(running, "SearchDriver", TakenOver)
    with pytest.raises(RunFailedError, match="was taken over"):
        evolve(QUICK, budget=BUDGET, workers=1, out=folder)
    assert (folder / "trials.csv").read_text() == "of the next driver"


# ---- a crash between two files


def test_an_extension_that_a_crash_cut_off_is_completed_without_being_told_the_budget(folder, monkeypatch):
    def dies(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(SearchStudy, "add_budget", dies)
        with pytest.raises(KeyboardInterrupt):
            resume(folder, budget=BUDGET + 2, workers=1)
    assert not is_finished(folder)
    resume(folder, workers=1)
    assert numbers(folder) == list(range(BUDGET + 2))
    assert is_finished(folder, BUDGET + 2)


# ---- what is refused leaves nothing


@pytest.mark.parametrize("there", [False, True])
def test_an_evolve_that_is_refused_leaves_no_folder_in_the_way_of_the_next(tmp_path, url, there):
    folder = tmp_path / "out" / "run"
    folder.parent.mkdir()
    if there:
        folder.mkdir()
    other = DatabaseLock(url, "run")
    with pytest.raises(InputError, match="is in use by process"):
        evolve(QUICK, budget=BUDGET, workers=1, out=folder, storage=url)
    assert [path.name for path in folder.parent.rglob("*")] == (["run"] if there else [])
    other.release()
    evolve(QUICK, budget=BUDGET, workers=1, out=folder, storage=url)
    assert is_finished(folder)


def test_an_evolve_without_the_cluster_it_was_told_leaves_no_folder(tmp_path, monkeypatch):
    def no_cluster(*_):
        raise InputError("no Ray cluster found")

    monkeypatch.setattr("topo_search.api.setup.open_executor", no_cluster)
    (tmp_path / "out").mkdir()
    with pytest.raises(InputError, match="no Ray cluster found"):
        evolve(QUICK, budget=BUDGET, workers=1, out=tmp_path / "out" / "run")
    assert list((tmp_path / "out").iterdir()) == []


def test_a_run_that_has_begun_stays_when_it_is_refused_later(tmp_path, monkeypatch):
    def refused(*_, **__):
        raise InputError("refused")

    monkeypatch.setattr(running, "measure_agreement", refused)
    with pytest.raises(InputError, match="refused"):
        evolve(QUICK, budget=BUDGET, workers=1, out=tmp_path / "run")
    assert numbers(tmp_path / "run") == list(range(BUDGET))


@pytest.mark.parametrize("location", ["host=db user=me password=hunter2", "some.journal", ""])
def test_a_storage_that_is_no_url_is_refused_and_not_repeated(tmp_path, folder, monkeypatch, location):
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    for act in (
        lambda: evolve(QUICK, budget=BUDGET, workers=1, out="run", storage=location),
        lambda: resume(folder, workers=1, storage=location),
    ):
        with pytest.raises(InputError, match=r"^storage is no URL: expected sqlite:///FILE, postgresql://") as caught:
            act()
        assert "hunter2" not in str(caught.value)
    assert list((tmp_path / "here").iterdir()) == []


# ---- another run's study


def test_a_run_with_a_journal_does_not_go_on_in_a_database(folder, url, monkeypatch):
    other = SearchStudy(open_storage(url), "finished", space=QUICK)
    other.add_budget(BUDGET)
    before = files(folder)
    with pytest.raises(InputError, match=r"the run's study is .*study\.journal: expected no --storage and no TOPO_"):
        resume(folder, budget=BUDGET + 1, workers=1, storage=url)
    assert files(folder) == before


def test_a_study_that_was_moved_to_a_database_goes_on_there(folder, url):
    optuna.copy_study(
        from_study_name="finished", from_storage=open_storage(folder / "study.journal"), to_storage=open_storage(url)
    )
    (folder / "study.journal").unlink()
    resume(folder, budget=BUDGET + 1, workers=1, storage=url)
    assert numbers(folder) == list(range(BUDGET + 1))


@pytest.mark.parametrize(
    ("changes", "seed", "named"),
    [({}, 1, "seed"), ({"training": {"learning_rate": 1e-4}}, 0, "training.learning_rate"), ({"name": "b"}, 0, "name")],
)
def test_a_study_of_another_seed_or_space_is_refused(tmp_path, changes, seed, named):
    storage = open_storage(tmp_path / "study.journal")
    SearchStudy(storage, "run", space=QUICK).record_run({"seed": 0, "budget": 3})
    values = QUICK.model_dump()
    for entry, value in changes.items():
        values[entry] = {**values[entry], **value} if isinstance(value, dict) else value
    study = SearchStudy(storage, "run", space=type(QUICK).model_validate(values))
    with pytest.raises(InputError, match=f"study 'run' was begun with another {named}: expected the space"):
        study.record_run({"seed": seed, "budget": 3})


def test_entries_that_a_later_version_adds_to_a_space_are_let_pass(tmp_path):
    study = SearchStudy(open_storage(tmp_path / "study.journal"), "run", space=QUICK)
    values = json.loads(QUICK.model_dump_json())
    del values["training"]["learning_rate"], values["probe"]
    study.study.set_user_attr("run", {"space": values, "run": {"seed": 0}})
    study.record_run({"seed": 0, "budget": 3})
    values["training"]["removed"] = 1
    study.study.set_user_attr("run", {"space": values, "run": {"seed": 0}})
    with pytest.raises(InputError, match=r"another training\.removed"):
        study.record_run({"seed": 0, "budget": 3})


@pytest.mark.parametrize("record", [3, [], {}, {"space": 1, "run": {}}, {"space": {}, "run": None}])
def test_a_record_of_a_run_that_is_none_is_refused(tmp_path, record):
    study = SearchStudy(open_storage(tmp_path / "study.journal"), "run", space=QUICK)
    study.study.set_user_attr("run", record)
    with pytest.raises(InputError, match="study 'run' does not say what its run was"):
        study.record_run({"seed": 0, "budget": 3})


def test_a_lost_folder_whose_couplings_were_inherited_is_not_made_anew(tmp_path, url):
    inheriting = QUICK.model_copy(update={"search": QUICK.search.model_copy(update={"inherit_weights": True})})
    SearchStudy(open_storage(url), "lost", space=inheriting).record_run({"seed": 0, "budget": 3})
    with pytest.raises(InputError, match="study 'lost' inherits couplings"):
        resume(tmp_path / "lost", workers=1, storage=url)
    assert not (tmp_path / "lost").exists()


@pytest.mark.parametrize("content", [None, "empty", "another"])
def test_a_database_that_is_only_asked_is_neither_made_nor_changed(tmp_path, folder, content):
    file = tmp_path / "other.db"
    if content == "empty":
        file.touch()
    elif content == "another":
        with contextlib.closing(sqlite3.connect(file)) as connection:
            connection.execute("CREATE TABLE mine (thing TEXT)")
    before = file.read_bytes() if content else None
    (folder / "study.journal").unlink()
    for run, message in ((folder, "unknown study 'finished'"), (tmp_path / "lost", "holds no studies")):
        with pytest.raises(InputError, match=message):
            resume(run, workers=1, storage=f"sqlite:///{file}")
    assert not (tmp_path / "lost").exists()
    assert (file.read_bytes() if file.exists() else None) == before


# ---- a database that fails


def test_a_database_that_fails_while_it_is_read_ends_the_run_in_one_line(tmp_path, url, monkeypatch):
    from optuna.exceptions import StorageInternalError

    def away(*_):
        raise StorageInternalError("first line\nsecond line")

    monkeypatch.setattr(SearchStudy, "trials", away)
    with pytest.raises(RunFailedError, match=r"^the study's database sqlite:.* failed: first line; what was finished"):
        evolve(QUICK, budget=BUDGET, workers=1, out=tmp_path / "run", storage=url)
    monkeypatch.setattr("topo_search.api.setup.holds_studies", away)
    with pytest.raises(RunFailedError, match=r"^the study's database sqlite:.* failed: first line; what was finished"):
        evolve(QUICK, budget=BUDGET, workers=1, out=tmp_path / "next", storage=url)


def test_a_trial_without_results_is_refused(folder):
    journal = folder / "study.journal"
    records = [json.loads(line) for line in journal.read_text().splitlines()]
    for record in records:
        if "user_attrs" in record and "results" in record["user_attrs"]:
            record["user_attrs"]["results"] = []
    journal.write_text("".join(json.dumps(record) + "\n" for record in records))
    with pytest.raises(InputError, match="trial 0 of study 'finished' is corrupt: it has no results"):
        resume(folder, budget=BUDGET + 1, workers=1)
