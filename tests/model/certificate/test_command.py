"""``certify`` on the command line: other programs' matrices, the standalone script, what it prints."""

import json
import subprocess
import sys

import numpy as np
import pytest
from support.tiny import tiny_network

from topo_search.cli import main
from topo_search.model import save_network


@pytest.fixture
def certify(monkeypatch, capsys):
    """Status, output and messages of a command."""

    def run(*arguments):
        monkeypatch.setattr("sys.argv", ["topo_search", "certify", *map(str, arguments)])
        with pytest.raises(SystemExit) as caught:
            main()
        captured = capsys.readouterr()
        return caught.value.code or 0, captured.out, captured.err

    return run


def test_arrays_of_other_programs_are_judged(certify, tmp_path):
    arrays = {"W": 0.5 * np.eye(3), "L": np.array([[0, 1, 0], [-1, 0, 0], [0, 0, 0.0]]), "dt": 0.05}
    np.savez(tmp_path / "good.npz", **arrays)
    status, out, err = certify("--as-released", tmp_path / "good.npz")
    assert (status, out.startswith("certified: factor 0.9")) == (0, True)
    assert "no M was given" in err
    np.savez(tmp_path / "bad.npz", **{**arrays, "M": np.array([1.0, 50.0, 1.0])})
    status, out, err = certify("--as-released", tmp_path / "bad.npz")
    assert (status, out.startswith("not certified: ")) == (1, True)
    assert "not negative feedback in this metric" in err
    status, out, _ = certify("--as-released", tmp_path / "bad.npz", "--json")
    assert (status, json.loads(out)["certified"]) == (1, False)
    np.savez(tmp_path / "worse.npz", W=arrays["W"])
    status, out, err = certify("--as-released", tmp_path / "worse.npz")
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert "missing L, dt" in err


def test_the_printed_script_verifies_a_saved_network(certify, tmp_path):
    save_network(tmp_path / "network", tiny_network())
    status, script, _ = certify("--standalone")
    assert status == 0
    (tmp_path / "verify.py").write_text(script)
    done = subprocess.run(
        [sys.executable, "-I", str(tmp_path / "verify.py"), str(tmp_path / "network")],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "certified\n"


@pytest.mark.parametrize("arguments", [[], ["folder", "--standalone"], ["folder", "--as-released", "file.npz"]])
def test_one_thing_is_judged_at_a_time(certify, arguments):
    status, out, err = certify(*arguments)
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert "expected one of a folder, --as-released FILE and --standalone" in err


def test_what_holds_is_said(certify, tmp_path):
    save_network(tmp_path / "euler", tiny_network(integrator="euler"))
    status, out, _ = certify(tmp_path / "euler")
    assert status == 0
    for said in ("bound s_procedure", "margin", "a hundredth is left", "proved for all", "continuous-time rate"):
        assert said in out
    save_network(tmp_path / "open", tiny_network(stability="continuous"))
    status, out, _ = certify(tmp_path / "open")
    assert status == 1
    assert "found for a pattern of active units" in out
