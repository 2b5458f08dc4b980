"""The script that needs NumPy alone says what ``certify`` says."""

import hashlib
import json
import shutil
import subprocess
import sys
from importlib.resources import files

import numpy as np
import pytest
from safetensors.torch import load_file, save_file
from support.tiny import tiny_network

from topo_search.model import judge_saved, save_network

SCRIPT = files("topo_search.model.certificate").joinpath("verify_standalone.py")
KINDS = {
    "cayley": {},
    "cayley, strong": {"coupling_scale": 1e2},
    "cayley, imperfect": {"imperfect_margin": 0.3},
    "cayley, both couplings": {"coupling": "both"},
    "edge_cayley": {"integrator": "edge_cayley"},
    "edge_cayley, nonlinear": {"integrator": "edge_cayley", "coupling": "nonlinear"},
    "euler": {"integrator": "euler"},
    "euler, nonlinear": {"integrator": "euler", "coupling": "nonlinear"},
    "imex": {"integrator": "imex"},
    "imex, both couplings": {"integrator": "imex", "coupling": "both", "stability": "continuous"},
    "resolvent": {"integrator": "resolvent", "coupling_scale": 1e2},
    "continuous": {"stability": "continuous"},
    "as_released": {"stability": "as_released"},
    "unconstrained": {"stability": "unconstrained"},
}


def run(folder):
    done = subprocess.run([sys.executable, "-I", str(SCRIPT), str(folder)], capture_output=True, text=True, check=False)
    assert done.stderr == ""
    assert done.stdout.count("\n") == 1
    return done.returncode, done.stdout


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    folder = tmp_path_factory.mktemp("standalone")
    for name, options in KINDS.items():
        save_network(folder / name, tiny_network(**options))
    return folder


@pytest.mark.parametrize("name", KINDS)
def test_it_agrees_with_certify(name, saved):
    certificate = judge_saved(saved / name)
    status, text = run(saved / name)
    assert status == (0 if certificate.certified else 1)
    assert text == "certified\n" if certificate.certified else certificate.reason in text
    assert certificate.certified == (name not in {"continuous", "as_released", "unconstrained"})


@pytest.fixture
def copied(saved, tmp_path):
    def copy(name):
        return shutil.copytree(saved / name, tmp_path / "network")

    return copy


def edit_record(folder, **entries):
    path = folder / "certificate.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **entries}))


def edit_tensor(folder, name, change):
    """A changed tensor under digests that were made again, so that only the mathematics can refuse it."""
    tensors = load_file(folder / "model.safetensors")
    tensors[name] = change(tensors[name].clone()).contiguous()
    save_file(tensors, folder / "model.safetensors")
    digests = {key: hashlib.sha256(value.contiguous().numpy().tobytes()).hexdigest() for key, value in tensors.items()}
    content = (folder / "model.safetensors").read_bytes()
    edit_record(folder, model_sha256=hashlib.sha256(content).hexdigest(), tensors_sha256=digests)


@pytest.mark.parametrize("name", [name for name in KINDS if name not in {"continuous", "as_released", "unconstrained"}])
def test_stronger_areas_are_refused_by_the_mathematics(name, copied):
    folder = copied(name)
    edit_tensor(folder, "area_weights", lambda weights: 1.2 * weights)
    assert run(folder)[0] == 1


@pytest.mark.parametrize("name", ["cayley", "edge_cayley"])
@pytest.mark.parametrize("change", [lambda q: -q, lambda q: q.flip(0), lambda q: 1.01 * q, lambda q: q * 0])
def test_steps_of_another_coupling_are_refused(name, change, copied):
    folder = copied(name)
    edit_tensor(folder, "coupling_steps", change)
    assert run(folder)[0] == 1


@pytest.mark.parametrize("name", ["euler", "imex"])
def test_a_stronger_coupling_is_refused_where_it_counts(name, copied):
    folder = copied(name)
    edit_tensor(folder, "coupling", lambda coupling: 8 * coupling)
    assert run(folder)[0] == 1


def test_couplings_off_the_graph_or_off_the_blocks_are_refused(copied):
    folder = copied("euler")
    edit_tensor(folder, "coupling", lambda coupling: coupling.t())
    assert run(folder)[0] == 1
    edit_tensor(folder, "coupling", lambda coupling: coupling.t())
    assert run(folder)[0] == 0
    edit_tensor(folder, "area_weights", lambda weights: weights + 1e-6)
    assert run(folder)[0] == 1


@pytest.mark.parametrize(
    "entries",
    [
        {"rho": 0.5},
        {"rho": 1.5},
        {"rho": float("nan")},
        {"multipliers": []},
        {"multipliers": [-1.0] * 16},
        {"multipliers": [float("nan")] * 16},
        {"multipliers": [float("inf")] * 16},
        {"multipliers": [1e-9] * 16},
        {"step_residual": -0.5},
        {"step_residual": float("nan")},
        {"scales": [1.0, 2.0, 1.0, 1.0]},
        {"certified": False},
    ],
    ids=str,
)
@pytest.mark.parametrize("name", ["cayley", "euler", "imex"])
def test_claims_that_do_not_hold_are_not_confirmed(name, entries, copied):
    folder = copied(name)
    edit_record(folder, **entries)
    assert run(folder)[0] in {1, 2}


def test_files_that_do_not_fit_cannot_be_judged(copied, tmp_path):
    folder = copied("cayley")
    assert run(tmp_path / "nowhere")[0] == 2
    content = (folder / "model.safetensors").read_bytes()
    places = np.random.default_rng(0).integers(0, len(content), 20)
    for place in places:
        spoiled = bytearray(content)
        spoiled[place] ^= 1
        (folder / "model.safetensors").write_bytes(bytes(spoiled))
        # Spaces of the header mean nothing.
        assert run(folder)[0] == 2 or content[place : place + 1] == b" "
    for spoiled in (b"", content[:100], content[:-4]):
        (folder / "model.safetensors").write_bytes(spoiled)
        assert run(folder)[0] == 2
    (folder / "model.safetensors").write_bytes(content)
    assert run(folder)[0] == 0
    edit_tensor(folder, "readout_bias", lambda bias: bias * float("nan"))
    assert run(folder)[0] == 2


def test_it_is_short_enough_to_be_read():
    assert len(SCRIPT.read_text().splitlines()) <= 60
