"""Edges that move while a network trains."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from support.tiny import TINY_RECIPE, tiny_task

from topo_search.graph import Area, GraphConstraints, random_density
from topo_search.model import NetworkConfig, SparseRecipe, build_network
from topo_search.training import EdgeMoves, Trainer, TrainingConfig, save_checkpoint, train
from topo_search.training.edge_blocks import with_edges

TASK = tiny_task(train_size=40)
AREAS = [
    Area.from_role(size, role) for size, role in zip((4, 3, 4, 3, 5), ["input", *["hidden"] * 3, "output"], strict=True)
]
RULES = GraphConstraints.build(AREAS, forbidden_roles=[("input", "output")], max_edges=6)
CONFIG = TrainingConfig(epochs=8, batch_size=20, learning_rate=0.05)


def network(seed=0, **options):
    graph = random_density(RULES, np.random.default_rng(seed))
    config = NetworkConfig(**{"dt": 0.2, "recipe": SparseRecipe(**TINY_RECIPE), **options})
    return build_network(graph, config, channels=6, classes=2, seed=seed)


def moves(**options):
    return EdgeMoves(**{"constraints": RULES, "grow": "rigl", "drop_fraction": 0.5, "every": 1, "epochs": 8, **options})


@pytest.mark.parametrize("grow", ["rigl", "set"])
@pytest.mark.parametrize("options", [{}, {"integrator": "euler"}, {"integrator": "edge_cayley"}, {"coupling": "both"}])
def test_the_number_of_edges_stays_and_the_network_is_certified(grow, options):
    start = network(**options)
    seen = []
    trainer = Trainer(start, TASK, CONFIG, seed=0, moves=moves(grow=grow))
    for _ in range(8):
        trainer.train_epoch()
        graph = trainer.network.graph
        assert RULES.violation(graph) is None
        assert graph.n_edges == start.graph.n_edges
        seen.append(graph.edges)
    assert len(set(seen)) > 2
    # Moves happen before epochs 2 to 7; the last of them moves nothing any more.
    assert seen[0] == start.graph.edges
    assert seen[-1] == seen[-2]
    assert trainer.network.certificate().certified
    assert trainer.best_epoch > max(e for e in range(1, 8) if seen[e] != seen[e - 1])


def test_the_weakest_edge_goes_and_the_one_of_largest_gradient_comes():
    one = network()
    plan = moves(drop_fraction=0.2, epochs=1000)
    with torch.no_grad():
        for block in one.layout.coupling_blocks(one.coupling.detach()):
            block.mul_(1 / block.abs().mean())
        weak = next(e for e in range(6) if RULES.connects([x for x in one.graph.edges if x != one.graph.edges[e]]))
        one.layout.coupling_blocks(one.coupling.detach())[weak].mul_(0.01)
    batch = TASK.batch(TASK.train)
    absent = [edge for edge in RULES.allowed_edges if edge not in one.graph.edges]
    whole = with_edges(one, RULES.allowed_edges)
    torch.nn.functional.cross_entropy(whole(batch[0]), batch[1]).backward()
    gradient = dict(zip(whole.graph.edges, whole.layout.coupling_blocks(whole.coupling.grad), strict=True))
    best = max(absent, key=lambda edge: float(gradient[edge].abs().mean()))
    after = plan.moved(one, 1, batch, np.random.default_rng(0))
    assert set(one.graph.edges) - set(after) == {one.graph.edges[weak]}
    assert set(after) - set(one.graph.edges) == {best}


@settings(derandomize=True, max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.floats(0, 1), st.integers(1, 8))
def test_moves_keep_count_and_connection(seed, fraction, epoch):
    one = network(seed)
    plan = moves(grow="set", drop_fraction=fraction)
    after = plan.moved(one, epoch, TASK.batch(TASK.train), np.random.default_rng(seed))
    assert len(after) == len(set(after)) == one.graph.n_edges
    assert RULES.violation(one.graph.with_edges(after)) is None
    assert len(set(after) - set(one.graph.edges)) <= plan.count(epoch, one.graph.n_edges)


def test_moves_become_fewer_along_a_cosine_and_end():
    plan = moves(drop_fraction=0.4, epochs=100, every=10)
    assert [epoch for epoch in range(100) if plan.due(epoch)] == list(range(10, 76, 10))
    counts = [plan.count(epoch, 1000) for epoch in range(76)]
    assert counts[0] == 400
    assert counts == sorted(counts, reverse=True)
    assert counts[30] == round(200 * (1 + math.cos(math.pi * 30 / 75)))
    assert counts[75] == 0


def test_where_no_edge_can_grow_none_moves():
    full = with_edges(network(), RULES.allowed_edges)
    assert moves().moved(full, 1, TASK.batch(TASK.train), np.random.default_rng(0)) == RULES.allowed_edges


def test_blocks_that_stay_keep_numbers_and_moments_and_new_ones_begin_at_zero():
    trainer = Trainer(network(), TASK, CONFIG, seed=0)
    trainer.train_epoch()
    before, optimiser = trainer.network, trainer.optimiser
    edges = (*before.graph.edges[1:], next(e for e in RULES.allowed_edges if e not in before.graph.edges))
    old_edges = before.graph.edges
    trainer.rewire(tuple(sorted(edges)))
    pairs = [(before.coupling.detach(), trainer.network.coupling.detach())]
    old, new = optimiser.state[before.coupling], trainer.optimiser.state[trainer.network.coupling]
    pairs += [(old[name], new[name]) for name in ("exp_avg", "exp_avg_sq")]
    assert torch.equal(old["step"], new["step"])
    for packed, repacked in pairs:
        known = dict(zip(old_edges, before.layout.coupling_blocks(packed), strict=True))
        for edge, block in zip(
            trainer.network.graph.edges, trainer.network.layout.coupling_blocks(repacked), strict=True
        ):
            assert torch.equal(block, known[edge]) if edge in known else not block.any()
    bias, other = optimiser.state[before.input_bias], trainer.optimiser.state[trainer.network.input_bias]
    assert torch.equal(bias["exp_avg"], other["exp_avg"])


@pytest.mark.parametrize("grow", ["rigl", "set"])
@pytest.mark.parametrize("stop", [1, 3, 6])
def test_a_training_that_was_interrupted_ends_with_the_same_bits(grow, stop, tmp_path):
    straight = train(network(), TASK, CONFIG, epochs=8, seed=0, moves=moves(grow=grow))
    trainer = Trainer(network(), TASK, CONFIG, seed=0, moves=moves(grow=grow))
    for _ in range(stop):
        trainer.train_epoch()
    save_checkpoint(tmp_path / "c", trainer, identity="x")
    resumed = train(
        network(), TASK, CONFIG, epochs=8, seed=0, moves=moves(grow=grow), checkpoint=tmp_path / "c", identity="x"
    )
    assert resumed.resumed_from == stop
    assert resumed.records == straight.records
    assert resumed.network.graph == straight.network.graph
    one, other = (dict(run.network.named_parameters()) for run in (straight, resumed))
    assert all(torch.equal(one[name], other[name]) for name in one)
