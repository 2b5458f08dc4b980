"""What the driver costs: a short measurement, and bad input."""

import csv
import json

import overhead as command
import pytest


def test_a_short_search_is_measured_and_taken_up_again(tmp_path, capsys):
    kept = tmp_path / "trials.csv"
    arguments = [
        "--trials",
        "12",
        "--set",
        "ladder.rungs=[1, 24]",
        "--dir",
        str(tmp_path),
        "--keep",
        str(kept),
        "--json",
    ]
    assert command.main(arguments) == 0
    found = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert [stage["trials"] for stage in found["stages"]] == [found["whole"]["trials"]] == [12]
    assert found["whole"]["cpu_ms"] > 0
    assert 0 < found["whole"]["fsync_ms"] < found["whole"]["wall_ms"]
    # One for each result, one for each trial, and the table.
    assert found["whole"]["fsyncs"] > 2
    assert found["resume"]["evaluations"] == 0
    assert found["bytes"]["study.journal"] > 0
    with kept.open() as file:
        assert [row["state"] for row in csv.DictReader(file)] == ["COMPLETE"] * 12
    assert [path.name for path in tmp_path.iterdir()] == ["trials.csv"]


def test_without_ray_there_is_nothing_to_compare(monkeypatch, capsys):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert command.main(["--throughput"]) == 0
    assert capsys.readouterr().err == "left out: Ray is not installed (pip install 'topo_search[ray]')\n"


@pytest.mark.slow
def test_executors_are_compared_on_the_same_evaluations(capsys):
    pytest.importorskip("ray")
    assert command.main(["--throughput", "--trials", "6", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert [row["requests"] for row in rows] == [6, 6, 6]
    for row in rows:
        assert row["ray_share"] == pytest.approx(row["processes_ms"] / row["ray_ms"])


def test_a_folder_that_is_not_there_is_one_line(tmp_path, capsys):
    assert command.main(["--dir", str(tmp_path / "no")]) == 2
    assert capsys.readouterr().err.startswith("error: no folder")
