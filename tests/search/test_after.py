import csv
import math
from dataclasses import replace

import numpy as np
import pytest
from support.saving import leave_network
from support.searching import ScrambledExecutor, formula_evaluation
from support.tiny import tiny_space

from topo_search.errors import RunFailedError
from topo_search.graph import ModuleGraph, make_family
from topo_search.search import (
    Comparison,
    Evaluation,
    EvaluationLog,
    GraphScores,
    History,
    Pool,
    Proposal,
    Rescored,
    RunFolder,
    Trial,
    compare_winners,
    control_graphs,
    rescore,
)
from topo_search.search.controls import parameter_matched_edges
from topo_search.search.objectives import crowding_distance, leading_trials, non_dominated_ranks, pareto_order

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
    pool = Pool(executor, EvaluationLog(tmp_path / "log"))
    result = rescore(SPACE, trials(5), pool, RunFolder(tmp_path), seed=0, on_progress=None)
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
    result = rescore(SPACE, trials(3), pool, RunFolder(tmp_path), seed=0, on_progress=None)
    assert result[-1].trial.number == 0
    assert result[-1].mean == -math.inf


def saving_evaluation(request):
    if request.save_to is not None:
        leave_network(request.save_to, str(request.seed))
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


def compared(path, executor, count):
    folder = RunFolder(path)
    rescored = [Rescored(trial, (0.5, 0.6)) for trial in trials(count)]
    log = EvaluationLog(folder.log)
    try:
        return compare_winners(SPACE, rescored, Pool(executor, log), folder, seed=0, on_progress=None)
    finally:
        log.close()


def test_files_and_folders_of_others_beside_the_winners_stay(tmp_path):
    winners = tmp_path / "winners"
    winners.mkdir()
    for name in ("notes.txt", ".DS_Store"):
        (winners / name).touch()
    (winners / "mine").mkdir()
    (winners / "mine" / "precious").touch()
    others = [".DS_Store", "mine", "notes.txt"]
    for count, ranks in ((3, ["1", "2"]), (1, ["1"])):
        comparison = compared(tmp_path, ScrambledExecutor(evaluate=saving_evaluation), count)
        assert [str(entry.rank) for entry in comparison.of_kind("winner")] == ranks
        assert sorted(path.name for path in winners.iterdir()) == sorted([*ranks, *others])
    assert (winners / "mine" / "precious").exists()


def test_what_is_in_the_way_of_a_winner_is_said_before_anything_is_trained(tmp_path):
    (tmp_path / "winners").mkdir()
    (tmp_path / "winners" / "2").write_text("precious")
    executor = ScrambledExecutor(evaluate=saving_evaluation)
    with pytest.raises(RunFailedError, match=r"winners/2 is in the way of a winner"):
        compared(tmp_path, executor, 2)
    assert executor.evaluated == []
    (tmp_path / "winners" / "2").rename(tmp_path / "2")
    assert len(compared(tmp_path, executor, 2).of_kind("winner")) == 2


@pytest.mark.parametrize("lost", ["certificate.json", "model.safetensors"])
def test_a_half_written_network_is_not_made_a_winner(tmp_path, lost):
    compared(tmp_path, ScrambledExecutor(evaluate=saving_evaluation), 2)
    halves = sorted((tmp_path / "full").iterdir())
    for half in halves:
        (half / lost).unlink()
    again = ScrambledExecutor(evaluate=saving_evaluation)
    compared(tmp_path, again, 2)
    assert sorted(request.save_to for request in again.evaluated) == [str(half) for half in halves]
    for rank in ("1", "2"):
        assert len(list((tmp_path / "winners" / rank).iterdir())) == 5


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


def test_random_controls_of_equal_areas_are_matched_already():
    winner = graph(3)
    assert parameter_matched_edges(SPACE.constraints, winner) == winner.n_edges


def test_a_winner_with_a_grown_hub_has_controls_of_as_many_coupling_entries():
    space = tiny_space(
        areas=[{"role": "input", "size": 4}, {"role": "hidden", "size": 4, "count": 8}, {"role": "output", "size": 4}],
        edges={"max_edges": 30, "hub_sizes": [8]},
    )
    plain = make_family("random_density", space.constraints, np.random.default_rng(0), edges=12)
    sizes = [8 if area == 1 else 4 for area in range(10)]
    areas = [replace(area, size=size) for area, size in zip(plain.areas, sizes, strict=True)]
    winner = ModuleGraph(areas, plain.edges)
    expected = 12 + plain.degree(1)
    assert parameter_matched_edges(space.constraints, winner) == expected
    controls = control_graphs(space, winner, seed=0)
    matched = [control for kind, control in controls if kind == "random_parameters"]
    assert [control.n_edges for control in matched] == [expected] * space.after.parameter_controls
    assert all(control.n_edges == 12 for kind, control in controls if kind == "random")
    assert all(space.constraints.violation(control) is None for control in matched)


def test_controls_matched_in_parameters_may_exceed_the_edge_budget():
    space = tiny_space(edges={"max_edges": 7, "hub_sizes": [8]})
    plain = make_family("random_density", space.constraints, np.random.default_rng(0))
    areas = [replace(area, size=8 if index == 2 else 4) for index, area in enumerate(plain.areas)]
    winner = ModuleGraph(areas, plain.edges)
    matched = [control for kind, control in control_graphs(space, winner, seed=0) if kind == "random_parameters"]
    assert {control.n_edges for control in matched} == {7 + plain.degree(2)}
    assert all(control.n_edges == 7 for kind, control in control_graphs(space, winner, seed=0) if kind == "random")


def test_one_area_has_no_edges_to_match():
    space = tiny_space(areas=[{"role": "input+output", "size": 4}], edges={})
    alone = ModuleGraph(space.constraints.areas, [])
    assert parameter_matched_edges(space.constraints, alone) == 0


def test_with_a_cost_the_winners_are_those_that_no_other_beats(tmp_path):
    space = tiny_space(search={"objectives": ["accuracy", "edges"]}, after={"rescored": 6, "rescore_seeds": 2})
    pool = Pool(ScrambledExecutor(), EvaluationLog(tmp_path / "log"))
    result = rescore(space, trials(6), pool, RunFolder(tmp_path), seed=0, on_progress=None)
    values = [(entry.mean, -entry.trial.graph.n_edges) for entry in result]
    ranks = list(non_dominated_ranks(values))
    assert ranks == sorted(ranks)
    for rank in set(ranks):
        means = [entry.mean for entry, own in zip(result, ranks, strict=True) if own == rank]
        assert means == sorted(means, reverse=True)


def at(number, *scores, parameters=0):
    results = tuple(Evaluation(s, (s,), (1.0,), best_epoch=1, parameters=parameters) for s in scores)
    return Trial(number, Proposal(graph(number), "random", "random_density"), results, True)


def test_leading_trials_are_the_leaderboard_where_accuracy_is_all():
    history = History()
    rng = np.random.default_rng(0)
    for number in range(40):
        entry = at(number, *rng.uniform(size=rng.integers(1, 4)).round(1))
        history.propose(entry.proposal)
        history.put(entry)
    assert leading_trials(history.scored(), ("accuracy",), count=50) == history.leaderboard()
    assert leading_trials(history.scored(), ("accuracy",), count=7) == history.leaderboard()[:7]


def test_leading_trials_with_a_cost_are_the_front_of_the_highest_rung_first():
    low = [at(0, 0.99, parameters=1)]
    high = [
        at(1, 0.1, 0.5, parameters=10),
        at(2, 0.1, 0.4, parameters=20),
        at(3, 0.1, 0.9, parameters=90),
        at(4, 0.1, 0.5, parameters=10),
    ]
    numbers = [t.number for t in leading_trials([*low, *high], ("accuracy", "parameters"), count=9)]
    # 1 and 3 are the front, 4 is one of them again, 2 is beaten by 1.
    assert numbers == [1, 3, 4, 2, 0]


def test_the_order_of_a_front_is_by_rank_then_distance():
    rng = np.random.default_rng(2)
    values = rng.integers(0, 6, size=(40, 2))
    order = pareto_order(values)
    assert sorted(order) == list(range(40))
    ranks = non_dominated_ranks(values)[order]
    assert list(ranks) == sorted(ranks)
    firsts = [index for index in order if not any((values[index] == values[j]).all() for j in range(index))]
    for rank in set(ranks):
        front = [index for index in firsts if non_dominated_ranks(values)[index] == rank]
        rows = values[sorted(front)]
        distance = dict(zip(sorted(front), crowding_distance(rows), strict=True))
        assert [distance[index] for index in front] == sorted(distance.values(), reverse=True)
