import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from support.searching import ScrambledExecutor, formula_evaluation
from support.tiny import tiny_space

from topo_search.search import Evaluation, EvaluationLog, RunFolder, SearchDriver, SearchStudy, open_storage
from topo_search.search.agreement import agreement_sample, kendall_tau, measure_agreement, rank_agreement

LEVELS = st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=2, max_size=12)


@settings(derandomize=True, max_examples=80, deadline=None)
@given(LEVELS)
def test_tau_is_scipys_with_any_ties(pairs):
    first, second = np.array(pairs, dtype=float).T
    expected = stats.kendalltau(first, second).statistic
    assert kendall_tau(first, second)[0] == pytest.approx(expected, nan_ok=True)


def test_counts_stand_for_repeated_members():
    rng = np.random.default_rng(0)
    first, second = rng.normal(size=(2, 10)).round(1)
    counts = rng.multinomial(10, np.full(10, 0.1), size=20)
    for tau, count in zip(kendall_tau(first, second, counts=counts), counts, strict=True):
        assert tau == pytest.approx(stats.kendalltau(np.repeat(first, count), np.repeat(second, count)).statistic)


def test_a_rung_that_ranks_rightly_or_in_reverse_or_not_at_all():
    final = np.linspace(0.5, 0.9, 9)
    curves = np.stack([final, -final, np.full(9, 0.3), final], axis=1)
    same, reverse, flat = rank_agreement(curves, (1, 2, 3, 4), np.random.default_rng(0))
    assert (same.tau, same.low, same.high, same.n, same.epochs, same.against) == (1.0, 1.0, 1.0, 9, 1, 4)
    assert reverse.tau == -1.0
    assert math.isnan(flat.tau)
    assert flat.as_dict() == {"epochs": 3, "against": 4, "tau": None, "low": None, "high": None, "n": 9}


def test_the_interval_holds_the_truth_about_as_often_as_it_says():
    # Kendall's tau of a bivariate normal of correlation r is 2/pi arcsin r.
    rng, truth, inside = np.random.default_rng(1), 2 / np.pi * np.arcsin(0.8), []
    for _ in range(80):
        first, second = rng.multivariate_normal([0, 0], [[1, 0.8], [0.8, 1]], size=30).T
        (entry,) = rank_agreement(np.stack([first, second], axis=1), (1, 2), rng)
        inside.append(entry.low <= truth <= entry.high)
    assert np.mean(inside) > 0.85


def searched(path, *, evaluate=formula_evaluation, slots=3, budget=30, **overrides):
    space = tiny_space(**overrides)
    folder = RunFolder(path)
    folder.create()
    study = SearchStudy(open_storage(folder.journal), "run", space=space)
    executor = ScrambledExecutor(slots=slots, seed=slots, evaluate=evaluate)
    driver = SearchDriver(space, seed=0, study=study, log=EvaluationLog(folder.log), executor=executor, folder=folder)
    driver.run([budget])
    return driver, executor


AFTER = {"agreement": 10, "rescored": 3, "winners": 2, "seeds": 2}


def test_every_search_is_told_how_well_its_rungs_rank(tmp_path):
    driver, executor = searched(tmp_path, after=AFTER)
    before = len(executor.evaluated)
    phases = []
    measured = measure_agreement(driver, on_progress=lambda progress: phases.append(progress.phase))
    # The formula ranks all epochs alike but for rounding; only what was not at the top is trained.
    assert [(entry.epochs, entry.against, entry.n) for entry in measured] == [(1, 3, 10), (2, 3, 10)]
    assert all(entry.tau > 0.7 for entry in measured)
    sample = agreement_sample(driver.history.scored(), count=10, seed=0)
    new = executor.evaluated[before:]
    assert {request.epochs for request in new} == {3}
    assert {request.seed for request in new} == {driver.seed}
    assert len(new) == sum(trial.rung < 2 for trial in sample) > 0
    assert set(phases) == {"rank agreement"}
    # Asked again nothing is trained: the log knows.
    assert measure_agreement(driver) == measured
    assert len(executor.evaluated) == before + len(new)


def test_the_sample_knows_no_score_and_any_number_of_workers_draws_it(tmp_path):
    one, _ = searched(tmp_path / "1", slots=1, after=AFTER)
    many, _ = searched(tmp_path / "2", slots=7, after=AFTER)
    samples = [agreement_sample(d.history.scored(), count=10, seed=0) for d in (one, many)]
    assert [t.number for t in samples[0]] == [t.number for t in samples[1]]
    assert measure_agreement(one) == measure_agreement(many)
    drawn = [t.number for seed in range(300) for t in agreement_sample(one.history.scored(), count=10, seed=seed)]
    assert min(drawn.count(number) for number in range(30)) > 60


def test_it_is_off_where_it_is_not_wanted_or_has_nothing_to_compare(tmp_path):
    off, _ = searched(tmp_path / "off", budget=6, after={**AFTER, "agreement": 0})
    assert measure_agreement(off) == ()
    single, _ = searched(tmp_path / "single", budget=6, ladder={"rungs": [2]}, after=AFTER)
    assert measure_agreement(single) == ()
    few, _ = searched(tmp_path / "few", budget=2, after=AFTER)
    assert measure_agreement(few) == ()


def test_candidates_that_diverge_on_the_way_are_left_out(tmp_path):
    def evaluate(request):
        whole = formula_evaluation(request)
        if request.epochs == 3 and int(whole.score * 1e5) % 2:
            return Evaluation.failure("diverged")
        return whole

    driver, _ = searched(tmp_path, evaluate=evaluate, after={**AFTER, "agreement": 30})
    measured = measure_agreement(driver)
    assert 3 <= measured[0].n < 30
    assert measured[0].n == measured[1].n


def test_with_inheritance_the_requests_are_the_searchs_own(tmp_path):
    driver, executor = searched(tmp_path, search={"inherit_weights": True, "evolution": {"population": 8}}, after=AFTER)
    before = len(executor.evaluated)
    measure_agreement(driver)
    sample = {t.graph.to_json(): t.number for t in agreement_sample(driver.history.scored(), count=10, seed=0)}
    for request in executor.evaluated[before:]:
        number = sample[request.graph]
        source = driver.decisions.inherits(number)
        assert (request.inherit is None) == (source is None)
        if source is not None:
            assert request.inherit == str(driver.folder.coupling(*source))
    assert any(request.inherit for request in executor.evaluated[before:])
