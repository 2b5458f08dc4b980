"""Strategies that learn from the weights of pretrained networks."""

import contextlib
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.searching import ScrambledExecutor, formula_score
from support.tiny import tiny_space

import topo_search
from topo_search.graph import Area, GraphConstraints, random_density
from topo_search.search import (
    STRATEGIES,
    Evaluation,
    EvaluationLog,
    Evaluator,
    History,
    RunFolder,
    SearchConfig,
    SearchDriver,
    SearchStudy,
    Trial,
    open_storage,
)
from topo_search.search.strategies._edge_choice import best_edges, workspace_edges
from topo_search.seeds import generator
from topo_search.tasks import load_task
from topo_search.training import EDGE_CRITERIA

PRUNING = ("magnitude", "delta_weight", "relative_delta", "gradient_pruning", "taylor_pruning", "snip")
MOVING = ("rigl", "set")
ALL = (*PRUNING, *MOVING)
SPACE = tiny_space()
RULES = SPACE.constraints
AREAS = [Area.from_role(4, role) for role in (*["input"] * 4, *["hidden"] * 7, "output")]
LARGE = GraphConstraints.build(AREAS, forbidden_roles=[("input", "output")], max_edges=16)


def evaluation(number, proposal, rules):
    """What training might have given: scores and edges drawn at random, by the number of the trial."""
    score = formula_score(proposal.graph, 2)
    plan, rng = proposal.pretraining, generator("evaluation", number)
    if plan is None:
        return Evaluation(score, (score,), (1.0,), best_epoch=1)
    if plan.moves != "none":
        edges = random_density(rules, rng, edges=proposal.graph.n_edges).edges
        return Evaluation(score, (score,), (1.0,), best_epoch=1, final_edges=edges)
    scores = {name: tuple(rng.random(proposal.graph.n_edges).tolist()) for name in EDGE_CRITERIA}
    return Evaluation(score, (score,), (1.0,), best_epoch=1, edge_scores=scores)


def searched(name, *, rules=RULES, config=None, count=60, lag=4, seed=0, fail=False):
    """A search with results that come ``lag`` proposals later; its history."""
    config = config or SearchConfig()
    strategy, history = STRATEGIES[name](rules, config), History()
    for number in range(count):
        for attempt in range(60):
            proposal = strategy.propose(history, generator(seed, number, attempt))
            if proposal.key not in history.known:
                break
        fresh = STRATEGIES[name](rules, config)
        if number % 7 == 0:
            assert fresh.propose(history, generator(seed, number, attempt)) == proposal
        rules.check(proposal.graph, ignore_budget=proposal.pretraining is not None)
        assert proposal.strategy == name
        history.propose(proposal)
        done = number - lag
        if done >= 0:
            known = history.proposals[done]
            failed = fail and known.pretraining is not None
            result = Evaluation.failure("diverged") if failed else evaluation(done, known, rules)
            history.put(Trial(done, known, (result,), final=True))
    return history


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("rules", [RULES, LARGE], ids=["tiny", "large"])
def test_proposals_are_valid_new_and_a_function_of_the_history(name, rules):
    history = searched(name, rules=rules)
    assert len(history.known) == 60
    operators = Counter(proposal.operator for proposal in history.proposals)
    made = operators["prune"] if name in PRUNING else operators["sparse_training"]
    # A small parent of a small space has few children that are new.
    assert made >= (15 if rules is LARGE else 5)
    for proposal in history.proposals:
        if proposal.pretraining is None:
            assert rules.violation(proposal.graph) is None
        if proposal.operator in ("prune", "prune_hub", "sparse_training"):
            assert history.proposals[proposal.parents[0]].pretraining is not None


@settings(derandomize=True, max_examples=15, deadline=None)
@given(
    st.sampled_from(ALL),
    st.integers(0, 1000),
    st.lists(st.sampled_from(["dense", "half", "quarter", "blocks"]), min_size=1, max_size=4),
    st.integers(1, 4),
    st.lists(st.floats(0, 1), max_size=2),
    st.booleans(),
    st.integers(1, 8),
)
def test_any_settings_give_valid_graphs(name, seed, parents, gradual, keep, fail, lag):
    pruning = {"parents": parents, "gradual": gradual, "keep": keep, "children": 5}
    history = searched(name, config=SearchConfig(pruning=pruning), count=25, seed=seed, fail=fail, lag=lag)
    assert len(history.proposals) == 25


@pytest.mark.parametrize("name", PRUNING)
def test_the_first_child_is_the_best_edges_by_the_criterion(name):
    history = searched(name, rules=LARGE, count=20, lag=2)
    first = history.proposals[0]
    assert (first.operator, first.graph.edges) == ("pretrain_dense", LARGE.allowed_edges)
    scores = history.trials[0].results[0].edge_scores[STRATEGIES[name].criterion]
    order = [first.graph.edges[index] for index in np.argsort(-np.array(scores))]
    children = [proposal for proposal in history.proposals if proposal.parents == (0,)]
    assert len(children) == 8
    assert [child.operator for child in children[:3]] == ["prune", "prune_hub", "prune_hub"]
    if LARGE.connects(order[:16]):
        assert children[0].graph.edges == tuple(sorted(order[:16]))
    else:
        assert len(set(children[0].graph.edges) & set(order[:16])) >= 12
    # Noise leaves the children close to the scores.
    rank = {edge: index for index, edge in enumerate(order)}
    assert all(np.mean([rank[edge] for edge in child.graph.edges]) < 31 for child in children[3:])


def test_after_its_children_comes_the_next_parent():
    history = searched("magnitude", rules=LARGE, count=40, lag=1, config=SearchConfig(lag=1, pruning={"children": 3}))
    beginnings = [n for n, p in enumerate(history.proposals) if p.pretraining is not None]
    assert len(beginnings) > 5
    made = Counter(proposal.parents[0] for proposal in history.proposals if proposal.parents)
    assert set(made.values()) <= {1, 2, 3}
    assert all(made[number] == 3 for number in beginnings[:-2])


def test_a_known_parent_is_not_trained_again_for_another_criterion():
    config = SearchConfig()
    magnitude, snip = (STRATEGIES[name](LARGE, config) for name in ("magnitude", "snip"))
    history = History()
    first = magnitude.propose(history, np.random.default_rng(0))
    history.propose(first)
    history.put(Trial(0, first, (evaluation(0, first, LARGE),), final=True))
    child = snip.propose(history, np.random.default_rng(1))
    assert (child.strategy, child.operator, child.parents) == ("snip", "prune", (0,))


def test_gradual_pruning_pretrains_what_lies_between():
    config = SearchConfig(pruning={"gradual": 3, "parents": ["dense"], "children": 4})
    history = searched("magnitude", rules=LARGE, config=config, count=20, lag=1)
    steps = [proposal for proposal in history.proposals if proposal.pretraining is not None][:3]
    target, start = 16, len(LARGE.allowed_edges)
    counts = [target + round((start - target) * (1 - step / 3) ** 3) for step in range(3)]
    assert [step.graph.n_edges for step in steps] == counts
    assert set(steps[2].graph.edges) < set(steps[1].graph.edges) < set(steps[0].graph.edges)
    last = history.proposals.index(steps[2])
    children = [proposal for proposal in history.proposals if proposal.parents == (last,)]
    assert len(children) == 4
    assert all(child.pretraining is None for child in children)


def test_children_have_the_shares_that_are_asked_for_within_the_budget():
    config = SearchConfig(pruning={"keep": [0.2, 0.9], "hubs": 0, "parents": ["dense"]})
    history = searched("magnitude", rules=LARGE, config=config, count=20, lag=1)
    children = [proposal.graph.n_edges for proposal in history.proposals if proposal.parents == (0,)]
    assert set(children) == {round(0.2 * 62), 16}


def test_failed_pretrainings_and_missing_scores_are_passed_over():
    for name in ALL:
        history = searched(name, fail=True, count=30)
        assert not any(proposal.operator in ("prune", "sparse_training") for proposal in history.proposals)


def test_the_end_of_a_training_with_moves_is_the_next_candidate():
    history = searched("rigl", rules=LARGE, count=40, lag=1)
    ended = {n: t.results[0].final_edges for n, t in history.trials.items() if t.proposal.pretraining is not None}
    made = {p.parents[0]: p.graph.edges for p in history.proposals if p.operator == "sparse_training"}
    assert len(made) > 10
    assert all(ended[number] == edges for number, edges in made.items())
    begun = [proposal for proposal in history.proposals if proposal.operator == "move_edges"]
    assert any(proposal.parents for proposal in begun)
    assert all(proposal.graph.n_edges <= 16 for proposal in begun)


@settings(derandomize=True, max_examples=150, deadline=None)
@given(st.integers(0, 10_000), st.integers(0, 16))
def test_chosen_edges_connect_and_the_worst_of_a_connection_is_as_good_as_can_be(seed, extra):
    rng = np.random.default_rng(seed)
    scores = dict(zip(LARGE.allowed_edges, rng.random(62).tolist(), strict=True))
    count = 10 + extra
    chosen = best_edges(scores, LARGE, count)
    order = sorted(scores, key=lambda edge: -scores[edge])
    if LARGE.connects(order[:count]):
        assert set(chosen) == set(order[:count])
    elif chosen is not None:
        assert LARGE.connects(chosen)
        assert len(chosen) == len(set(chosen)) == count
        needed = next(n for n in range(63) if LARGE.connects(order[:n]))
        assert min(scores[edge] for edge in chosen) >= scores[order[needed - 1]] or len(chosen) > needed


@pytest.mark.parametrize("hub", range(12))
def test_a_workspace_holds_every_edge_of_its_hub_that_fits(hub):
    scores = {edge: 1.0 / (1 + edge[0] + 3 * edge[1]) for edge in LARGE.allowed_edges}
    edges = workspace_edges(scores, LARGE, hub, 16)
    star = [edge for edge in LARGE.allowed_edges if hub in edge]
    assert LARGE.connects(edges)
    assert len(edges) <= 16
    assert len(set(star) & set(edges)) >= min(len(star), 11)
    if LARGE.connects(star):
        assert set(edges) == set(star)
    assert workspace_edges(scores, LARGE, hub, 2) is None


@pytest.mark.parametrize(
    "names", [("magnitude", "snip", "rigl", "set"), *(pytest.param((name,), marks=pytest.mark.slow) for name in ALL)]
)
def test_a_whole_search_with_training(names, tmp_path):
    space = tiny_space(
        search={
            "strategies": dict.fromkeys(names, 1.0),
            "lag": 2,
            "pruning": {"children": 3},
            "sparse_training": {"epochs": 3},
            "inherit_weights": True,
        },
        after={
            "rescored": 1,
            "rescore_seeds": 1,
            "winners": 1,
            "seeds": 1,
            "random_controls": 1,
            "rewired_controls": 0,
        },
    )
    budget = 16
    topo_search.evolve(space, budget=budget, workers=1, out=tmp_path / "run")
    rows = (tmp_path / "run" / "trials.csv").read_text().splitlines()
    assert len(rows) == 1 + budget
    assert not any("FAIL" in row for row in rows)
    for name in names:
        own = "prune" if name in PRUNING else "sparse_training"
        assert any(f",{name},{own}," in row for row in rows), name


@pytest.mark.slow
def test_workers_and_interruptions_change_nothing(tmp_path):
    search = {"strategies": dict.fromkeys(("magnitude", "rigl"), 1.0), "lag": 3, "inherit_weights": True}
    space = tiny_space(search=search)
    evaluate = Evaluator(space, load_task(space.task)).evaluate

    def drive(name, *plans):
        """A search in one folder, taken up as often as there are plans; its trials and their scores."""
        for slots, die_after in plans:
            folder = RunFolder(tmp_path / name)
            folder.create()
            log, executor = EvaluationLog(folder.log), ScrambledExecutor(slots=slots, die_after=die_after)
            executor._evaluate = evaluate
            study = SearchStudy(open_storage(folder.journal), "run", space=space)
            driver = SearchDriver(space, seed=0, study=study, log=log, executor=executor, folder=folder)
            with contextlib.suppress(KeyboardInterrupt):
                driver.run([16])
            log.close()
        return [(t.proposal, [r.curve for r in t.results]) for _, t in sorted(driver.decisions.trials.items())]

    whole = drive("whole", (1, None))
    assert len(whole) == 16
    assert {"prune", "sparse_training"} <= {proposal.operator for proposal, _ in whole}
    assert drive("three", (3, None)) == whole
    assert drive("again", (2, 5), (3, 6), (1, None)) == whole
