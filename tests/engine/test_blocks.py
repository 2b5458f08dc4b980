import pytest
import torch

from topo_search.engine import AreaLayout
from topo_search.engine.blocks import (
    _DenseCoupling,
    _EqualBlockCoupling,
    _MixedBlockCoupling,
    _NoCoupling,
    coupling_form,
)

LAYOUT = AreaLayout.of([3] * 5, [(0, 2), (0, 4), (1, 2), (3, 4)])


def draw(*shape, seed):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("form", [_DenseCoupling, _EqualBlockCoupling, _MixedBlockCoupling])
def test_every_form_is_the_same_map_with_the_same_gradient(form):
    up, down, x, adjoint = draw(36, seed=0), draw(36, seed=1), draw(15, 7, seed=2), draw(15, 7, seed=3)
    matrix = LAYOUT.dense_coupling(up) + LAYOUT.dense_coupling(down).t()
    coupling = form(LAYOUT, up, down, 0.3)
    out, back = torch.ones(15, 7, dtype=torch.float64), torch.ones(15, 7, dtype=torch.float64)
    coupling.add(out, x)
    coupling.add_transpose(back, adjoint)
    assert torch.allclose(out, 1 + 0.3 * matrix @ x)
    assert torch.allclose(back, 1 + 0.3 * matrix.t() @ adjoint)
    coupling.accumulate(adjoint, x)
    coupling.accumulate(2 * adjoint, x)
    total = 0.3 * 3 * adjoint @ x.t()
    forward, backward = coupling.gradients()
    assert torch.allclose(forward, LAYOUT.pack_coupling(total))
    assert torch.allclose(backward, LAYOUT.pack_coupling(total.t()))


@pytest.mark.parametrize(
    ("layout", "form"),
    [
        (AreaLayout.of([3] * 8, [(0, 1)]), _EqualBlockCoupling),
        (AreaLayout.of([3, 4] * 4, [(0, 1)]), _MixedBlockCoupling),
        (AreaLayout.of([3] * 3, [(0, 1), (0, 2), (1, 2)]), _DenseCoupling),
        (AreaLayout.of([3] * 3, []), _NoCoupling),
    ],
)
def test_the_form_goes_by_the_graph(layout, form):
    packed = torch.zeros(layout.n_coupling)
    assert type(coupling_form(layout, packed, -packed, 0.1)) is form
