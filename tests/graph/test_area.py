from __future__ import annotations

import numpy as np
import pytest

from topo_search.errors import InputError
from topo_search.graph import Area, GraphError
from topo_search.graph.module_graph import MAX_AREA_SIZE


@pytest.mark.parametrize(
    ("flags", "role"),
    [((False, False), "hidden"), ((True, False), "input"), ((False, True), "output"), ((True, True), "input+output")],
)
def test_role_names_follow_the_flags_and_back(flags, role):
    assert Area(4, *flags).role == role
    assert Area.from_role(4, role) == Area(4, *flags)


def test_numpy_sizes_become_plain_ints():
    assert type(Area(np.int64(7)).size) is int


@pytest.mark.parametrize(
    "size",
    [
        0,
        -1,
        True,
        3.0,
        "3",
        None,
        float("nan"),
        MAX_AREA_SIZE + 1,
        pytest.param(10**5000, id="huge"),
        np.float64(3),
        [3],
    ],
)
def test_bad_sizes_are_refused_in_one_line(size):
    with pytest.raises(GraphError, match=r"^area size must be an integer from 1 to 1048576, got .+$") as caught:
        Area(size)
    assert len(str(caught.value)) < 200
    assert isinstance(caught.value, InputError)


@pytest.mark.parametrize("role", ["", "hub", "INPUT", None, 3, ["input"], "output+input"])
def test_unknown_roles_are_refused(role):
    with pytest.raises(GraphError, match="area role must be one of input, hidden, output, input"):
        Area.from_role(3, role)


def test_flags_must_be_bool():
    with pytest.raises(GraphError, match="is_input must be True or False, got 1"):
        Area(3, 1)
