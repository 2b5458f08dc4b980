"""Which damage a file can take, by its name."""

from __future__ import annotations

import random
from collections.abc import Callable

from fuzzing.containers import damage_idx, damage_npz, damage_safetensors
from fuzzing.harness import Files
from fuzzing.mutators import Mutator, damage_bytes, damage_json, damage_xml, damage_yaml

_BY_SUFFIX: dict[str, Mutator] = {
    ".yaml": damage_yaml,
    ".txt": damage_bytes,
    ".json": damage_json,
    ".jsonl": damage_json,
    ".journal": damage_json,
    ".graphml": damage_xml,
    ".safetensors": damage_safetensors,
    ".npz": damage_npz,
    ".idx": damage_idx,
    ".gz": damage_idx,
}


def damage(*names: str, bytes_share: float = 0.2) -> Callable[[Files, random.Random, list[Files]], Files]:
    """Damage to one of the named files, all where none is named: mostly to what its bytes stand for."""

    def mutate(files: Files, rng: random.Random, seeds: list[Files]) -> Files:
        name = rng.choice([name for name in files if not names or name in names])
        others = [seed[name] for seed in seeds if name in seed]
        suffix = name[name.rfind(".") :]
        mutator = damage_bytes if rng.random() < bytes_share else _BY_SUFFIX.get(suffix, damage_bytes)
        try:
            damaged = mutator(files[name], rng, others)
        except Exception:
            # What an earlier damage has left may be no document any more, and parsers raise what they like.
            damaged = damage_bytes(files[name], rng, others)
        return {**files, name: damaged}

    return mutate
