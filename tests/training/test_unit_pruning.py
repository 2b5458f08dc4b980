"""Pairs of units that are pruned from edges while a network trains."""

import pytest
import torch
from support.tiny import tiny_graph, tiny_network, tiny_task

from topo_search.errors import InputError
from topo_search.model import load_network, save_network
from topo_search.training import Trainer, TrainingConfig, UnitPruning, train
from topo_search.training.unit_pruning import kept_pairs

TASK = tiny_task(train_size=40)


def config(**pruning):
    return TrainingConfig(
        epochs=6, batch_size=16, learning_rate=0.02, unit_pruning={"fraction": 0.5, "epochs": [2, 4], **pruning}
    )


def test_the_weakest_pairs_of_each_edge_go_and_stay_away():
    network = tiny_network()
    trainer = Trainer(network, TASK, config(epochs=[2]), seed=0)
    for _ in range(2):
        trainer.train_epoch()
    assert trainer.kept is None
    before = network.coupling.detach().clone()
    trainer.train_epoch()
    kept = trainer.kept.clone()
    for old, mask in zip(network.layout.coupling_blocks(before), network.layout.coupling_blocks(kept), strict=True):
        assert int((~mask).sum()) == round(0.5 * mask.numel())
        assert old[mask].abs().min() >= old[~mask].abs().max()
    for _ in range(3):
        trainer.train_epoch()
        assert not network.coupling.detach()[~kept].any()
        assert torch.equal(trainer.kept, kept)
    coupling = network.dense_coupling()
    # Both directions of a pair are gone, and the feedback is skew as before.
    assert torch.equal(coupling, -coupling.t())
    assert int((coupling != 0).sum()) == 2 * int(kept.sum())
    assert network.coupling.detach()[kept].all()


def test_over_the_network_the_weakest_of_all_edges_go():
    network = tiny_network()
    with torch.no_grad():
        network.coupling[:12].mul_(1e-3)
    kept = kept_pairs(network, UnitPruning(fraction=0.2, epochs=(1,), scope="network"), 1, None)
    assert int((~kept).sum()) == round(0.2 * len(kept))
    assert not kept[:12].any()


def test_several_prunings_take_equal_shares_of_what_is_left():
    plan = UnitPruning(fraction=0.75, epochs=(1, 3))
    assert [plan.share_after(epoch) for epoch in (0, 1, 2, 3, 9)] == [0, 0.5, 0.5, 0.75, 0.75]
    network = tiny_network()
    first = kept_pairs(network, plan, 1, None)
    with torch.no_grad():
        network.coupling.mul_(first)
        # Whatever is left and zero by chance is not mistaken for what is gone.
        network.coupling[first.nonzero()[0]] = 0
    second = kept_pairs(network, plan, 3, first)
    assert not (second & ~first).any()
    assert int((~second).sum()) == sum(round(0.75 * b.numel()) for b in network.layout.coupling_blocks(second))


@pytest.mark.parametrize(
    "options", [{}, {"integrator": "euler"}, {"integrator": "imex"}, {"integrator": "edge_cayley"}]
)
@pytest.mark.parametrize("scope", ["edge", "network"])
def test_what_is_left_is_certified_and_saved(options, scope, tmp_path):
    network = tiny_network(**options)
    run = train(network, TASK, config(scope=scope), epochs=6, seed=0, use_best=True)
    assert run.n_pruned == int((network.coupling == 0).sum())
    assert run.n_pruned == pytest.approx(0.5 * len(network.coupling), abs=4)
    assert run.best_epoch > 4
    assert save_network(tmp_path / "net", network).certified
    assert torch.equal(load_network(tmp_path / "net").coupling, network.coupling)


@pytest.mark.parametrize("stop", [1, 2, 3, 4, 5])
def test_a_training_that_was_interrupted_ends_with_the_same_bits(stop, tmp_path):
    settings = config()
    straight, resumed = tiny_network(), tiny_network()
    run = train(straight, TASK, settings, epochs=6, seed=0)
    train(resumed, TASK, settings, epochs=stop, seed=0, checkpoint=tmp_path / "c")
    resumed = tiny_network()
    again = train(resumed, TASK, settings, epochs=6, seed=0, checkpoint=tmp_path / "c")
    assert again.resumed_from == stop
    assert again.records == run.records
    assert again.n_pruned == run.n_pruned > 0
    assert all(torch.equal(p, q) for p, q in zip(straight.parameters(), resumed.parameters(), strict=True))


def test_a_training_that_stops_at_the_pruning_is_not_pruned():
    pruned, plain = tiny_network(), tiny_network()
    run = train(pruned, TASK, config(), epochs=2, seed=0)
    assert run.n_pruned == 0
    train(plain, TASK, config().model_copy(update={"unit_pruning": None}), epochs=2, seed=0)
    assert torch.equal(pruned.coupling, plain.coupling)


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"coupling": "nonlinear"}, "coupling nonlinear"),
        ({"coupling": "both"}, "coupling both"),
        ({"stability": "unconstrained"}, "stability unconstrained"),
        ({"imperfect_margin": 0.5}, "imperfect_margin"),
        ({"recipe": {"kind": "symmetric"}}, "not diagonal"),
    ],
)
def test_where_there_are_no_pairs_it_is_refused(options, match):
    with pytest.raises(InputError, match=match) as caught:
        train(tiny_network(graph=tiny_graph(), **options), TASK, config(), epochs=1, seed=0)
    assert "\n" not in str(caught.value)


def test_settings_that_make_no_sense_are_refused():
    with pytest.raises(ValueError, match="before the last epoch"):
        config(epochs=[6])
    with pytest.raises(ValueError, match="increasing epochs"):
        config(epochs=[3, 2])
    with pytest.raises(ValueError, match="increasing epochs"):
        config(epochs=[])
