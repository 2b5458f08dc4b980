"""A training that was stopped and taken up again is the training that was not."""

import errno
import json
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from support.tiny import tiny_graph, tiny_network, tiny_task

from topo_search.errors import InputError
from topo_search.files import UnreadableError
from topo_search.training import Trainer, TrainingConfig, restore_checkpoint, save_checkpoint, train
from topo_search.training.checkpoint import read_tensors, write_tensors

TASK = tiny_task()
CONFIG = TrainingConfig(epochs=5, batch_size=16, learning_rate=0.02, weight_decay=1e-3)


class StoppedError(Exception):
    pass


def state(network):
    return {name: p.detach().clone() for name, p in network.named_parameters()}


def same(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def make_trainer(**options):
    return Trainer(tiny_network(**options), TASK, CONFIG, seed=0)


def everything(trainer):
    """All that decides how a training goes on."""
    moments = {
        f"{name}.{key}": value.clone()
        for name, parameter in trainer.network.named_parameters()
        for key, value in trainer.optimiser.state[parameter].items()
    }
    return {**state(trainer.network), **moments, **{f"best.{n}": p for n, p in trainer.best_parameters.items()}}


@pytest.mark.parametrize("options", [{}, {"integrator": "euler"}, {"stability": "unconstrained"}])
@pytest.mark.parametrize("schedule", [{}, {"schedule": "cosine"}])
@pytest.mark.parametrize("stop", [1, 3, 4])
def test_an_interrupted_training_ends_with_the_same_bits(stop, schedule, options, tmp_path):
    config = CONFIG.model_copy(update=schedule)
    straight = tiny_network(**options)
    run = train(straight, TASK, config, epochs=5, seed=7, use_best=True)

    def interrupt(record):
        if record.epoch == stop + 1:
            raise StoppedError

    path = tmp_path / "checkpoint"
    with pytest.raises(StoppedError):
        train(
            tiny_network(**options),
            TASK,
            config,
            epochs=5,
            seed=7,
            checkpoint=path,
            checkpoint_every=1,
            identity="x",
            on_epoch=interrupt,
        )
    again = tiny_network(**options)
    seen = []
    second = train(
        again, TASK, config, epochs=5, seed=7, use_best=True, checkpoint=path, identity="x", on_epoch=seen.append
    )
    assert second.resumed_from == stop
    assert [record.epoch for record in seen] == list(range(stop + 1, 6))
    assert second.records == run.records
    assert second.best_epoch == run.best_epoch
    assert same(state(again), state(straight))
    assert [p.name for p in tmp_path.iterdir()] == ["checkpoint"]


def test_going_up_a_ladder_is_training_straight_through(tmp_path):
    straight = train(tiny_network(), TASK, CONFIG, epochs=5, seed=0)
    for epochs, resumed in ((1, 0), (3, 1), (5, 3)):
        network = tiny_network()
        run = train(network, TASK, CONFIG, epochs=epochs, seed=0, checkpoint=tmp_path / "c", identity="x")
        assert run.resumed_from == resumed
        assert run.records == straight.records[:epochs]


def test_the_best_of_before_the_stop_is_kept(tmp_path, monkeypatch):
    curve = iter([0.9, 0.1, 0.2])
    monkeypatch.setattr("topo_search.training.trainer._accuracy", lambda network, batches: next(curve))
    network = tiny_network()
    train(network, TASK, CONFIG, epochs=1, seed=0, checkpoint=tmp_path / "c", identity="x")
    best = state(network)
    network = tiny_network()
    run = train(network, TASK, CONFIG, epochs=3, seed=0, checkpoint=tmp_path / "c", identity="x", use_best=True)
    assert run.resumed_from == 1
    assert run.best_epoch == 1
    assert same(state(network), best)


def test_a_finished_training_is_not_repeated(tmp_path):
    first = train(tiny_network(), TASK, CONFIG, epochs=3, seed=0, checkpoint=tmp_path / "c", identity="x")
    before = (tmp_path / "c").read_bytes()
    network = tiny_network()
    seen = []
    run = train(network, TASK, CONFIG, epochs=3, seed=0, checkpoint=tmp_path / "c", identity="x", on_epoch=seen.append)
    assert run.resumed_from == 3
    assert run.records == first.records
    assert seen == []
    assert (tmp_path / "c").read_bytes() == before


def test_restoring_restores_everything(tmp_path):
    one = make_trainer()
    one.train_epoch()
    one.train_epoch()
    save_checkpoint(tmp_path / "c", one, identity="x")
    other = make_trainer()
    other.train_epoch()
    with torch.no_grad():
        for parameter in other.network.parameters():
            parameter.add_(1)
    restore_checkpoint(tmp_path / "c", other, identity="x")
    assert same(everything(one), everything(other))
    assert (other.records, other.best_epoch, other.epochs_done) == (one.records, one.best_epoch, 2)
    assert one.train_epoch() == other.train_epoch()
    assert same(everything(one), everything(other))


@pytest.fixture
def saved(tmp_path):
    trainer = make_trainer()
    trainer.train_epoch()
    trainer.train_epoch()
    save_checkpoint(tmp_path / "c", trainer, identity="right")
    return tmp_path / "c"


def assert_refused(path, match, *, identity="right", **options):
    trainer = make_trainer(**options)
    trainer.train_epoch()
    before, records = everything(trainer), list(trainer.records)
    with pytest.raises(InputError, match=match) as caught:
        restore_checkpoint(path, trainer, identity=identity, at_most=4)
    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value)
    # Nothing of a refused checkpoint may have come in.
    assert same(everything(trainer), before)
    assert trainer.records == records


def test_checkpoints_of_other_trainings_are_refused(saved):
    assert_refused(saved, "belongs to another training", identity="wrong")
    assert_refused(saved, "does not fit the network", graph=tiny_graph().with_edges([(0, 1), (1, 3)]))
    assert_refused(saved, "does not fit the network", classes=2, channels=6, stability="unconstrained")
    with pytest.raises(InputError, match="holds 2 epochs: expected at most 1"):
        restore_checkpoint(saved, make_trainer(), identity="right", at_most=1)


def test_missing_files_and_folders_are_refused(tmp_path):
    assert_refused(tmp_path / "none", "no checkpoint at")
    assert_refused(tmp_path, "cannot be read")


def test_truncated_files_are_refused(saved):
    content = saved.read_bytes()
    for length in (0, 4, 8, 100, len(content) // 2, len(content) - 1):
        saved.write_bytes(content[:length])
        assert_refused(saved, "is corrupt")
    saved.write_bytes(content + b"\0")
    assert_refused(saved, "is corrupt")


def test_any_flipped_byte_is_refused(saved):
    content = saved.read_bytes()
    trainer = make_trainer()
    before = state(trainer.network)
    header = 8 + int.from_bytes(content[:8], "little")
    rng = np.random.default_rng(0)
    places = [*range(0, header, 7), *rng.integers(header, len(content), 80).tolist()]
    for place in places:
        spoiled = bytearray(content)
        spoiled[place] ^= 1 << int(rng.integers(8))
        saved.write_bytes(bytes(spoiled))
        try:
            restore_checkpoint(saved, trainer, identity="right")
        except InputError:
            continue
        pytest.fail(f"byte {place} was flipped and not noticed")
    assert same(state(trainer.network), before)


def test_a_header_without_its_entries_is_refused(saved):
    content = saved.read_bytes()
    length = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + length])
    for metadata in (None, {}, {"header": "[]"}, {"header": "{}", "sha256": "0"}, {"header": "nonsense"}):
        entries = {name: entry for name, entry in header.items() if name != "__metadata__"}
        if metadata is not None:
            entries["__metadata__"] = metadata
        text = json.dumps(entries).encode()
        saved.write_bytes(len(text).to_bytes(8, "little") + text + content[8 + length :])
        assert_refused(saved, "is corrupt")


@pytest.mark.parametrize("spoil", ["flip", "truncate", "identity", "rubbish", "further", "folder"])
def test_training_makes_a_bad_checkpoint_anew(spoil, saved):
    content = bytearray(saved.read_bytes())
    if spoil == "flip":
        content[-5] ^= 4
        saved.write_bytes(bytes(content))
    elif spoil == "truncate":
        saved.write_bytes(bytes(content[:-5]))
    elif spoil == "rubbish":
        saved.write_bytes(b"{}")
    elif spoil == "folder":
        saved.unlink()
        saved.mkdir()
    identity = "other" if spoil == "identity" else "right"
    epochs = 1 if spoil == "further" else 3
    if spoil == "folder":
        with pytest.raises(InputError, match=r"checkpoint at .* cannot be read"):
            train(tiny_network(), TASK, CONFIG, epochs=epochs, seed=0, checkpoint=saved, identity=identity)
        return
    network = tiny_network()
    run = train(network, TASK, CONFIG, epochs=epochs, seed=0, checkpoint=saved, identity=identity)
    assert run.resumed_from == 0
    fresh = tiny_network()
    assert run.records == train(fresh, TASK, CONFIG, epochs=epochs, seed=0).records
    assert same(state(network), state(fresh))
    trainer = make_trainer()
    restore_checkpoint(saved, trainer, identity=identity)
    assert trainer.epochs_done == epochs


@pytest.mark.parametrize("number", [errno.EIO, errno.ESTALE, errno.EMFILE, errno.EACCES])
def test_a_checkpoint_that_the_disk_does_not_let_be_read_stays(number, saved, monkeypatch):
    def fails(self):
        raise OSError(number, os.strerror(number), str(self))

    content = saved.read_bytes()
    options = {"epochs": 3, "seed": 0, "checkpoint": saved, "identity": "right"}
    with monkeypatch.context() as patch:
        patch.setattr(Path, "read_bytes", fails)
        with pytest.raises(UnreadableError, match=f"checkpoint at .* cannot be read: {os.strerror(number)}"):
            train(tiny_network(), TASK, CONFIG, **options)
    assert saved.read_bytes() == content
    assert train(tiny_network(), TASK, CONFIG, **options).resumed_from == 2


def test_a_network_of_another_seed_has_another_identity_to_be_refused_by(saved):
    # Shapes fit here: only the identity that the caller gives can tell, so it must be looked at.
    with pytest.raises(InputError, match="another training"):
        restore_checkpoint(saved, make_trainer(seed=1), identity="right:1")


def test_checkpoints_hold_no_code(saved):
    tensors = load_file(saved)
    assert {name.split(".")[0] for name in tensors} == {"parameter", "best", "first_moment", "second_moment", "step"}


def test_best_parameters_are_copies_not_views(saved):
    trainer = make_trainer()
    restore_checkpoint(saved, trainer, identity="right")
    best = {name: tensor.clone() for name, tensor in trainer.best_parameters.items()}
    trainer.records = [replace(record, validation_accuracy=2.0) for record in trainer.records]
    trainer.train_epoch()
    assert same(trainer.best_parameters, best)


def in_parts(seconds, path, **options):
    """Train in parts of limited time, each on a fresh network as on another machine; the last run, and how many."""
    for count in range(1, CONFIG.epochs + 1):
        run = train(
            tiny_network(),
            TASK,
            CONFIG,
            epochs=CONFIG.epochs,
            seed=7,
            use_best=True,
            checkpoint=path,
            identity="parts",
            at_most_seconds=seconds,
            **options,
        )
        if not run.unfinished:
            return run, count
    raise AssertionError("the parts never end")


def test_parts_of_limited_time_give_the_bits_of_one_training(tmp_path):
    straight = train(tiny_network(), TASK, CONFIG, epochs=CONFIG.epochs, seed=7, use_best=True)
    parted, count = in_parts(0.0, tmp_path / "checkpoint")
    assert count == CONFIG.epochs, "a part without time trains one epoch"
    assert parted.records == straight.records
    assert parted.resumed_from == CONFIG.epochs - 1
    assert same(state(parted.network), state(straight.network))
    assert in_parts(3600.0, tmp_path / "other")[1] == 1


def test_an_unfinished_part_keeps_the_last_parameters_not_the_best(tmp_path):
    network = tiny_network()
    options = {"epochs": CONFIG.epochs, "seed": 7, "identity": "parts", "checkpoint": tmp_path / "checkpoint"}
    run = train(network, TASK, CONFIG, use_best=True, at_most_seconds=0.0, **options)
    assert run.unfinished
    assert len(run.records) == 1
    trainer = make_trainer()
    restore_checkpoint(tmp_path / "checkpoint", trainer, identity="parts")
    assert same(state(trainer.network), state(network))


def test_limited_time_without_a_checkpoint_is_refused():
    with pytest.raises(ValueError, match="needs a checkpoint"):
        train(tiny_network(), TASK, CONFIG, epochs=2, seed=0, at_most_seconds=1.0)


@pytest.mark.parametrize(("seconds", "writings"), [(0.0, 5), (3600.0, 1), (None, 1)])
def test_checkpoints_are_written_as_time_goes_by(seconds, writings, tmp_path, monkeypatch):
    written = []
    monkeypatch.setattr("topo_search.training.loop.save_checkpoint", lambda path, *_, **__: written.append(path))
    options = {"epochs": 5, "seed": 0, "checkpoint": tmp_path / "c", "checkpoint_seconds": seconds}
    train(tiny_network(), TASK, CONFIG, **options)
    assert len(written) == writings


def _rewritten(path, change):
    """The file with another header of safetensors; its tensors' bytes stay."""
    content = path.read_bytes()
    size = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + size])
    change(header)
    text = json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + content[8 + size :])


def _saved(path):
    trainer = make_trainer()
    trainer.train_epoch()
    save_checkpoint(path, trainer, identity="x")
    return trainer


@pytest.mark.parametrize(
    "change", [{"dtype": "I32"}, {"shape": [1]}], ids=["the same bytes as integers", "another shape"]
)
@pytest.mark.parametrize("name", ["first_moment.readout_bias", "step.readout_bias"])
def test_the_digest_holds_for_types_and_shapes_too(name, change, tmp_path):
    path = tmp_path / "checkpoint"
    _saved(path)
    if "shape" in change and not name.startswith("step"):
        change = {"shape": [1, 2]}
    _rewritten(path, lambda header: header[name].update(change))
    trainer = make_trainer()
    before = state(trainer.network)
    with pytest.raises(InputError, match="digest"):
        restore_checkpoint(path, trainer, identity="x")
    assert same(before, state(trainer.network))


HEADERS = {
    "no identity": lambda header: header.pop("identity"),
    "records that are no list": lambda header: header.update(records=3),
    "a record without a loss": lambda header: header["records"][0].pop("loss"),
    "an epoch left out": lambda header: header["records"][0].update(epoch=2),
    "a best epoch that is none": lambda header: header.update(best_epoch=9),
    "an unknown entry": lambda header: header.update(more=1),
}


@pytest.mark.parametrize("case", HEADERS)
def test_a_header_that_no_training_wrote_is_refused(case, tmp_path):
    path = tmp_path / "checkpoint"
    _saved(path)
    tensors, header = read_tensors(path, "checkpoint", expected="topo_search.checkpoint/1")
    HEADERS[case](header)
    write_tensors(path, tensors, header)
    with pytest.raises(InputError, match="corrupt"):
        restore_checkpoint(path, make_trainer(), identity="x")


def test_a_header_of_lists_in_lists_is_refused(tmp_path):
    path = tmp_path / "checkpoint"
    _saved(path)
    _rewritten(path, lambda header: header["__metadata__"].update(header="[" * 100_000))
    with pytest.raises(InputError, match="corrupt"):
        restore_checkpoint(path, make_trainer(), identity="x")
