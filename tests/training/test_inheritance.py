"""Couplings that one network leaves and another begins with."""

import pytest
import torch
from support.tiny import tiny_graph, tiny_network

from topo_search.errors import InputError
from topo_search.graph import Area
from topo_search.training import inherit_coupling, keep_coupling
from topo_search.training.edge_blocks import by_edge, edge_parameters


def numbers(network):
    packed = {name: tensor.detach().clone() for name, tensor in edge_parameters(network).items()}
    return by_edge(network.layout, packed)


@pytest.mark.parametrize("options", [{}, {"coupling": "both"}, {"stability": "unconstrained"}])
def test_shared_edges_are_inherited_and_others_stay_as_drawn(options, tmp_path):
    parent, path = tiny_network(seed=1, **options), tmp_path / "couplings" / "0-1.safetensors"
    keep_coupling(path, parent)
    child = tiny_network(graph=tiny_graph().with_edges([(0, 1), (1, 2), (2, 3)]), seed=2, **options)
    before, others = numbers(child), [p.clone() for n, p in child.named_parameters() if n not in edge_parameters(child)]
    assert inherit_coupling(path, child) == 2
    after, given = numbers(child), numbers(parent)
    assert torch.equal(after[0, 1], given[0, 1])
    assert torch.equal(after[2, 3], given[2, 3])
    assert torch.equal(after[1, 2], before[1, 2])
    kept = [p for n, p in child.named_parameters() if n not in edge_parameters(child)]
    assert all(torch.equal(a, b) for a, b in zip(kept, others, strict=True))


def test_blocks_of_another_size_stay_as_drawn(tmp_path):
    keep_coupling(tmp_path / "c", tiny_network(seed=1))
    areas = [Area(4, is_input=True), Area(3), Area(6), Area(5, is_output=True)]
    child = tiny_network(graph=tiny_graph().with_areas(areas), seed=2)
    before = numbers(child)
    assert inherit_coupling(tmp_path / "c", child) == 2
    assert torch.equal(numbers(child)[0, 2], before[0, 2])


def test_what_is_inherited_is_held_below_the_cap(tmp_path):
    parent = tiny_network(seed=1)
    with torch.no_grad():
        parent.coupling.mul_(100)
    keep_coupling(tmp_path / "c", parent)
    child = tiny_network(seed=2, integrator="euler")
    inherit_coupling(tmp_path / "c", child)
    assert child.certificate().certified


def test_a_missing_or_corrupt_file_is_one_line_and_changes_nothing(tmp_path):
    child, path = tiny_network(seed=2), tmp_path / "c"
    before = numbers(child)
    keep_coupling(path, tiny_network(seed=1))
    content = path.read_bytes()
    flipped = bytearray(content)
    flipped[-3] ^= 1
    for spoilt in (None, b"", content[:-1], bytes(flipped), b"{}"):
        path.unlink(missing_ok=True)
        if spoilt is not None:
            path.write_bytes(spoilt)
        with pytest.raises(InputError, match=r"no coupling at|coupling at .* is corrupt") as caught:
            inherit_coupling(path, child)
        assert "\n" not in str(caught.value)
    after = numbers(child)
    assert all(torch.equal(after[edge], before[edge]) for edge in before)
