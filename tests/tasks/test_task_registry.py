"""Names, task-specific entries, the data folder, and what importing costs."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from topo_search.errors import InputError
from topo_search.tasks import TASKS, TaskConfig, load_task, resolve_config, resolve_data_dir


def test_names():
    assert list(TASKS) == ["digits", "seq_mnist", "ps_mnist", "seq_fashion_mnist", "seq_cifar10", "image_folder"]
    assert [name for name, info in TASKS.items() if not info.needs_data] == ["digits"]
    assert all(info.description and "\n" not in info.description for info in TASKS.values())
    with pytest.raises(TypeError):
        TASKS["more"] = TASKS["digits"]


def test_unknown_name_lists_the_known_ones():
    with pytest.raises(InputError, match="unknown task 'mnist'; expected one of digits, seq_mnist, ps_mnist"):
        load_task(TaskConfig(name="mnist"))


def test_presentation_is_filled_in():
    assert resolve_config(TaskConfig(name="digits")).presentation == "rows"
    assert resolve_config(TaskConfig(name="seq_cifar10")).presentation == "pixels"
    assert resolve_config(TaskConfig(name="digits", presentation="pixels")).presentation == "pixels"
    resolved = resolve_config(TaskConfig(name="seq_mnist", image_size=14))
    assert resolve_config(resolved) == resolved


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ({"name": "digits", "image_size": 4}, "image_size: task digits does not take it, got 4"),
        ({"name": "seq_mnist", "folder": "x"}, "folder: task seq_mnist does not take it.*expected with image_folder"),
        ({"name": "seq_cifar10", "grey": True}, "grey: task seq_cifar10 does not take it"),
        ({"name": "image_folder"}, "folder: task image_folder needs the folder"),
    ],
)
def test_entries_that_do_not_apply(entries, message):
    with pytest.raises(InputError, match=message):
        resolve_config(TaskConfig(**entries))


def test_data_folder_order(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("TOPO_SEARCH_DATA", raising=False)
    assert resolve_data_dir() == tmp_path / "cache/topo_search"
    monkeypatch.setenv("TOPO_SEARCH_DATA", str(tmp_path / "variable"))
    assert resolve_data_dir() == tmp_path / "variable"
    assert resolve_data_dir(str(tmp_path / "argument")) == tmp_path / "argument"
    monkeypatch.setenv("TOPO_SEARCH_DATA", "")
    assert resolve_data_dir() == tmp_path / "cache/topo_search"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert resolve_data_dir() == Path.home() / ".cache/topo_search"
    assert resolve_data_dir("~/data") == Path.home() / "data"
    assert resolve_data_dir("data").is_absolute()


@pytest.mark.parametrize("origin", ["--data-dir", "TOPO_SEARCH_DATA"])
def test_a_file_is_no_data_folder(tmp_path, monkeypatch, origin):
    path = tmp_path / "file"
    path.write_text("")
    argument = None
    if origin == "--data-dir":
        argument = path
    else:
        monkeypatch.setenv("TOPO_SEARCH_DATA", str(path))
    with pytest.raises(InputError, match=f"expected a folder, found a file: .*from {origin}"):
        load_task(TaskConfig(name="seq_mnist"), data_dir=argument)


def test_import_stays_light():
    code = "import sys, topo_search.tasks; print(sorted({'torchvision', 'sklearn', 'PIL'} & set(sys.modules)))"
    root = Path(__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
