import numpy as np
import pytest
from support.searching import formula_score
from support.tiny import tiny_space

from topo_search.search import STRATEGIES, Evaluation, History, Proposal, Trial
from topo_search.search.history import better
from topo_search.search.settings import SearchConfig


def evaluation(score):
    return Evaluation(score, (score,), (1.0,), best_epoch=1)


def trial(number, graph, *scores):
    return Trial(number, Proposal(graph, "random", "random_density"), tuple(evaluation(s) for s in scores), final=True)


def filled_history(space, count=40):
    strategy = STRATEGIES["random"](space.constraints, space.search)
    history = History()
    for number in range(count):
        graph = strategy.propose(history, np.random.default_rng(number)).graph
        finished = trial(number, graph, formula_score(graph, 3))
        history.propose(finished.proposal)
        history.put(finished)
    return history


@pytest.mark.parametrize("name", STRATEGIES)
def test_proposals_are_valid_and_a_function_of_history_and_generator(name):
    space = tiny_space()
    history = filled_history(space)
    strategy, other = (STRATEGIES[name](space.constraints, space.search) for _ in range(2))
    for seed in range(300):
        proposal = strategy.propose(history, np.random.default_rng(seed))
        space.constraints.check(proposal.graph, ignore_budget=proposal.pretraining is not None)
        assert proposal.strategy == name
        assert proposal == other.propose(history, np.random.default_rng(seed))


@pytest.mark.parametrize("name", STRATEGIES)
def test_an_empty_history_is_enough(name):
    space = tiny_space()
    proposal = STRATEGIES[name](space.constraints, space.search).propose(History(), np.random.default_rng(0))
    space.constraints.check(proposal.graph, ignore_budget=proposal.pretraining is not None)


def test_evolution_starts_from_the_families_that_are_named():
    space = tiny_space(
        search={"evolution": {"start": [{"family": "global_workspace"}, {"family": "ring", "weight": 0}]}}
    )
    strategy = STRATEGIES["evolution"](space.constraints, space.search)
    operators = {strategy.propose(History(), np.random.default_rng(s)).operator for s in range(20)}
    assert operators == {"global_workspace"}


def test_evolution_breeds_from_the_better_and_the_young():
    space = tiny_space(
        search={"evolution": {"survival": "aging", "population": 10, "tournament": 10, "crossover": 0.0, "guided": 0.0}}
    )
    history = filled_history(space)
    strategy = STRATEGIES["evolution"](space.constraints, space.search)
    parents = {strategy.propose(history, np.random.default_rng(s)).parents for s in range(30)}
    latest = [history.trials[n] for n in range(30, 40)]
    best = max(latest, key=lambda t: (t.score, -t.number))
    assert parents == {(best.number,)}


def test_evolution_finds_better_graphs_than_it_began_with():
    areas = [
        {"role": "input", "size": 4, "count": 4},
        {"role": "hidden", "size": 4, "count": 7},
        {"role": "output", "size": 4},
    ]
    space = tiny_space(
        areas=areas,
        edges={"max_edges": 14, "forbidden_roles": [["input", "output"]]},
        search={"evolution": {"population": 20, "tournament": 5}},
    )
    strategy = STRATEGIES["evolution"](space.constraints, space.search)
    history = History()
    for number in range(150):
        graph = strategy.propose(history, np.random.default_rng(number)).graph
        finished = trial(number, graph, formula_score(graph, 3))
        history.propose(finished.proposal)
        history.put(finished)
    scores = [history.trials[n].score for n in range(150)]
    assert np.mean(scores[-20:]) > np.mean(scores[:20]) + np.std(scores[:20])


def test_crossover_names_both_parents():
    space = tiny_space(search={"evolution": {"crossover": 1.0, "tournament": 2}})
    strategy = STRATEGIES["evolution"](space.constraints, space.search)
    proposals = [strategy.propose(filled_history(space), np.random.default_rng(s)) for s in range(20)]
    assert {p.operator for p in proposals if len(p.parents) == 2} == {"crossover"}
    assert any(len(p.parents) == 2 for p in proposals)


def test_operators_of_weight_zero_are_never_used():
    weights = dict.fromkeys(("add_edge", "remove_edge", "swap_edges", "move_hub_edge", "grow_hub", "shrink_hub"), 0.0)
    space = tiny_space(search={"evolution": {"operators": weights, "crossover": 0.0}})
    strategy = STRATEGIES["evolution"](space.constraints, space.search)
    history = filled_history(space)
    assert {strategy.propose(history, np.random.default_rng(s)).operator for s in range(40)} == {"rewire_edge"}


def test_trials_are_compared_at_their_highest_common_rung():
    graph = filled_history(tiny_space(), 1).trials[0].graph
    slow, fast = trial(0, graph, 0.5, 0.9), trial(1, graph, 0.6)
    assert better(fast, slow)
    assert not better(slow, fast)
    longer = trial(2, graph, 0.4, 0.8)
    assert better(slow, longer)
    assert History.best_of([slow, fast, longer]) is fast
    failed = Trial(3, slow.proposal, (Evaluation.failure("diverged"),), final=True)
    assert better(fast, failed)
    assert not better(failed, fast)


def test_config_refuses_what_it_does_not_know():
    with pytest.raises(ValueError, match="unknown operators"):
        SearchConfig(evolution={"operators": {"teleport": 1.0}})
    with pytest.raises(ValueError, match="unknown family"):
        SearchConfig(random=[{"family": "clique"}])
