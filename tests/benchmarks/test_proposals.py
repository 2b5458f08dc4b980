"""The time of proposals: a short run, and bad input."""

import json

import proposals as command


def test_a_short_run_gives_a_row_for_each_strategy(capsys):
    arguments = ["--strategies", "evolution", "random", "--history", "40", "--proposals", "30", "--json"]
    assert command.main(arguments) == 0
    rows = json.loads(capsys.readouterr().out.splitlines()[-1])
    expected = [("evolution", 30, 0), ("random", 30, 0)]
    assert [(row["strategy"], row["proposals"], row["known"]) for row in rows] == expected
    assert all(row["seconds"] > 0 for row in rows)


def test_a_strategy_that_is_not_there_is_one_line(capsys):
    assert command.main(["--strategies", "nope"]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: unknown strategies ['nope']")
    assert error.count("\n") == 1
