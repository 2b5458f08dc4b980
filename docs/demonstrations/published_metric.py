"""What the published metric construction certifies: all figures of ``docs/published_construction.md``, seeded.

python docs/demonstrations/published_metric.py     takes two minutes
"""

from __future__ import annotations

from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from topo_search.errors import InputError
from topo_search.model.config import SparseRecipe
from topo_search.model.subnetworks import sample_sparse, theorem1_metric, to_metric_coordinates, weight_magnitudes
from topo_search.seeds import generator

Matrix = NDArray[np.float64]
SIZE, RECIPE = 32, SparseRecipe(density=0.033, magnitude=6.0)
# Areas and coupled pairs of the published table; 0 pairs stands for a global workspace.
TOPOLOGIES = ((10, 45), (16, 120), (16, 0), (24, 13), (24, 0), (24, 129), (24, 276), (32, 0), (32, 165))


def released_check(weights: Matrix) -> tuple[bool, Matrix]:
    """What the released check decides of ``M = 0.5 I``, products being elementwise, and the metric it falls back to."""
    identity = np.eye(len(weights))
    metric, shifted = 0.5 * identity, np.abs(weights) - identity
    condition = metric * shifted + shifted.T * metric
    # Integrated over t >= 0: exp(A^T t) * I * exp(A t) with A = |W| - I, all elementwise, so exp(2 A_ii t) for unit i.
    return bool(np.linalg.eigvals(condition).real.max() < 0), np.diag(-0.5 / np.diag(shifted))


def matrix_check(weights: Matrix, metric: Matrix) -> float:
    """The same condition with matrix products: ``lmax(M (|W| - I) + (|W| - I)^T M)``, below 0 where it holds."""
    shifted = weight_magnitudes(weights) - np.eye(len(weights))
    return float(np.linalg.eigvalsh(metric @ shifted + shifted.T @ metric)[-1])


def theorem1_rate(weights: Matrix) -> float:
    """Certified rate in the metric of Theorem 1; raises InputError where the theorem does not hold."""
    inner = to_metric_coordinates(weight_magnitudes(weights), theorem1_metric(weights))
    return 1 - float(np.linalg.eigvalsh((inner + inner.T) / 2)[-1])


def identity_rate(weights: Matrix, rng: np.random.Generator) -> float:
    """An upper bound of the rate in the identity metric: ascent over patterns D of active units, 30 starts."""
    best = 0.0
    for on in rng.integers(0, 2, (30, len(weights))).astype(float):
        value, pattern = -1.0, on
        while True:
            values, vectors = np.linalg.eigh((weights * pattern + (weights * pattern).T) / 2)
            if values[-1] <= value + 1e-9:
                break
            value, x = float(values[-1]), vectors[:, -1]
            pattern = (x * (weights.T @ x) > 0).astype(float)
        best = max(best, value)
    return 1 - best


def network(areas: int, pairs: int, seed: int) -> tuple[list[Matrix], Matrix]:
    """Accepted areas in original units, and a skew coupling with entries N(0, 1/n)."""
    rng = generator(seed, "published metric", areas, pairs)
    blocks = [sample_sparse(SIZE, RECIPE, rng) for _ in range(areas)]
    every = np.array(list(combinations(range(areas), 2)))
    lower = np.zeros((areas, SIZE, areas, SIZE))
    for i, j in rng.permutation(every)[:pairs] if pairs else every[: areas - 1]:
        lower[j, :, i] = rng.normal(0, SIZE**-0.5, (SIZE, SIZE))
    coupling = lower.reshape(areas * SIZE, -1)
    return blocks, coupling - coupling.T


def abscissa(blocks: list[Matrix], coupling: Matrix, rng: np.random.Generator) -> float:
    """Largest real part of ``-I + W D + L`` over four patterns D: all units on, and three random halves."""
    weights = np.zeros_like(coupling)
    for k, block in enumerate(blocks):
        weights[k * SIZE : (k + 1) * SIZE, k * SIZE : (k + 1) * SIZE] = block
    patterns = [np.ones(len(coupling)), *rng.integers(0, 2, (3, len(coupling))).astype(float)]
    return max(float(np.linalg.eigvals(weights * on + coupling).real.max()) - 1 for on in patterns)


def main() -> None:
    """Print the arithmetic."""
    wild = 1e4 * generator(0, "wild").standard_normal((SIZE, SIZE))
    np.fill_diagonal(wild, 0)
    for label, weights in (("1e4 randn", wild), ("[[0, 6], [0, 0]]", np.array([[0.0, 6.0], [0.0, 0.0]]))):
        accepted, metric = released_check(weights)
        print(f"{label}: elementwise check accepts: {accepted}, metric {metric[0, 0]} I")
        print(f"  largest eigenvalue of M (|W| - I) + (|W| - I)^T M: {matrix_check(weights, metric):.4g}")
        try:
            print(f"  rate in the metric of Theorem 1: {theorem1_rate(weights):.3f}")
        except InputError as error:
            print(f"  refused here: {error}")
    rng = generator(0, "areas")
    drawn = [sample_sparse(SIZE, RECIPE, rng) for _ in range(200)]
    rates = np.array([identity_rate(weights, rng) for weights in drawn])
    norms = np.array([np.linalg.norm(weights, axis=0).max() for weights in drawn])
    print(f"200 accepted areas: elementwise check accepts {sum(released_check(w)[0] for w in drawn)}")
    print(f"  matrix check accepts {sum(matrix_check(w, 0.5 * np.eye(SIZE)) < 0 for w in drawn)} with 0.5 I")
    print(f"  largest column norm at least {norms.min():.2f}, median {np.median(norms):.2f}; 2 is allowed")
    print(f"  rate in the identity metric at most {np.median(rates):.2f} (median), {rates.max():.2f} (best)")
    print(
        f"  factor that is needed: below {np.median(1 / (1 - rates)):.3f} (median), {1 / (1 - rates.min()):.3f} (all)"
    )
    print(f"  rate in the metric of Theorem 1: {min(theorem1_rate(w) for w in drawn):.1e} or more")
    print("abscissa: areas as drawn, times 0.5, times 0.3 | metric of Theorem 1")
    for areas, pairs in TOPOLOGIES:
        for seed in range(6 if areas == 16 else 1):
            blocks, coupling = network(areas, pairs, seed)
            inner = [to_metric_coordinates(block, theorem1_metric(block)) for block in blocks]
            arms = [[factor * block for block in blocks] for factor in (1.0, 0.5, 0.3)] + [inner]
            found = [abscissa(arm, coupling, generator(seed, "patterns")) for arm in arms]
            print(f"  {areas} areas, {pairs or areas - 1} pairs, seed {seed}: " + " ".join(f"{a:+.2f}" for a in found))


if __name__ == "__main__":
    main()
