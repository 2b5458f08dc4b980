"""``benchmarks/strategies.py``: a whole comparison on a tiny space, taken up again, and refused where plans differ."""

import json

import pytest
from support.tiny import tiny_space

from topo_search.config import space_to_yaml

COMMON = ["--strategies", "random,evolution", "--budget", "3", "--searches", "1", "--random", "2", "--workers", "1"]


@pytest.fixture(scope="module")
def space(tmp_path_factory):
    path = tmp_path_factory.mktemp("space") / "tiny.yaml"
    path.write_text(space_to_yaml(tiny_space()))
    return path


@pytest.fixture
def strategies(monkeypatch):
    import strategies

    return strategies


def test_a_comparison_trains_searches_and_controls_with_paired_seeds(space, strategies, tmp_path, capsys):
    arguments = ["--space", str(space), *COMMON, "--seeds", "2", "--out", str(tmp_path / "out")]
    assert strategies.main(arguments) == 0
    shown = capsys.readouterr().out
    rows = json.loads((tmp_path / "out" / "report.json").read_text())["rows"]
    names = {row["name"] for row in rows}
    assert {"random", "evolution", "random_control", "global_workspace", "all_edges"} <= names
    assert all(f"| {row['name']} " in shown for row in rows)
    trainings = json.loads((tmp_path / "out" / "trainings.json").read_text())["rows"]
    seeds = {name: {row["seed"] for row in trainings if row["name"] == name} for name in names}
    assert len({frozenset(found) for found in seeds.values()}) == 1
    budget = tiny_space().constraints.edge_budget
    for row in trainings:
        if row["name"] in ("random", "evolution", "random_control", "global_workspace_filled"):
            assert row["edges"] <= budget
        if row["name"] == "random_control":
            assert row["edges"] == budget

    before = (tmp_path / "out" / "trainings.json").read_bytes()
    assert strategies.main(arguments) == 0
    assert (tmp_path / "out" / "trainings.json").read_bytes() == before
    capsys.readouterr()
    assert strategies.main([*arguments[:-4], "--seeds", "2", "--budget", "4", "--out", str(tmp_path / "out")]) == 2
    assert "another space or budget" in capsys.readouterr().err


def test_nothing_to_report_is_bad_input(strategies, tmp_path, capsys):
    assert strategies.main(["--out", str(tmp_path), "--report"]) == 2
    assert capsys.readouterr().err.startswith("error: ")
