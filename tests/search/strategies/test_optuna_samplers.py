import time

import numpy as np
import optuna
import pytest
from support.searching import formula_score
from support.tiny import tiny_space

from topo_search.graph import ModuleGraph
from topo_search.search import STRATEGIES, Evaluation, History, Proposal, Trial
from topo_search.search.strategies.optuna_nsga2 import OptunaNsga2Strategy
from topo_search.search.strategies.optuna_tpe import TpeStrategy

SAMPLERS = (TpeStrategy, OptunaNsga2Strategy)
AREAS = [
    {"role": "input", "size": 4, "count": 4},
    {"role": "hidden", "size": 4, "count": 7},
    {"role": "output", "size": 4},
]
# 62 allowed edges, of which a graph may have 16: of random vectors hardly one in ten thousand.
EDGES = {"max_edges": 16, "forbidden_roles": [["input", "output"]]}
LARGE = tiny_space(areas=AREAS, edges=EDGES, search={"nsga2": {"population": 20}})
TRIALS = 140


def scored(number, proposal, *scores, parameters=0):
    results = tuple(Evaluation(s, (s,), (1.0,), best_epoch=1, parameters=parameters) for s in scores)
    return Trial(number, proposal, results, final=True)


def searched(strategy, trials, *, score=formula_score, seed=0, history=None):
    """A history of a search by one strategy, each proposal scored at once."""
    history = history or History()
    while len(history.proposals) < trials:
        number = len(history.proposals)
        for attempt in range(60):
            proposal = strategy.propose(history, np.random.default_rng([seed, number, attempt]))
            if proposal.key not in history.known:
                break
        history.propose(proposal)
        history.put(scored(number, proposal, score(proposal.graph, 3)))
    return history


def made(sampler, space=LARGE):
    return sampler(space.constraints, space.search)


@pytest.fixture(scope="module")
def histories():
    return {sampler: searched(made(sampler), TRIALS) for sampler in SAMPLERS}


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_both_beat_random_search_clearly(histories, sampler):
    random = [trial.score for trial in searched(made(STRATEGIES["random"]), TRIALS).scored()]
    ours = [trial.score for trial in histories[sampler].scored()]
    assert np.mean(ours[-40:]) > np.mean(random) + np.std(random)
    assert np.mean(np.array(ours[-40:]) > np.median(random)) > 0.8
    assert np.mean(np.sort(ours)[-10:]) > np.mean(np.sort(random)[-10:])


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_proposals_are_new_valid_and_of_the_sampler_once_it_may_begin(histories, sampler):
    strategy, history = made(sampler), histories[sampler]
    assert len(history.known) == len(history.proposals) == TRIALS
    for proposal in history.proposals:
        assert LARGE.constraints.violation(proposal.graph) is None
    operators = [proposal.operator for proposal in history.proposals]
    assert set(operators[: strategy.startup]) == {"random_density"}
    assert {proposal.graph.n_edges for proposal in history.proposals[: strategy.startup]} == {16}
    assert operators[strategy.startup :].count("sample") > 0.9 * (TRIALS - strategy.startup)


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_an_object_that_saw_the_history_grow_proposes_as_a_new_one_does(histories, sampler):
    used, history = made(sampler), History()
    for trial in histories[sampler].scored()[:60]:
        history.propose(trial.proposal)
        history.put(trial)
        if trial.number % 7 == 0:
            rngs = [np.random.default_rng(trial.number) for _ in range(2)]
            assert used.propose(history, rngs[0]) == made(sampler).propose(history, rngs[1])
    shorter = searched(made(STRATEGIES["random"]), 50)
    rngs = [np.random.default_rng(0) for _ in range(2)]
    assert used.propose(shorter, rngs[0]) == made(sampler).propose(shorter, rngs[1])


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_trials_count_with_their_first_rung(sampler):
    """Scores of longer training, which only some have, change nothing."""
    plain, promoted = History(), History()
    for trial in searched(made(STRATEGIES["random"]), 60).scored():
        for history, more in ((plain, ()), (promoted, (0.9, 0.1 * trial.number))):
            history.propose(trial.proposal)
            history.put(scored(trial.number, trial.proposal, trial.score, *more))
    assert [made(sampler).propose(plain, np.random.default_rng(s)) for s in range(5)] == [
        made(sampler).propose(promoted, np.random.default_rng(s)) for s in range(5)
    ]


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_further_objectives_are_the_samplers_too(sampler):
    space = tiny_space(
        areas=AREAS,
        edges=EDGES,
        search={"objectives": ["accuracy", "edges"], "nsga2": {"population": 20}},
    )
    history = searched(made(sampler, space), 90, score=lambda graph, _: 0.5)
    edges = [proposal.graph.n_edges for proposal in history.proposals]
    assert np.mean(edges[-30:]) < np.mean(edges[:30]) - 0.5


def test_generations_follow_the_order_of_trials(monkeypatch):
    """The parents of a later generation are the best of all before it, not only of the last."""
    space = tiny_space(
        areas=AREAS,
        edges=EDGES,
        search={"nsga2": {"population": 10}},
    )
    history = searched(made(STRATEGIES["random"]), 37)
    seen = []
    select = optuna.samplers.NSGAIISampler.select_parent

    def note(self, study, generation):
        parents = select(self, study, generation)
        seen.append((generation, sorted(trial.number for trial in parents)))
        return parents

    monkeypatch.setattr(optuna.samplers.NSGAIISampler, "select_parent", note)
    made(OptunaNsga2Strategy, space).propose(history, np.random.default_rng(0))
    ranked = sorted(history.scored()[:30], key=lambda trial: -trial.score)
    assert [generation for generation, _ in sorted(seen)] == [1, 2, 3]
    assert dict(seen)[3] == sorted(trial.number for trial in ranked[:10])


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_a_space_without_a_new_graph_still_gets_a_valid_one(sampler):
    areas = [{"role": "input", "size": 4}, {"role": "hidden", "size": 4, "count": 2}, {"role": "output", "size": 4}]
    space = tiny_space(areas=areas, edges={"max_edges": 2, "forbidden_roles": [["input", "output"]]})
    history = History()
    for number in range(60):
        edges = [(0, 1 + number % 2), (1 + number % 2, 3)]
        proposal = Proposal(ModuleGraph(space.constraints.areas, edges), "random", "random_density")
        history.propose(proposal)
        history.put(scored(number, proposal, 0.1 * (number % 2)))
    proposal = made(sampler, space).propose(history, np.random.default_rng(0))
    assert proposal.operator == "repaired_sample"
    assert space.constraints.violation(proposal.graph) is None


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_the_verbosity_of_optuna_stays_and_nothing_is_logged(histories, sampler, capfd):
    optuna.logging.set_verbosity(optuna.logging.INFO)
    try:
        made(sampler).propose(histories[sampler], np.random.default_rng(0))
        assert optuna.logging.get_verbosity() == optuna.logging.INFO
    finally:
        optuna.logging.set_verbosity(optuna.logging.WARNING)
    assert capfd.readouterr().err == ""


@pytest.mark.slow
@pytest.mark.parametrize("sampler", SAMPLERS)
def test_a_proposal_after_200_trials_takes_milliseconds(sampler):
    strategy, history = made(sampler), searched(made(STRATEGIES["random"]), 200)
    strategy.propose(history, np.random.default_rng(0))
    started = time.process_time()
    for seed in range(20):
        strategy.propose(history, np.random.default_rng(seed))
    # About ten milliseconds on an idle core; the rest is for slower and busier ones.
    assert (time.process_time() - started) / 20 < 0.1
