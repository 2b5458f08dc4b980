"""Winners are put in place whole, and what others have put beside them stays."""

import json
import shutil
from pathlib import Path

import pytest
from support.saving import leave_network

from topo_search.errors import RunFailedError
from topo_search.search.winner_folders import check_places, put_winner, remove_stale

FILES = ["certificate.json", "graph.graphml", "graph.json", "metrics.json", "model.safetensors"]


@pytest.fixture
def winners(tmp_path):
    return tmp_path / "run" / "winners"


@pytest.fixture
def source(tmp_path):
    leave_network(tmp_path / "full", "weights")
    return tmp_path / "full"


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def put(winners, rank, source, **metrics):
    put_winner(winners, rank, source, {"rank": rank, **metrics})


def occupy(place, how, elsewhere):
    """Put something of someone else's in a place; what must still be there afterwards."""
    elsewhere.mkdir(parents=True)
    (elsewhere / "precious").write_text("precious")
    place.parent.mkdir(parents=True, exist_ok=True)
    if how == "file":
        place.write_text("precious")
        return place
    if how == "folder":
        place.mkdir()
        (place / "precious").write_text("precious")
        return place / "precious"
    place.symlink_to(elsewhere / "none" if how == "link to nothing" else elsewhere)
    return elsewhere / "precious"


def test_a_winner_takes_the_place_of_the_one_before(winners, source):
    put(winners, 1, source, trial=3)
    (winners / "1" / "old.txt").touch()
    leave_network(source, "others")
    put(winners, 1, source, trial=4)
    assert names(winners) == ["1"]
    assert names(winners / "1") == FILES
    assert json.loads((winners / "1" / "metrics.json").read_text()) == {"rank": 1, "trial": 4}
    assert (winners / "1" / "model.safetensors").read_text() == "others"


def test_what_a_killed_worker_left_beside_the_network_is_not_the_winner_s(winners, source):
    (source / ".model.safetensors.abc.tmp").touch()
    (source / "folder").mkdir()
    put(winners, 1, source)
    assert names(winners / "1") == FILES


@pytest.mark.parametrize("step", ["rename", "rmtree"])
@pytest.mark.parametrize("count", [0, 1, 2])
def test_a_winner_whose_replacement_was_killed_is_replaced_by_the_next_try(winners, source, monkeypatch, step, count):
    put(winners, 1, source, trial=3)
    with monkeypatch.context() as patch:
        _kill_at(patch, step, count)
        try:
            put(winners, 1, source, trial=4)
        except KeyboardInterrupt:
            killed = True
        else:
            killed = False
    # Two renames, and one removal of the winner before.
    assert killed == (count < (2 if step == "rename" else 1))
    put(winners, 1, source, trial=5)
    assert names(winners) == ["1"]
    assert json.loads((winners / "1" / "metrics.json").read_text())["trial"] == 5


def _kill_at(patch, step, count):
    owner, left = (Path, count) if step == "rename" else (shutil, count)
    real = getattr(owner, step)

    def killed(path, *given):
        nonlocal left
        if left == 0:
            if step == "rmtree":  # In the midst of it.
                next(iter(path.glob("metrics.json"))).unlink()
            raise KeyboardInterrupt
        left -= 1
        return real(path, *given)

    patch.setattr(owner, step, killed)


def test_stale_winners_go_and_all_else_stays(winners, source):
    for rank in (1, 2, 3, 12):
        put(winners, rank, source)
    (winners / ".2.new").mkdir()
    (winners / ".7.old").mkdir()
    (winners / ".7.old" / "graph.json").touch()
    (winners / "5").mkdir()
    others = [".DS_Store", "notes.txt", "mine", "2024", "03", ".3.newer", "link", "6"]
    for name in ("mine", "2024", "03", ".3.newer"):
        (winners / name).mkdir()
        (winners / name / "precious").touch()
    for name in (".DS_Store", "notes.txt"):
        (winners / name).touch()
    for name in ("link", "6"):
        (winners / name).symlink_to(source)
    remove_stale(winners, keep=[1])
    assert names(winners) == sorted(["1", *others])
    assert all((winners / name / "precious").exists() for name in ("mine", "2024", "03", ".3.newer"))
    assert len(names(source)) == 4


def test_without_winners_there_is_nothing_to_remove(winners):
    remove_stale(winners, keep=[])
    assert not winners.exists()


@pytest.mark.parametrize("place", ["1", ".1.new", ".1.old"])
@pytest.mark.parametrize("how", ["file", "folder", "link", "link to nothing"])
def test_what_stands_where_a_winner_is_to_lie_is_named_and_stays(winners, source, place, how):
    precious = occupy(winners / place, how, winners.parent / "elsewhere")
    if how == "folder" and place != "1":
        check_places(winners, [1])  # A folder of this name is one that a killed run left.
        return
    for act in (lambda: check_places(winners, [2, 1]), lambda: put(winners, 1, source)):
        with pytest.raises(RunFailedError, match=r"in the way of a winner: .*; move it elsewhere and go on") as caught:
            act()
        assert str(caught.value).startswith(f"{winners / place} ")
        assert precious.read_text() == "precious"
    check_places(winners, [2, 3])
