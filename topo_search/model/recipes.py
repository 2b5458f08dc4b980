"""Validated settings of the area recipes: which theorem makes an area stable, and how its weights are drawn."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag

__all__ = [
    "ProductRecipe",
    "Recipe",
    "RescaledRecipe",
    "SparseRecipe",
    "SvdRecipe",
    "SymmetricRecipe",
    "TriangularRecipe",
]


class _Settings(BaseModel):
    """What every recipe has: ``trainable``, whether the areas' weights are trained (inside their theorem)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    trainable: bool = False


class SparseRecipe(_Settings):
    """The sparse recipe of Theorem 1 (Kozachkov et al.): few strong weights, accepted by rejection.

    ``round(density * n^2)`` entries, uniform in ``[-magnitude, magnitude]``, diagonal zeroed, kept when the spectral
    radius of the weight magnitudes is below 1.
    """

    kind: Literal["sparse"] = "sparse"
    density: float = Field(default=0.033, gt=0, le=1)
    magnitude: float = Field(default=6.0, gt=0, le=1e3)
    tries: int = Field(default=2000, ge=1, le=1_000_000)


class RescaledRecipe(_Settings):
    """Theorem 1 without rejection: a sparse draw whose spectral radius of magnitudes is set to ``radius``.

    Entries as for ``sparse``, at any density. A draw without cycles has radius 0 and stays as it is.
    """

    kind: Literal["rescaled"] = "rescaled"
    density: float = Field(default=0.1, gt=0, le=1)
    magnitude: float = Field(default=1.0, gt=0, le=1e3)
    radius: float = Field(default=0.9, gt=0, le=0.99)


class SymmetricRecipe(_Settings):
    """Theorem 2: symmetric weights ``U diag(e) U^T``, eigenvalues between ``-lowest`` and the area norm s.

    U is the exponential of a skew matrix with entries of standard deviation ``rotation``. The lower limit is not the
    theorem's: it bounds the conditioning of the metric, and a step of size h with strongly inhibited modes.
    """

    kind: Literal["symmetric"] = "symmetric"
    lowest: float = Field(default=1.0, ge=0, le=100)
    rotation: float = Field(default=1.0, ge=0, le=10)


class ProductRecipe(_Settings):
    """Theorem 3: ``W = -P1 Q P2``, P1 and P2 positive diagonal and Q positive definite; contracts at rate 1.

    ``strength`` bounds the largest eigenvalue of ``-W D`` over slopes D in [0, 1]: a step of size h contracts by
    ``max(1 - h, h (1 + strength) - 1)``, so by ``1 - h`` where ``h (2 + strength) <= 2``. ``gain`` is the standard
    deviation of the logarithms of P1 and P2.
    """

    kind: Literal["product"] = "product"
    strength: float = Field(default=2.0, gt=0, le=1e3)
    gain: float = Field(default=0.3, ge=0, le=2)


class TriangularRecipe(_Settings):
    """Theorem 4: lower triangular weights, so a feed-forward order of units, with self weights below 1 in size.

    A share ``density`` of the entries below the diagonal is kept, normal of standard deviation ``magnitude / sqrt(n)``;
    self weights are ``tanh`` of normal draws of standard deviation ``self_weight``.
    """

    kind: Literal["triangular"] = "triangular"
    density: float = Field(default=1.0, gt=0, le=1)
    magnitude: float = Field(default=1.0, gt=0, le=1e3)
    self_weight: float = Field(default=0.3, ge=0, le=3)


class SvdRecipe(_Settings):
    """Theorem 5: ``W~ = s U diag(exp(-q^2)) V^T`` in metric coordinates; trainable, the published SVD Combo Net.

    U and V are exponentials of skew matrices with entries of standard deviation ``rotation``; q is normal of standard
    deviation ``spread``.
    """

    kind: Literal["svd"] = "svd"
    rotation: float = Field(default=1.0, ge=0, le=10)
    spread: float = Field(default=0.5, ge=0, le=5)


def _kind(value: object) -> Any:
    # Settings written before there were kinds have none: they are sparse.
    return value.get("kind", "sparse") if isinstance(value, Mapping) else getattr(value, "kind", None)


Recipe = Annotated[
    Annotated[SparseRecipe, Tag("sparse")]
    | Annotated[RescaledRecipe, Tag("rescaled")]
    | Annotated[SymmetricRecipe, Tag("symmetric")]
    | Annotated[ProductRecipe, Tag("product")]
    | Annotated[TriangularRecipe, Tag("triangular")]
    | Annotated[SvdRecipe, Tag("svd")],
    Discriminator(
        _kind,
        custom_error_type="recipe_kind",
        custom_error_message="unknown recipe: expected kind sparse, rescaled, symmetric, product, triangular or svd",
    ),
]
"""Any recipe, told apart by ``kind`` (``sparse`` where none is named)."""
