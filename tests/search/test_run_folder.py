import csv
from dataclasses import replace

import pytest
from support.tiny import tiny_graph

from topo_search.errors import InputError
from topo_search.graph import describe
from topo_search.search import Evaluation, Proposal, RunFolder, Trial

RUNGS = (1, 2, 3)


def trial(number=0, **changes):
    result = Evaluation(0.5, (0.5,), (1.0,), best_epoch=1, parameters=7)
    made = Trial(number, Proposal(tiny_graph(), "random", "ring"), (result,), final=True)
    return replace(made, **changes)


@pytest.fixture
def folder(tmp_path):
    made = RunFolder(tmp_path / "run")
    made.create()
    return made


def row(line, folder):
    folder.write_trials([], RUNGS)
    header = folder.trials.read_text()
    return next(csv.DictReader([header, line]))


def test_descriptors_of_the_study_are_taken_as_they_are(folder):
    known = {**describe(tiny_graph()), "modularity": 0.125}
    assert row(folder.take(trial(descriptors=known), RUNGS), folder)["modularity"] == "0.125"


@pytest.mark.parametrize("known", [None, {}, {"modularity": 0.125}, dict.fromkeys(describe(tiny_graph()), "many")])
def test_what_the_study_does_not_hold_is_described_anew(folder, known):
    found = row(folder.take(trial(descriptors=known), RUNGS), folder)
    assert float(found["modularity"]) == pytest.approx(describe(tiny_graph())["modularity"], rel=1e-5)


def test_rows_of_final_trials_are_kept_and_those_of_running_ones_are_not(folder):
    folder.take(trial(0), RUNGS)
    folder.take(trial(1, final=False), RUNGS)
    folder.write_trials([trial(0, attempts=9), trial(1, attempts=9)], RUNGS)
    with folder.trials.open() as file:
        assert [found["attempts"] for found in csv.DictReader(file)] == ["1", "9"]


def test_only_what_a_killed_driver_had_begun_to_write_is_removed(folder):
    begun = [".trials.csv.abc.tmp", ".summary.json.x_1.tmp", ".comparison.csv.1.tmp", ".space.yaml.2.tmp"]
    other = [".other.tmp", "trials.csv", ".trials.csv.abc"]
    for name in (*begun, *other):
        (folder.path / name).touch()
    folder.remove_unfinished()
    assert {path.name for path in folder.path.iterdir()} == {*other, "rungs"}


def test_what_killed_workers_had_begun_to_write_is_removed(folder):
    folder.couplings.mkdir()
    begun = [folder.rungs / ".0.safetensors.abc.tmp", folder.couplings / ".3-1.safetensors.x_1.tmp"]
    other = [folder.rungs / "0.safetensors", folder.rungs / ".mine.tmp", folder.couplings / "3-1.safetensors"]
    for path in (*begun, *other):
        path.touch()
    folder.remove_unfinished()
    assert not any(path.exists() for path in begun)
    assert all(path.exists() for path in other)


@pytest.mark.parametrize("name", [".lock", "evaluations.jsonl", "study.journal"])
def test_a_link_where_a_run_writes_in_place_is_refused(name, tmp_path):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.write_text("precious, and no whole line")
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / name).symlink_to(elsewhere)
    with pytest.raises(InputError, match="is a link"):
        RunFolder(tmp_path / "run").create()
    assert elsewhere.read_text() == "precious, and no whole line"
    assert [path.name for path in (tmp_path / "run").iterdir()] == [name]


@pytest.mark.parametrize("name", ["rungs", "full", "winners", "couplings"])
@pytest.mark.parametrize("there", [True, False])
def test_a_link_where_a_run_makes_and_removes_folders_is_refused(name, there, tmp_path):
    elsewhere = tmp_path / "elsewhere"
    if there:
        elsewhere.mkdir()
        (elsewhere / "precious").touch()
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / name).symlink_to(elsewhere)
    with pytest.raises(InputError, match=rf"{name} is a link: expected a folder of the run's own"):
        RunFolder(tmp_path / "run").create()
    assert elsewhere.exists() == there
    assert [path.name for path in (tmp_path / "run").iterdir()] == [name]


@pytest.mark.parametrize("name", ["rungs", "full", "winners", "couplings"])
def test_a_file_where_a_run_makes_folders_is_refused(name, tmp_path):
    (tmp_path / name).write_text("precious")
    with pytest.raises(InputError, match=rf"{name} is no folder: expected a folder of the run's own"):
        RunFolder(tmp_path).create()
    assert (tmp_path / name).read_text() == "precious"


def test_the_folder_of_a_run_may_be_a_link_itself(tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "run").symlink_to(tmp_path / "elsewhere")
    RunFolder(tmp_path / "run").create()
    assert (tmp_path / "elsewhere" / "rungs").is_dir()
