"""The loop: learning, batches, best epoch, divergence."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from support.tiny import tiny_graph, tiny_network, tiny_split, tiny_task
from torch import nn

from topo_search.training import DivergedError, Trainer, TrainingConfig, accuracy, train
from topo_search.training import trainer as trainer_module

TASK = tiny_task()


def config(**options):
    return TrainingConfig(**{"epochs": 6, "batch_size": 16, "learning_rate": 0.02, **options})


def parameters(network):
    return {name: p.detach().clone() for name, p in network.named_parameters()}


def same(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"integrator": "edge_cayley"},
        {"integrator": "euler"},
        {"stability": "continuous"},
        {"activation": "tanh"},
    ],
)
def test_a_task_that_can_be_learnt_is_learnt(options):
    network = tiny_network(**options)
    before = accuracy(network, TASK, TASK.test())
    run = train(network, TASK, config(epochs=25, learning_rate=0.05), epochs=25, seed=0)
    assert run.reason == run.detail == ""
    assert [record.epoch for record in run.records] == list(range(1, 26))
    assert run.records[0].loss > 0.6
    assert run.records[-1].loss < 0.3
    assert run.best_accuracy >= 0.9
    assert accuracy(network, TASK, TASK.test()) >= 0.9 > before
    assert run.resumed_from == 0
    assert run.seconds > 0


def test_every_parameter_is_trained_and_nothing_else():
    network = tiny_network()
    before, fixed = parameters(network), {n: b.clone() for n, b in network.named_buffers()}
    train(network, TASK, config(), epochs=1, seed=0)
    for name, parameter in network.named_parameters():
        assert not torch.equal(parameter, before[name]), name
    assert same(dict(network.named_buffers()), fixed)


def test_records_say_what_happened():
    network = tiny_network()
    seen = []
    run = train(network, TASK, config(), epochs=3, seed=0, on_epoch=seen.append)
    assert tuple(seen) == run.records
    assert run.last_accuracy == accuracy(network, TASK, TASK.validation)
    # At a vanishing learning rate the mean over batches, the short last one included, is the mean over images.
    network = tiny_network()
    with torch.no_grad():
        inputs, labels = TASK.batch(TASK.train)
        expected = float(nn.functional.cross_entropy(network(inputs), labels))
    run = train(network, TASK, config(batch_size=23, learning_rate=1e-12), epochs=1, seed=0)
    assert run.records[0].loss == pytest.approx(expected, rel=1e-5)


def test_accuracy_counts_rightly_over_several_batches(monkeypatch):
    network = tiny_network()
    with torch.no_grad():
        inputs, labels = TASK.batch(TASK.train)
        expected = float((network(inputs).argmax(1) == labels).double().mean())
    for size in (7, 60, 512):
        monkeypatch.setattr(trainer_module, "EVALUATION_BATCH", size)
        assert accuracy(network, TASK, TASK.train) == expected


def test_expanding_a_split_once_or_batch_by_batch_is_the_same(monkeypatch):
    whole = tiny_network()
    one = train(whole, TASK, config(), epochs=2, seed=0)
    monkeypatch.setattr(trainer_module, "EXPAND_LIMIT", 0)
    by_batch = tiny_network()
    other = train(by_batch, TASK, config(), epochs=2, seed=0)
    assert one.records == other.records
    assert same(parameters(whole), parameters(by_batch))


def test_the_schedule_is_followed(monkeypatch):
    used = []
    step = torch.optim.Adam.step

    def spy(self, *args, **options):
        used.append(self.param_groups[0]["lr"])
        return step(self, *args, **options)

    monkeypatch.setattr(torch.optim.Adam, "step", spy)
    settings = config(epochs=3, batch_size=60, schedule="step", cuts=(1, 2), learning_rate=0.1)
    train(tiny_network(), TASK, settings, epochs=3, seed=0)
    assert used == pytest.approx([0.1, 0.01, 0.001])


def test_weight_decay_and_clipping_act():
    def trained(**options):
        network = tiny_network()
        train(network, TASK, config(**options), epochs=2, seed=0)
        return parameters(network)

    plain = trained(clip_norm=None)
    assert same(plain, trained(clip_norm=1e6))
    assert not same(plain, trained(clip_norm=1e-4))
    assert not same(plain, trained(clip_norm=None, weight_decay=0.1))
    size = {k: sum(float(p.square().sum()) for p in trained(weight_decay=k).values()) for k in (0.0, 3.0)}
    assert size[3.0] < size[0.0]


def test_gradients_are_clipped_to_the_norm(monkeypatch):
    norms = []
    step = torch.optim.Adam.step

    def spy(self, *args, **options):
        gradients = [p.grad.reshape(-1) for group in self.param_groups for p in group["params"]]
        norms.append(float(torch.cat(gradients).norm()))
        return step(self, *args, **options)

    monkeypatch.setattr(torch.optim.Adam, "step", spy)
    train(tiny_network(), TASK, config(clip_norm=0.01), epochs=1, seed=0)
    assert max(norms) <= 0.01 * (1 + 1e-4)
    norms.clear()
    train(tiny_network(), TASK, config(clip_norm=None), epochs=1, seed=0)
    assert max(norms) > 0.02


# --- batches ---------------------------------------------------------------------------------------------------------


class Recording(Trainer):
    """Notes the images of every batch."""

    def __init__(self, *args, **options):
        super().__init__(*args, **options)
        self.batches = []

    def _train_batch(self, indices, where):
        self.batches.append(indices.tolist())
        return super()._train_batch(indices, where)


def batches(*, seed, epochs=2, **options):
    trainer = Recording(tiny_network(**options), TASK, config(batch_size=25), seed=seed)
    for _ in range(epochs):
        trainer.train_epoch()
    return trainer.batches


def test_every_epoch_shows_every_image_once():
    shown = batches(seed=0)
    assert [len(batch) for batch in shown] == [25, 25, 10] * 2
    for epoch in (shown[:3], shown[3:]):
        assert sorted(index for batch in epoch for index in batch) == list(range(60))
    assert shown[:3] != shown[3:]


def test_the_order_depends_on_seed_and_epoch_alone():
    assert batches(seed=3) == batches(seed=3, stability="continuous")
    assert batches(seed=3) == batches(seed=3, graph=tiny_graph().with_edges([(0, 1), (1, 3)]))
    assert batches(seed=3) != batches(seed=4)
    torch.manual_seed(123)
    np.random.seed(123)  # noqa: NPY002 - the global state is what must not matter
    assert batches(seed=3, epochs=1) == batches(seed=3)[:3]


def test_the_same_seed_gives_the_same_bits_and_another_does_not():
    runs, ends = [], []
    for seed in (1, 1, 2):
        network = tiny_network()
        runs.append(train(network, TASK, config(), epochs=2, seed=seed).records)
        ends.append(parameters(network))
    assert runs[0] == runs[1]
    assert same(ends[0], ends[1])
    assert not same(ends[0], ends[2])


@pytest.mark.parametrize("schedule", [{}, {"schedule": "cosine"}, {"schedule": "step", "cuts": (2, 4)}])
def test_a_short_training_is_the_beginning_of_the_full_one(schedule):
    full = train(tiny_network(), TASK, config(**schedule), epochs=6, seed=0)
    for epochs in (1, 3, 5):
        assert train(tiny_network(), TASK, config(**schedule), epochs=epochs, seed=0).records == full.records[:epochs]


@pytest.mark.parametrize("epochs", [0, 7, -1])
def test_epochs_outside_the_schedule_are_refused(epochs):
    with pytest.raises(ValueError, match=r"1 \.\. 6"):
        train(tiny_network(), TASK, config(), epochs=epochs, seed=0)


# --- the best epoch --------------------------------------------------------------------------------------------------


@pytest.fixture
def scripted(monkeypatch):
    """Makes validation accuracies those of a list."""

    def script(values):
        left = list(values)
        monkeypatch.setattr(trainer_module, "_accuracy", lambda network, batches: left.pop(0))

    return script


@pytest.mark.parametrize(
    ("curve", "best"),
    [([0.2, 0.5, 0.5, 0.4], 2), ([0.0, 0.0, 0.0, 0.0], 1), ([0.1, 0.2, 0.3, 0.4], 4), ([0.9, 0.2, 0.9, 0.9], 1)],
)
def test_the_best_epoch_is_the_first_of_equals_and_comes_back(curve, best, scripted):
    scripted(curve)
    states = []
    network = tiny_network()
    run = train(
        network, TASK, config(), epochs=4, seed=0, use_best=True, on_epoch=lambda _: states.append(parameters(network))
    )
    assert run.best_epoch == best
    assert run.best_accuracy == curve[best - 1]
    assert run.last_accuracy == curve[-1]
    assert same(parameters(network), states[best - 1])
    assert not same(states[0], states[1])


def test_without_use_best_the_last_parameters_stay(scripted):
    scripted([0.9, 0.1])
    network = tiny_network()
    states = []
    run = train(network, TASK, config(), epochs=2, seed=0, on_epoch=lambda _: states.append(parameters(network)))
    assert run.best_epoch == 1
    assert same(parameters(network), states[1])


# --- divergence ------------------------------------------------------------------------------------------------------


def test_a_large_loss_ends_the_training():
    settings = config(divergence_loss=0.01)
    seen = []
    run = train(tiny_network(), TASK, settings, epochs=6, seed=0, on_epoch=seen.append)
    assert run.reason == "diverged"
    assert "epoch 1, batch 1" in run.detail
    assert "loss" in run.detail
    assert run.records == ()
    assert run.best_epoch == 0
    assert seen == []


def test_divergence_later_keeps_the_epochs_before_it(tmp_path):
    # The loss falls; scale the readout up after the second epoch.
    network = tiny_network()

    def spoil(record):
        if record.epoch == 2:
            with torch.no_grad():
                network.readout_weights.fill_(1e9)
                network.readout_weights[0].neg_()

    run = train(network, TASK, config(), epochs=6, seed=0, on_epoch=spoil, checkpoint=tmp_path / "c", use_best=True)
    assert run.reason == "diverged"
    assert "epoch 3, batch 1" in run.detail
    assert len(run.records) == 2
    assert not (tmp_path / "c").exists()


@pytest.mark.parametrize(
    ("name", "bad", "options"),
    [
        ("coupling", float("nan"), {}),
        ("coupling", float("nan"), {"integrator": "euler"}),
        ("coupling", float("inf"), {"integrator": "euler"}),
        ("input_bias", float("inf"), {}),
        ("readout_weights", float("nan"), {}),
    ],
)
def test_weights_that_are_not_finite_end_the_training(name, bad, options):
    network = tiny_network(**options)
    with torch.no_grad():
        network.get_parameter(name)[1] = bad
    run = train(network, TASK, config(), epochs=2, seed=0)
    assert run.reason == "diverged"
    assert "nan" in run.detail
    with pytest.raises(DivergedError, match="not finite"):
        accuracy(network, TASK, TASK.validation)


def test_states_that_are_not_finite_on_validation_data_end_the_training(monkeypatch):
    network = tiny_network()
    train_batch = Trainer._train_batch

    def spoil_at_the_end(self, indices, where):
        value = train_batch(self, indices, where)
        if where == "epoch 2, batch 4":
            with torch.no_grad():
                network.readout_bias[0] = float("nan")
        return value

    monkeypatch.setattr(Trainer, "_train_batch", spoil_at_the_end)
    run = train(network, TASK, config(), epochs=4, seed=0)
    assert (run.reason, run.detail) == ("diverged", "a state was not finite on validation data")
    assert len(run.records) == 1


def test_gradients_that_are_not_finite_end_the_training_as_diverged(monkeypatch):
    step = torch.optim.Adam.step

    def poison(self, *args, **options):
        for group in self.param_groups:
            for parameter in group["params"]:
                parameter.grad.mul_(math.nan)
        return step(self, *args, **options)

    monkeypatch.setattr(torch.optim.Adam, "step", poison)
    for options in ({}, {"integrator": "euler"}, {"stability": "unconstrained"}):
        assert train(tiny_network(**options), TASK, config(), epochs=2, seed=0).reason == "diverged", options


def long_task(side):
    """A pixel a step: ``side**2`` steps."""
    return tiny_task(side=side, presentation="pixels", train_size=16)


def test_free_feedback_diverges_on_long_sequences():
    run = train(
        tiny_network(stability="unconstrained", channels=1, coupling_scale=2.0),
        long_task(28),
        config(),
        epochs=1,
        seed=0,
    )
    assert run.reason == "diverged"
    assert run.detail


def test_negative_feedback_does_not():
    for options in ({}, {"integrator": "euler"}):
        network = tiny_network(channels=1, coupling_scale=2.0, **options)
        assert train(network, long_task(28), config(), epochs=1, seed=0).reason == "", options


def test_a_split_of_another_shape_is_refused():
    odd = replace(TASK, validation=tiny_split(5, side=5))
    with pytest.raises(ValueError, match="shape"):
        train(tiny_network(), odd, config(), epochs=1, seed=0)
