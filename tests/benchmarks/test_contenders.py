"""What the benchmark compares computes one function."""

import pytest
import torch
from bench.cases import CASES, Case
from bench.contenders import AutogradLoop, autograd_step, rollout_step
from bench.problem import make_problem
from bench.timing import check_agreement
from support.plain_loop import plain_loop

from topo_search.engine import INTEGRATORS
from topo_search.engine.native import native_status
from topo_search.errors import InputError, RunFailedError

TINY = Case("tiny", "tiny", 5, "random_density", {"edges": 7}, 6, 9, 2, size=4)


@pytest.mark.parametrize("integrator", INTEGRATORS)
@pytest.mark.parametrize("engine", ["native", "reference"])
def test_all_contenders_find_the_same_loss_and_gradients(integrator: str, engine: str) -> None:
    if engine == "native" and native_status().module is None:
        pytest.skip(native_status().reason)
    problem = make_problem(TINY, integrator)
    ours, plain = rollout_step(problem, engine), autograd_step(problem)
    for steps in (None, 4):
        assert ours(steps) == pytest.approx(plain(steps), rel=1e-5)
    network = {tuple(p.shape): p.grad for group in ours.optimiser.param_groups for p in group["params"]}
    loop = plain.logits
    assert isinstance(loop, AutogradLoop)
    layout = problem.dynamics.layout
    pairs = {
        (layout.n_coupling,): layout.pack_coupling(loop.coupling.grad),
        (layout.n_units * TINY.channels,): loop.input_weights.grad.reshape(-1),
        (layout.n_units,): loop.input_bias.grad,
        (10, layout.n_units): loop.readout.weight.grad,
        (10,): loop.readout.bias.grad,
    }
    assert len(network) == len(pairs) == 5
    for shape, expected in pairs.items():
        assert expected.abs().max() > 0
        torch.testing.assert_close(network[shape], expected, rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("integrator", ["euler", "cayley", "imex", "resolvent"])
def test_the_autograd_loop_is_the_papers_step(integrator: str) -> None:
    problem = make_problem(TINY, integrator)
    loop = AutogradLoop(problem)
    lower = loop.coupling * loop.mask
    states = plain_loop(
        problem.inputs,
        loop.input_weights,
        loop.input_bias,
        loop.area_weights,
        lower - lower.t(),
        integrator=integrator,
        h=0.03,
        activation="relu",
    )
    torch.testing.assert_close(loop(problem.inputs), loop.readout(states[-1]))


def test_entries_without_an_edge_are_not_trained() -> None:
    problem = make_problem(TINY, "euler")
    step = autograd_step(problem)
    step()
    assert not step.logits.coupling.grad[step.logits.mask == 0].any()


def test_contenders_have_weights_of_their_own() -> None:
    problem = make_problem(TINY, "euler")
    before = problem.network.coupling.detach().clone()
    rollout_step(problem, "reference")()
    autograd_step(problem)()
    assert torch.equal(problem.network.coupling, before)


def test_a_contender_that_computes_something_else_is_found_out() -> None:
    problem = make_problem(TINY, "euler")
    other = make_problem(TINY, "euler")
    with torch.no_grad():
        other.network.readout_bias += torch.arange(10.0)
    runs = {"engine": rollout_step(problem, "reference"), "autograd": autograd_step(problem)}
    check_agreement(runs, 4)
    with pytest.raises(RunFailedError, match="same function"):
        check_agreement(runs | {"other": autograd_step(other)}, 4)
    with pytest.raises(RunFailedError, match="nan"):
        check_agreement({"engine": lambda _: 2.0, "autograd": lambda _: float("nan")}, 4)


def test_the_cases_are_those_of_the_comparison() -> None:
    assert list(CASES) == ["gw16", "half24", "all24", "gw32", "deg4_128", "deg4_256", "small8", "small16"]
    edges = {name: CASES[name].graph().n_edges for name in CASES}
    expected = {"gw16": 15, "half24": 138, "all24": 276, "gw32": 31, "deg4_128": 256, "deg4_256": 512}
    assert edges == expected | {"small8": 10, "small16": 20}
    hub = CASES["gw16"].graph()
    assert all(0 in edge for edge in hub.edges)
    assert hub.input_areas == hub.output_areas == tuple(range(16))


def test_graphs_and_data_are_the_same_each_time() -> None:
    first, second = (make_problem(CASES["small8"], "euler") for _ in range(2))
    assert first.network.graph == second.network.graph
    assert torch.equal(first.inputs, second.inputs)
    assert torch.equal(first.labels, second.labels)


def test_an_unknown_integrator_is_named() -> None:
    with pytest.raises(InputError, match="leapfrog"):
        make_problem(TINY, "leapfrog")
