"""Bounds from the other side: slopes that expand as much as can be found, so that no certificate can be believed below.

A step's norm is convex in the slopes, so its supremum over slopes in [0, 1] is met at a vertex, slopes 0 and 1. Small
problems try every vertex. Larger ones ascend ``y^T (F0 + G E V) x`` by turns in x, y and E, which never descends, from
several starts at once.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import product

import numpy as np
from scipy.sparse.linalg import ArpackError, LinearOperator, eigsh

from topo_search.model.certificate.eigen import Matrix, Vector
from topo_search.model.certificate.step_forms import RateForm, StepForm
from topo_search.seeds import generator

__all__ = ["largest_step_found", "smallest_rate_found"]

ENUMERATED = 10
# Starts go side by side and cost little; an end that is not polished is rarely the best.
STARTS = 32
RATE_STARTS = 6
# Small problems have more starts, as they are cheap, and their singular vectors are computed outright.
SMALL = 64
SMALL_STARTS = 24
TURNS = 100
KEPT_TURNS = 5
POLISHED = 3
POLISHING = 12
RATE_TURNS = 12
# Share of a gain in one turn below which an ascent has ended, and what rounding may have added to what was found.
SETTLED = 1e-7
ROUNDING = 1e-12
# Vertices whose matrices are held at once.
CHUNK = 4096


def largest_step_found(form: StepForm) -> float:
    """The largest ``||F(E)||_2`` found: a lower bound of the supremum over slopes, exact up to 10 units.

    Args:
        form: of one problem, ``(n, n)``.
    """
    n = len(form.fixed)
    if n <= ENUMERATED:
        found = max(
            float(np.linalg.norm(form.fixed + _gained(form, signs), 2, axis=(-2, -1)).max()) for signs in _vertices(n)
        )
    else:
        found = _ascend(form)
    return found * (1 - ROUNDING)


def smallest_rate_found(form: RateForm) -> float:
    """The smallest ``-lmax(sym J(D))`` found: an upper bound of the rate in this metric, exact up to 10 units."""
    n = len(form.base)
    if n <= ENUMERATED:
        tops = [float(np.linalg.eigvalsh(_jacobian(form, signs))[..., -1].max()) for signs in _vertices(n)]
        return -max(tops) + ROUNDING
    rng = generator(0, "slopes of the rate")
    starts = np.vstack([np.ones(n), -np.ones(n), rng.choice([-1.0, 1.0], size=(RATE_STARTS - 2, n))])
    top = max(_descend_rate(form, signs) for signs in starts)
    return -top + ROUNDING * max(1.0, abs(top))


def _vertices(n: int) -> list[Matrix]:
    vertices = np.array(list(product((-1.0, 1.0), repeat=n))).reshape(-1, n)
    return [vertices[first : first + CHUNK] for first in range(0, len(vertices), CHUNK)]


def _gained(form: StepForm | RateForm, signs: Matrix) -> Matrix:
    """``G E V`` of sign patterns ``(m, n)``: ``(m, n, n)``."""
    scaled: Matrix = form.gain * signs[:, None, :]
    return scaled if form.view is None else scaled @ form.view


def _jacobian(form: RateForm, signs: Matrix) -> Matrix:
    """``sym J`` at slopes ``(1 + E) / 2``, ``(m, n, n)``."""
    part = _gained(form, signs)
    jacobian: Matrix = form.centre + 0.25 * (part + part.swapaxes(-1, -2))
    return jacobian


def _ascend(form: StepForm) -> float:
    """By turns from several starts at once, then from the best ends with singular vectors found to the last digit."""
    n = len(form.fixed)
    rng = generator(0, "slopes of a step")
    starts = SMALL_STARTS if n <= SMALL else STARTS
    vectors = rng.normal(size=(n, starts))
    signs = rng.choice([-1.0, 1.0], size=(n, starts))
    signs[:, 0], signs[:, 1] = 1.0, -1.0
    for turn in range(TURNS):
        vectors /= np.maximum(np.linalg.norm(vectors, axis=0), np.finfo(float).tiny)
        seen = vectors if form.view is None else form.view @ vectors
        images = form.fixed @ vectors + form.gain @ (signs * seen)
        back = form.gain.T @ images
        # The first turns keep their signs, so that each start comes near its own pattern's singular vectors.
        if turn >= KEPT_TURNS:
            signs = np.where(back * seen >= 0, 1.0, -1.0)
        inner = signs * back
        vectors = form.fixed.T @ images + (inner if form.view is None else form.view.T @ inner)
    ends = np.argsort(np.linalg.norm(images, axis=0))[::-1][:POLISHED]
    return max(_polish(form, signs[:, end], vectors[:, end]) for end in (*ends, 1))


def _polish(form: StepForm, signs: Vector, start: Vector) -> float:
    best, leading = 0.0, start
    for _ in range(POLISHING):
        pattern = signs

        def gram(vector: Vector, pattern: Vector = pattern) -> Vector:
            seen = vector if form.view is None else form.view @ vector
            image = form.fixed @ vector + form.gain @ (pattern * seen)
            inner = pattern * (form.gain.T @ image)
            return form.fixed.T @ image + (inner if form.view is None else form.view.T @ inner)

        if len(leading) <= SMALL:
            leading = np.linalg.svd(form.fixed + _gained(form, pattern[None])[0])[2][0]
        else:
            leading = _leading_vector(gram, leading)
        seen = leading if form.view is None else form.view @ leading
        image = form.fixed @ leading + form.gain @ (pattern * seen)
        length = float(np.linalg.norm(image))
        if length <= best * (1 + SETTLED):
            break
        best = length
        signs = np.where((form.gain.T @ image) * seen >= 0, 1.0, -1.0)
    return best


def _leading_vector(gram: Callable[[Vector], Vector], start: Vector) -> Vector:
    """A unit vector near the leading eigenvector; one that is not quite gives a weaker bound, not a wrong one."""
    operator = LinearOperator((len(start), len(start)), matvec=gram, dtype=np.float64)
    try:
        vector = eigsh(operator, k=1, which="LA", v0=start, tol=1e-6, maxiter=30)[1][:, 0]
    except ArpackError:
        vector = gram(start)
    return np.asarray(vector / np.linalg.norm(vector), dtype=np.float64)


def _descend_rate(form: RateForm, signs: Matrix) -> float:
    """The largest ``lmax(sym J)`` on the way from a pattern, by turns in the eigenvector and the slopes."""
    best = -np.inf
    for _ in range(RATE_TURNS):
        values, vectors = np.linalg.eigh(_jacobian(form, signs[None])[0])
        if values[-1] <= best:
            break
        best = float(values[-1])
        leading = vectors[:, -1]
        seen = leading if form.view is None else form.view @ leading
        signs = np.where((form.gain.T @ leading) * seen > 0, 1.0, -1.0)
    return best
