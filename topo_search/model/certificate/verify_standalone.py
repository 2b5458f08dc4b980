"""Verifies a saved network's certificate with NumPy alone: python verify_standalone.py FOLDER (status 0: confirmed).

A step's linearisation is F0 + G E V, E diagonal in [-1, 1]. For every E its norm is at most rho if the stored T > 0 has
I - G T^-1 G^T > 0 and rho^2 I - V^T T V - F0^T (I - G T^-1 G^T)^-1 F0 > 0 (S-procedure): two Cholesky factorisations.
"""

import hashlib
import json
import sys
from pathlib import Path

import numpy as np


def verify(folder: Path) -> None:
    """ArithmeticError, LinAlgError: the network is not certified. Others: its files are not those of a certificate."""
    record, graph = (json.loads((folder / name).read_text()) for name in ("certificate.json", "graph.json"))
    content, t = (folder / "model.safetensors").read_bytes(), {}
    start = 8 + int.from_bytes(content[:8], "little")
    for name, entry in json.loads(content[8:start]).items():
        raw, kind = content[start:][slice(*entry["data_offsets"])], {"F32": "<f4", "F64": "<f8"}[entry["dtype"]]
        t[name] = np.frombuffer(raw, kind).reshape(entry["shape"]).astype(float)
        if not np.isfinite(t[name]).all() or record["tensors_sha256"][name] != hashlib.sha256(raw).hexdigest():
            raise ValueError(f"{name} is not the tensor that was certified, or not finite")
    config, rule, rho, edges = record["network"]["config"], record["integrator"], record["rho"], graph["edges"]
    h, sizes = config["dt"] / config["tau"], [area["size"] for area in graph["areas"]]
    n, owner, m = sum(sizes), np.repeat(np.arange(len(sizes)), sizes), np.array(record["multipliers"])
    eye, zero, inside = np.eye(n), np.zeros((n, n)), owner[:, None] == owner
    below = np.isin(owner[:, None] * len(sizes) + owner, [j * len(sizes) + i for i, j in edges])
    w, b, v, r = t["area_weights"], t["coupling"], t.get("area_gauge", eye), t.get("speeds", np.ones(n))
    k, s, c = b - b.T, t.get("coupling_symmetric", zero), t.get("coupling_nonlinear", zero)
    both, some = below | below.T, np.r_[m, r, record["scales"], h, 1 + 1e-12 - h * r, 1e-12 + record["step_residual"]]
    bad = not (0 < rho < 1 and 0 < some.min() <= some.max() < 1e99)
    bad |= any(x[~mask].any() for x, mask in ((w, inside), (v, inside), (b, below), (s, both), (c, both)))
    bad |= bool((s - s.T).any() or (record["scales"] and (k.any() or s.any())))
    if bad or not record["certified"] or config["stability"] in {"as_released", "unconstrained"}:
        raise ArithmeticError(record["reason"] or "a matrix is not of this graph, or a number is out of range")
    norm, q, pairs = 1.0, t.get("coupling_steps", zero).ravel(), [np.isin(owner, edge) for edge in edges]
    for place in {"cayley": [owner >= 0], "edge_cayley": pairs}.get(rule, []):  # y -> Q y first, by what is stored
        half, one = h / 2 * k[np.ix_(place, place)], np.eye(place.sum())
        step, q = q[: half.size].reshape(half.shape), q[half.size :]
        norm *= float(1 + np.linalg.norm(step.T @ step - one, 2)) ** 0.5
        if np.abs(step @ (one - half) - one - half).max() > 1e-6 * (1 + np.abs(half).sum(1).max()):
            raise ArithmeticError("coupling_steps are not Cayley steps of the coupling")
    root = np.sqrt(np.repeat(record["scales"] or np.ones(len(sizes)), sizes))  # units of areas, for C alone
    g, rho = h / 2 * r[:, None] * (w + c * root[:, None] / root), rho / (norm + record["step_residual"])
    f0 = eye - h * np.diag(r) + h * s + g @ v + h * k * (rule == "euler")
    if rule == "imex":  # in coordinates (I - h K / 2) y; a resolvent step only shrinks what the local map makes
        f0, v = 2 * (p := np.linalg.inv(eye - h / 2 * k)) - eye + (f0 - eye) @ p, v @ p
    f0 = np.linalg.solve(np.linalg.cholesky(eye - g / m @ g.T), f0)
    np.linalg.cholesky((rho**2 - 5e-10) * eye - v.T @ (m[:, None] * v) - f0.T @ f0)


if __name__ == "__main__":
    try:
        verify(Path(sys.argv[1]))
    except (OSError, ValueError, LookupError, TypeError, ArithmeticError) as error:
        print("not certified:", error)
        sys.exit(1 if isinstance(error, (ArithmeticError, np.linalg.LinAlgError)) else 2)
    print("certified")
