"""Every recipe, whatever its numbers are: the theorem holds, the gradient is right, the start is the fixed area."""

import numpy as np
import pytest
import torch
from support.vertices import area_rate

from topo_search.errors import InputError
from topo_search.model.recipes import (
    ProductRecipe,
    RescaledRecipe,
    SparseRecipe,
    SvdRecipe,
    SymmetricRecipe,
    TriangularRecipe,
)
from topo_search.model.subnetworks import (
    StableArea,
    draw,
    fixed_area,
    guaranteed_rate,
    raw_size,
    realise,
    sample_sparse,
    sparse_area,
)

RECIPES = [
    SparseRecipe(density=0.2, magnitude=2.0),
    RescaledRecipe(density=0.4),
    SymmetricRecipe(),
    ProductRecipe(),
    TriangularRecipe(density=0.7),
    SvdRecipe(),
]
DIAGONAL = [recipe for recipe in RECIPES if recipe.kind not in {"symmetric", "product"}]
by_kind = pytest.mark.parametrize("recipe", RECIPES, ids=lambda recipe: recipe.kind)


def random_raw(recipe, size, count, rng, scale):
    """Numbers that no recipe would draw, ``(count, k)``, with random masks."""
    shape = count, raw_size(recipe, size)
    raw = scale * rng.normal(size=shape) * np.exp(rng.normal(size=shape))
    mask = (rng.random(shape) < rng.uniform(0.1, 1, size=(count, 1))).astype(float)
    return torch.as_tensor(raw), torch.as_tensor(mask)


@by_kind
@pytest.mark.parametrize("norm", [0.3, 0.9])
def test_the_rate_holds_at_every_vertex_for_any_numbers(recipe, norm):
    rng = np.random.default_rng(0)
    promised = 1.0 if recipe.kind == "product" else 1 - norm
    assert guaranteed_rate(recipe, norm) == pytest.approx(promised, abs=1e-15)
    checked = 0
    for size, count in ((1, 20), (2, 150), (3, 150), (5, 100), (8, 20)):
        for scale in (1e-3, 0.3, 3.0, 1e3):
            weights, gauge = realise(recipe, size, *random_raw(recipe, size, count, rng, scale), norm)
            for k in range(count):
                rate = area_rate(weights[k].numpy(), None if gauge is None else gauge[k].numpy())
                assert rate >= promised - 1e-9
                checked += 1
    assert checked > 1500


@pytest.mark.parametrize("recipe", DIAGONAL, ids=lambda recipe: recipe.kind)
def test_diagonal_metrics_bound_the_spectral_norm(recipe):
    rng = np.random.default_rng(1)
    for size in (2, 9, 32):
        for scale in (1e-6, 1.0, 1e3):
            weights, gauge = realise(recipe, size, *random_raw(recipe, size, 20, rng, scale), 0.8)
            assert gauge is None
            assert np.linalg.norm(weights.numpy(), 2, axis=(1, 2)).max() <= 0.8 * (1 + 1e-12)


@by_kind
@pytest.mark.parametrize("scale", [0.0, 1e-300, 1e-30, 1e6, 1e300])
def test_weights_and_gradients_are_finite_for_every_finite_number(recipe, scale):
    rng = np.random.default_rng(2)
    for size in (1, 4, 33):
        raw = torch.as_tensor(scale * rng.uniform(-1, 1, (3, raw_size(recipe, size)))).requires_grad_()
        weights, gauge = realise(recipe, size, raw, torch.ones_like(raw), 0.9)
        total = weights.sum() + (0 if gauge is None else gauge.sum())
        total.backward()
        assert torch.isfinite(total)
        assert torch.isfinite(raw.grad).all()


def test_a_chain_too_long_for_floating_point_is_weakened_and_not_let_through():
    raw = torch.full((raw_size(TriangularRecipe(), 120),), 1e3, dtype=torch.float64, requires_grad=True)
    weights = realise(TriangularRecipe(), 120, raw, torch.ones_like(raw), 0.9).weights
    weights.sum().backward()
    assert torch.isfinite(raw.grad).all()
    assert 0.1 < np.linalg.norm(weights.detach().numpy(), 2) <= 0.9 * (1 + 1e-12)


@by_kind
@pytest.mark.parametrize("seed", range(3))
def test_gradients_equal_finite_differences(recipe, seed):
    rng = np.random.default_rng(seed)
    for size, scale in ((2, 0.3), (4, 0.5), (4, 3.0)):
        raw, mask = random_raw(recipe, size, 1, rng, scale)

        def area(entries, size=size, mask=mask):
            return tuple(part for part in realise(recipe, size, entries, mask, 0.9) if part is not None)

        assert torch.autograd.gradcheck(area, (raw.requires_grad_(),), eps=1e-6, atol=2e-5, rtol=1e-4)


@pytest.mark.parametrize("recipe", [RECIPES[0], RECIPES[1], RECIPES[4]], ids=lambda recipe: recipe.kind)
def test_masked_entries_stay_zero_and_get_no_gradient(recipe):
    size = 8
    start = draw(recipe, size, np.random.default_rng(3), 0.9)
    assert 0 < start.mask.sum() < len(start.mask)
    assert not start.raw[start.mask == 0].any()
    raw = torch.as_tensor(start.raw + 5.0).requires_grad_()
    weights = realise(recipe, size, raw, torch.as_tensor(start.mask), 0.9).weights
    (weights * torch.as_tensor(np.random.default_rng(4).normal(size=(size, size)))).sum().backward()
    assert not raw.grad[torch.as_tensor(start.mask) == 0].any()
    assert raw.grad[torch.as_tensor(start.mask) == 1].any()
    pattern = np.zeros((size, size))
    if recipe.kind == "triangular":
        pattern[np.tril_indices(size)] = start.mask
    else:
        pattern = start.mask.reshape(size, size)
        assert not np.diag(pattern).any()
    assert not weights.detach().numpy()[pattern == 0].any()


@by_kind
@pytest.mark.parametrize("size", [1, 4, 32])
def test_a_trained_area_starts_as_the_fixed_one(recipe, size):
    chosen = SparseRecipe() if recipe.kind == "sparse" else recipe
    start = draw(chosen, size, np.random.default_rng(5), 0.9)
    made = realise(chosen, size, torch.as_tensor(start.raw), torch.as_tensor(start.mask), 0.9)
    fixed = fixed_area(chosen, size, np.random.default_rng(5), 0.9)
    tolerance = {1: 0.2, 4: 0.2, 32: 1e-3}[size] if recipe.kind == "svd" else 1e-12
    np.testing.assert_allclose(made.weights.numpy(), fixed.weights, atol=tolerance, rtol=0)
    np.testing.assert_allclose(start.metric, fixed.metric, rtol=1e-9)
    assert (made.gauge is None) == (fixed.gauge is None)
    if made.gauge is not None:
        assert np.array_equal(made.gauge.numpy(), fixed.gauge)
    if fixed.gauge is None and fixed.weights.any():
        assert np.linalg.norm(fixed.weights, 2) == pytest.approx(0.9, rel=1e-12)


def test_fixed_sparse_areas_are_bit_for_bit_the_published_recipe():
    recipe = SparseRecipe(density=0.05)
    for norm in (None, 0.9):
        ours = fixed_area(recipe, 16, np.random.default_rng(6), norm)
        theirs = sparse_area(16, recipe, np.random.default_rng(6), norm=norm)
        assert np.array_equal(ours.weights, theirs.weights)
        assert np.array_equal(ours.metric, theirs.metric)
        assert theirs.gauge is None


def test_as_released_trains_the_weights_in_original_units():
    recipe = SparseRecipe(density=0.05, trainable=True)
    start = draw(recipe, 16, np.random.default_rng(6), None)
    weights = sample_sparse(16, recipe, np.random.default_rng(6))
    assert np.array_equal(start.raw.reshape(16, 16), weights)
    assert start.metric.tolist() == [1.0] * 16
    made = realise(recipe, 16, torch.as_tensor(start.raw), torch.as_tensor(start.mask), None)
    assert np.array_equal(made.weights.numpy(), weights)


@by_kind
def test_many_areas_at_once_equal_one_by_one_and_single_precision_is_rounding(recipe):
    raw, mask = random_raw(recipe, 6, 4, np.random.default_rng(7), 1.0)
    together = realise(recipe, 6, raw, mask, 0.9)
    rounded = realise(recipe, 6, raw.float(), mask.float(), 0.9)
    for k in range(4):
        alone = realise(recipe, 6, raw[k], mask[k], 0.9)
        for part, whole, single in zip(alone, together, rounded, strict=True):
            if part is not None:
                np.testing.assert_allclose(whole[k].numpy(), part.numpy(), atol=1e-12)
                assert single.dtype == torch.float32
                np.testing.assert_allclose(single[k].numpy(), part.numpy(), atol=1e-4)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: draw(SvdRecipe(), 0, np.random.default_rng(0), 0.9), "0 units: expected at least 1"),
        (lambda: fixed_area(SvdRecipe(), 4, np.random.default_rng(0), 1.0), "area norm 1.0: expected"),
        (lambda: fixed_area(SvdRecipe(), 4, np.random.default_rng(0), float("nan")), "area norm nan: expected"),
        (lambda: draw(SymmetricRecipe(), 4, np.random.default_rng(0), None), "symmetric without an area norm"),
        (lambda: realise(SvdRecipe(), 4, torch.zeros(15), torch.ones(15), 0.9), r"expected \(\.\.\., 16\) for a svd"),
        (lambda: realise(SvdRecipe(), 4, torch.zeros(16), torch.ones(4), 0.9), r"with mask \(4,\)"),
        (lambda: draw(SparseRecipe(density=1, tries=2), 9, np.random.default_rng(0), 0.9), "no stable area"),
    ],
)
def test_bad_requests_end_in_one_line(call, message):
    with pytest.raises(InputError, match=message) as caught:
        call()
    assert "\n" not in str(caught.value)


def test_an_area_without_a_gauge_can_still_be_made_from_two_arrays():
    assert StableArea(np.zeros((1, 1)), np.ones(1)).gauge is None
