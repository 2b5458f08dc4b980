"""The largest norm of a skew coupling at which steps with an explicit part are certified in closed form."""

from __future__ import annotations

import math

__all__ = ["euler_cap", "imex_cap"]


def euler_cap(area_norm: float, h: float) -> float:
    """The largest coupling norm at which forward Euler is certified by the ``tri`` bound.

    ``rho <= sqrt((1 - h)^2 + h^2 sigma^2) + h s`` is below 1 exactly when
    ``sigma < sqrt((1 - s) (2 - h (1 + s)) / h)``.

    Args:
        area_norm: s, the largest spectral norm of an area's weights, in ``[0, 1)``.
        h: ``dt / tau``, in ``(0, 1]``.
    """
    return math.sqrt((1 - area_norm) * (2 - h * (1 + area_norm)) / h)


def imex_cap(area_norm: float, h: float) -> float:
    """The largest coupling norm at which Crank-Nicolson IMEX steps are certified in closed form.

    ``rho <= (B + h s) / A`` with ``A = sqrt(1 + b^2)``, ``B = sqrt((1 - h)^2 + b^2)``, ``b = h sigma / 2``, is below 1
    exactly when ``s (A + B) < 2 - h``: as ``A^2 - B^2 = h (2 - h)``, at equality ``A - B = h s``, hence
    ``2 A = (2 - h) / s + h s``.

    Args:
        area_norm: s, the largest spectral norm of an area's weights, in ``[0, 1)``.
        h: ``dt / tau``, in ``(0, 1]``.

    Returns:
        The norm, of which a coupling must stay strictly below; infinite for areas without weights.
    """
    if area_norm == 0:
        return math.inf
    # A - 1 is written out, or it cancels where s is close to 1.
    excess = (1 - area_norm) * (2 - h * (1 + area_norm)) / (2 * area_norm)
    return 2 / h * math.sqrt(excess * (excess + 2))
