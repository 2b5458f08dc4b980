"""Stratified splits and subsets: every class in proportion, by a seeded generator."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from topo_search.errors import InputError

__all__ = ["stratified_counts", "stratified_split", "stratified_subset"]

Indices = NDArray[np.int64]


def stratified_counts(available: Indices, size: int, *, spare: int = 0) -> Indices:
    """Shares ``size`` among classes in proportion to what they have, by largest remainder.

    Each class that has any gets at least one where ``size`` is large enough for all of them, and keeps ``spare``
    where that leaves enough to reach ``size``. Ties go to the lower class.

    Args:
        available: ``(classes,)`` examples in each class, at least 0.
        size: Examples to take, from 0 to the sum of ``available``.
        spare: Examples that each class should keep.

    Returns:
        ``(classes,)`` examples to take from each class; their sum is ``size``.

    Raises:
        ValueError: ``size`` is out of range.
    """
    total = int(available.sum())
    if not 0 <= size <= total:
        raise ValueError(f"size: expected 0 to {total}, got {size}")
    upper = np.maximum(available - spare, 0)
    if int(upper.sum()) < size:
        upper = available
    lower = np.minimum(upper, 1) if size >= np.count_nonzero(upper) else np.zeros_like(upper)
    if total == 0:
        return lower
    # Integer arithmetic throughout: quotas are in units of 1 / total, so ties are exact.
    quotas = available * size
    counts = np.clip(quotas // total, lower, upper)
    while (missing := size - int(counts.sum())) != 0:
        owed = quotas - counts * total
        if missing > 0:
            counts[_best(owed, counts < upper)] += 1
        else:
            counts[_best(-owed, counts > lower)] -= 1
    return counts


def _best(score: Indices, allowed: NDArray[np.bool_]) -> int:
    candidates = np.flatnonzero(allowed)
    return int(candidates[np.argmax(score[candidates])])


def stratified_split(
    labels: Indices, *, validation_size: int | float, rng: np.random.Generator, train_size: int | None = None
) -> tuple[Indices, Indices]:
    """Splits off a stratified validation part and, of the rest, a stratified train part.

    Every class with two examples or more is in both parts wherever the sizes allow it. The validation part depends on
    the labels, ``validation_size`` and the generator alone, not on ``train_size``.

    Args:
        labels: ``(n,)`` class of each example.
        validation_size: A count, or a fraction in (0, 1) of ``n`` (rounded, at least 1).
        rng: The generator that decides which examples go where.
        train_size: Examples to keep for training. None: all the rest.

    Returns:
        Indices of the train part and of the validation part, disjoint, each in random order.

    Raises:
        InputError: Nothing would be left to train on, or train and validation together exceed ``n``.
    """
    total = len(labels)
    count = validation_size if isinstance(validation_size, int) else max(1, round(validation_size * total))
    if count >= total:
        raise InputError(
            f"validation_size: {count} of {total} images leave none to train on; expected at most {total - 1}"
        )
    if train_size is not None and train_size > total - count:
        raise InputError(
            f"train_size: {train_size} images asked for, {total - count} available "
            f"({total} in the training part less {count} for validation)"
        )
    groups = _shuffled_groups(labels, rng)
    available = np.array([len(group) for group in groups], dtype=np.int64)
    held = stratified_counts(available, count, spare=1)
    kept = stratified_counts(available - held, total - count if train_size is None else train_size)
    validation = np.concatenate([group[:h] for group, h in zip(groups, held, strict=True)])
    train = np.concatenate([group[h : h + k] for group, h, k in zip(groups, held, kept, strict=True)])
    validation = rng.permutation(validation)
    return rng.permutation(train), validation


def stratified_subset(labels: Indices, size: int | None, *, rng: np.random.Generator, name: str) -> Indices:
    """Chooses a stratified subset.

    Args:
        labels: ``(n,)`` class of each example.
        size: Examples to keep. None: all, in their own order.
        rng: The generator that decides which.
        name: The configuration entry that ``size`` comes from, for the error.

    Returns:
        ``(size,)`` indices in random order (in their own order where ``size`` is None).

    Raises:
        InputError: ``size`` is larger than ``n``.
    """
    if size is None:
        return np.arange(len(labels), dtype=np.int64)
    if size > len(labels):
        raise InputError(f"{name}: {size} images asked for, {len(labels)} available")
    groups = _shuffled_groups(labels, rng)
    counts = stratified_counts(np.array([len(group) for group in groups], dtype=np.int64), size)
    return rng.permutation(np.concatenate([group[:count] for group, count in zip(groups, counts, strict=True)]))


def _shuffled_groups(labels: Indices, rng: np.random.Generator) -> list[Indices]:
    """The indices of each class, in order of class, each shuffled."""
    return [rng.permutation(np.flatnonzero(labels == label)) for label in np.unique(labels)]
