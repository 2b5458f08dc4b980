from typing import ClassVar

import numpy as np
import pytest
from support.topobench import formula_table

from topo_search.errors import InputError
from topo_search.graph import ModuleGraph
from topo_search.search import Pretraining, Proposal, SearchConfig
from topo_search.search.settings import LadderConfig
from topo_search.topobench import (
    Benchmark,
    UniformRandom,
    edges_of,
    graph_classes,
    regret_curves,
    replay,
    run_replays,
    summarise,
)


class Fixed:
    """Proposes one graph for ever."""

    name = "fixed"
    operators = ()
    mask = 8191
    pretraining = None

    def __init__(self, constraints, config):
        self.areas = constraints.areas

    def propose(self, history, rng):
        graph = ModuleGraph(self.areas, edges_of(self.mask))
        return Proposal(graph, self.name, "fixed", pretraining=self.pretraining)


class Watching(UniformRandom):
    """Looks at what the history holds."""

    name = "watching"
    seen: ClassVar[list]

    def propose(self, history, rng):
        self.seen.append((len(history.proposals), history.n_scored, len(history.known)))
        return super().propose(history, rng)


@pytest.mark.parametrize("name", ["random", "evolution"])
def test_a_replay_is_a_function_of_its_number(name):
    benchmark = Benchmark(formula_table(), max_edges=7)
    first, again, other = (replay(name, benchmark, number=number) for number in (3, 3, 4))
    assert first.classes == again.classes
    assert first.regret.tolist() == again.regret.tolist()
    assert (first.seen, other.seen) == (0, 1)
    assert first.classes != other.classes
    assert len(set(first.classes)) == len(first.classes)
    assert max(first.classes) < benchmark.size == 594


def test_a_replay_ends_when_the_incumbent_cannot_change():
    benchmark = Benchmark(formula_table(noise=0.0005))
    found = replay("random", benchmark, number=1)
    seen = benchmark.scores[:, 1]
    assert seen[found.classes[-1]] == seen.max()
    assert seen[list(found.classes[:-1])].max() < seen.max()
    assert found.reached
    assert found.regret[int(found.count) - 1] <= benchmark.threshold
    if found.count > 1:
        assert found.regret[int(found.count) - 2] > benchmark.threshold
    assert found.regret_at(10_000) == found.regret[-1]
    # Regret is that of the class with the best score so far, by the seeds that were not seen.
    judged = np.delete(benchmark.scores, 1, axis=1).mean(axis=1)
    for n in (1, 7, len(found.classes)):
        best = max(found.classes[:n], key=lambda c: (seen[c], -found.classes.index(c)))
        assert found.regret[n - 1] == pytest.approx(judged.max() - judged[best])


def test_where_seeds_disagree_too_much_the_count_is_the_size_of_the_space():
    benchmark = Benchmark(formula_table(noise=0.1), max_edges=7, threshold=0.0, against="best")
    cut_short = [replay("random", benchmark, number=number) for number in range(12)]
    assert not any(entry.reached for entry in cut_short)
    assert {entry.count for entry in cut_short} == {594.0}
    found = cut_short[0]
    assert len(found.classes) <= 100
    longer = replay("random", benchmark, number=0, to_the_end=True)
    assert longer.classes[: len(found.classes)] == found.classes
    assert longer.count == 594


def test_what_is_known_is_free_and_the_space_runs_out_exactly():
    # A threshold nothing reaches but the end, and scores that never tell the best: a ladder is never hopeless.
    benchmark = Benchmark(formula_table(noise=0.1), max_edges=5, ladder=LadderConfig(rungs=(1, 4), keep=2, window=5))
    found = replay(Fixed, benchmark)
    assert sorted(found.classes) == list(range(96))
    assert found.drawn == 96
    assert found.free == 96 * 60
    assert found.cost[-1] <= 96


def test_a_replay_draws_the_rest_once_a_strategy_has_nothing_new():
    found = replay(Fixed, Benchmark(formula_table()))
    assert found.classes[0] == 1053
    assert found.drawn == len(found.classes) - 1
    assert found.free == 60 * found.drawn


def test_pretraining_cannot_be_replayed():
    class Pretrains(Fixed):
        name = "pretrains"
        pretraining = Pretraining()

    with pytest.raises(InputError, match="'pretrains' cannot be replayed: it needs trained weights"):
        replay(Pretrains, Benchmark(formula_table()))


@pytest.mark.parametrize("lag", [0, 4])
def test_a_strategy_sees_a_history_with_all_graphs_of_known_classes(lag):
    class Looking(Watching):
        seen: ClassVar[list] = []

    found = replay(Looking, Benchmark(formula_table()), lag=lag)
    sizes = np.cumsum(graph_classes().orbit_sizes[list(found.classes)])
    for proposals, scored, known in Looking.seen:
        assert scored == max(0, proposals - lag)
        assert known == (sizes[proposals - 1] if proposals else 0)


def test_a_ladder_costs_epochs():
    ladder = LadderConfig(rungs=(1, 2, 4), keep=3, window=20)
    benchmark = Benchmark(formula_table(noise=0.0005), ladder=ladder)
    found = replay("evolution", benchmark, number=2)
    steps = np.diff(found.cost, prepend=0) * 4
    assert set(steps.round(9)) == {1.0, 2.0}
    assert len(found.cost) > len(found.classes)
    assert found.cost[-1] < len(found.classes)


def test_random_search_is_uniform_over_labelled_graphs():
    benchmark = Benchmark(formula_table(), max_edges=6)
    strategy = UniformRandom(benchmark.constraints, SearchConfig())
    rng, classes = np.random.default_rng(0), graph_classes()
    drawn = [benchmark.class_of(strategy.propose(None, rng).graph) for _ in range(6000)]
    expected = classes.orbit_sizes[:318] / classes.orbit_sizes[:318].sum() * 6000
    observed = np.bincount(drawn, minlength=318)
    assert len(observed) == 318
    statistic = ((observed - expected) ** 2 / expected).sum()
    assert abs(statistic - 317) < 5 * np.sqrt(2 * 317)


def test_without_a_budget_first_graphs_of_other_strategies_have_any_number_of_edges():
    config = Benchmark(formula_table()).config
    assert [draw.parameters["edges"] for draw in config.evolution.start] == list(range(5, 14))
    assert config.evolution.start == config.random == config.local_search.start
    assert sum(draw.weight for draw in config.random) == graph_classes().orbit_sizes.sum()
    budgeted = Benchmark(formula_table(), max_edges=6).config
    assert [draw.parameters for draw in budgeted.evolution.start] == [{}]


def test_an_exhaustive_search_of_the_seed_seen_has_no_regret():
    table = formula_table(noise=0.1)
    benchmark = Benchmark(table, max_edges=5)
    for number in range(3):
        found = replay("random", benchmark, number=number)
        assert found.settled
        assert found.regret[-1] == pytest.approx(0)
        assert found.reached
        strict = replay("random", Benchmark(table, max_edges=5, against="best"), number=number, to_the_end=True)
        assert strict.classes == found.classes
        lucky = benchmark.judged(found.seen).max() - benchmark.target(found.seen)
        assert strict.regret == pytest.approx(found.regret + lucky)


def test_replays_are_summarised():
    benchmark = Benchmark(formula_table(noise=0.0005))
    counts = []
    found = run_replays(benchmark, ["evolution"], replays=7, on_done=lambda name, done: counts.append((name, done)))
    assert counts == [("evolution", 5), ("evolution", 7)]
    assert [entry.number for entry in found["evolution"]] == list(range(7))
    summary = summarise(found["evolution"])
    assert summary.q25 <= summary.median <= summary.q75
    assert summary.never == 0
    assert summary.regret[25] >= summary.regret[100] >= 0
    low, middle, high = regret_curves(found["evolution"], [1, 10, 100])
    assert (low <= middle).all()
    assert (middle <= high).all()


@pytest.mark.slow
def test_the_number_of_workers_changes_nothing():
    benchmark = Benchmark(formula_table(), max_edges=7)
    alone, many = (run_replays(benchmark, ["random", "evolution"], replays=8, workers=n) for n in (1, 2))
    for name, entries in alone.items():
        assert [entry.classes for entry in entries] == [entry.classes for entry in many[name]]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"threshold": -1.0}, "threshold must be at least 0"),
        ({"max_edges": 4}, "max_edges must be at least 5"),
        ({"ladder": LadderConfig(rungs=(1, 3))}, "expected those of the table, 4"),
    ],
)
def test_bad_benchmarks_are_refused(options, message):
    with pytest.raises(InputError, match=message):
        Benchmark(formula_table(), **options)


@pytest.mark.parametrize(
    ("strategies", "options", "message"),
    [
        (["none such"], {}, "unknown strategies"),
        (["random", "random"], {}, "name each once"),
        (["random"], {"replays": 0}, "replays must be at least 1"),
        (["random"], {"lag": -1}, "lag must be at least 0"),
    ],
)
def test_bad_requests_are_refused(strategies, options, message):
    with pytest.raises(InputError, match=message):
        run_replays(Benchmark(formula_table()), strategies, **options)
