"""The tables of bounds, on networks small enough to try every pattern of active units."""

import json
from itertools import product

import numpy as np
import pytest
import stability_tables as command
from bench.stability_rows import cap_row, matrices_of, row_of, tightness_row

H = 0.03
ROWS = ("3-all", "3-workspace", "3-half")
UNITS = 4


def exact_factor(weights, coupling):
    """The largest norm of one Euler step over all patterns of active units."""
    n = len(weights)
    base = (1 - H) * np.eye(n) + H * coupling
    patterns = np.array(list(product((0.0, 1.0), repeat=n)))
    return max(
        np.linalg.norm(base + H * weights * chunk[:, None, :], 2, axis=(1, 2)).max()
        for chunk in np.array_split(patterns, 16)
    )


@pytest.fixture(scope="module")
def networks():
    return {name: matrices_of(row_of(name), units=UNITS, seed=0, area_norm=0.998) for name in ROWS}


@pytest.mark.parametrize("name", ROWS)
def test_bounds_enclose_the_factor_that_every_pattern_gives(name, networks):
    row = tightness_row(row_of(name), units=UNITS, seed=0)
    weights, coupling = networks[name]
    exact = exact_factor(weights, coupling)
    assert row["coupling_norm"] == pytest.approx(np.linalg.norm(coupling, 2), rel=1e-6)
    assert row["lower"] <= exact * (1 + 1e-12)
    bounds = [row[key] for key in ("diagonal", "scalar", "centred", "tri")]
    assert exact <= bounds[0]
    assert bounds == sorted(bounds)
    assert row["tri"] == pytest.approx(np.hypot(1 - H, H * np.linalg.norm(coupling, 2)) + H * 0.998, abs=1e-6)
    centred = (1 - H) * np.eye(len(weights)) + H / 2 * weights + H * coupling
    assert row["centred"] == pytest.approx(np.linalg.norm(centred, 2) + H / 2 * 0.998, abs=1e-6)
    assert row["lower"] == pytest.approx(exact, abs=1e-4)


@pytest.mark.parametrize("name", ROWS)
def test_caps_are_certified_and_what_is_above_them_is_refuted(name, networks):
    row = cap_row(row_of(name), units=UNITS, seed=0, area_norm=0.5)
    weights, coupling = matrices_of(row_of(name), units=UNITS, seed=0, area_norm=0.5)
    assert np.linalg.norm(weights, 2) == pytest.approx(0.5)
    unit = coupling / np.linalg.norm(coupling, 2)
    assert row["tri"] <= row["diagonal"] <= row["impossible"]
    assert exact_factor(weights, row["diagonal"] * unit) < 1 <= exact_factor(weights, row["impossible"] * unit)
    # Where tri's bound is 1.
    assert np.hypot(1 - H, H * row["tri"]) + H * 0.5 == pytest.approx(1)
    # No coupling may reach the limit that holds in every metric.
    assert row["impossible"] <= np.sqrt((2 - H) / H) + 0.1
    assert row["ratio"] == pytest.approx(row["diagonal"] / np.linalg.norm(coupling, 2))


def test_workspace_and_half_have_their_edges():
    for name, edges in (("5-all", 10), ("5-workspace", 4), ("5-half", 5)):
        _, coupling = matrices_of(row_of(name), units=UNITS, seed=1, area_norm=0.9)
        joined = np.linalg.norm(coupling.reshape(5, UNITS, 5, UNITS), axis=(1, 3)) > 0
        assert joined.sum() == 2 * edges
        assert np.array_equal(coupling, -coupling.T)


def test_the_command_prints_both_tables(capsys):
    arguments = ["--rows", "3-all", "3-workspace", "--units", "4", "--norms", "0.5", "--seeds", "2", "--json"]
    assert command.main(arguments) == 0
    *_, last = capsys.readouterr().out.strip().splitlines()
    rows = json.loads(last)
    assert [(row["row"], row["seed"]) for row in rows] == [(name, k) for name in arguments[1:3] for k in (0, 1)] * 2
    assert len({row["coupling_norm"] for row in rows}) == 4


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["--rows", "16-ring"], "16-ring"),
        (["--rows", "1-all"], "1-all"),
        (["--norms", "1.5"], "'1.5'"),
        (["--seeds", "0"], "'0'"),
    ],
)
def test_bad_input_is_one_line_and_status_2(arguments, named, capsys):
    assert command.main(arguments) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert line.startswith("error: ")
    assert named in line
