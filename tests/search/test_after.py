import csv
import math

import numpy as np
import pytest
from support.searching import ScrambledExecutor, formula_evaluation
from support.tiny import tiny_space

from topo_search.graph import make_family
from topo_search.search import (
    Comparison,
    Evaluation,
    EvaluationLog,
    GraphScores,
    Pool,
    Proposal,
    Rescored,
    RunFolder,
    Trial,
    compare_winners,
    control_graphs,
    rescore,
)

SPACE = tiny_space()


def graph(seed):
    return make_family("random_density", SPACE.constraints, np.random.default_rng(seed))


def trials(count):
    return [
        Trial(n, Proposal(graph(n), "random", "random_density"), (Evaluation(0.5, (0.5,), (1.0,), best_epoch=1),), True)
        for n in range(count)
    ]


def test_controls_match_the_winner_in_what_they_should():
    winner = graph(3)
    controls = control_graphs(SPACE, winner, seed=0)
    kinds = [kind for kind, _ in controls]
    assert kinds == ["random", "random", "rewired", "global_workspace", "all_edges"]
    by_kind = dict(controls)
    assert by_kind["random"].n_edges == winner.n_edges
    degrees = [[g.degree(a) for a in range(g.n_areas)] for g in (by_kind["rewired"], winner)]
    assert degrees[0] == degrees[1]
    assert by_kind["all_edges"].edges == SPACE.constraints.allowed_edges
    assert all(SPACE.constraints.violation(g) is None for k, g in controls if k != "all_edges")
    assert [g.key for _, g in controls] == [g.key for _, g in control_graphs(SPACE, winner, seed=0)]
    assert [g.key for _, g in controls] != [g.key for _, g in control_graphs(SPACE, winner, seed=1)]


def test_rescoring_uses_fresh_seeds_in_full_and_sorts(tmp_path):
    executor = ScrambledExecutor()
    result = rescore(SPACE, trials(5), Pool(executor, EvaluationLog(tmp_path / "log")), seed=0, on_progress=None)
    assert len(result) == SPACE.after.rescored
    assert {request.epochs for request in executor.evaluated} == {3}
    assert len({request.seed for request in executor.evaluated}) == 2
    assert 0 not in {request.seed for request in executor.evaluated}
    assert not any(request.read_test for request in executor.evaluated)
    means = [entry.mean for entry in result]
    assert means == sorted(means, reverse=True)


def test_a_trial_that_diverges_when_rescored_comes_last(tmp_path):
    def evaluate(request):
        if request.graph == trials(1)[0].graph.to_json():
            return Evaluation.failure("diverged")
        return formula_evaluation(request)

    pool = Pool(ScrambledExecutor(evaluate=evaluate), EvaluationLog(tmp_path / "log"))
    result = rescore(SPACE, trials(3), pool, seed=0, on_progress=None)
    assert result[-1].trial.number == 0
    assert result[-1].mean == -math.inf


def saving_evaluation(request):
    if request.save_to is not None:
        from pathlib import Path

        Path(request.save_to).mkdir(parents=True)
        (Path(request.save_to) / "model.safetensors").write_text(str(request.seed))
    return formula_evaluation(request)


def test_the_comparison_has_a_row_a_graph_and_seed_and_reads_the_test_once(tmp_path):
    folder = RunFolder(tmp_path)
    executor = ScrambledExecutor(evaluate=saving_evaluation)
    pool = Pool(executor, EvaluationLog(tmp_path / "log"))
    rescored = [Rescored(trial, (0.5, 0.6)) for trial in trials(3)]
    (folder.winners / "3").mkdir(parents=True)
    comparison = compare_winners(SPACE, rescored, pool, folder, seed=0, on_progress=None)
    with folder.comparison.open() as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["graph_key", "kind", "seed", "edges", "parameters", "validation_accuracy", "test_accuracy"]
    assert [row["kind"] for row in rows] == [
        kind
        for kind in ["winner", "winner", "random", "random", "rewired", "global_workspace", "all_edges"]
        for _ in range(2)
    ]
    assert len({row["seed"] for row in rows}) == 2
    tested = [(request.graph, request.seed) for request in executor.evaluated if request.read_test]
    assert len(tested) == len(set(tested)) == len(executor.evaluated)
    assert sorted(path.name for path in folder.winners.iterdir()) == ["1", "2"]
    for rank in (1, 2):
        assert (folder.winners / str(rank) / "metrics.json").is_file()
        assert (folder.winners / str(rank) / "model.safetensors").is_file()
    assert len(comparison.of_kind("winner")) == 2


def scores(kind, *tests, rank=0):
    evaluations = tuple(Evaluation(t, (t,), (1.0,), best_epoch=1, test_accuracy=t) for t in tests)
    return GraphScores(kind, graph(0), tuple(range(len(tests))), evaluations, rank)


def test_the_gain_is_paired_by_seed():
    comparison = Comparison(
        (scores("winner", 0.9, 0.8, rank=1), scores("random", 0.7, 0.7), scores("random", 0.5, 0.3)), ()
    )
    mean, deviation, count = comparison.paired_gain("random")
    # Seed by seed: 0.9 - 0.6 and 0.8 - 0.5.
    assert (mean, count) == (pytest.approx(0.3), 2)
    assert deviation == pytest.approx(0.0, abs=1e-12)
    assert comparison.paired_gain("rewired") is None
