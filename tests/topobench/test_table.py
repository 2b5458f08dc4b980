import json

import numpy as np
import pytest
from support.topobench import VALIDATION_SIZE, formula_table, tiny_benchmark_space

from topo_search.errors import InputError
from topo_search.search import Evaluation
from topo_search.topobench import SEEDS, Table, graph_classes, load_table


def test_a_table_comes_back_from_its_file_as_it_was(tmp_path):
    table = formula_table()
    path = tmp_path / "table.npz"
    table.save(path)
    again = Table.load(path)
    for name in ("masks", "edges", "parameters", "right", "losses", "certified", "rho", "seconds", "reason"):
        assert np.array_equal(getattr(table, name), getattr(again, name)), name
    assert (again.space, again.seeds, again.validation_size) == (table.space, SEEDS, VALIDATION_SIZE)
    assert again.versions == table.versions
    assert path.stat().st_size < 300_000
    assert [p.name for p in tmp_path.iterdir()] == ["table.npz"]


def test_scores_are_exact():
    table = formula_table()
    assert table.complete
    assert table.scores().shape == (1054, 3)
    evaluation = table.evaluation(5, 1)
    assert evaluation.score == evaluation.curve[-1] == table.scores()[5, 1] == table.right[5, 1, -1] / VALIDATION_SIZE
    short = table.evaluation(5, 1, epochs=2)
    assert short.curve == evaluation.curve[:2]
    assert short.score == table.scores(2)[5, 1]
    with pytest.raises(InputError, match="epochs must be from 1 to 4"):
        table.scores(5)


def few(failing=False):
    space = tiny_benchmark_space()
    masks = graph_classes().masks[:2].tolist()
    found = {}
    for mask in masks:
        for seed in SEEDS:
            curve = (0.25, 0.5, 0.75, 0.5)
            found[mask, seed] = Evaluation(0.5, curve, (1.0, 0.9, 0.8, 0.7), best_epoch=3, parameters=80, seconds=1.5)
    if failing:
        found[masks[1], 2] = Evaluation.failure("diverged", "a long story", seconds=0.5)
    return space, found


def test_failed_and_missing_trainings(tmp_path):
    space, found = few(failing=True)
    table = Table.from_evaluations(space, SEEDS, found, validation_size=4)
    table.save(tmp_path / "t.npz")
    again = Table.load(tmp_path / "t.npz")
    assert not again.complete
    assert again.evaluation(1, 2).reason == "diverged"
    assert again.scores().tolist() == [[0.5, 0.5, 0.5], [0.5, 0.5, 0.0]]
    assert again.evaluation(0, 0) == found[int(table.masks[0]), 0].__class__(
        0.5, (0.25, 0.5, 0.75, 0.5), again.evaluation(0, 0).losses, best_epoch=3, parameters=80, seconds=1.5
    )
    # A class whose trainings are not all there is left out.
    del found[int(table.masks[0]), 1]
    assert Table.from_evaluations(space, SEEDS, found, validation_size=4).masks.tolist() == table.masks[1:].tolist()


def test_scores_that_are_no_shares_are_refused():
    space, found = few()
    with pytest.raises(ValueError, match="are no shares of 3"):
        Table.from_evaluations(space, SEEDS, found, validation_size=3)


def arrays_of(path):
    with np.load(path, allow_pickle=False) as file:
        return {name: file[name] for name in file.files}


@pytest.mark.parametrize(
    "damage",
    [
        lambda a: a.update(right=a["right"] + 5000),
        lambda a: a.update(right=a["right"].astype("f8")),
        lambda a: a.update(masks=a["masks"][::-1].copy()),
        lambda a: a.update(edges=a["edges"] + np.uint8(1)),
        lambda a: a.update(losses=a["losses"][:, :1]),
        lambda a: a.pop("rho"),
        lambda a: a.update(about=np.array("{}")),
        lambda a: a.update(about=np.array("[1, 2]")),
        lambda a: a.update(about=np.array(json.dumps({**json.loads(str(a["about"])), "format": "other/1"}))),
        lambda a: a.update(about=np.array(json.dumps({**json.loads(str(a["about"])), "space": {"name": "x"}}))),
        lambda a: a.update(reason=np.full(a["reason"].shape, "diverged")),
        lambda a: a.update(reason=np.full(a["reason"].shape, {"an": "object"}, dtype=object)),
    ],
)
def test_damaged_tables_are_refused_in_one_line(tmp_path, damage):
    space, found = few()
    path = tmp_path / "t.npz"
    Table.from_evaluations(space, SEEDS, found, validation_size=4).save(path)
    arrays = arrays_of(path)
    damage(arrays)
    np.savez_compressed(path, **arrays)
    with pytest.raises(InputError, match="corrupt or not one") as caught:
        Table.load(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("keep", [0, 10, 400, -30])
def test_cut_files_are_refused(tmp_path, keep):
    space, found = few()
    path = tmp_path / "t.npz"
    Table.from_evaluations(space, SEEDS, found, validation_size=4).save(path)
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(InputError, match="corrupt or not one"):
        Table.load(path)


def test_unknown_tables_are_refused(tmp_path):
    with pytest.raises(InputError, match="no table at"):
        load_table(tmp_path / "none.npz")
    with pytest.raises(InputError, match="unknown task 'cifar'"):
        load_table("cifar")
