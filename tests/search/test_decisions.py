import itertools

import pytest
from support.searching import formula_evaluation
from support.tiny import tiny_space

from topo_search.search import Decisions, Evaluation, Request


def run(space, *, budget, seed=0, order="first", decisions=None, fail=()):
    """Run decisions to the end; ``order`` says which outstanding result is handed in next."""
    final = []
    decisions = decisions or Decisions(space, seed=seed, on_final=final.append)
    decisions.extend(budget)
    outstanding, made = [], []
    while not decisions.finished:
        while decisions.ready() and not decisions.finished:
            job = decisions.next_job()
            made.append(job)
            if job is not None:
                outstanding.append(job)
        if outstanding:
            job = outstanding.pop(0 if order == "first" else -1)
            graph = decisions.trials[job.trial].graph
            request = Request(graph.to_json(), space.ladder.rungs[job.rung], seed)
            failed = job.trial in fail
            decisions.result(job, Evaluation.failure("diverged") if failed else formula_evaluation(request))
    return decisions, made, final


def trace(decisions):
    return [
        (number, trial.graph.key, trial.proposal, [result.score for result in trial.results], trial.state)
        for number, trial in sorted(decisions.trials.items())
    ]


def test_the_order_of_arrival_changes_nothing():
    space = tiny_space()
    first, jobs_first, final_first = run(space, budget=40, order="first")
    last, jobs_last, final_last = run(space, budget=40, order="last")
    assert trace(first) == trace(last)
    assert jobs_first == jobs_last
    assert [trial.number for trial in final_first] == [trial.number for trial in final_last]


def test_the_budget_is_spent_exactly_and_every_trial_ends_once():
    decisions, _, final = run(tiny_space(), budget=37)
    assert sorted(decisions.trials) == list(range(37))
    assert sorted(trial.number for trial in final) == list(range(37))
    assert all(trial.final for trial in decisions.trials.values())
    assert len({trial.graph.key for trial in decisions.trials.values()}) == 37


def test_a_decision_sees_the_results_before_the_lag_and_no_others():
    space = tiny_space(search={"lag": 4})
    decisions = Decisions(space, seed=0)
    decisions.extend(20)
    jobs = [decisions.next_job() for _ in range(5)]
    # Decisions 0 to 4 need no result (k - lag <= 0); decision 5 needs that of job 0.
    assert not decisions.ready()
    for job in jobs[1:]:
        decisions.result(job, Evaluation(0.5, (0.5,), (1.0,), best_epoch=1))
    assert not decisions.ready()
    decisions.result(jobs[0], Evaluation(0.7, (0.7,), (1.0,), best_epoch=1))
    assert decisions.ready()
    decisions.next_job()
    assert set(decisions.history.trials) == {0}
    # Jobs 1 to 4 are known too: decision 10 is the first that must wait, for job 5.
    while decisions.ready():
        decisions.next_job()
    assert set(decisions.history.trials) == {0, 1, 2, 3, 4}
    with pytest.raises(ValueError, match="before the results"):
        decisions.next_job()


def test_a_failed_trial_ends_counts_and_is_never_promoted():
    decisions, made, _ = run(tiny_space(), budget=20, fail={0, 7})
    assert decisions.trials[0].state == decisions.trials[7].state == "FAIL"
    assert [job.rung for job in made if job is not None and job.trial == 7] == [0]
    assert len(decisions.trials) == 20


def test_other_seeds_search_otherwise():
    space = tiny_space()
    assert trace(run(space, budget=15, seed=0)[0]) != trace(run(space, budget=15, seed=1)[0])


def test_an_extended_search_keeps_what_was():
    space = tiny_space()
    short, _, _ = run(space, budget=20)
    before = trace(short)
    longer, _, _ = run(space, budget=35, decisions=short)
    assert trace(longer)[:20] == before
    assert len(longer.trials) == 35


def test_recorded_proposals_are_taken_instead_of_asking():
    space = tiny_space()
    whole, _, _ = run(space, budget=25)
    recorded = {n: trial.proposal for n, trial in whole.trials.items() if n != 11}
    again, _, _ = run(space, budget=25, decisions=Decisions(space, seed=0, recorded=recorded))
    assert trace(again) == trace(whole)


def test_a_small_space_is_searched_to_its_end():
    space = tiny_space(
        areas=[{"role": "input", "size": 4}, {"role": "hidden", "size": 4}, {"role": "output", "size": 4}],
        edges={},
    )
    decisions, _, _ = run(space, budget=50)
    pairs = [(0, 1), (0, 2), (1, 2)]
    subsets = itertools.chain.from_iterable(itertools.combinations(pairs, k) for k in range(4))
    valid = [s for s in subsets if (0, 2) in s or {(0, 1), (1, 2)} <= set(s)]
    assert decisions.exhausted
    assert len(decisions.trials) == len(valid) == 5


def test_promotions_follow_the_ladder():
    decisions, made, _ = run(tiny_space(), budget=60)
    reached = [sum(trial.rung >= rung for trial in decisions.trials.values()) for rung in range(3)]
    assert reached[0] == 60
    assert 60 / 6 < reached[1] < 60 / 1.7
    assert 0 < reached[2] < reached[1]
    for trial in decisions.trials.values():
        rungs = [job.rung for job in made if job is not None and job.trial == trial.number]
        assert rungs == list(range(len(rungs)))
