import json
from pathlib import Path

import pytest
from support.searching import ScrambledExecutor, formula_evaluation
from support.topobench import tiny_benchmark_space

from topo_search.errors import InputError, RunFailedError
from topo_search.executors import SerialExecutor
from topo_search.search import Evaluation, Evaluator
from topo_search.tasks import load_task
from topo_search.topobench import SEEDS, Table, make_table, table_requests


def shares(request):
    """Scores that are shares of 1000, as real ones are of the validation data."""
    result = formula_evaluation(request)
    curve = tuple(round(value * 1000) / 1000 for value in result.curve)
    assert request.save_to is not None
    Path(request.save_to).mkdir(parents=True)
    return Evaluation(curve[-1], curve, result.losses, best_epoch=1, parameters=7, certified=True, rho=0.9)


def test_requests_are_all_classes_with_all_seeds():
    requests = table_requests(tiny_benchmark_space())
    assert len(requests) == 1054 * 3
    assert len({request.key for request in requests.values()}) == len(requests)
    assert {(request.epochs, request.seed) for request in requests.values()} == {(4, seed) for seed in SEEDS}


def test_a_table_that_was_killed_goes_on_and_ends_the_same(tmp_path):
    space = tiny_benchmark_space()
    whole = make_table(space, ScrambledExecutor(evaluate=shares), tmp_path / "a.npz", validation_size=1000, limit=10)
    out = tmp_path / "b.npz"
    killed = ScrambledExecutor(evaluate=shares, die_after=11, seed=3)
    with pytest.raises(KeyboardInterrupt):
        make_table(space, killed, out, validation_size=1000, limit=10)
    assert not out.exists()
    seen = []
    rest = ScrambledExecutor(evaluate=shares, seed=4)
    table = make_table(space, rest, out, validation_size=1000, limit=10, on_progress=seen.append)
    assert len(killed.evaluated) + len(rest.evaluated) == 30
    assert (seen[0].done, seen[-1].done, seen[-1].total) == (11, 30, 30)
    assert table.right.tolist() == whole.right.tolist()
    assert out.read_bytes() == (tmp_path / "a.npz").read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.npz", "b.npz"]


def test_a_finished_table_is_not_made_again(tmp_path):
    space, out = tiny_benchmark_space(), tmp_path / "t.npz"
    make_table(space, ScrambledExecutor(evaluate=shares), out, validation_size=1000, limit=3)
    idle = ScrambledExecutor(evaluate=shares)
    assert len(make_table(space, idle, out, validation_size=1000, limit=3).masks) == 3
    assert not idle.evaluated
    with pytest.raises(InputError, match="other settings or fewer classes"):
        make_table(space, idle, out, validation_size=1000, limit=4)
    other = tiny_benchmark_space(training={"epochs": 4})
    with pytest.raises(InputError, match="other settings or fewer classes"):
        make_table(other, idle, out, validation_size=1000, limit=3)


def test_an_unfinished_table_of_other_settings_is_left_alone(tmp_path):
    out = tmp_path / "t.npz"
    with pytest.raises(KeyboardInterrupt):
        make_table(
            tiny_benchmark_space(), ScrambledExecutor(evaluate=shares, die_after=2), out, validation_size=1000, limit=3
        )
    other = tiny_benchmark_space(training={"epochs": 4})
    with pytest.raises(InputError, match="unfinished table of other settings"):
        make_table(other, ScrambledExecutor(evaluate=shares), out, validation_size=1000, limit=3)


def test_only_divergence_belongs_in_a_table(tmp_path):
    def failing(reason):
        return lambda request: (
            Evaluation.failure(reason, "first line\nlast line") if request.seed == 2 else shares(request)
        )

    space = tiny_benchmark_space()
    with pytest.raises(RunFailedError, match=r"with seed 2 failed: error \(last line\)"):
        make_table(
            space, ScrambledExecutor(evaluate=failing("error")), tmp_path / "a.npz", validation_size=1000, limit=2
        )
    diverged = ScrambledExecutor(evaluate=failing("diverged"))
    table = make_table(space, diverged, tmp_path / "b.npz", validation_size=1000, limit=2)
    assert table.reason.tolist() == [["", "", "diverged"]] * 2


def test_a_real_table_holds_what_the_evaluator_says(tmp_path):
    space = tiny_benchmark_space()
    task = load_task(space.task)
    evaluator = Evaluator(space, task)
    out = tmp_path / "t.npz"
    make_table(space, SerialExecutor(evaluator), out, validation_size=len(task.validation), limit=1)
    table = Table.load(out)
    for (mask, seed), request in table_requests(space, limit=1).items():
        result = evaluator.evaluate(request)
        found = table.evaluation(0, seed)
        assert mask == table.masks[0]
        assert (found.curve, found.score, found.parameters) == (result.curve, result.score, result.parameters)
        assert found.best_epoch == result.best_epoch
    assert (table.certified == 1).all()
    assert ((table.rho > 0) & (table.rho < 1)).all()
    assert json.loads(table.space.model_dump_json())["training"]["epochs"] == 4
