import numpy as np
import pytest
from support.tiny import tiny_graph

from topo_search.search import Evaluation, Ladder
from topo_search.search.ladder import bracket_epochs, bracket_shares
from topo_search.search.settings import LadderConfig


def scored(score):
    return Evaluation(score, (score,), (1.0,), best_epoch=1)


def verdicts(scores, **options):
    ladder = Ladder(LadderConfig(**{"rungs": (2, 4), "keep": 3, "window": 60, **options}))
    return [ladder.promotes(0, scored(score), tiny_graph()) for score in scores]


def test_the_first_goes_on_and_then_the_best_third():
    assert verdicts([0.5, 0.4, 0.3, 0.6]) == [True, False, False, True]
    rising = verdicts([i / 100 for i in range(30)])
    assert all(rising)
    falling = verdicts([1 - i / 100 for i in range(30)])
    assert sum(falling) == 1


def test_one_in_three_of_a_shuffled_sequence_goes_on():
    scores = [(37 * i) % 101 / 101 for i in range(101)]
    assert 0.28 < sum(verdicts(scores, window=200)) / 101 < 0.42


def test_equal_scores_do_not_let_a_crowd_through():
    assert sum(verdicts([0.5] * 30)) == 1


def test_only_the_window_is_in_view():
    # Nine strong results long ago, then weak ones: with a window of three the strong are forgotten.
    scores = [0.9] * 9 + [0.1, 0.1, 0.1, 0.2]
    assert verdicts(scores, window=3)[-1]
    assert not verdicts(scores, window=60)[-1]


def test_the_last_rung_is_the_end():
    ladder = Ladder(LadderConfig(rungs=(2, 4)))
    assert not ladder.promotes(1, scored(1.0), tiny_graph())
    assert ladder.top == 1
    assert [ladder.epochs(rung) for rung in (0, 1)] == [2, 4]


def costed(score, parameters):
    return Evaluation(score, (score,), (1.0,), best_epoch=1, parameters=parameters)


def test_with_a_cost_the_first_front_goes_on():
    ladder = Ladder(LadderConfig(rungs=(2, 4), keep=3), ("accuracy", "parameters"))
    rng = np.random.default_rng(0)
    # Crowded in the middle: accurate ones are large, and most are worse than some other in both.
    for _ in range(40):
        ladder.promotes(0, costed(float(rng.uniform(0.2, 0.4)), int(rng.integers(50, 90))), tiny_graph())
    assert ladder.promotes(0, costed(0.9, 100), tiny_graph())
    assert ladder.promotes(0, costed(0.1, 10), tiny_graph())
    assert not ladder.promotes(0, costed(0.15, 95), tiny_graph())


def test_equal_values_do_not_let_a_crowd_through_with_two_objectives():
    ladder = Ladder(LadderConfig(rungs=(2, 4), keep=3), ("accuracy", "parameters"))
    assert sum(ladder.promotes(0, costed(0.5, 10), tiny_graph()) for _ in range(30)) == 1


def test_one_in_three_goes_on_with_two_objectives_too():
    ladder = Ladder(LadderConfig(rungs=(2, 4), keep=3, window=200), ("accuracy", "parameters"))
    rng = np.random.default_rng(1)
    going = [ladder.promotes(0, costed(rng.uniform(), int(rng.integers(1, 1000))), tiny_graph()) for _ in range(200)]
    assert 0.25 < np.mean(going) < 0.5


def test_a_single_bracket_begins_on_the_first_rung():
    ladder = Ladder(LadderConfig(rungs=(2, 4, 8)))
    assert {ladder.first_rung(number) for number in range(200)} == {0}


@pytest.mark.parametrize("brackets", [2, 3])
def test_brackets_cost_about_the_same_in_any_stretch_of_numbers(brackets):
    config = LadderConfig(rungs=(6, 12, 24), brackets=brackets)
    ladder = Ladder(config)
    epochs = bracket_epochs(config)
    assert epochs[0] == pytest.approx(6 + 6 / 3 + 12 / 9)
    for start in (0, 17, 1000, 123_456):
        rungs = [ladder.first_rung(number) for number in range(start, start + 512)]
        costs = [rungs.count(bracket) * epochs[bracket] for bracket in range(brackets)]
        assert max(costs) < 1.1 * min(costs)
    assert sum(bracket_shares(config)) == pytest.approx(1)


def test_more_brackets_than_rungs_are_refused():
    with pytest.raises(ValueError, match="brackets must be at most the number of rungs, 2, got 3"):
        LadderConfig(rungs=(2, 4), brackets=3)


def curved(level, *, epochs=8, parameters=0):
    curve = tuple(level - 0.4 / (epoch + 1) for epoch in range(epochs))
    return Evaluation(curve[-1], curve, curve, best_epoch=epochs, parameters=parameters)


def test_a_curve_that_stays_below_the_best_is_stopped():
    def promotes(level, **options):
        ladder = Ladder(LadderConfig(rungs=(8, 40), **options))
        ladder.take(1, curved(0.8, epochs=40), tiny_graph())
        return ladder.promotes(0, curved(level), tiny_graph())

    assert promotes(0.7)
    assert not promotes(0.7, curve_stop=2.0)
    assert promotes(0.85, curve_stop=2.0)


def test_nothing_is_stopped_before_the_top_rung_was_reached():
    ladder = Ladder(LadderConfig(rungs=(8, 40), curve_stop=0.0))
    assert ladder.promotes(0, curved(0.1), tiny_graph())


def test_a_curve_is_measured_against_those_that_cost_no_more():
    ladder = Ladder(LadderConfig(rungs=(8, 40), curve_stop=1.0), ("accuracy", "parameters"))
    ladder.take(1, curved(0.8, epochs=40, parameters=100), tiny_graph())
    assert ladder.promotes(0, curved(0.7, parameters=50), tiny_graph())
    ladder.take(1, curved(0.8, epochs=40, parameters=40), tiny_graph())
    assert not ladder.promotes(0, curved(0.72, parameters=50), tiny_graph())
