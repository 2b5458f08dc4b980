"""A script without the main guard: every worker that starts would run it again."""

import subprocess
import sys

import pytest
from support.tiny import tiny_space

from topo_search.config import space_to_yaml


@pytest.mark.slow
def test_a_script_without_the_main_guard_is_told_so_and_leaves_one_folder(tmp_path):
    space_file = tmp_path / "tiny.yaml"
    space_file.write_text(space_to_yaml(tiny_space()))
    script = tmp_path / "script.py"
    script.write_text(f"import topo_search\ntopo_search.evolve({str(space_file)!r}, budget=3, workers=2, out='run')\n")
    done = subprocess.run(
        [sys.executable, str(script)], cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode != 0
    assert "put the call of a script under" in done.stderr
    assert "no worker process could start" in done.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["run", "script.py", "tiny.yaml"]
