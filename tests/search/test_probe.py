import numpy as np
import pytest
from support.searching import ScrambledExecutor
from support.tiny import tiny_space

from topo_search.search import Evaluation, EvaluationLog, Pool, ProbeError, run_probe, search_seconds, signal_and_noise
from topo_search.search.probe import probe_graphs


def test_variance_components_are_recovered():
    rng = np.random.default_rng(0)
    scores = 0.8 + rng.normal(0, 0.05, (4000, 1)) + rng.normal(0, 0.3, (1, 3)) + rng.normal(0, 0.02, (4000, 3))
    signal, noise = signal_and_noise(scores)
    assert signal == pytest.approx(0.05, rel=0.05)
    assert noise == pytest.approx(0.02, rel=0.05)


def test_noise_alone_is_no_signal():
    rng = np.random.default_rng(1)
    signals = [signal_and_noise(rng.normal(0, 1, (40, 2)))[0] for _ in range(200)]
    assert np.median(signals) < 0.35


def test_the_sample_is_of_different_valid_graphs():
    space = tiny_space()
    graphs = probe_graphs(space, seed=0)
    assert len({graph.key for graph in graphs}) == 4
    assert all(space.constraints.violation(graph) is None for graph in graphs)
    assert [graph.key for graph in graphs] == [graph.key for graph in probe_graphs(space, seed=0)]


def probe_with(tmp_path, evaluate, **overrides):
    space = tiny_space(**{"probe": {"graphs": 12, "seeds": 2}, **overrides})
    log = EvaluationLog(tmp_path / "log")
    return run_probe(space, Pool(ScrambledExecutor(evaluate=evaluate), log), seed=0, budget=100, workers=2)


def ranked(request, *, short_is_right=True):
    rank = int(__import__("hashlib").sha256(request.graph.encode()).hexdigest(), 16) % 997 / 997
    curve = (rank if short_is_right else 1 - rank, rank, rank)
    return Evaluation(curve[-1], curve[: request.epochs], curve[: request.epochs], best_epoch=1, seconds=0.3)


def test_a_perfect_rung_has_tau_one_and_a_reversed_one_minus_one(tmp_path):
    result = probe_with(tmp_path, ranked)
    assert [rung.tau for rung in result.rungs] == pytest.approx([1.0, 1.0, 1.0])
    assert result.noise < 1e-12
    assert result.ratio > 1e6
    assert result.signal_low < result.signal < result.signal_high
    (tmp_path / "b").mkdir()
    reversed_ = probe_with(tmp_path / "b", lambda request: ranked(request, short_is_right=False))
    assert reversed_.rungs[0].tau == pytest.approx(-1.0)
    assert reversed_.seconds_per_epoch == pytest.approx(0.1)


def test_diverged_graphs_are_left_out_and_counted(tmp_path):
    def evaluate(request):
        evaluation = ranked(request)
        return Evaluation.failure("diverged") if evaluation.score < 0.3 else evaluation

    result = probe_with(tmp_path, evaluate)
    assert result.diverged > 0
    assert result.graphs + result.diverged == 12
    assert result.worst >= 0.3


def test_too_few_graphs_left_is_said(tmp_path):
    with pytest.raises(ProbeError, match="only 0 of 12 graphs could be trained"):
        probe_with(tmp_path, lambda request: Evaluation.failure("diverged"))


def test_the_cost_of_a_search_adds_up():
    space = tiny_space()
    # 90 to 1 epoch, 30 one more, 10 one more; 3 epochs each: 12 for the rank agreement, 3 x 2 rescored and
    # (2 + 2 + 1 + 2) x 2 in full.
    epochs = 90 + 30 + 10 + (12 + 3 * 2 + 7 * 2) * 3
    assert search_seconds(space, budget=90, workers=2, seconds_per_epoch=0.5) == pytest.approx(epochs * 0.5 / 2)
