import pytest
import torch

from topo_search.engine import AreaLayout


def test_dense_and_packed_are_inverse():
    layout = AreaLayout.of([2, 3, 1], [(1, 2), (0, 1)])
    packed = torch.arange(1.0, layout.n_coupling + 1)
    dense = layout.dense_coupling(packed)
    assert torch.equal(layout.pack_coupling(dense), packed)
    assert torch.equal(dense[2:5, 0:2], packed[:6].view(3, 2))
    assert torch.equal(dense[5:6, 2:5], packed[6:].view(1, 3))
    assert int((dense != 0).sum()) == layout.n_coupling
    areas = torch.arange(1.0, layout.n_area_weights + 1)
    assert torch.equal(layout.pack_area_weights(layout.dense_area_weights(areas)), areas)
    assert torch.equal(layout.dense_area_weights(areas)[:2, :2], areas[:4].view(2, 2))


def test_runs_join_areas_of_one_size():
    layout = AreaLayout.of([4, 4, 2, 4], [])
    assert [(run.first_area, run.n_areas, run.size, run.unit, run.packed) for run in layout.runs] == [
        (0, 2, 4, 0, 0),
        (2, 1, 2, 8, 32),
        (3, 1, 4, 10, 36),
    ]


@pytest.mark.parametrize(
    ("sizes", "edges"),
    [((), ()), ((0, 2), ()), ((2, 2), ((1, 0),)), ((2, 2), ((0, 0),)), ((2, 2), ((0, 2),)), ((2, 2), ((0, 1), (0, 1)))],
)
def test_impossible_layouts_are_refused(sizes, edges):
    with pytest.raises(ValueError, match="must be"):
        AreaLayout(sizes, edges)
