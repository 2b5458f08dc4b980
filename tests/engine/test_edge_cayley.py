"""Edge-wise steps: each a Cayley step of its pair, orthogonal together, in an order that matters."""

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from topo_search.engine import (
    AreaLayout,
    Dynamics,
    cayley_transform,
    edge_cayley_blocks,
    edge_cayley_steps,
    edge_products,
    rollout,
)

LAYOUT = AreaLayout.of([3, 1, 4, 2], [(0, 1), (0, 3), (1, 2), (2, 3)])


def coupling(layout, *, strength=1.0, seed=0):
    rng = torch.Generator().manual_seed(seed)
    return strength * torch.randn(layout.n_coupling, generator=rng, dtype=torch.float64)


def inside(layout, edge):
    """The skew coupling of one edge, ``(N, N)``, is the dense coupling on this mask."""
    mask = torch.zeros(layout.n_units, dtype=torch.float64)
    mask[layout.units_of(edge)] = 1
    return mask * mask[:, None]


def test_packed_steps_are_those_of_the_pairs():
    packed = edge_cayley_blocks(LAYOUT, coupling(LAYOUT), 0.3)
    assert packed.shape == (LAYOUT.n_edge_steps,) == (4**2 + 5**2 + 5**2 + 6**2,)
    lower = LAYOUT.dense_coupling(coupling(LAYOUT))
    blocks = LAYOUT.edge_step_blocks(packed)
    for edge, block in zip(LAYOUT.edges, blocks, strict=True):
        units = LAYOUT.units_of(edge)
        skew = (lower - lower.t())[units][:, units]
        assert float(skew.abs().max()) > 0.1
        assert torch.allclose(block, cayley_transform(skew, 0.3), rtol=0, atol=1e-14)


def test_even_steps_apply_the_edges_in_order_and_odd_steps_in_reverse():
    lower = LAYOUT.dense_coupling(coupling(LAYOUT))
    expected = torch.eye(LAYOUT.n_units, dtype=torch.float64)
    backwards = expected
    for edge in LAYOUT.edges:
        step = cayley_transform((lower - lower.t()) * inside(LAYOUT, edge), 0.3)
        expected, backwards = step @ expected, backwards @ step
    even, odd = edge_cayley_steps(LAYOUT, coupling(LAYOUT), 0.3)
    assert torch.allclose(even, expected, rtol=0, atol=1e-13)
    assert torch.allclose(odd, backwards, rtol=0, atol=1e-13)
    assert float((even - odd).abs().max()) > 0.01, "the order must matter here, or this shows nothing"


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_steps_keep_the_length_of_every_state(data):
    sizes = data.draw(st.lists(st.integers(1, 7), min_size=2, max_size=6))
    pairs = [(i, j) for i in range(len(sizes)) for j in range(i + 1, len(sizes))]
    layout = AreaLayout.of(sizes, data.draw(st.sets(st.sampled_from(pairs))))
    strength, seed = 10 ** data.draw(st.floats(-2, 3)), data.draw(st.integers(0, 999))
    x = torch.randn(layout.n_units, 5, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    for step in edge_cayley_steps(
        layout, coupling(layout, strength=strength, seed=seed), data.draw(st.floats(0.01, 1))
    ):
        lengths = x.norm(dim=0)
        assert float(((step @ x).norm(dim=0) - lengths).abs().max()) <= 1e-12 * float(lengths.max())


def test_one_edge_is_the_whole_matrix():
    layout = AreaLayout.of([3, 2, 4], [(0, 2)])
    lower = layout.dense_coupling(coupling(layout))
    whole = cayley_transform(lower - lower.t(), 0.3)
    for step in edge_cayley_steps(layout, coupling(layout), 0.3):
        assert torch.allclose(step, whole, rtol=0, atol=1e-14)


def test_edges_that_share_no_area_are_the_whole_matrix_too():
    layout = AreaLayout.of([3, 2, 4, 1], [(0, 2), (1, 3)])
    lower = layout.dense_coupling(coupling(layout))
    whole = cayley_transform(lower - lower.t(), 0.3)
    for step in edge_cayley_steps(layout, coupling(layout), 0.3):
        assert torch.allclose(step, whole, rtol=0, atol=1e-14)


def test_without_edges_nothing_is_turned():
    layout = AreaLayout.of([3, 2], [])
    assert edge_cayley_blocks(layout, coupling(layout), 0.3).shape == (0,)
    for step in edge_cayley_steps(layout, coupling(layout), 0.3):
        assert torch.equal(step, torch.eye(5, dtype=torch.float64))


def test_gradients_of_both_products():
    assert torch.autograd.gradcheck(
        lambda b: edge_cayley_steps(LAYOUT, b, 0.4), coupling(LAYOUT, strength=0.7).requires_grad_()
    )
    assert torch.autograd.gradcheck(
        lambda q: edge_products(LAYOUT, q), edge_cayley_blocks(LAYOUT, coupling(LAYOUT), 0.4).requires_grad_()
    )


def test_alternating_makes_the_coupling_second_order():
    # Without leak, areas or drive the state would only turn: x' = K x.
    weights = coupling(LAYOUT)
    lower = LAYOUT.dense_coupling(weights)
    truth = torch.linalg.matrix_exp(lower - lower.t())
    errors, fixed = [], []
    for steps in (50, 100, 200):
        even, odd = edge_cayley_steps(LAYOUT, weights, 1 / steps)
        errors.append(float((torch.linalg.matrix_power(odd @ even, steps // 2) - truth).norm()))
        fixed.append(float((torch.linalg.matrix_power(even, steps) - truth).norm()))
    for one, other in ((0, 1), (1, 2)):
        assert 3.8 < errors[one] / errors[other] < 4.2
        assert 1.8 < fixed[one] / fixed[other] < 2.2


def test_steps_are_counted_from_the_start_of_the_sequence():
    x = torch.randn(2, LAYOUT.n_units, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    tensors = {
        "input_weights": torch.zeros(LAYOUT.n_units, 1, dtype=torch.float64),
        "bias": torch.zeros(LAYOUT.n_units, dtype=torch.float64),
        "area_weights": torch.zeros(LAYOUT.n_area_weights, dtype=torch.float64),
        "forward": coupling(LAYOUT),
    }
    dynamics = Dynamics(LAYOUT, "edge_cayley", 0.3, "relu")
    states = rollout(dynamics, torch.zeros(3, 2, 1, dtype=torch.float64), initial=x, all_states=True, **tensors)
    even, odd = edge_cayley_steps(LAYOUT, tensors["forward"], 0.3)
    for t, step in enumerate((even, odd, even)):
        before = x if t == 0 else states[t - 1]
        assert torch.allclose(states[t], 0.7 * before @ step.t(), rtol=0, atol=1e-14)
    later = rollout(dynamics, torch.zeros(2, 2, 1, dtype=torch.float64), initial=states[0], **tensors)
    assert torch.allclose(later, 0.49 * states[0] @ even.t() @ odd.t(), rtol=0, atol=1e-14)
