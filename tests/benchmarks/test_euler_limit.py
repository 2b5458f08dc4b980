"""The experiment on Euler's limit: paired runs, taken up again with the same numbers, and their report."""

import csv
import json
import math

import euler_limit as command
import numpy as np
import pytest
import torch
from bench.limit_report import EULER_LIMIT, report
from bench.limit_runs import ARMS, SIZES, Run, Settings, default_order, network_of, parse_runs
from bench.limit_state import RunFiles
from bench.limit_training import LimitTraining
from safetensors.torch import load_file

from topo_search.errors import InputError
from topo_search.tasks import load_task

TINY = Settings(
    task="digits",
    units=8,
    batch=16,
    validation=40,
    glance=20,
    evaluate_every=4,
    record_every=2,
    snapshot_every=4,
)
STEPS = 7


class KilledError(Exception):
    """As if the process had been killed."""


@pytest.fixture(scope="module")
def task():
    return load_task(TINY.task_config())


@pytest.fixture(autouse=True)
def _threads():
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def training(folder, task, *, arm="cayley", seed=0):
    run = Run(3, arm, seed)
    files = RunFiles(folder / run.name)
    files.create(run.identity(TINY))
    return LimitTraining(
        files, network_of(run, TINY, channels=task.channels, classes=task.classes), task, TINY, seed=seed
    )


def go(training, *, steps=STEPS, until=math.inf, fail_at=None):
    def on_record(record):
        if record.step == fail_at:
            raise KilledError

    return training.train(steps, out_of_time=lambda: training.progress.step >= until, on_record=on_record)


def trajectory(training):
    with (training.files.folder / "trajectory.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    return [{key: value for key, value in row.items() if key != "seconds"} for row in rows]


@pytest.mark.parametrize("arm", ["cayley", "euler_capped", "as_released_0.3"])
def test_a_run_that_was_stopped_or_killed_ends_with_the_same_numbers(arm, tmp_path, task):
    whole = training(tmp_path / "whole", task, arm=arm)
    assert go(whole) == "done"
    # Out of time at an odd step, between two records.
    assert go(training(tmp_path / "parts", task, arm=arm), until=3) == "stopped at step 3"
    # Killed after the work of step 6 and before it was written: that of steps 5 and 6 is done again.
    with pytest.raises(KilledError):
        go(training(tmp_path / "parts", task, arm=arm), fail_at=6)
    parts = training(tmp_path / "parts", task, arm=arm)
    assert parts.progress.step == 4
    assert go(parts) == "done"
    assert trajectory(parts) == trajectory(whole)
    for (name, ours), theirs in zip(parts.network.named_parameters(), whole.network.parameters(), strict=True):
        assert torch.equal(ours, theirs), name
    for step, path in whole.files.snapshots().items():
        again = load_file(parts.files.snapshots()[step])
        assert all(torch.equal(tensor, again[name]) for name, tensor in load_file(path).items())


def test_the_trajectory_is_complete(tmp_path, task):
    run = training(tmp_path, task)
    go(run)
    rows = trajectory(run)
    assert [int(row["step"]) for row in rows] == [0, 2, 4, 6, 7]
    assert [row["validation_images"] for row in rows] == ["0", "0", "20", "0", "40"]
    assert [bool(row["validation_accuracy"]) for row in rows] == [False, False, True, False, True]
    assert [bool(row["loss"]) for row in rows] == [False, True, True, True, True]
    assert list(run.files.snapshots()) == [0, 4, 7]
    dense = run.network.layout.dense_coupling(load_file(run.files.snapshots()[7])["coupling"]).numpy()
    assert float(rows[-1]["coupling_norm"]) == pytest.approx(np.linalg.norm(dense - dense.T, 2), rel=1e-5)


def test_a_finished_run_goes_on_to_more_steps(tmp_path, task):
    go(training(tmp_path / "short", task), steps=4)
    longer, whole = training(tmp_path / "short", task), training(tmp_path / "whole", task)
    go(longer)
    go(whole)
    assert trajectory(longer)[-1] == trajectory(whole)[-1]


def test_a_loss_that_is_not_finite_ends_a_run_for_good(tmp_path, task):
    run = training(tmp_path, task)
    with torch.no_grad():
        run.network.readout_bias[0] = math.inf
    assert go(run).startswith("diverged at step 1: loss")
    assert go(training(tmp_path, task)).startswith("diverged at step 1: loss")
    assert [row["step"] for row in trajectory(run)] == ["0", "1"]
    assert trajectory(run)[-1]["loss"] == ""


def test_other_settings_and_broken_states_are_refused(tmp_path, task):
    run = training(tmp_path, task)
    go(run, steps=2)
    with pytest.raises(InputError, match="other settings"):
        run.files.create(Run(3, "cayley", 0).identity(Settings(units=9)))
    content = bytearray(run.files.state.read_bytes())
    content[-1] ^= 1
    run.files.state.write_bytes(content)
    with pytest.raises(InputError, match="corrupt"):
        training(tmp_path, task)


def test_runs_of_a_seed_share_weights_and_batches(tmp_path, task):
    runs = [training(tmp_path, task, arm=arm) for arm in ("cayley", "euler", "as_released")]
    first, euler, released = (run.network for run in runs)
    assert torch.equal(first.area_weights, euler.area_weights)
    for other in (euler, released):
        for name in ("coupling", "input_weights", "readout_weights"):
            assert torch.equal(getattr(first, name), getattr(other, name)), name
    assert torch.equal(runs[0]._indices(3), runs[1]._indices(3))
    assert not torch.equal(first.coupling, training(tmp_path, task, seed=1).network.coupling)
    third = training(tmp_path, task, arm="as_released_0.3").network
    torch.testing.assert_close(third.area_weights, 0.3 * released.area_weights)


def test_batches_of_an_epoch_do_not_overlap(tmp_path, task):
    run = training(tmp_path, task)
    whole = len(task.train) // TINY.batch
    seen = torch.cat([run._indices(k) for k in range(whole)])
    assert len(seen.unique()) == whole * TINY.batch
    assert not torch.equal(run._indices(whole), run._indices(0))


def test_the_default_order_begins_small_and_then_contrasts():
    order = list(default_order())
    assert order[: len(ARMS)] == [(8, arm) for arm in ARMS]
    assert order[len(ARMS) : len(ARMS) + 3] == [(24, "as_released"), (16, "as_released"), (20, "as_released")]
    assert sorted(order) == sorted((size, arm) for size in SIZES for arm in ARMS)
    assert parse_runs(None, ["24:cayley"], 2) == [Run(24, "cayley", 0), Run(24, "cayley", 1)]
    assert parse_runs("16:euler,8:*", [], 1)[:2] == [Run(16, "euler"), Run(8, "as_released")]


def test_euler_s_limit_is_where_the_step_with_all_units_off_stops_contracting():
    h, skew = 0.03, np.array([[0.0, -1.0], [1.0, 0.0]])
    for factor in (0.999, 1.001):
        modulus = np.abs(np.linalg.eigvals((1 - h) * np.eye(2) + h * factor * EULER_LIMIT * skew)).max()
        assert (modulus < 1) == (factor < 1)
    assert pytest.approx(8.103, abs=1e-3) == EULER_LIMIT


def test_the_report_certifies_what_was_kept(tmp_path, task):
    for arm in ("cayley", "euler", "euler_capped"):
        go(training(tmp_path, task, arm=arm), steps=4)
    text = report(tmp_path, figure=tmp_path / "figure.png")
    assert (tmp_path / "figure.png").read_bytes().startswith(b"\x89PNG")
    assert text in (tmp_path / "report.md").read_text(encoding="utf-8").replace("\n\n", "\n")
    rows = {row["arm"]: row for row in json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))["rows"]}
    assert [c["step"] for c in rows["cayley"]["certificates"]] == [0, 4]
    assert all(c["certified"] for arm in ("cayley", "euler_capped") for c in rows[arm]["certificates"])
    assert rows["cayley"]["certificates"][0]["modulus_off"] is None
    start = rows["euler"]["certificates"][0]
    off = 0.97 * np.eye(2) + 0.03 * start["coupling_norm"] * np.array([[0.0, -1.0], [1.0, 0.0]])
    assert start["modulus_off"] == pytest.approx(np.abs(np.linalg.eigvals(off)).max())
    assert rows["euler"]["accuracy"] is not None


def test_the_command_trains_reports_and_goes_on(tmp_path, capsys):
    arguments = ["--out", str(tmp_path), "--only", "2:cayley", "--only", "2:euler", "--task", "digits", "--units", "8"]
    arguments += ["--validation", "40", "--batch", "8", "--threads", "1"]
    assert command.main([*arguments, "--steps", "1"]) == 0
    assert command.main([*arguments, "--steps", "2"]) == 0
    assert capsys.readouterr().out.splitlines() == ["02-cayley-seed0: done", "02-euler-seed0: done"] * 2
    assert command.main([*arguments, "--report"]) == 0
    assert "Euler's limit at dt 0.03: coupling norm sqrt((2 - h) / h) = 8.10" in capsys.readouterr().out


def test_without_time_nothing_is_trained(tmp_path, capsys):
    arguments = ["--out", str(tmp_path), "--only", "2:*", "--task", "digits", "--units", "8", "--validation", "40"]
    assert command.main([*arguments, "--budget-minutes", "0", "--threads", "1"]) == 0
    assert capsys.readouterr().out.strip() == "02-as_released-seed0: stopped at step 0"


def test_an_arm_that_this_version_lacks_is_reported(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("bench.limit_runs.ARMS", {"leapfrog": {"integrator": "leapfrog"}, **ARMS})
    arguments = ["--out", str(tmp_path), "--only", "2:leapfrog", "--task", "digits", "--validation", "40"]
    assert command.main(arguments) == 0
    assert "02-leapfrog-seed0: not run: Input should be" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["--only", "24:leapfrog"], "24:leapfrog"),
        (["--order", "none:cayley"], "none:cayley"),
        (["--steps", "0"], "'0'"),
        (["--task", "sums"], "sums"),
        (["--report"], "no runs"),
    ],
)
def test_bad_input_is_one_line_and_status_2(arguments, named, tmp_path, capsys):
    assert command.main([*arguments, "--out", str(tmp_path)]) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert line.startswith("error: ")
    assert named in line
