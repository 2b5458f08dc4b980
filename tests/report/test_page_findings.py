"""What a page says in numbers, against the same by hand."""

import math
import statistics

import numpy as np
import pytest
from support.records import CHAIN, MORE, record, summary, trainings, trial, winner

from topo_search.analysis import mean_interval
from topo_search.report.page.findings import (
    edge_use,
    failures,
    leaders,
    lineage,
    origins,
    rungs,
    trained_groups,
)
from topo_search.report.tables import accuracy_interval
from topo_search.search import Pretraining


def test_candidates_are_ordered_by_rung_and_then_by_score():
    trials = [
        trial(0, CHAIN, (0.9,)),
        trial(1, CHAIN, (0.1, 0.2, 0.3)),
        trial(2, MORE, (0.2, 0.4)),
        trial(3, MORE, (0.2, 0.3, 0.5)),
        trial(4, CHAIN, (), reason="diverged"),
        trial(5, CHAIN, (0.99,), pretraining=Pretraining(1, "rigl")),
        trial(6, CHAIN, (0.9,)),
    ]
    assert [t.number for t in record(trials).candidates] == [3, 1, 2, 0, 6]


def test_use_of_edges_counts_the_best_tenth_and_five_at_least():
    few = [trial(number, CHAIN, (number / 100,)) for number in range(9)]
    assert edge_use(record(few)) is None
    assert edge_use(record([])) is None
    # The five best of ten have an edge more.
    ten = [trial(number, MORE if number >= 5 else CHAIN, (number / 100,)) for number in range(10)]
    use = edge_use(record(ten))
    assert (use.n_best, use.n_every) == (5, 10)
    assert use.best[2, 4] == use.best[4, 2] == 1
    assert use.every[2, 4] == use.every[4, 2] == 0.5
    assert use.best[0, 2] == use.every[0, 2] == 1
    assert use.best[0, 1] == use.every[0, 1] == 0
    assert np.isnan(np.diagonal(use.best)).all()
    many = [trial(number, CHAIN, (number / 100,)) for number in range(71)]
    assert [t.number for t in leaders(record(many))] == list(range(70, 62, -1))


def test_a_rung_has_the_scores_of_all_that_were_trained_at_it():
    trials = [trial(0, CHAIN, (0.1, 0.5)), trial(1, MORE, (0.3,)), trial(2, CHAIN, (0.2, 0.4), reason="diverged")]
    agreement = {"epochs": 1, "against": 3, "tau": 0.5, "low": 0.1, "high": 0.8, "n": 3}
    first, second, third = rungs(record(trials, summary=summary(rank_agreement=(agreement,))))
    assert (first.epochs, first.trained, first.best, first.median) == (1, 3, 0.3, 0.2)
    assert first.agreement.tau == 0.5
    assert (second.epochs, second.trained, second.best, second.median, second.agreement) == (2, 2, 0.5, 0.45, None)
    assert third.trained == 0
    assert math.isnan(third.best)
    assert math.isnan(third.median)


def test_origins_count_trials_failures_and_the_best():
    trials = [
        trial(0, CHAIN, (0.1,), strategy="random", operator="ring"),
        trial(1, CHAIN, (0.4,)),
        trial(2, MORE, (0.2,)),
        trial(3, MORE, (), reason="diverged"),
    ]
    bred, drawn = origins(record(trials))
    assert (bred.strategy, bred.operator, bred.proposed, bred.failed, bred.best) == ("evolution", "add_edge", 3, 1, 2)
    assert bred.median == pytest.approx(0.3)
    assert (drawn.strategy, drawn.operator, drawn.proposed, drawn.failed, drawn.median) == ("random", "ring", 1, 0, 0.1)


def test_failures_are_counted_by_reason():
    reasons = ["timed out", "diverged", "diverged"]
    trials = [trial(number, CHAIN, (), reason=reason) for number, reason in enumerate(reasons)]
    assert failures(record([*trials, trial(3, CHAIN, (0.5,))])) == [("diverged", 2), ("timed out", 1)]


def test_a_lineage_goes_along_the_better_parent_and_ends():
    trials = [
        trial(0, CHAIN, (0.1, 0.9)),
        trial(1, CHAIN, (0.2, 0.3)),
        trial(2, MORE, (0.9,)),
        trial(3, MORE, (0.5,), parents=(0, 1)),
        # Trial 2 is better than 3 at their common rung; 99 is not there; no trial is its own parent or a later one's.
        trial(4, CHAIN, (0.6, 0.7), parents=(3, 99, 4, 5)),
        trial(5, CHAIN, (0.6,), parents=(4,)),
    ]
    assert [t.number for t in lineage(record(trials), winner(1, 5))] == [5, 4, 3, 0]
    assert lineage(record(trials), winner(1, 50)) == []
    long = [trial(number, CHAIN, (0.5,), parents=(number - 1,) if number else ()) for number in range(60)]
    assert [t.number for t in lineage(record(long), winner(1, 59))] == list(range(59, 19, -1))


def test_groups_of_trainings():
    best, second = winner(1, 0), winner(2, 1)
    rows = [
        *trainings("winner", second.graph.key, [0.7, 0.8, 0.9], edges=5),
        *trainings("winner", best.graph.key, [0.9, 0.8, 0.85]),
        *trainings("random", "a", [0.5, 0.6, 0.7]),
        *trainings("random", "b", [0.7, 0.7, 0.7], edges=6),
        # A control may be a winner's own graph, and a graph may be drawn twice.
        *trainings("global_workspace", "c", [0.5, 0.6, 0.7]),
        *trainings("global_workspace", "c", [0.5, 0.6, 0.7]),
        *trainings("global_workspace", "d", [0.9, 0.9, 0.9]),
        *trainings("rewired", best.graph.key, [0.9, None, 0.85]),
    ]
    one, two, random, rewired, workspaces = trained_groups(record([], trainings=tuple(rows), winners=(best, second)))
    assert (one.label, two.label) == ("winner 1", "winner 2")
    assert one.test == ((0.9, 0.8, 0.85),)
    assert one.test_mean == pytest.approx(0.85)
    assert one.test_sd == pytest.approx(statistics.stdev([0.9, 0.8, 0.85]))
    assert one.interval == mean_interval([0.9, 0.8, 0.85])
    assert random.test == ((0.5, 0.6, 0.7), (0.7, 0.7, 0.7))
    assert random.edges == (4, 6)
    assert random.test_mean == pytest.approx(0.65)
    assert random.test_sd == pytest.approx(statistics.stdev([0.6, 0.7]))
    # Two graphs are too few for an interval over graphs.
    assert random.interval is None
    assert len(workspaces.test) == 3
    assert workspaces.test_mean == pytest.approx(0.7)
    assert workspaces.interval == accuracy_interval("global_workspace", workspaces.test)
    assert (rewired.diverged, rewired.interval, rewired.seeds) == (1, None, 3)
    assert rewired.test_mean == pytest.approx(0.875)


def test_a_graph_whose_trainings_all_diverged_has_no_mean():
    (group,) = trained_groups(record([], trainings=tuple(trainings("winner", "a", [None, None]))))
    assert group.label == "winner, diverged"
    assert math.isnan(group.test_mean)
    assert math.isnan(group.test_sd)
    assert group.parameters is None
    assert group.diverged == 2
