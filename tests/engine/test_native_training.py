"""A network trained with either engine goes the same way."""

import pytest
import torch
from support.native import needs_native
from support.tiny import tiny_network, tiny_task
from torch import nn

from topo_search.engine import serving_engine
from topo_search.engine.native import native_status

pytestmark = needs_native

STEPS = 20


def losses(monkeypatch, engine, **options):
    """Losses of the first steps of a training."""
    with monkeypatch.context() as patch:
        patch.setenv("TOPO_SEARCH_ENGINE", engine)
        native_status.cache_clear()
        network = tiny_network(**options)
        assert serving_engine(network.coupling) == engine
        task = tiny_task()
        inputs, labels = task.batch(task.train)
        optimiser = torch.optim.Adam(network.parameters(), lr=0.02)
        seen = []
        for _ in range(STEPS):
            loss = nn.functional.cross_entropy(network(inputs), labels)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            network.project()
            seen.append(loss.item())
        with torch.no_grad():
            seen.append(nn.functional.cross_entropy(network(inputs), labels).item())
    native_status.cache_clear()
    return seen


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"activation": "tanh"},
        {"integrator": "edge_cayley"},
        {"integrator": "euler"},
        {"stability": "unconstrained"},
    ],
)
def test_twenty_steps_reach_the_same_loss(monkeypatch, options):
    native, reference = (losses(monkeypatch, engine, **options) for engine in ("native", "reference"))
    assert native == pytest.approx(reference, rel=1e-4)
    assert native[-1] < 0.95 * native[0]
