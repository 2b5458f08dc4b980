"""Every line of the table of pruning rules: what it says is kept is kept, what it says may break does."""

from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from support.small_networks import parts, random_skew, rate_in, symmetric_area

from topo_search.errors import InputError
from topo_search.model.pruning_rules import (
    RULES,
    Kept,
    OriginalForm,
    keeps,
    remove_area,
    remove_edge,
    remove_unit,
    zero_pair,
)
from topo_search.seeds import generator

DOCS = Path(__file__).resolve().parents[2] / "docs" / "couplings.md"
SIZES = (3, 2, 2)
CONFERENCE = np.array([[0.0, 1, 1, 1], [-1, 0, -1, 1], [-1, 1, 0, -1], [-1, -1, 1, 0]])


def draw(case, *, diagonal=False):
    """Areas of Theorem 2, or random ones in a diagonal metric, with feedback; and the sure rate of the whole."""
    rng = generator("pruning", case)
    n = sum(SIZES)
    weights, metric = np.zeros((n, n)), np.zeros((n, n))
    for part, size in zip(parts(SIZES), SIZES, strict=True):
        if diagonal:
            block = rng.normal(size=(size, size))
            root = np.exp(rng.normal(size=size))
            weights[part, part] = block / np.linalg.norm(block, 2) * 0.8 * root / root[:, None]
            metric[part, part] = np.diag(root**2)
        else:
            weights[part, part], metric[part, part] = symmetric_area(rng, size, 0.2)
    return OriginalForm(weights, np.linalg.inv(metric), random_skew(rng, SIZES, 4.0)), 0.2


def rate(form):
    return rate_in(np.linalg.inv(form.inverse_metric), form.weights, form.coupling)


def coupling_norm(form):
    """In metric coordinates, where ``M = F^T F`` and the coupling is ``F L F^-1``."""
    root = np.linalg.cholesky(np.linalg.inv(form.inverse_metric)).T
    return np.linalg.norm(root @ form.coupling @ np.linalg.inv(root), 2)


def euler_factor(form, h):
    """Of areas without weights, in metric coordinates."""
    return np.hypot(1 - h, h * coupling_norm(form))


def operations(form):
    """Every way to apply each structural operation once."""
    n, ends = len(form.weights), np.cumsum(SIZES)
    area_of = np.searchsorted(ends, np.arange(n), side="right")
    joined = [(a, b) for a, b in combinations(range(n), 2) if area_of[a] != area_of[b]]
    return {
        "remove_unit": [remove_unit(form, unit) for unit in range(n)],
        "remove_area": [remove_area(form, SIZES, area) for area in range(len(SIZES))],
        "remove_edge": [remove_edge(form, SIZES, edge) for edge in combinations(range(len(SIZES)), 2)],
        "remove_pair": [zero_pair(form, a, b) for a, b in joined],
    }


@pytest.mark.parametrize("diagonal", [True, False])
@pytest.mark.parametrize("operation", ["remove_unit", "remove_area", "remove_edge", "remove_pair"])
def test_the_rate_is_kept_in_every_metric(operation, diagonal):
    assert keeps(operation, diagonal=diagonal).continuous
    for case in range(12):
        form, sure = draw(case, diagonal=diagonal)
        before, norm = rate(form), coupling_norm(form)
        assert before >= sure - 1e-9
        for pruned in operations(form)[operation]:
            assert np.array_equal(pruned.skew, -pruned.skew.T)
            assert rate(pruned) >= before - 1e-9
            if keeps(operation, diagonal=diagonal).discrete:
                assert coupling_norm(pruned) <= norm + 1e-9


def test_the_principal_submatrix_of_the_metric_is_not_the_metric_of_the_rest():
    spread = np.array([[5.0, 2.0], [0.0, -3.0], [-2.0, -6.0]])
    weights = 0.95 * np.eye(3) - spread @ spread.T
    values, basis = np.linalg.eigh(weights)
    metric = (basis * (1 + np.sqrt(np.maximum(0, 1 - values / 0.95))) ** -2) @ basis.T
    form = OriginalForm(weights, np.linalg.inv(metric), np.zeros((3, 3)))
    assert rate(form) == pytest.approx(0.05, abs=1e-9)
    assert rate(remove_unit(form, 0)) >= 0.05
    assert rate_in(metric[1:, 1:], weights[1:, 1:]) == pytest.approx(-3.094, abs=1e-3)


def test_zeroing_a_pair_may_raise_the_norm_of_the_coupling():
    form = OriginalForm(np.zeros((4, 4)), np.eye(4), CONFERENCE)
    pruned = zero_pair(form, 0, 1)
    assert coupling_norm(form) == pytest.approx(np.sqrt(3), abs=1e-12)
    assert coupling_norm(pruned) == pytest.approx(2, abs=1e-12)
    assert rate(form) == pytest.approx(1) == rate(pruned)
    assert euler_factor(form, 0.45) < 1 < euler_factor(pruned, 0.45)
    assert keeps("remove_pair") == Kept(continuous=True, discrete=False)
    # The same as an edge between areas of one unit.
    assert np.array_equal(remove_edge(form, (1, 1, 1, 1), (0, 1)).skew, pruned.skew)
    assert keeps("remove_edge") == Kept(continuous=True, discrete=False)
    assert keeps("remove_edge", integrator="cayley") == Kept(continuous=True, discrete=True)


def test_zeroing_a_pair_of_the_feedback_keeps_the_rate_only_in_diagonal_metrics():
    for diagonal in (True, False):
        worst = np.inf
        for case in range(12):
            form, _ = draw(case, diagonal=diagonal)
            coupling = form.coupling.copy()
            coupling[0, 3] = coupling[3, 0] = 0
            metric = np.linalg.inv(form.inverse_metric)
            worst = min(worst, rate_in(metric, form.weights, coupling) - rate(form))
        assert (worst >= -1e-9) == keeps("zero_linear_pair", diagonal=diagonal).continuous


def test_zeroing_weights_keeps_stability_by_magnitude_and_nothing_else():
    norms, magnitudes = [], []
    for case in range(200):
        rng = generator("zeroed", case)
        weights = rng.normal(size=(4, 4))
        weights *= 0.99 / np.linalg.norm(weights, 2)
        kept = weights * (rng.random((4, 4)) < 0.7)
        norms.append(np.linalg.norm(kept, 2) - 0.99)
        symmetric = [np.abs(matrix) + np.abs(matrix).T for matrix in (weights, kept)]
        magnitudes.append(np.linalg.eigvalsh(symmetric[1])[-1] - np.linalg.eigvalsh(symmetric[0])[-1])
    assert max(magnitudes) <= 1e-12
    assert max(norms) > 0.01
    assert keeps("zero_magnitude_weights") == Kept(continuous=True, discrete=False)
    assert keeps("zero_weights") == Kept(continuous=False, discrete=False)
    symmetric, metric = symmetric_area(generator("zeroed pair"), 6, 0.02)
    rates = []
    for a, b in combinations(range(6), 2):
        kept = symmetric.copy()
        kept[a, b] = kept[b, a] = 0
        rates.append(np.linalg.eigvalsh(kept)[-1])
    assert rate_in(metric, symmetric) == pytest.approx(0.02, abs=1e-9)
    # Largest eigenvalue of symmetric weights at 1 or above: contracting in no metric.
    assert max(rates) > 1


@pytest.mark.parametrize("diagonal", [True, False])
def test_ablating_the_weights_of_an_area_keeps_all(diagonal):
    assert keeps("ablate_weights", diagonal=diagonal) == Kept(continuous=True, discrete=True)
    for case in range(12):
        form, _ = draw(case, diagonal=diagonal)
        part = parts(SIZES)[case % 3]
        weights = form.weights.copy()
        weights[part, part] = 0
        assert rate(OriginalForm(weights, form.inverse_metric, form.skew)) >= rate(form) - 1e-9


def test_imex_steps_are_judged_again_whatever_is_pruned():
    for operation in RULES:
        kept = keeps(operation, integrator="imex")
        assert kept.continuous == keeps(operation).continuous
        assert kept.discrete == operation.startswith(("ablate_input", "ablate_readout"))


def test_what_is_kept_in_discrete_time_is_kept_in_continuous_time():
    for name, rule in RULES.items():
        for kept in (rule.diagonal, rule.general, keeps(name, integrator="cayley")):
            assert kept.continuous or not kept.discrete
        assert not (rule.general.continuous and not rule.diagonal.continuous)


def test_the_page_shows_this_table():
    def words(kept):
        return ("kept" if kept.continuous else "may break") + ", " + ("kept" if kept.discrete else "judge again")

    lines = [
        f"| `{name}` | {rule.description} | {words(rule.diagonal)} | {words(rule.general)} |"
        for name, rule in RULES.items()
    ]
    assert "\n".join(lines) in DOCS.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda form: remove_unit(form, 7), "unit 7 cannot be removed"),
        (lambda form: remove_area(form, SIZES, 3), "area 3 cannot be removed"),
        (lambda form: remove_area(form, (7,), 0), "leaves another"),
        (lambda form: remove_edge(form, SIZES, (0, 3)), "edge (0, 3) cannot be removed"),
        (lambda form: zero_pair(form, -1, 2), "pair (-1, 2) cannot be zeroed"),
        (lambda form: keeps("thin_out"), "no pruning operation is called 'thin_out'"),
    ],
)
def test_bad_requests_are_refused(call, message):
    with pytest.raises(InputError) as error:
        call(draw(0)[0])
    assert message in str(error.value)
