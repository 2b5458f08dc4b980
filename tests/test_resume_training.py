"""``train`` that was interrupted goes on inside the training that it was in."""

import json

import pytest
from support.tiny import tiny_space
from test_cli import run

import topo_search
from topo_search.api import is_training
from topo_search.config import space_to_yaml
from topo_search.errors import InputError
from topo_search.training import Trainer

SPACE = tiny_space()


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("train") / "whole"
    topo_search.train(SPACE, graph="ring", seeds=2, workers=1, out=folder)
    return folder


def interrupted(folder, monkeypatch, *, epochs):
    """Trainings interrupted after so many epochs in all; checkpoints are written after each."""
    monkeypatch.setattr("topo_search.search.evaluate.CHECKPOINT_SECONDS", 0.0)
    train_epoch, done = Trainer.train_epoch, []

    def stop(self):
        if len(done) == epochs:
            raise KeyboardInterrupt
        done.append(self.epochs_done)
        return train_epoch(self)

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "train_epoch", stop)
        with pytest.raises(KeyboardInterrupt):
            topo_search.train(SPACE, graph="ring", seeds=2, workers=1, out=folder)
    return done


def files(folder):
    metrics = json.loads((folder / "metrics.json").read_text())
    del metrics["seconds"]
    return metrics, (folder / "model.safetensors").read_bytes(), (folder / "certificate.json").read_bytes()


@pytest.mark.parametrize("epochs", [2, 3, 5])
def test_it_ends_with_the_same_files_and_repeats_no_epoch(epochs, whole, tmp_path, monkeypatch):
    folder = tmp_path / "run"
    interrupted(folder, monkeypatch, epochs=epochs)
    assert is_training(folder)
    train_epoch, trained = Trainer.train_epoch, []
    monkeypatch.setattr(Trainer, "train_epoch", lambda self: trained.append(1) or train_epoch(self))
    result = topo_search.resume_training(folder, workers=1)
    assert len(trained) == 2 * SPACE.training.epochs - epochs
    assert [entry.path for entry in result.runs] == [folder / "seed-0", folder / "seed-1"]
    for name in ("seed-0", "seed-1"):
        assert files(folder / name) == files(whole / name)
    assert not (folder / "rungs").exists()


def test_the_command_goes_on_too(whole, tmp_path, monkeypatch, capsys):
    folder = tmp_path / "run"
    interrupted(folder, monkeypatch, epochs=4)
    status, out, _ = run(monkeypatch, capsys, "resume", folder, "--workers", 1, "--quiet", "--json")
    assert status == 0
    assert [entry["path"] for entry in json.loads(out)["runs"]] == [str(folder / "seed-0"), str(folder / "seed-1")]
    assert files(folder / "seed-1") == files(whole / "seed-1")
    status, _, err = run(monkeypatch, capsys, "resume", folder, "--budget", 5)
    assert (status, err.count("\n")) == (2, 1)
    assert "expected no --budget" in err


def test_a_finished_training_is_not_repeated(whole, monkeypatch):
    monkeypatch.setattr(Trainer, "train_epoch", lambda self: pytest.fail("an epoch was trained again"))
    assert len(topo_search.resume_training(whole, workers=1).runs) == 2


def test_a_search_is_no_training_and_a_training_no_search(whole, tmp_path):
    search = tmp_path / "search"
    search.mkdir()
    (search / "space.yaml").write_text(space_to_yaml(SPACE, {"seed": 0, "budget": 3, "study": "search"}))
    with pytest.raises(InputError, match="holds no trainings"):
        topo_search.resume_training(search)
    with pytest.raises(InputError, match=r"run\.budget: missing"):
        topo_search.resume(whole)


def test_a_link_in_the_place_of_a_network_is_refused_and_leftovers_of_a_kill_go(tmp_path, monkeypatch):
    folder = tmp_path / "run"
    interrupted(folder, monkeypatch, epochs=2)
    left = folder / "rungs" / ".0.safetensors.abc.tmp"
    left.write_bytes(b"half")
    (tmp_path / "elsewhere").mkdir()
    (folder / "seed-1").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(InputError, match="seed-1 is a link"):
        topo_search.resume_training(folder, workers=1)
    assert list((tmp_path / "elsewhere").iterdir()) == []
    assert not left.exists()
    (folder / "seed-1").unlink()
    assert len(topo_search.resume_training(folder, workers=1).runs) == 2
