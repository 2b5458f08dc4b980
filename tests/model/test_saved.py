"""Networks on disk, and every way of tampering with one."""

import contextlib
import errno
import json
import os
import shutil
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from support.tiny import tiny_graph, tiny_network, tiny_task

from topo_search.errors import InputError
from topo_search.files import sha256
from topo_search.graph import Area, ModuleGraph
from topo_search.model import NetworkConfig, SparseRecipe, build_network, export_arrays, judge_saved, load_network
from topo_search.model import save_network as save
from topo_search.model.certificate import EDGE_ORDER
from topo_search.model.saved import NETWORK_FILES, is_saved
from topo_search.training import TrainingConfig, train

ARMS = {
    "cayley": {},
    "cayley, tanh": {"activation": "tanh"},
    "cayley, slow": {"dt": 1.0, "tau": 7.0, "area_norm": 0.97},
    "edge_cayley": {"integrator": "edge_cayley"},
    "edge_cayley, tanh": {"integrator": "edge_cayley", "activation": "tanh"},
    "euler": {"integrator": "euler"},
    "euler, tanh": {"integrator": "euler", "activation": "tanh"},
    "imex": {"integrator": "imex"},
    "resolvent": {"integrator": "resolvent"},
    "continuous": {"stability": "continuous"},
    "nonlinear": {"coupling": "nonlinear"},
    "both couplings": {"coupling": "both"},
    "imperfect": {"imperfect_margin": 0.5},
    "trained areas": {"recipe": {"kind": "svd", "trainable": True}},
    "dense metrics": {"recipe": {"kind": "symmetric", "trainable": True}},
    "mixed": {"areas": {0: {"tau": 3.0, "activation": "tanh"}, 2: {"recipe": {"kind": "product"}}}},
    "as_released": {"stability": "as_released"},
    "unconstrained": {"stability": "unconstrained"},
}


def inputs(channels=6):
    return torch.randn(9, 5, channels, generator=torch.Generator().manual_seed(0))


def trained(**options):
    network = tiny_network(**options)
    train(network, tiny_task(), TrainingConfig(epochs=1, batch_size=20), epochs=1, seed=0)
    return network.eval()


def logits(network, **shape):
    with torch.no_grad():
        return network(inputs(**shape))


@pytest.mark.parametrize("arm", ARMS)
def test_a_saved_network_comes_back_bit_for_bit(arm, tmp_path):
    network = trained(**ARMS[arm])
    certificate = save(tmp_path / "deep" / "folder", network)
    back = load_network(tmp_path / "deep" / "folder")
    assert torch.equal(logits(back), logits(network))
    assert back.config == network.config
    assert back.graph == network.graph
    assert back.routing == network.routing
    for name, tensor in network.state_dict().items():
        assert torch.equal(back.state_dict()[name], tensor), name
    judged = judge_saved(tmp_path / "deep" / "folder")
    assert judged == certificate == network.certificate() == back.certificate()
    assert judged.certified == (arm not in ("continuous", "as_released", "unconstrained"))
    # A path to the weights names the same network.
    assert judge_saved(tmp_path / "deep" / "folder" / "model.safetensors") == judged
    assert torch.equal(logits(load_network(str(tmp_path / "deep" / "folder" / "model.safetensors"))), logits(network))


def test_mixed_sizes_partial_inputs_and_routing_come_back(tmp_path):
    graph = ModuleGraph(
        [Area(1, is_input=True), Area(7), Area(2, True, True), Area(3), Area(7, is_output=True)],
        [(0, 3), (1, 3), (1, 2), (2, 4), (0, 4)],
    )
    config = NetworkConfig(dt=0.1, recipe=SparseRecipe(density=0.2, magnitude=2), recipes={1: SparseRecipe()})
    network = build_network(graph, config, channels=4, classes=3, seed=1, routing={0: [2], 2: [3, 0]}).eval()
    save(tmp_path, network)
    back = load_network(tmp_path)
    assert torch.equal(logits(back, channels=4), logits(network, channels=4))
    assert torch.equal(back.input_weights, network.input_weights)
    assert back.routing == {0: (2,), 2: (3, 0)}
    assert back.config.recipes == config.recipes
    assert judge_saved(tmp_path).certified


@pytest.mark.parametrize("integrator", ["cayley", "edge_cayley"])
def test_a_graph_without_edges_is_saved_too(integrator, tmp_path):
    graph = ModuleGraph([Area(4, True, True)], [])
    network = tiny_network(graph=graph, integrator=integrator).eval()
    save(tmp_path, network)
    assert judge_saved(tmp_path).certified
    assert torch.equal(logits(load_network(tmp_path)), logits(network))


def test_saving_is_deterministic_and_leaves_nothing_else(tmp_path):
    save(tmp_path / "a", trained())
    save(tmp_path / "b", trained())
    names = sorted(p.name for p in (tmp_path / "a").iterdir())
    assert names == ["certificate.json", "graph.graphml", "graph.json", "model.safetensors"]
    for name in names:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes(), name


@pytest.mark.parametrize("arm", ARMS)
def test_a_network_is_saved_when_all_of_it_is_there(arm, tmp_path):
    assert not is_saved(tmp_path / "net")
    save(tmp_path / "net", trained(**ARMS[arm]))
    assert sorted(NETWORK_FILES) == sorted(path.name for path in (tmp_path / "net").iterdir())
    assert is_saved(tmp_path / "net")


@pytest.mark.parametrize("over", [None, "another", "the same"])
@pytest.mark.parametrize("count", range(5))
def test_a_save_that_was_killed_is_no_saved_network(count, over, tmp_path, monkeypatch):
    network = trained()
    if over is not None:
        save(tmp_path / "net", network if over == "the same" else tiny_network(seed=1))
    left = count

    def killed(self, target):
        nonlocal left
        if left == 0:
            raise KeyboardInterrupt
        left -= 1
        return replace(self, target)

    replace = Path.replace
    with monkeypatch.context() as patch, contextlib.suppress(KeyboardInterrupt):
        patch.setattr(Path, "replace", killed)
        save(tmp_path / "net", network)
    # Of four files, the last two say whether they belong together.
    whole = count == 4 or over == "the same" or (over == "another" and count < 3)
    assert is_saved(tmp_path / "net") == whole


@pytest.mark.parametrize("count", range(4))
def test_a_disk_that_fails_while_a_network_is_saved_is_no_bad_input(count, tmp_path, monkeypatch):
    left = count

    def fails(descriptor):
        nonlocal left
        if left == 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        left -= 1

    monkeypatch.setattr(os, "fsync", fails)
    with pytest.raises(OSError, match="No space left"):
        save(tmp_path, trained())
    assert not list(tmp_path.glob(".*"))


@pytest.mark.parametrize("name", NETWORK_FILES)
def test_a_network_without_one_of_its_files_is_not_saved(name, tmp_path):
    save(tmp_path, trained())
    (tmp_path / name).unlink()
    assert not is_saved(tmp_path)
    (tmp_path / name).mkdir()
    assert not is_saved(tmp_path)


def test_saving_over_another_network_replaces_it(tmp_path):
    save(tmp_path, tiny_network(seed=1, stability="unconstrained"))
    network = trained()
    save(tmp_path, network)
    assert torch.equal(logits(load_network(tmp_path)), logits(network))
    assert judge_saved(tmp_path).certified


def test_a_loaded_network_can_be_trained_on_and_saved_again(tmp_path):
    save(tmp_path / "a", trained())
    back = load_network(tmp_path / "a")
    train(back, tiny_task(), TrainingConfig(epochs=1, learning_rate=0.05), epochs=1, seed=1)
    save(tmp_path / "b", back)
    assert judge_saved(tmp_path / "b").certified
    assert torch.equal(logits(load_network(tmp_path / "b")), logits(back))


def test_exported_arrays_are_the_network(tmp_path):
    network = trained()
    arrays = export_arrays(network)
    assert arrays["W"].shape == arrays["L"].shape == (16, 16)
    assert np.array_equal(arrays["L"], -arrays["L"].T)
    assert np.array_equal(arrays["adjacency"], network.graph.adjacency())
    assert arrays["sizes"].tolist() == [4, 3, 4, 5]
    assert arrays["output_areas"].tolist() == [3]
    assert (float(arrays["dt"]), float(arrays["tau"])) == (0.2, 1.0)
    # The network again, from the arrays alone.
    weights, coupling = arrays["W"].astype(float), arrays["L"].astype(float)
    step = np.linalg.solve(np.eye(16) - 0.1 * coupling, np.eye(16) + 0.1 * coupling)
    x = np.zeros((5, 16))
    for u in inputs().numpy():
        y = x @ step.T
        drive = u @ arrays["input_weights"].T + arrays["input_bias"]
        x = y + 0.2 * (-y + np.maximum(y, 0) @ weights.T + drive)
    read = x[:, 11:] @ arrays["readout_weights"].T + arrays["readout_bias"]
    assert np.allclose(read, logits(network).numpy(), atol=1e-5)


def test_saved_edge_steps_are_the_network(tmp_path):
    network = trained(integrator="edge_cayley")
    save(tmp_path, network)
    tensors = {name: tensor.double().numpy() for name, tensor in load_file(tmp_path / "model.safetensors").items()}
    # As the documentation says they lie: in order of edges, the units of the first area first.
    sizes, edges = network.graph.sizes, network.graph.edges
    ends, steps, first = np.cumsum([0, *sizes]), [], 0
    for edge in edges:
        units = np.concatenate([np.arange(ends[area], ends[area + 1]) for area in edge])
        last = first + len(units) ** 2
        steps.append((units, tensors["coupling_steps"][first:last].reshape(len(units), len(units))))
        first = last
    assert last == len(tensors["coupling_steps"])
    x = np.zeros((5, 16))
    for t, u in enumerate(inputs().double().numpy()):
        y = x.copy()
        for units, step in steps if t % 2 == 0 else steps[::-1]:
            y[:, units] = y[:, units] @ step.T
        drive = u @ tensors["input_weights"].T + tensors["input_bias"]
        x = y + 0.2 * (-y + np.maximum(y, 0) @ tensors["area_weights"].T + drive)
    read = x[:, 11:] @ tensors["readout_weights"].T + tensors["readout_bias"]
    assert np.allclose(read, logits(network).numpy(), atol=1e-5)


# --- tampering -------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def pristine(tmp_path_factory):
    folder = tmp_path_factory.mktemp("saved")
    save(folder / "cayley", trained())
    save(folder / "edge_cayley", trained(integrator="edge_cayley"))
    save(folder / "euler", trained(integrator="euler"))
    return folder


@pytest.fixture
def saved(pristine, tmp_path):
    shutil.copytree(pristine / "cayley", tmp_path / "net")
    return tmp_path / "net"


@pytest.fixture
def edge_wise(pristine, tmp_path):
    shutil.copytree(pristine / "edge_cayley", tmp_path / "edges")
    return tmp_path / "edges"


def change(folder: Path, name: str, edit, *, rewrite: bool) -> None:
    """Put ``edit(tensor)`` in the place of a tensor, with or without the digest of the file made anew."""
    tensors = load_file(folder / "model.safetensors")
    tensors[name] = edit(tensors[name].clone()).contiguous()
    save_file(tensors, folder / "model.safetensors")
    if rewrite:
        sign_again(folder)


def sign_again(folder: Path) -> None:
    edit_record(folder, lambda record: {**record, "model_sha256": sha256((folder / "model.safetensors").read_bytes())})


def edit_record(folder: Path, edit) -> None:
    path = folder / "certificate.json"
    path.write_text(json.dumps(edit(json.loads(path.read_text()))))


def refusal(folder: Path) -> str:
    """Why a folder is refused: the error, or the reason in the certificate. Fails where it is certified."""
    try:
        certificate = judge_saved(folder)
    except InputError as error:
        reason = str(error)
    else:
        assert not certificate.certified
        reason = certificate.reason
    assert "\n" not in reason
    return reason


EDITS = {
    "area_weights scaled": ("area_weights", lambda w: w * 10, "expected below 1"),
    "area_weights scaled a little": ("area_weights", lambda w: w * 1.02, "area_weights changed"),
    "area_weights scaled down": ("area_weights", lambda w: w * 0.5, "area_weights changed"),
    "area_weights transposed": ("area_weights", lambda w: w.t(), "area_weights changed"),
    "area_weights full": ("area_weights", lambda w: w + 0.01, "different areas"),
    "steps of another network": ("coupling_steps", lambda q: torch.eye(len(q)), "not Cayley steps"),
    "steps transposed": ("coupling_steps", lambda q: q.t(), "not Cayley steps"),
    "steps squared": ("coupling_steps", lambda q: q @ q, "not Cayley steps"),
    "steps scaled": ("coupling_steps", lambda q: q * 1.01, "not orthogonal"),
    "steps scaled down": ("coupling_steps", lambda q: q * 0.99, "not orthogonal"),
    "a block of the coupling negated": ("coupling", lambda b: torch.cat([-b[:7], b[7:]]), "not Cayley steps"),
    "coupling negated": ("coupling", lambda b: -b, "not Cayley steps"),
    "coupling gone": ("coupling", torch.zeros_like, "not Cayley steps"),
    "coupling transposed": ("coupling", lambda b: b.t(), "no edge"),
    "coupling made skew": ("coupling", lambda b: b - b.t(), "no edge"),
    "metric": ("metric", lambda m: m * 2, "metric changed"),
    "metric negative": ("metric", lambda m: -m, "positive metric"),
    "input weights": ("input_weights", lambda w: w * 1.0001, "input_weights changed"),
    "biases": ("input_bias", lambda b: b * 0, "input_bias changed"),
    "readout": ("readout_weights", lambda w: w.flip(0), "readout_weights changed"),
    "readout biases": ("readout_bias", lambda b: b.flip(0), "readout_bias changed"),
    "NaN in the coupling": ("coupling", lambda b: b.index_fill(0, torch.tensor([5]), float("nan")), "NaN"),
    "infinity in the areas": ("area_weights", lambda w: w / 0, "NaN or infinity"),
    "NaN in the readout": ("readout_bias", lambda b: b * float("nan"), "NaN"),
    "another shape": ("readout_bias", lambda b: torch.cat([b, b]), "expected readout_bias of floats (2,)"),
    "one axis less": ("coupling", lambda b: b.reshape(-1), "expected coupling"),
    "integers": ("input_bias", lambda b: b.int(), "expected input_bias of floats"),
    "other precision": ("area_weights", lambda w: w.double() * 1.0000001, "got torch.float64"),
}


@pytest.mark.parametrize("name", EDITS)
def test_changed_tensors_are_refused_with_a_new_digest(name, saved):
    tensor, edit, expected = EDITS[name]
    change(saved, tensor, edit, rewrite=True)
    assert expected in refusal(saved)


@pytest.mark.parametrize("name", EDITS)
def test_changed_tensors_are_refused_with_the_old_digest(name, saved):
    tensor, edit, _ = EDITS[name]
    change(saved, tensor, edit, rewrite=False)
    assert "digest mismatch" in refusal(saved)
    with pytest.raises(InputError, match="digest mismatch"):
        load_network(saved)


@pytest.mark.parametrize("factor", [0.25, 3.0, 1e3])
def test_scaled_coupling_is_certified_with_a_remark(factor, saved):
    before = judge_saved(saved)
    change(saved, "coupling", lambda b: b * factor, rewrite=False)
    assert "digest mismatch" in refusal(saved)
    sign_again(saved)
    after = judge_saved(saved)
    assert after.certified
    assert f"{factor:g} times the strength" in after.notes[0]
    assert after.rho == before.rho
    assert after.coupling_norm == pytest.approx(factor * before.coupling_norm, rel=1e-6)


def test_scaled_coupling_with_its_own_steps_is_certified_without(saved):
    network = load_network(saved)
    with torch.no_grad():
        network.coupling.mul_(5)
    step = network.step_matrix()
    change(saved, "coupling", lambda b: b * 5, rewrite=False)
    change(saved, "coupling_steps", lambda q: step, rewrite=True)
    certificate = judge_saved(saved)
    assert certificate.certified
    assert certificate.notes == ()


EDGE_EDITS = {
    "steps scaled": ("coupling_steps", lambda q: q * 1.01, "not orthogonal"),
    "one step scaled": ("coupling_steps", lambda q: torch.cat([q[:49] * 1.01, q[49:]]), "not orthogonal"),
    "one step transposed": (
        "coupling_steps",
        lambda q: torch.cat([q[:49].view(7, 7).t().reshape(-1), q[49:]]),
        "not Cayley steps",
    ),
    "one step gone": ("coupling_steps", lambda q: torch.cat([torch.eye(7).reshape(-1), q[49:]]), "not Cayley steps"),
    "steps in another order": ("coupling_steps", lambda q: q.flip(0), "not"),
    "one step missing": ("coupling_steps", lambda q: q[49:], "expected coupling_steps of floats"),
    "steps as a matrix": ("coupling_steps", lambda q: q[None], "expected coupling_steps of floats"),
    "NaN in the steps": ("coupling_steps", lambda q: q * float("nan"), "NaN"),
    "coupling negated": ("coupling", lambda b: -b, "not Cayley steps"),
    "one edge negated": ("coupling", lambda b: torch.cat([b[:4], -b[4:7], b[7:]]), "not Cayley steps"),
    "coupling gone": ("coupling", torch.zeros_like, "not Cayley steps"),
    "coupling transposed": ("coupling", lambda b: b.t(), "no edge"),
    "area weights scaled": ("area_weights", lambda w: w * 10, "expected below 1"),
    "area weights scaled a little": ("area_weights", lambda w: w * 1.02, "area_weights changed"),
    "readout": ("readout_weights", lambda w: w.flip(0), "readout_weights changed"),
}


@pytest.mark.parametrize("name", EDGE_EDITS)
def test_changed_tensors_of_edge_steps_are_refused(name, edge_wise):
    assert judge_saved(edge_wise).certified
    tensor, edit, expected = EDGE_EDITS[name]
    change(edge_wise, tensor, edit, rewrite=False)
    assert "digest mismatch" in refusal(edge_wise)
    sign_again(edge_wise)
    assert expected in refusal(edge_wise)


def test_any_flipped_bit_of_edge_steps_is_refused_even_with_a_new_digest(edge_wise):
    content = (edge_wise / "model.safetensors").read_bytes()
    rng = np.random.default_rng(3)
    for name in ("coupling", "coupling_steps"):
        places = data_ranges(content)[name]
        for _ in range(60):
            flip(edge_wise, content, places[int(rng.integers(len(places)))], 1 << int(rng.integers(8)), rewrite=True)
            assert refusal(edge_wise)


def test_a_scaled_edge_coupling_is_certified_with_a_remark(edge_wise):
    before = judge_saved(edge_wise)
    change(edge_wise, "coupling", lambda b: b * 3, rewrite=True)
    after = judge_saved(edge_wise)
    assert after.certified
    assert "3 times the strength" in after.notes[0]
    assert after.rho == before.rho


@pytest.mark.parametrize("order", ["", "sorted", "reversed", None, 1])
def test_another_order_of_the_edges_is_another_model(order, edge_wise, saved):
    for folder in (edge_wise, saved):
        original = json.loads((folder / "certificate.json").read_text())["edge_order"]
        if order == original:
            continue
        edit_record(folder, lambda record: {**record, "edge_order": order})
        assert "has edge_order" in refusal(folder)
        with pytest.raises(InputError, match="edge_order"):
            load_network(folder)


def test_edge_steps_without_their_order_are_refused_and_other_networks_need_none(edge_wise, saved):
    for folder in (edge_wise, saved):
        edit_record(folder, lambda record: {name: value for name, value in record.items() if name != "edge_order"})
    assert "has edge_order ''" in refusal(edge_wise)
    # As they were written before there was an order to record.
    assert judge_saved(saved).certified


def test_whole_and_edge_steps_are_not_taken_for_one_another(edge_wise, saved):
    def edit(record, integrator):
        record["network"]["config"]["integrator"] = integrator
        return record

    original = (edge_wise / "certificate.json").read_text()
    for folder, integrator in ((edge_wise, "cayley"), (saved, "edge_cayley"), (edge_wise, "euler")):
        (edge_wise / "certificate.json").write_text(original)
        edit_record(folder, partial(edit, integrator=integrator))
        assert "has edge_order" in refusal(folder)
        order = EDGE_ORDER if integrator == "edge_cayley" else ""
        edit_record(folder, partial(dict, edge_order=order))
        assert "coupling_steps" in refusal(folder)


def test_a_coupling_beyond_the_cap_is_refused_for_euler(pristine, tmp_path):
    folder = tmp_path / "net"
    shutil.copytree(pristine / "euler", folder)
    assert judge_saved(folder).certified
    change(folder, "coupling", lambda b: b * 20, rewrite=True)
    assert "forward Euler at dt 0.2 is not certified" in refusal(folder)


def test_judging_reads_no_claim(saved):
    def lie(record, **claims):
        return {**record, **claims}

    change(saved, "area_weights", lambda w: w * 10, rewrite=True)
    edit_record(saved, partial(lie, certified=True, area_norm=0.1, rho=0.5, rate=0.9, reason=""))
    assert "expected below 1" in refusal(saved)


@pytest.mark.parametrize("claim", ["rho", "rate", "area_norm"])
@pytest.mark.parametrize("value", [0.5, None, "0.98", float("1e300")])
def test_claims_that_are_not_those_of_the_weights_are_refused(claim, value, saved):
    edit_record(saved, lambda record: {**record, claim: value})
    assert f"claims {claim}" in refusal(saved)


@pytest.mark.parametrize(
    ("entry", "value"),
    [
        ("area_norm", 1.5),
        ("dt", 5.0),
        ("dt", 0.0),
        ("dt", "fast"),
        ("integrator", "leapfrog"),
        ("stability", "very"),
        ("surprise", 1),
    ],
)
def test_impossible_settings_in_the_record_are_refused(entry, value, saved):
    def edit(record):
        record["network"]["config"][entry] = value
        return record

    edit_record(saved, edit)
    assert "is corrupt: network.config" in refusal(saved)


def test_another_dt_in_the_record_is_refused(saved):
    def edit(record):
        record["network"]["config"]["dt"] = 0.05
        return record

    edit_record(saved, edit)
    assert refusal(saved)


def test_other_arms_in_the_record_are_refused(saved):
    def edit(record, **config):
        record["network"]["config"].update(config)
        return record

    original = (saved / "certificate.json").read_text()
    for config in ({"integrator": "euler"}, {"stability": "continuous"}, {"stability": "unconstrained"}):
        (saved / "certificate.json").write_text(original)
        edit_record(saved, partial(edit, **config))
        assert "unknown tensors ['coupling_steps']" in refusal(saved)


def test_another_graph_is_refused(saved):
    tiny_graph().with_edges([(0, 1), (1, 3), (0, 2)]).save(saved / "graph.json")
    assert "no edge" in refusal(saved)
    # All edges and one more: the weights fit it, but it is not the graph that was certified.
    tiny_graph().with_edges([*tiny_graph().edges, (1, 2)]).save(saved / "graph.json")
    assert "graph.json is not the graph" in refusal(saved)
    ModuleGraph([Area(2, True, True)], []).save(saved / "graph.json")
    assert "cannot be judged" in refusal(saved)
    with pytest.raises(InputError, match="cannot be judged"):
        load_network(saved)


@pytest.mark.parametrize("name", ["model.safetensors", "certificate.json", "graph.json"])
def test_missing_files_folders_and_rubbish_are_refused(name, saved):
    path = saved / name
    content = path.read_bytes()
    for spoil in (
        path.unlink,
        path.mkdir,
        partial(path.write_bytes, b""),
        partial(path.write_bytes, b"\x00\xff not this"),
        partial(path.write_bytes, content[: len(content) // 2]),
        partial(path.write_bytes, b"[1, 2]"),
        partial(path.write_bytes, b"{}"),
        partial(path.write_bytes, b"[" * 100_000),
    ):
        if path.is_dir():
            path.rmdir()
        spoil()
        for read in (judge_saved, load_network):
            with pytest.raises(InputError, match=name.split(".")[0]):
                read(saved)


def test_a_rubbish_model_with_its_own_digest_is_refused(saved):
    content = (saved / "model.safetensors").read_bytes()
    for spoiled in (b"", b"rubbish that is long enough", content[:200], content[:-1], content + b"\0", b"\xff" * 64):
        (saved / "model.safetensors").write_bytes(spoiled)
        sign_again(saved)
        assert "is corrupt: expected a safetensors file" in refusal(saved)


def test_paths_that_hold_no_network_are_refused(tmp_path):
    (tmp_path / "file").write_text("x")
    for path in (tmp_path / "none", tmp_path / "file", tmp_path / "none" / "model.safetensors"):
        with pytest.raises(InputError, match="no saved network at"):
            judge_saved(path)
    with pytest.raises(InputError, match="no model at"):
        judge_saved(tmp_path)


@pytest.mark.parametrize("name", ["coupling_steps", "coupling", "metric", "readout_bias"])
def test_missing_and_unknown_tensors_are_refused(name, saved):
    tensors = load_file(saved / "model.safetensors")
    save_file({n: t for n, t in tensors.items() if n != name}, saved / "model.safetensors")
    sign_again(saved)
    assert f"missing or unknown tensors ['{name}']" in refusal(saved)
    save_file({**tensors, "more": torch.zeros(1)}, saved / "model.safetensors")
    sign_again(saved)
    assert "missing or unknown tensors ['more']" in refusal(saved)


@pytest.mark.parametrize("entry", ["format", "model_sha256", "tensors_sha256", "network", "graph_key"])
def test_records_without_an_entry_are_refused(entry, saved):
    edit_record(saved, lambda record: {k: v for k, v in record.items() if k != entry})
    assert refusal(saved)
    edit_record(saved, lambda record: {**record, entry: [1]})
    assert refusal(saved)


def test_numbers_that_are_not_json_are_refused(saved):
    text = (saved / "certificate.json").read_text()
    (saved / "certificate.json").write_text(text.replace('"dt": 0.2', '"dt": NaN'))
    assert "NaN is not a JSON number" in refusal(saved)


def header_length(content: bytes) -> int:
    return 8 + int.from_bytes(content[:8], "little")


def data_ranges(content: bytes) -> dict[str, range]:
    start = header_length(content)
    header = json.loads(content[8:start])
    return {
        name: range(start + entry["data_offsets"][0], start + entry["data_offsets"][1])
        for name, entry in header.items()
        if name != "__metadata__"
    }


def flip(folder: Path, content: bytes, place: int, mask: int, *, rewrite: bool) -> None:
    spoiled = bytearray(content)
    spoiled[place] ^= mask
    (folder / "model.safetensors").write_bytes(bytes(spoiled))
    if rewrite:
        sign_again(folder)


@pytest.mark.parametrize("mask", [0x01, 0x80])
def test_a_flipped_byte_of_the_header_is_refused_even_with_a_new_digest(mask, saved):
    content = (saved / "model.safetensors").read_bytes()
    for place in range(0, header_length(content), 4):
        flip(saved, content, place, mask, rewrite=True)
        assert refusal(saved), place


def test_any_flipped_byte_is_refused_by_the_digest(saved):
    content = (saved / "model.safetensors").read_bytes()
    rng = np.random.default_rng(0)
    for place in [0, 8, len(content) - 1, *rng.integers(0, len(content), 60)]:
        flip(saved, content, int(place), 1 << int(rng.integers(8)), rewrite=False)
        assert "digest mismatch" in refusal(saved)


@pytest.mark.parametrize(
    "name", ["area_weights", "metric", "input_weights", "input_bias", "readout_weights", "readout_bias"]
)
def test_any_flipped_bit_of_a_weight_is_refused_even_with_a_new_digest(name, saved):
    content = (saved / "model.safetensors").read_bytes()
    rng = np.random.default_rng(1)
    places = data_ranges(content)[name]
    for _ in range(25):
        flip(saved, content, places[int(rng.integers(len(places)))], 1 << int(rng.integers(8)), rewrite=True)
        assert refusal(saved)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["coupling", "coupling_steps"])
def test_every_flipped_high_bits_of_the_coupling_are_refused_even_with_a_new_digest(name, saved):
    content = (saved / "model.safetensors").read_bytes()
    tensors = load_file(saved / "model.safetensors")
    places = data_ranges(content)[name]
    threshold = 1e-2 if name == "coupling" else 1e-4
    for entry, value in enumerate(tensors[name].reshape(-1).tolist()):
        for mask in (0x40, 0x80, 0x01):
            # Signs of zeros and of what is nearly zero make no difference that could be seen in float32 steps.
            if mask == 0x40 or abs(value) > threshold:
                flip(saved, content, places[4 * entry + 3], mask, rewrite=True)
                assert refusal(saved), (entry, value, mask)


@pytest.mark.parametrize("name", ["coupling", "coupling_steps"])
def test_flipped_exponents_of_the_coupling_are_refused_even_with_a_new_digest(name, saved):
    content = (saved / "model.safetensors").read_bytes()
    places = data_ranges(content)[name]
    for entry in range(0, len(places) // 4, 7):
        flip(saved, content, places[4 * entry + 3], 0x40, rewrite=True)
        assert refusal(saved), entry


def test_any_flipped_bit_of_the_coupling_is_refused_even_with_a_new_digest(saved):
    # Too little for mathematics to see: the digests of the tensors notice what is no change of strength.
    content = (saved / "model.safetensors").read_bytes()
    rng = np.random.default_rng(2)
    for name in ("coupling", "coupling_steps"):
        places = data_ranges(content)[name]
        for _ in range(60):
            flip(saved, content, places[int(rng.integers(len(places)))], 1 << int(rng.integers(8)), rewrite=True)
            assert refusal(saved)


def _resigned(folder, tensors=None, **claims):
    """The folder's files with other tensors or claims, and the digests that go with them."""
    record = json.loads((folder / "certificate.json").read_text())
    if tensors is not None:
        save_file(tensors, folder / "model.safetensors")
        record["model_sha256"] = sha256((folder / "model.safetensors").read_bytes())
    (folder / "certificate.json").write_text(json.dumps({**record, **claims}))


@pytest.mark.parametrize("kind", [torch.bfloat16, torch.float16, torch.float64, torch.float8_e4m3fn])
def test_a_tensor_of_another_type_than_the_others_is_refused(kind, tmp_path):
    save(tmp_path, tiny_network())
    tensors = load_file(tmp_path / "model.safetensors")
    _resigned(tmp_path, {**tensors, "input_bias": tensors["input_bias"].to(kind)})
    for read in (judge_saved, load_network):
        with pytest.raises(InputError, match="input_bias"):
            read(tmp_path)


@pytest.mark.parametrize("claim", [10**400, True, "0.9", None, [0.9]])
@pytest.mark.parametrize("name", ["rho", "rate"])
def test_a_claim_that_is_no_number_is_refused(name, claim, tmp_path):
    save(tmp_path, tiny_network())
    _resigned(tmp_path, **{name: claim})
    with pytest.raises(InputError, match=f"claims {name} no number"):
        judge_saved(tmp_path)


def test_multipliers_beyond_any_float_confirm_nothing(tmp_path):
    certificate = save(tmp_path, tiny_network())
    count = len(json.loads((tmp_path / "certificate.json").read_text())["multipliers"])
    _resigned(tmp_path, rho=certificate.rho + 1e-4, multipliers=[10**400] * count)
    with pytest.raises(InputError, match="claims rho"):
        judge_saved(tmp_path)


def test_areas_of_millions_of_units_are_refused_before_anything_is_made_for_them(tmp_path):
    save(tmp_path, tiny_network())
    areas = [Area(1_048_576, is_input=True), *[Area(1_048_576)] * 4000, Area(1_048_576, is_output=True)]
    ModuleGraph(areas, []).save(tmp_path / "graph.json")
    with pytest.raises(InputError, match="area_weights"):
        judge_saved(tmp_path)


@pytest.mark.parametrize("channels", [[4096], [10**30], [-1], [0, 0], []])
def test_an_area_that_sees_channels_that_are_not_there_is_refused(channels, saved):
    def edit(record):
        routing = record["network"]["routing"]
        routing[next(iter(routing))] = channels
        return record

    edit_record(saved, edit)
    with pytest.raises(InputError, match=r"distinct channels|cannot be judged|corrupt"):
        load_network(saved)
