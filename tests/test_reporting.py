"""The report of a real run: written at its end, made anew at any time, and refused in one line."""

import json
import os
import re
import shutil

import optuna
import pytest
from support.tiny import tiny_space

from topo_search import evolve, train, write_report
from topo_search.cli import main
from topo_search.config import parse_run, read_space_file, space_to_yaml
from topo_search.errors import InputError
from topo_search.search import RunFolder, open_storage

BUDGET = 12
QUICK = tiny_space(after={"rescored": 1, "rescore_seeds": 1, "winners": 1, "seeds": 2, "agreement": 0})
UNFINISHED = "This run is not finished"


def run_command(monkeypatch, capsys, *arguments):
    monkeypatch.setattr("sys.argv", ["topo_search", *map(str, arguments)])
    with pytest.raises(SystemExit) as caught:
        main()
    return caught.value.code or 0, *capsys.readouterr()


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run") / "finished"
    evolve(QUICK, budget=BUDGET, workers=1, out=folder)
    return folder


@pytest.fixture
def folder(finished, tmp_path):
    return shutil.copytree(finished, tmp_path / "finished")


def files(folder):
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_it_shows_the_numbers_of_the_run_and_changes_nothing_else(folder):
    before = files(folder)
    page = write_report(folder)
    assert page == folder / "report.html"
    text = page.read_text()
    after = files(folder)
    del after[page.relative_to(folder)]
    assert after == before
    assert UNFINISHED not in text
    summary = json.loads((folder / "summary.json").read_text())
    (winner,) = summary["winners"]
    assert f"trial {winner['trial']}" in text
    assert winner["graph_key"] in text
    assert ", ".join(f"{score:.3f}" for score in winner["test_accuracy"]) in text
    assert f"{summary['paired']['random']['mean']:+.3f}" in text
    assert f"{winner['rho']:.6f}" in text
    assert f"--seed 0 --budget {BUDGET}" in text


def test_the_same_run_gives_the_same_page(folder):
    first = write_report(folder).read_bytes()
    assert write_report(folder).read_bytes() == first


def test_the_commands_write_it(monkeypatch, capsys, tmp_path, folder):
    space = tmp_path / "quick.yaml"
    space.write_text(space_to_yaml(QUICK))
    out = tmp_path / "run"
    status, _, err = run_command(
        monkeypatch, capsys, "evolve", "--space", space, "--budget", 3, "--workers", 1, "--out", out
    )
    assert status == 0
    assert err.splitlines()[-1] == f"report: {out / 'report.html'}"
    first = (out / "report.html").read_bytes()
    assert run_command(monkeypatch, capsys, "report", out) == (0, f"{out / 'report.html'}\n", "")
    assert (out / "report.html").read_bytes() == first
    status, answer, _ = run_command(monkeypatch, capsys, "report", out, "--json")
    assert json.loads(answer) == {"report": str(out / "report.html")}

    run_command(monkeypatch, capsys, "resume", out, "--budget", 4, "--workers", 1, "--quiet")
    assert (out / "report.html").read_bytes() != first
    # A run may be killed between its summary and its report; a finished one that has its report keeps it.
    (out / "report.html").unlink()
    assert run_command(monkeypatch, capsys, "resume", out, "--quiet") == (0, "", "")
    assert "budget 4" in (out / "report.html").read_text()
    (out / "report.html").write_text("mine")
    run_command(monkeypatch, capsys, "resume", out, "--quiet")
    assert (out / "report.html").read_text() == "mine"
    # One that is older than the summary is of an earlier budget.
    os.utime(out / "report.html", (1, 1))
    run_command(monkeypatch, capsys, "resume", out, "--quiet")
    assert "budget 4" in (out / "report.html").read_text()


def test_a_report_that_cannot_be_written_is_told_and_fails_no_run(monkeypatch, capsys, folder):
    (folder / "report.html").mkdir()
    arguments = ("resume", folder, "--budget", BUDGET + 1, "--workers", 1, "--quiet")
    status, printed, err = run_command(monkeypatch, capsys, *arguments)
    assert status == 0
    assert re.fullmatch(rf"no report: {re.escape(str(folder))}/report\.html cannot be written: .*\n", err)
    assert "winner 1:" in printed
    status, _, err = run_command(monkeypatch, capsys, "report", folder)
    assert status == 2
    assert re.fullmatch(r"error: .* cannot be written: .*\n", err)
    assert [path.name for path in folder.glob("*report*")] == ["report.html"]


def test_a_run_that_is_extended_or_interrupted_is_not_finished(folder):
    values, where = read_space_file(folder / "space.yaml")
    (folder / "space.yaml").write_text(space_to_yaml(QUICK, {**parse_run(values, where), "budget": 300}))
    assert UNFINISHED in write_report(folder).read_text()
    for name in ("summary.json", "comparison.csv"):
        (folder / name).unlink()
    shutil.rmtree(folder / "winners")
    text = write_report(folder).read_text()
    assert UNFINISHED in text
    assert f"{BUDGET} trials ended" in text


def test_a_study_that_another_driver_has_extended_is_not_finished(folder):
    study = optuna.load_study(study_name="finished", storage=open_storage(folder / "study.journal"))
    study.set_user_attr("budgets", [BUDGET, 300])
    text = write_report(folder).read_text()
    assert UNFINISHED in text
    assert "budget 300;" in text
    assert "resume repeated --budget 300" in text


def test_a_winner_with_a_training_that_diverged_is_shown(folder):
    metrics = json.loads((folder / "winners" / "1" / "metrics.json").read_text())
    entry("winners/1/metrics.json", test_accuracy=[metrics["test_accuracy"][0], None])(folder)
    text = write_report(folder).read_text()
    assert f"test accuracy {metrics['test_accuracy'][0]:.3f}, –, one a seed; – diverged." in text


def test_it_can_be_written_while_another_process_drives_the_run(folder):
    holder = RunFolder(folder)
    holder.lock()
    try:
        write_report(folder)
    finally:
        holder.unlock()


def test_folders_beside_the_winners_are_not_read(folder):
    (folder / "winners" / "7").mkdir()
    (folder / "winners" / "7" / "metrics.json").write_text("mine")
    assert "Winner 7" not in write_report(folder).read_text()


def test_a_study_in_a_database(tmp_path):
    url = f"sqlite:///{tmp_path}/study.db"
    evolve(QUICK, budget=3, workers=1, out=tmp_path / "run", storage=url)
    assert "3 trials ended" in write_report(tmp_path / "run").read_text()
    (tmp_path / "study.db").unlink()
    with pytest.raises(InputError, match="holds no studies"):
        write_report(tmp_path / "run")
    assert not (tmp_path / "study.db").exists()


def test_weights_that_were_exchanged_are_told(folder):
    weights = folder / "winners" / "1" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\x01")
    text = write_report(folder).read_text()
    assert "not those that the certificate names" in text
    assert ">Certified<" not in text


def edited(name, change):
    def damage(folder):
        path = folder / name
        path.write_text(change(path.read_text()))

    return damage


def entry(name, **values):
    return edited(name, lambda text: json.dumps({**json.loads(text), **values}))


def another_trial(folder):
    path = folder / "winners" / "1" / "metrics.json"
    metrics = json.loads(path.read_text())
    path.write_text(json.dumps({**metrics, "trial": (metrics["trial"] + 1) % BUDGET}))


def link_winners(folder):
    (folder / "winners").rename(folder / "elsewhere")
    (folder / "winners").symlink_to(folder / "elsewhere")


def pipe(folder):
    """It would be read for ever."""
    path = folder / "winners" / "1" / "metrics.json"
    path.unlink()
    os.mkfifo(path)


def nest(folder):
    """Text that is read, but too deep to be copied, as Optuna copies what a study holds."""
    deep = []
    for _ in range(600):
        deep = [deep]
    study = optuna.load_study(study_name="finished", storage=open_storage(folder / "study.journal"))
    study.set_user_attr("budgets", deep)


DAMAGES = {
    "nested": (nest, "study 'finished' cannot be read: its storage is corrupt or not ours"),
    "winner's trial": (another_trial, r"trial \d+ of the study does not have its graph"),
    "many seeds": (
        edited("summary.json", lambda text: re.sub(r'"n": \d+', f'"n": {2**62}', text)),
        r"summary at .* is corrupt: paired\.random\.n",
    ),
    "a link": (link_winners, "winners is a link: expected a folder of the run's own"),
    "a pipe": (pipe, "metrics.json is no file"),
    "no trial": (entry("winners/1/metrics.json", trial=99), "trial 99 of the study does not have its graph"),
    "uncertain": (
        entry("winners/1/certificate.json", certified=True, rho=1.5),
        "rho is 1.5, expected a factor below 1",
    ),
    "ranks": (entry("summary.json", winners=[{"rank": 1}, {"rank": 1}]), "expected winners by rank, each once"),
    "no comparison": (lambda folder: (folder / "comparison.csv").unlink(), "no comparison at"),
    "count": (
        edited("summary.json", lambda text: text.replace('"graphs": [', f'"graphs": [{10**400}, ', 1)),
        r"summary at .* is corrupt: paired\.random\.graphs",
    ),
    "no run": (lambda folder: (folder / "space.yaml").unlink(), "is not a run: expected a folder with space.yaml"),
    "no study": (lambda folder: (folder / "study.journal").unlink(), "no study at"),
    "summary": (edited("summary.json", lambda text: text[:-9]), r"summary at .* is corrupt: expected a JSON object"),
    "notes": (entry("summary.json", notes=3), r"summary at .* is corrupt: notes: "),
    "kind": (entry("summary.json", paired={"cheating": None}), r"summary at .* is corrupt: paired\.cheating"),
    "no winner": (lambda folder: shutil.rmtree(folder / "winners" / "1"), r"no metrics at .*winners/1/metrics\.json"),
    "metrics": (entry("winners/1/metrics.json", test_accuracy=[1.5]), r"metrics at .* is corrupt: test_accuracy\.0: "),
    "another graph": (entry("winners/1/metrics.json", graph_key="0"), "graph.json is not the graph that metrics.json"),
    "certificate": (
        entry("winners/1/certificate.json", certified="perhaps"),
        r"certificate at .* is corrupt: certified: ",
    ),
    "columns": (
        edited("comparison.csv", lambda text: f"x{text}"),
        r"comparison at .*: expected the columns graph_key,",
    ),
    "cells": (edited("comparison.csv", lambda text: f"{text}a,winner\n"), r"comparison at .* has 2 cells, expected 7"),
    "not a number": (
        edited("comparison.csv", lambda text: f"{text}a,winner,0,4,9,nan,0.5\n"),
        r"comparison at .*, line \d+, is corrupt: validation_accuracy: ",
    ),
    "no share": (
        edited("comparison.csv", lambda text: f"{text}a,winner,0,4,9,0.5,1.5\n"),
        r"comparison at .*, line \d+, is corrupt: test_accuracy: ",
    ),
    "quotes": (
        edited("comparison.csv", lambda text: f'{text}"a'),
        r"comparison at .* is corrupt: expected a CSV table",
    ),
    "another space": (
        edited("space.yaml", lambda text: text.replace("count: 3", "count: 4", 1)),
        "trial 0 of study 'finished' is not one of the space: expected 7 areas and at most 3 rungs, got 6 and",
    ),
}


@pytest.mark.parametrize("name", DAMAGES)
def test_what_no_run_leaves_is_refused_in_one_line_and_the_report_stays(folder, name):
    damage, message = DAMAGES[name]
    write_report(folder)
    before = (folder / "report.html").read_bytes()
    damage(folder)
    with pytest.raises(InputError, match=message) as caught:
        write_report(folder)
    assert "\n" not in str(caught.value)
    assert (folder / "report.html").read_bytes() == before


def test_text_that_has_no_utf_8_is_written_as_what_it_is(folder):
    entry("summary.json", notes=["half a pair: \ud800"])(folder)
    assert r"half a pair: \ud800" in write_report(folder).read_text()


def test_a_folder_of_trainings_is_refused(tmp_path):
    train(QUICK, graph="ring", seeds=1, workers=1, out=tmp_path / "trained")
    with pytest.raises(InputError, match="holds trainings of one graph: expected the folder of a search"):
        write_report(tmp_path / "trained")
