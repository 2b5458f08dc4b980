import json

import numpy as np
import pytest
from support.topobench import VALIDATION_SIZE, formula_table, tiny_benchmark_space

from topo_search.errors import InputError
from topo_search.report.landscape import draw_landscape, draw_regret
from topo_search.topobench import SEEDS, Benchmark, Table, representative, run_replays, study_landscape
from topo_search.topobench.descriptors import describe_roles


@pytest.fixture(scope="module")
def landscape():
    return study_landscape(formula_table(), bootstrap=8)


def test_what_made_the_scores_is_found(landscape):
    assert landscape.tau["input_output_path"].value < -0.5
    assert landscape.tau_same_edges["input_output_path"].value < -0.6
    assert landscape.regression["input_output_path"].value < -0.5 < 0.1 < landscape.regression["edges"].value
    assert abs(landscape.regression["inputs_joined"].value) < 0.1
    assert landscape.explained.value > 0.8
    for estimate in landscape.tau.values():
        assert estimate.low - 0.05 <= estimate.value <= estimate.high + 0.05


def test_signal_and_noise_are_those_of_the_formula(landscape):
    assert landscape.noise == pytest.approx(0.004, rel=0.1)
    assert landscape.signal > 3 * landscape.noise
    assert [entry.classes for entry in landscape.by_edges] == [96, 222, 276, 231, 140, 63, 20, 5, 1]
    assert np.isnan(landscape.by_edges[-1].signal)
    assert landscape.best == max(entry.best for entry in landscape.by_edges)
    assert landscape.rungs[-1] == 4
    assert landscape.agreement[-1].tau > landscape.agreement[0].tau
    assert (landscape.failed, landscape.certified) == (0, 1.0)
    assert json.loads(json.dumps(landscape.as_dict(), allow_nan=False))["by_edges"][-1]["signal"] is None


@pytest.mark.parametrize(
    ("mask", "expected"),
    [
        # All 13 edges: both inputs two steps from the output, over three areas.
        (8191, (2, 3, 3, 8, 1, 3, 0)),
        # A path 0-1-2-3-4-5: the first bits of 0-1, 1-2, 2-3, 3-4 and 4-5.
        (None, (5, 1, 1, 3, 1, 0, 0)),
    ],
)
def test_roles_are_described(mask, expected):
    graph = representative(tiny_benchmark_space(), 8191 if mask is None else mask)
    if mask is None:
        graph = graph.with_edges([(0, 1), (1, 2), (2, 3), (3, 4), (4, 5)])
    assert tuple(describe_roles(graph).values()) == expected


def test_pictures_are_the_same_each_time(tmp_path, landscape):
    table = formula_table()
    replays = run_replays(Benchmark(table, max_edges=6), ["random", "evolution"], replays=3)
    for name in ("a", "b"):
        draw_landscape(table, landscape, tmp_path / f"{name}.svg")
        draw_regret(replays, tmp_path / f"{name}-regret.svg", threshold=0.005)
    assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()
    assert (tmp_path / "a-regret.svg").read_bytes() == (tmp_path / "b-regret.svg").read_bytes()


def first_classes(count):
    table = formula_table()
    evaluations = {
        (mask, seed): table.evaluation(row, seed)
        for row, mask in enumerate(table.masks[:count].tolist())
        for seed in SEEDS
    }
    return Table.from_evaluations(table.space, SEEDS, evaluations, validation_size=VALIDATION_SIZE)


def test_a_table_may_end_at_a_number_of_edges():
    part = first_classes(318)
    assert (part.complete, part.complete_to) == (False, 6)
    assert [entry.edges for entry in study_landscape(part, bootstrap=2).by_edges] == [5, 6]
    assert Benchmark(part, max_edges=6).size == 318
    with pytest.raises(InputError, match="complete up to 6 edges"):
        Benchmark(part, max_edges=7)
    with pytest.raises(InputError, match="complete up to 6 edges"):
        Benchmark(part)


def test_a_table_with_gaps_has_no_landscape():
    with pytest.raises(InputError, match="without gaps"):
        study_landscape(first_classes(100))
    with pytest.raises(InputError, match="without gaps"):
        study_landscape(first_classes(1))
    assert Benchmark(first_classes(100), max_edges=5).size == 96
