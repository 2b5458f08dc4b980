"""The command: what it prints, and what it refuses."""

import json
from dataclasses import replace

import engine as command
import pytest
import torch
from bench import claims, rows
from bench.cases import CASES
from bench.epochs import epoch_rows
from bench.rows import Settings

from topo_search.engine.native import NativeStatus

KEYS = {"name", "engine_s", "reference_s", "autograd_s", "useful_gflops", "sgemm_share", "ratio", "peak_mb"}


@pytest.fixture(autouse=True)
def _threads():
    """The command sets the threads of the whole process."""
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.fixture
def no_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rows, "peak_of_step", lambda *_, **__: 1.5)


def test_a_row_has_all_keys_and_consistent_figures(capsys, no_process) -> None:
    assert command.main(["--only", "small16", "--json", "--repeats", "1", "--threads", "1"]) == 0
    *table, last = capsys.readouterr().out.strip().splitlines()
    (row,) = json.loads(last)
    assert set(row) >= KEYS
    assert row["name"] == "small16"
    assert all(row[key] > 0 for key in KEYS - {"name"})
    work = 12 * 20 * 32 * 32 * 29 * 16
    assert row["useful_gflops"] == pytest.approx(work / row["engine_s"] * 1e-9)
    assert row["sgemm_share"] == pytest.approx(row["useful_gflops"] / row["sgemm_gflops"])
    assert row["ratio"] == pytest.approx(row["autograd_s"] / row["engine_s"])
    assert row["autograd_steps"] == row["steps"] == 29
    assert any("small16" in line and "B16 T29 C12" in line for line in table)


def test_engine_only_leaves_the_slow_ones_null(capsys, no_process) -> None:
    arguments = ["--only", "small16", "--engine-only", "--json", "--repeats", "1", "--integrator", "cayley"]
    assert command.main(arguments) == 0
    (row,) = json.loads(capsys.readouterr().out.strip().splitlines()[-1])
    assert row["reference_s"] is row["autograd_s"] is row["ratio"] is None
    assert row["engine_s"] > 0
    assert row["integrator"] == "cayley"


def test_what_cannot_be_run_here_is_null(capsys, monkeypatch: pytest.MonkeyPatch) -> None:
    # The engine too: without the compiled one it is the reference, which may be asked for too much.
    monkeypatch.setattr(command, "cores", lambda: 1)
    monkeypatch.setattr(rows, "longest_affordable", lambda *_, **__: 0)
    monkeypatch.setattr("bench.contenders.native_status", lambda: NativeStatus(None, "", "switched off"))
    assert command.main(["--only", "small16", "--json", "--repeats", "1"]) == 0
    *table, last = capsys.readouterr().out.strip().splitlines()
    (row,) = json.loads(last)
    assert {key for key in KEYS if row[key] is None} == KEYS - {"name"}
    assert "- small16, autograd: needs more time or memory than there is" in table


@pytest.mark.slow
def test_the_peak_of_memory_comes_from_another_process(capsys) -> None:
    assert command.main(["--only", "small8", "--engine-only", "--json", "--repeats", "1"]) == 0
    (row,) = json.loads(capsys.readouterr().out.strip().splitlines()[-1])
    states = 4e-6 * 64 * 64 * CASES["small8"].areas * 32
    # Kept once or a few times over, and little else.
    assert states < row["peak_mb"] < 10 * states


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["--only", "gw17"], "gw17"),
        (["--integrator", "leapfrog"], "leapfrog"),
        (["--threads", "0"], "'0'"),
        (["--repeats", "many"], "'many'"),
        (["--epoch", "cifar"], "cifar"),
        (["--epoch", "seq_mnist", "--data-dir", "nowhere"], "nowhere"),
        (["--scaling", "--memory"], "--memory"),
        (["--fast"], "--fast"),
    ],
)
def test_bad_input_is_one_line_and_status_2(arguments: list[str], named: str, capsys) -> None:
    assert command.main(arguments) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert line.startswith("error: ")
    assert named in line


def test_help_shows_examples(capsys) -> None:
    with pytest.raises(SystemExit) as stop:
        command.main(["--help"])
    assert stop.value.code == 0
    assert "benchmarks/engine.py --only gw16" in capsys.readouterr().out


def test_scaling_is_relative_to_the_first(monkeypatch: pytest.MonkeyPatch) -> None:
    found = claims.scaling_rows(Settings("euler", "reference", 1, 1), areas=(6, 12), steps=3)
    assert [row["edges"] for row in found] == [12, 24]
    first, second = found
    assert (first["per_edge"], first["deviation"]) == (1.0, 0.0)
    relative = second["engine_s"] / first["engine_s"] / 2
    assert second["per_edge"] == pytest.approx(relative)
    assert second["deviation"] == pytest.approx(abs(relative - 1))


def test_epochs_of_the_embedded_task() -> None:
    told: list[dict] = []
    found = epoch_rows("digits", "euler", epochs=2, data_dir=None, sequences=None, on_row=told.append)
    assert found == told
    assert [row["epoch"] for row in found] == [1, 2]
    assert found[1]["loss"] < found[0]["loss"]
    for row in found:
        assert row["full_part"] == row["trained"] + row["validated"]
        assert row["full_part_s"] == pytest.approx(row["seconds"] * row["full_part"] / row["trained"])


def test_epochs_on_fewer_sequences_do_not_claim_the_whole() -> None:
    (row,) = epoch_rows("digits", "cayley", epochs=1, data_dir=None, sequences=128)
    assert row["trained"] == 128
    assert row["full_part_s"] is row["full_part"] is None


def test_a_population_is_timed_together_and_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(claims, "DEFAULT_SPACE", replace(claims.DEFAULT_SPACE, steps=2, batch=3))
    monkeypatch.setattr(claims, "CASES", {"small8": CASES["small8"], "small16": CASES["small16"]})
    rows = claims.population_rows(Settings("euler", "reference", 1, 1), networks=2)
    assert [row["name"] for row in rows] == ["default", "small8", "small16"]
    for row in rows:
        assert row["gain"] == row["single_s"] / row["together_s"] > 0
