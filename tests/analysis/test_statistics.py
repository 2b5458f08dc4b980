import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from topo_search.analysis import (
    bootstrap_mean,
    compare_groups,
    evaluations_to_regret,
    mean_interval,
    paired_difference,
    regret_quartiles,
    sign_flip_p,
)

DIFFERENCES = st.lists(st.integers(-20, 20), min_size=1, max_size=9)


def table(rng, *, graphs, seeds, by_graph=0.05, by_seed=0.05, noise=0.02):
    return (
        0.8
        + rng.normal(0, by_graph, (graphs, 1))
        + rng.normal(0, by_seed, (1, seeds))
        + rng.normal(0, noise, (graphs, seeds))
    )


@settings(derandomize=True, max_examples=60, deadline=None)
@given(DIFFERENCES)
def test_sign_flips_are_counted_one_by_one(differences):
    observed = abs(sum(differences))
    flipped = [
        abs(sum(s * d for s, d in zip(signs, differences, strict=True)))
        for signs in itertools.product((1, -1), repeat=len(differences))
    ]
    assert sign_flip_p(np.array(differences) / 7) == pytest.approx(np.mean([f >= observed for f in flipped]))


def test_drawn_sign_flips_agree_with_all_of_them():
    differences = np.random.default_rng(0).normal(0.4, 1, 16)
    exact = sign_flip_p(differences)
    # A seventeenth pair of no difference changes nothing but the way of counting.
    drawn = sign_flip_p(np.append(differences, 0.0), rng=np.random.default_rng(1))
    assert drawn == pytest.approx(exact, abs=0.01)
    with pytest.raises(ValueError, match="17 pairs are too many"):
        sign_flip_p(np.append(differences, 0.0))
    with pytest.raises(ValueError, match="at least one difference"):
        sign_flip_p([])


def test_paired_tests_are_scipys():
    first, second = np.random.default_rng(3).normal([[0.1], [0.0]], 0.3, (2, 8))
    result = paired_difference(first, second)
    theirs = stats.ttest_rel(first, second)
    assert result.p_t == pytest.approx(theirs.pvalue)
    assert (result.low, result.high) == pytest.approx(tuple(theirs.confidence_interval(0.95)))
    assert result.p_wilcoxon == pytest.approx(stats.wilcoxon(first, second).pvalue)
    assert result.mean == pytest.approx((first - second).mean())
    assert result.sd == pytest.approx((first - second).std(ddof=1))
    assert result.n == 8


def test_what_all_pairs_have_in_common_falls_out():
    first, second = [0.8, 0.6, 0.9], [0.7, 0.5, 0.8]
    result = paired_difference(first, second)
    assert result.mean == pytest.approx(0.1)
    assert result.sd == pytest.approx(0.0, abs=1e-12)
    assert result.p_sign_flip == 0.25


def test_no_difference_at_all_and_a_single_pair():
    same = paired_difference([0.1 + 0.2, 0.5], [0.3, 0.5])
    assert (same.p_t, same.p_wilcoxon, same.p_sign_flip) == (1.0, 1.0, 1.0)
    single = paired_difference([0.5], [0.3])
    assert single.mean == pytest.approx(0.2)
    plain = single.as_dict()
    assert [plain[name] for name in ("sd", "low", "high", "p_t", "p_wilcoxon", "p_sign_flip")] == [None] * 6
    with pytest.raises(ValueError, match="expected pairs"):
        paired_difference([0.5, 0.6], [0.3])


def test_the_mean_interval_is_students():
    values = [0.81, 0.84, 0.79, 0.9]
    interval = mean_interval(values, level=0.9)
    theirs = stats.ttest_1samp(values, 0.0).confidence_interval(0.9)
    assert (interval.low, interval.high) == pytest.approx((theirs.low, theirs.high))
    assert math.isnan(mean_interval([0.5]).low)
    for bad in (lambda: mean_interval([]), lambda: mean_interval(values, level=1.0)):
        with pytest.raises(ValueError, match=r"expected values|level must lie"):
            bad()


@pytest.mark.parametrize("method", ["percentile", "bca"])
def test_the_bootstrap_agrees_with_scipys_where_only_graphs_vary(method):
    scores = np.random.default_rng(4).exponential(1.0, 40)
    ours = bootstrap_mean(scores[:, None], np.random.default_rng(0), method=method, draws=20_000)
    theirs = stats.bootstrap((scores,), np.mean, n_resamples=20_000, method=method, rng=np.random.default_rng(1))
    assert ours.estimate == pytest.approx(scores.mean())
    assert ours.low == pytest.approx(theirs.confidence_interval.low, abs=0.02)
    assert ours.high == pytest.approx(theirs.confidence_interval.high, abs=0.02)


def test_the_crossed_interval_holds_the_mean_where_that_of_single_entries_does_not():
    rng = np.random.default_rng(5)
    crossed, single = [], []
    for _ in range(120):
        scores = table(rng, graphs=12, seeds=8)
        interval = bootstrap_mean(scores, rng, draws=400)
        crossed.append(interval.low <= 0.8 <= interval.high)
        naive = mean_interval(scores.ravel())
        single.append(naive.low <= 0.8 <= naive.high)
    assert np.mean(crossed) > 0.85
    assert np.mean(single) < 0.7


def test_an_interval_of_one_entry_is_not_made_up():
    interval = bootstrap_mean([[0.5]], np.random.default_rng(0))
    assert interval.estimate == 0.5
    assert math.isnan(interval.low)
    with pytest.raises(ValueError, match="expected a table"):
        bootstrap_mean([0.5, 0.6], np.random.default_rng(0))


def test_a_winner_against_its_rewires():
    rng = np.random.default_rng(6)
    by_seed = rng.normal(0, 0.1, 3)
    winner = 0.9 + by_seed
    rewires = 0.8 + by_seed + rng.normal(0, 0.01, (7, 3))
    result = compare_groups(winner, rewires, np.random.default_rng(0))
    assert result.by_seed.mean == pytest.approx(0.9 - (rewires - by_seed).mean())
    # What the seeds do to both falls out: the interval is far narrower than the seeds' spread.
    assert 0.08 < result.crossed.low < result.by_seed.mean < result.crossed.high < 0.12
    assert (result.beaten, result.graphs) == (1.0, (1, 7))
    assert result.p_graphs == pytest.approx(2 / 8)
    plain = result.as_dict()
    assert plain["n"] == 3
    assert plain["graphs"] == [1, 7]


def test_groups_of_one_kind_differ_by_nothing():
    rng = np.random.default_rng(7)
    holds = []
    for _ in range(60):
        both = table(rng, graphs=16, seeds=6)
        result = compare_groups(both[:8], both[8:], rng, draws=400)
        holds.append(result.crossed.low <= 0 <= result.crossed.high)
        assert math.isnan(result.p_graphs)
    assert np.mean(holds) > 0.85


def test_groups_with_other_seeds_are_refused():
    with pytest.raises(ValueError, match="same seeds in both groups, got 3 and 2"):
        compare_groups([0.1, 0.2, 0.3], [[0.1, 0.2]], np.random.default_rng(0))


def test_a_pair_of_single_scores_has_a_difference_and_no_more():
    result = compare_groups([0.5], [[0.4]], np.random.default_rng(0))
    assert result.by_seed.mean == pytest.approx(0.1)
    assert result.as_dict()["crossed_low"] is None


def test_quartiles_of_regret():
    regrets = np.arange(5)[:, None] / 10 + np.array([0.3, 0.0])
    low, middle, high = regret_quartiles(regrets)
    np.testing.assert_allclose(low, [0.4, 0.1])
    np.testing.assert_allclose(middle, [0.5, 0.2])
    np.testing.assert_allclose(high, [0.6, 0.3])


@settings(derandomize=True, max_examples=60, deadline=None)
@given(st.lists(st.lists(st.integers(0, 5), min_size=6, max_size=6), min_size=1, max_size=4), st.integers(0, 5))
def test_evaluations_to_a_regret_that_stays(regrets, threshold):
    expected = [next((k + 1 for k in range(6) if all(value <= threshold for value in row[k:])), 6) for row in regrets]
    assert evaluations_to_regret(regrets, threshold).tolist() == expected
