"""The linear guess at scores."""

import numpy as np
import pytest
from support.proposing import streams

from topo_search.graph import OPERATORS, ModuleGraph, make_family
from topo_search.search import Evaluation, History, Proposal, Trial
from topo_search.search.settings import SearchConfig
from topo_search.search.strategies import EvolutionStrategy
from topo_search.search.strategies.surrogate import EdgeSurrogate


def graphs(constraints, count, seed=0):
    rng = np.random.default_rng(seed)
    edges = range(constraints.min_edges, constraints.edge_budget + 1)
    return [make_family("random_density", constraints, rng, edges=int(rng.choice(list(edges)))) for _ in range(count)]


def worth(constraints):
    rng = np.random.default_rng(42)
    return dict(zip(constraints.allowed_edges, rng.normal(size=len(constraints.allowed_edges)), strict=True))


def appeal_of(surrogate, asked, history, constraints):
    rows = np.array([[edge in graph.edges for edge in constraints.allowed_edges] for graph in asked])
    return surrogate.appeal(rows, [graph.sizes for graph in asked], history)


def history_of(found, score):
    history = History()
    for graph in found:
        number = history.propose(Proposal(graph, "random", "random_density"))
        result = Evaluation(score(graph), (score(graph),), (1.0,), best_epoch=1)
        history.put(Trial(number, history.proposals[number], (result,), final=True))
    return history


@pytest.mark.parametrize("count", [10, 40, 300])
def test_both_forms_of_the_regression_are_the_textbook_one(count):
    constraints = streams(max_edges=13)
    weights = worth(constraints)
    history = history_of(graphs(constraints, count), lambda graph: sum(weights[edge] for edge in graph.edges))
    asked = graphs(constraints, 7, seed=1)
    ridge = 3.0

    def row(graph):
        return np.array([edge in graph.edges for edge in constraints.allowed_edges], dtype=float)

    x = np.array([row(trial.graph) for trial in history.scored()])
    y = np.array([trial.score for trial in history.scored()])
    centre = x.mean(axis=0)
    x, y = x - centre, (y - y.mean()) / y.std()
    inverse = np.linalg.inv(x.T @ x + ridge * np.eye(x.shape[1]))
    z = np.array([row(graph) for graph in asked]) - centre
    expected = z @ inverse @ x.T @ y + 0.5 * np.sqrt(np.einsum("ij,jk,ik->i", z, inverse, z))
    found = appeal_of(EdgeSurrogate(constraints, window=count, ridge=ridge), asked, history, constraints)
    np.testing.assert_allclose(found, expected, rtol=1e-7, atol=1e-9)


def test_it_ranks_unseen_graphs_where_edges_add_up():
    constraints = streams(max_edges=13)
    weights = worth(constraints)

    def score(graph):
        return sum(weights[edge] for edge in graph.edges)

    history = history_of(graphs(constraints, 200), score)
    asked = graphs(constraints, 50, seed=2)
    appeal = appeal_of(EdgeSurrogate(constraints, window=300, ridge=1.0), asked, history, constraints)
    assert np.corrcoef(appeal, [score(graph) for graph in asked])[0, 1] > 0.9


def test_only_the_latest_trials_count_and_what_is_kept_changes_nothing():
    constraints = streams(max_edges=13)
    found = graphs(constraints, 60)
    history = history_of(found, lambda graph: float(graph.n_edges))
    asked = graphs(constraints, 5, seed=3)
    surrogate = EdgeSurrogate(constraints, window=20, ridge=1.0)
    first = appeal_of(surrogate, asked, history, constraints)
    np.testing.assert_array_equal(first, appeal_of(surrogate, asked, history, constraints))
    latest = history_of(found[-20:], lambda graph: float(graph.n_edges))
    np.testing.assert_allclose(
        first, appeal_of(EdgeSurrogate(constraints, window=99, ridge=1.0), asked, latest, constraints)
    )


def test_equal_scores_and_too_few_of_them_are_no_error():
    constraints = streams(max_edges=13)
    asked = graphs(constraints, 3, seed=4)
    surrogate = EdgeSurrogate(constraints, window=20, ridge=1.0)
    assert not appeal_of(surrogate, asked, History(), constraints).any()
    assert np.isfinite(
        appeal_of(surrogate, asked, history_of(graphs(constraints, 10), lambda _: 0.5), constraints)
    ).all()


def test_sizes_of_areas_count_where_they_vary():
    constraints = streams(max_edges=13, hub_sizes=(64,))
    plain = graphs(constraints, 30)
    large = [
        ModuleGraph([type(a)(64, is_input=a.is_input, is_output=a.is_output) for a in graph.areas], graph.edges)
        for graph in plain
    ]
    history = history_of([*plain[:20], *large[:20]], lambda graph: float(graph.sizes[0]))
    appeal = appeal_of(
        EdgeSurrogate(constraints, window=99, ridge=1.0), [*plain[20:], *large[20:]], history, constraints
    )
    assert appeal[10:].min() > appeal[:10].max()


def test_guided_children_are_better_than_unguided_ones():
    constraints = streams(max_edges=13)
    weights = worth(constraints)

    def score(graph):
        return sum(weights[edge] for edge in graph.edges)

    history = history_of(graphs(constraints, 60), score)

    def mean(guided):
        config = SearchConfig.model_validate({"evolution": {"guided": guided, "population": 20}})
        strategy = EvolutionStrategy(constraints, config)
        made = [strategy.propose(history, np.random.default_rng(seed)).graph for seed in range(40)]
        return np.mean([score(graph) for graph in made])

    assert mean(1.0) > mean(0.0) + 1


def test_guided_children_use_no_operator_that_is_switched_off():
    constraints = streams(max_edges=13)
    rng = np.random.default_rng(0)
    full = [make_family("random_density", constraints, rng) for _ in range(30)]
    history = history_of(full, lambda graph: float(len(set(graph.edges) & set(full[0].edges))))
    off = dict.fromkeys(OPERATORS, 0.0) | {"add_edge": 1.0, "remove_edge": 1.0}
    config = SearchConfig.model_validate({"evolution": {"guided": 1.0, "crossover": 0.0, "operators": off}})
    strategy = EvolutionStrategy(constraints, config)
    operators = {strategy.propose(history, np.random.default_rng(seed)).operator for seed in range(60)}
    assert operators <= {"add_edge", "remove_edge"}
