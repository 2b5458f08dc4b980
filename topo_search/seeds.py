"""Random generators named by what they draw, so that networks share every draw that they can share.

A generator depends on its key alone, never on what was drawn before. Two candidates of one search therefore have the
same area weights, the same coupling block on a shared edge and the same batches (common random numbers): a difference
between them is a difference of graph.
"""

from __future__ import annotations

import hashlib

import numpy as np

__all__ = ["generator", "seed_for"]


def seed_for(*key: object) -> int:
    """A seed in ``[0, 2^63)`` from the text of the key's parts."""
    text = "\x1f".join(str(part) for part in key)
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big") >> 1


def generator(*key: object) -> np.random.Generator:
    """A generator that depends on the key alone, for example ``generator(seed, "coupling", i, j)``."""
    return np.random.default_rng(seed_for(*key))
