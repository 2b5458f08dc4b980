import json
from pathlib import Path

import pytest
from support.topobench import formula_table
from typer.testing import CliRunner

from topo_search.cli.bench import app
from topo_search.errors import InputError
from topo_search.topobench import Table


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    path = tmp_path_factory.mktemp("tables") / "table.npz"
    formula_table().save(path)
    return str(path)


def run(*arguments):
    return CliRunner().invoke(app, list(arguments), catch_exceptions=False)


def test_search_prints_one_json_object(table, tmp_path):
    figure = tmp_path / "regret.png"
    done = run(
        "search", "--table", table, "--strategies", "random,evolution", "--replays", "3", "--max-edges", "6",
        "--workers", "1", "--quiet", "--json", "--figure", str(figure),
    )  # fmt: skip
    result = json.loads(done.stdout)
    assert (result["classes"], result["max_edges"]) == (318, 6)
    assert [entry["strategy"] for entry in result["strategies"]] == ["random", "evolution"]
    assert set(result["strategies"][0]["regret"]) == {"25", "50", "100"}
    assert figure.read_bytes().startswith(b"\x89PNG")


def test_no_edge_budget_is_null_in_json(table):
    done = run(
        "search", "--table", table, "--strategies", "random", "--replays", "1", "--workers", "1", "--quiet", "--json"
    )
    assert json.loads(done.stdout)["max_edges"] is None


def test_search_prints_a_table_and_takes_the_ladder_and_settings(table):
    done = run(
        "search", "--table", table, "--strategies", "evolution", "--replays", "2", "--max-edges", "5", "--workers", "1",
        "--ladder", "--lag", "2", "--set", "search.evolution.population=5", "--set", "ladder.rungs=[1,4]",
    )  # fmt: skip
    assert "96 graphs; full trainings until regret" in done.stdout
    assert "evolution 2/2" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--set", "training.epochs=8"], "--set changes training"),
        (["--max-edges", "six"], "must be a number of edges or none"),
        (["--figure", "picture.bmp"], "expected a file that ends in"),
        (["--strategies", ""], "name each once"),
        (["--workers", "0"], "workers must be at least 1"),
    ],
)
def test_bad_requests_are_refused(table, arguments, message):
    with pytest.raises(InputError, match=message):
        run("search", "--table", table, *arguments)


def test_landscape_prints_what_it_found(table, tmp_path, monkeypatch):
    monkeypatch.setattr("topo_search.topobench.landscape.study_landscape.__kwdefaults__", {"bootstrap": 4})
    done = run("landscape", "--table", table, "--figure", str(tmp_path / "l.svg"))
    assert "input_output_path" in done.stdout
    assert "rungs that suggest themselves" in done.stdout
    assert (tmp_path / "l.svg").is_file()


@pytest.mark.slow
def test_make_writes_a_table(tmp_path):
    out = tmp_path / "digits.npz"
    result = json.loads(run("make", "--limit", "1", "--workers", "1", "--quiet", "--json", "--out", str(out)).stdout)
    assert (result["classes"], result["failed"], result["not_certified"]) == (1, 0, 0)
    assert Path(result["table"]) == out
    assert Table.load(out).scores().shape == (1, 3)
