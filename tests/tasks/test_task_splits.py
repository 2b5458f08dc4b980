"""Stratified splits: proportions, disjointness, determinism, limits."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from topo_search.errors import InputError
from topo_search.tasks.splits import stratified_counts, stratified_split, stratified_subset

COUNTS = st.lists(st.integers(0, 40), min_size=1, max_size=8)


def labels_of(counts: list[int]) -> np.ndarray:
    labels = np.repeat(np.arange(len(counts), dtype=np.int64), counts)
    return np.random.default_rng(9).permutation(labels)


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


@given(COUNTS, st.floats(0, 1), st.integers(0, 2))
def test_counts_sum_and_stay_in_bounds(available, share, spare):
    available = np.array(available)
    size = round(share * available.sum())
    counts = stratified_counts(available, size, spare=spare)
    assert counts.sum() == size
    assert (counts >= 0).all()
    assert (counts <= available).all()
    room = np.maximum(available - spare, 0)
    if room.sum() >= size:
        assert (counts <= room).all()
        if size >= np.count_nonzero(room):
            assert (counts[room > 0] >= 1).all()


@given(st.lists(st.integers(5, 40), min_size=1, max_size=8), st.floats(0.3, 1))
def test_counts_are_within_one_of_their_quota(available, share):
    available = np.array(available)
    size = round(share * available.sum())
    quota = available * size / available.sum()
    assert (np.abs(stratified_counts(available, size) - quota) < 1).all()


@pytest.mark.parametrize(
    ("available", "size", "spare", "expected"),
    [
        ([10, 10, 10], 9, 0, [3, 3, 3]),
        ([10, 10, 10], 10, 0, [4, 3, 3]),  # a tie goes to the lower class
        ([50, 30, 20], 7, 0, [4, 2, 1]),  # quotas 3.5 2.1 1.4: the largest remainder gets the last
        ([98, 1, 1], 3, 0, [1, 1, 1]),
        ([98, 1, 1], 2, 0, [2, 0, 0]),
        ([98, 1, 1], 10, 1, [10, 0, 0]),  # classes of one keep theirs
        ([2, 2], 3, 1, [2, 1]),  # nothing can be kept: spare gives way
        ([4, 0], 4, 0, [4, 0]),
        ([0, 0], 0, 0, [0, 0]),
    ],
)
def test_counts_by_hand(available, size, spare, expected):
    assert stratified_counts(np.array(available), size, spare=spare).tolist() == expected


@pytest.mark.parametrize("size", [-1, 7])
def test_counts_refuse_sizes_out_of_range(size):
    with pytest.raises(ValueError, match=f"expected 0 to 6, got {size}"):
        stratified_counts(np.array([3, 3]), size)


@given(st.lists(st.integers(2, 30), min_size=2, max_size=6), st.floats(0.05, 0.95), st.integers(0, 3))
def test_split_is_a_partition_with_every_class(counts, fraction, seed):
    labels = labels_of(counts)
    count = max(1, round(fraction * len(labels)))
    if count >= len(labels):
        return
    train, validation = stratified_split(labels, validation_size=fraction, rng=rng(seed))
    assert len(validation) == count
    assert sorted([*train, *validation]) == list(range(len(labels)))
    classes = len(counts)
    if count >= classes and len(labels) - count >= classes:
        assert set(labels[train]) == set(labels[validation]) == set(range(classes))


def test_split_keeps_proportions():
    labels = labels_of([100, 200, 300])
    train, validation = stratified_split(labels, validation_size=60, train_size=120, rng=rng())
    assert np.bincount(labels[validation]).tolist() == [10, 20, 30]
    assert np.bincount(labels[train]).tolist() == [20, 40, 60]
    assert not set(train) & set(validation)


def test_split_depends_on_the_seed_alone():
    labels = labels_of([30, 30])
    first, again, other = (stratified_split(labels, validation_size=0.25, rng=rng(s)) for s in (4, 4, 5))
    assert all((a == b).all() for a, b in zip(first, again, strict=True))
    assert set(first[1]) != set(other[1])


def test_validation_does_not_depend_on_train_size():
    labels = labels_of([30, 50])
    _, whole = stratified_split(labels, validation_size=0.25, rng=rng())
    _, small = stratified_split(labels, validation_size=0.25, train_size=10, rng=rng())
    assert whole.tolist() == small.tolist()


def test_parts_are_shuffled():
    labels = np.repeat(np.arange(10), 20)
    train, validation = stratified_split(labels, validation_size=0.5, rng=rng())
    for part in (train, validation):
        assert len(set(labels[part[:20]])) > 4
        assert (np.diff(part) < 0).any()


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ({"validation_size": 10}, "10 of 10 images leave none to train on"),
        ({"validation_size": 11}, "11 of 10 images"),
        ({"validation_size": 0.99}, "10 of 10 images"),
        ({"validation_size": 4, "train_size": 7}, "train_size: 7 images asked for, 6 available"),
    ],
)
def test_split_refuses_sizes_beyond_the_data(sizes, message):
    with pytest.raises(InputError, match=message):
        stratified_split(labels_of([5, 5]), rng=rng(), **sizes)


def test_subset():
    labels = labels_of([40, 20])
    chosen = stratified_subset(labels, 9, rng=rng(), name="test_size")
    assert np.bincount(labels[chosen]).tolist() == [6, 3]
    assert len(set(chosen)) == 9
    assert stratified_subset(labels, None, rng=rng(), name="test_size").tolist() == list(range(60))
    with pytest.raises(InputError, match="test_size: 61 images asked for, 60 available"):
        stratified_subset(labels, 61, rng=rng(), name="test_size")
