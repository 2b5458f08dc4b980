"""One interface to all recipes: an area that stays as drawn, or the numbers that a trained one is made of."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from topo_search.errors import InputError
from topo_search.model.recipes import (
    ProductRecipe,
    Recipe,
    RescaledRecipe,
    SparseRecipe,
    SvdRecipe,
    SymmetricRecipe,
    TriangularRecipe,
)
from topo_search.model.subnetworks.area import AreaDraw, Matrix, StableArea, Vector
from topo_search.model.subnetworks.product import draw_product, realise_product
from topo_search.model.subnetworks.realised import Realised
from topo_search.model.subnetworks.rescaled import sample_rescaled
from topo_search.model.subnetworks.resolvent import theorem1_weights
from topo_search.model.subnetworks.sparse import area_of_norm, sample_sparse, sparse_area
from topo_search.model.subnetworks.svd import draw_svd, realise_svd
from topo_search.model.subnetworks.symmetric import draw_symmetric, realise_symmetric
from topo_search.model.subnetworks.triangular import draw_triangular, triangular_weights

__all__ = ["draw", "fixed_area", "guaranteed_rate", "raw_size", "realise"]


def raw_size(recipe: Recipe, size: int) -> int:
    """Length k of ``raw`` for an area of n units."""
    lower = size * (size + 1) // 2
    match recipe:
        case SymmetricRecipe() | TriangularRecipe():
            return lower
        case ProductRecipe():
            return lower + 2 * size
        case _:
            return size * size


def guaranteed_rate(recipe: Recipe, norm: float) -> float:
    """The contraction rate, per time constant, of every area that :func:`realise` can make: 1 or ``1 - s``."""
    return 1.0 if isinstance(recipe, ProductRecipe) else 1.0 - norm


def draw(recipe: Recipe, size: int, rng: np.random.Generator, norm: float | None) -> AreaDraw:
    """Draw a trainable area.

    With the same generator it starts as the area that :func:`fixed_area` draws, to rounding, in all but three cases:
    ``sparse`` and ``rescaled`` draws of a spectral radius above 0.99 are brought there first; draws whose norm in
    metric coordinates is below a tenth of s stay below s; ``svd`` is not rescaled, so its norm is ``s exp(-min q^2)``.
    For ``sparse``, ``rescaled`` and ``triangular`` ``raw`` holds weights in original units.

    Args:
        recipe: any recipe.
        size: units n.
        rng: source of the draws.
        norm: s, bound on the spectral norm in metric coordinates; ``None``, for ``sparse`` alone, is as released: raw
            weights in original units, identity metric.

    Raises:
        InputError: if the size is below 1, the norm is not in (0, 1), or no stable area was found.
    """
    _check(recipe, size, norm)
    match recipe:
        case SparseRecipe():
            raw = sample_sparse(size, recipe, rng).reshape(-1)
            mask: Vector = (raw != 0).astype(np.float64)
        case RescaledRecipe():
            raw = sample_rescaled(size, recipe, rng).reshape(-1)
            mask = (raw != 0).astype(np.float64)
        case TriangularRecipe():
            raw, mask = draw_triangular(size, recipe, rng)
        case SymmetricRecipe():
            raw = draw_symmetric(size, recipe, rng)
            mask = np.ones_like(raw)
        case ProductRecipe():
            raw = draw_product(size, recipe, rng)
            mask = np.ones_like(raw)
        case SvdRecipe():
            raw = draw_svd(size, recipe, rng)
            mask = np.ones_like(raw)
    return AreaDraw(raw, mask, _metric(recipe, size, raw, norm))


def realise(recipe: Recipe, size: int, raw: Tensor, mask: Tensor, norm: float | None) -> Realised:
    """The area that trainable numbers stand for: contracting at :func:`guaranteed_rate` whatever they are.

    Differentiable, computed in float64 and returned in the type of ``raw``. Areas of one recipe and size can be made in
    one call, with leading dimensions.

    Args:
        recipe: any recipe.
        size: units n.
        raw: ``(..., k)``, any finite numbers, k of :func:`raw_size`.
        mask: ``(..., k)``, 0 where ``raw`` is to count as 0.
        norm: as of :func:`draw`; ``None`` returns the weights of ``sparse`` as they are, and promises nothing.

    Raises:
        InputError: if shapes do not fit or the norm is not in (0, 1).
    """
    _check(recipe, size, norm)
    if raw.shape[-1:] != (raw_size(recipe, size),) or mask.shape != raw.shape:
        raise InputError(
            f"raw weights {tuple(raw.shape)} with mask {tuple(mask.shape)}: expected (..., {raw_size(recipe, size)}) "
            f"for a {recipe.kind} area of {size} units"
        )
    free = raw.double() * mask.double()
    if norm is None:
        return Realised(free.reshape(*free.shape[:-1], size, size).to(raw.dtype), None)
    match recipe:
        case SymmetricRecipe():
            weights, gauge = realise_symmetric(free, size, recipe, norm)
        case ProductRecipe():
            weights, gauge = realise_product(free, size, recipe)
        case SvdRecipe():
            weights, gauge = realise_svd(free, size, norm)
        case _:
            weights, gauge = theorem1_weights(_original_weights(recipe, free, size), norm)[0], None
    return Realised(weights.to(raw.dtype), None if gauge is None else gauge.to(raw.dtype))


def fixed_area(recipe: Recipe, size: int, rng: np.random.Generator, norm: float | None) -> StableArea:
    """Draw an area that is not trained; where its metric is diagonal, of spectral norm s exactly.

    Args:
        recipe: any recipe.
        size: units n.
        rng: source of the draws.
        norm: as of :func:`draw`.

    Raises:
        InputError: as :func:`draw`.
    """
    _check(recipe, size, norm)
    if isinstance(recipe, SparseRecipe):
        return sparse_area(size, recipe, rng, norm=norm)
    assert norm is not None
    if isinstance(recipe, RescaledRecipe):
        return area_of_norm(sample_rescaled(size, recipe, rng), norm)
    start = draw(recipe, size, rng, norm)
    made = realise(recipe, size, torch.as_tensor(start.raw), torch.as_tensor(start.mask), norm)
    weights: Matrix = made.weights.numpy()
    if made.gauge is not None:
        return StableArea(weights, start.metric, made.gauge.numpy())
    largest = float(np.linalg.norm(weights, 2))
    return StableArea(weights * (norm / largest) if largest > 0 else weights, start.metric)


def _original_weights(recipe: Recipe, free: Tensor, size: int) -> Tensor:
    if isinstance(recipe, TriangularRecipe):
        return triangular_weights(free, size)
    return free.reshape(*free.shape[:-1], size, size)


def _metric(recipe: Recipe, size: int, raw: Vector, norm: float | None) -> Vector:
    if norm is None or not isinstance(recipe, SparseRecipe | RescaledRecipe | TriangularRecipe):
        return np.ones(size)
    log_metric = theorem1_weights(_original_weights(recipe, torch.as_tensor(raw), size), norm)[1]
    metric: Vector = np.exp(log_metric.numpy())
    return metric


def _check(recipe: Recipe, size: int, norm: float | None) -> None:
    if size < 1:
        raise InputError(f"an area has {size} units: expected at least 1")
    if norm is None and not isinstance(recipe, SparseRecipe):
        raise InputError(f"recipe {recipe.kind} without an area norm: only sparse areas are used as released")
    if norm is not None and not 0 < norm < 1:
        raise InputError(f"area norm {norm}: expected a number above 0 and below 1")
