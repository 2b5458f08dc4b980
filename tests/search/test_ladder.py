from support.tiny import tiny_graph

from topo_search.search import Evaluation, Ladder
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
