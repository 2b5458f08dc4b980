"""The paper's length on real digits: stable networks learn, networks without negative feedback blow up."""

import os
from pathlib import Path

import pytest

from topo_search import certify, evolve, train

pytestmark = pytest.mark.slow

SMALL = [
    "task.train_size=200",
    "task.validation_size=100",
    "task.test_size=100",
    "training.epochs=2",
    "ladder.rungs=[1, 2]",
]


@pytest.fixture
def data_dir():
    folder = os.environ.get("TOPO_SEARCH_DATA")
    if not folder or not (Path(folder) / "MNIST").is_dir():
        pytest.skip("TOPO_SEARCH_DATA does not name a folder with MNIST")
    return folder


def test_without_negative_feedback_784_steps_diverge(tmp_path, data_dir):
    result = train(
        "seq_mnist",
        graph="global_workspace",
        seeds=2,
        workers=1,
        out=tmp_path / "free",
        data_dir=data_dir,
        overrides=[*SMALL, "stability=unconstrained"],
    )
    assert [run.evaluation.reason for run in result.runs] == ["diverged", "diverged"]


def test_with_it_they_do_not_and_are_certified(tmp_path, data_dir):
    result = train(
        "seq_mnist",
        graph="global_workspace",
        seeds=1,
        workers=1,
        out=tmp_path / "stable",
        data_dir=data_dir,
        overrides=SMALL,
    )
    (run,) = result.runs
    assert run.evaluation.losses[-1] < run.evaluation.losses[0]
    assert certify(run.path).certified


def test_a_search_whose_trials_all_diverge_says_so_trial_by_trial(tmp_path, data_dir):
    result = evolve(
        "seq_mnist",
        budget=3,
        workers=1,
        out=tmp_path / "run",
        data_dir=data_dir,
        overrides=[*SMALL, "stability=unconstrained"],
    )
    assert [trial.state for trial in result.trials] == ["FAIL"] * 3
    assert {trial.results[0].reason for trial in result.trials} == {"diverged"}
    assert result.winners == ()
    assert (tmp_path / "run" / "trials.csv").read_text().count("diverged") == 3
