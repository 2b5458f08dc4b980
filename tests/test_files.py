import errno
import os
from pathlib import Path

import pytest

from topo_search.errors import InputError, RunFailedError
from topo_search.files import (
    UnreadableError,
    disk_errors,
    read_bytes,
    read_json,
    sha256,
    write_atomically,
    write_json,
)


class FullError(OSError):
    pass


def fail(*args, **options):
    raise FullError("no space left on device")


@pytest.mark.parametrize("broken", [(os, "fsync"), (Path, "replace"), (Path, "chmod")])
def test_a_failed_write_leaves_the_old_file_and_nothing_else(broken, tmp_path, monkeypatch):
    path = tmp_path / "file"
    write_atomically(path, "old")
    with monkeypatch.context() as patch:
        patch.setattr(*broken, fail)
        with pytest.raises(FullError):
            write_atomically(path, "new")
        with pytest.raises(FullError):
            write_atomically(tmp_path / "other", "new")
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


def test_an_interrupted_write_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "file"
    write_atomically(path, b"old")

    def interrupt(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        write_atomically(path, b"new")
    assert path.read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


def test_the_content_is_on_disk_before_the_name_is_changed(tmp_path, monkeypatch):
    order = []
    fsync, replace = os.fsync, Path.replace

    def note_sync(descriptor):
        order.append(("sync", os.fstat(descriptor).st_size))
        fsync(descriptor)

    def note_replace(self, target):
        order.append(("replace", self.stat().st_size))
        return replace(self, target)

    monkeypatch.setattr(os, "fsync", note_sync)
    monkeypatch.setattr(Path, "replace", note_replace)
    write_atomically(tmp_path / "file", b"12345")
    assert order == [("sync", 5), ("replace", 5)]


def test_a_written_file_has_the_permissions_of_a_plain_one(tmp_path):
    (tmp_path / "plain").write_text("x")
    write_atomically(tmp_path / "ours", "x")
    assert (tmp_path / "ours").stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_a_missing_folder_is_an_error(tmp_path):
    with pytest.raises(OSError, match="No such file"):
        write_atomically(tmp_path / "none" / "file", "x")


def test_json_comes_back(tmp_path):
    value = {"a": [1, 0.1, None, "ü"], "b": {"c": True}}
    write_json(tmp_path / "f.json", value)
    assert read_json(tmp_path / "f.json", "thing") == value
    assert (tmp_path / "f.json").read_text().endswith("}\n")


@pytest.mark.parametrize("number", [float("nan"), float("inf"), -float("inf")])
def test_numbers_that_are_not_finite_are_not_written(number, tmp_path):
    write_json(tmp_path / "f.json", {"x": 1})
    with pytest.raises(ValueError, match="Out of range"):
        write_json(tmp_path / "f.json", {"x": [number]})
    assert read_json(tmp_path / "f.json", "thing") == {"x": 1}


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[1]",
        b"1",
        b'"text"',
        b"null",
        b'{"a": NaN}',
        b'{"a": Infinity}',
        b'{"a": [-Infinity]}',
        b'{"a": 1',
        b'{"a": 1} {"b": 2}',
        b'\xff\xfe{"a": 1}',
        b"[" * 100_000,
    ],
)
def test_what_is_no_json_object_is_refused(content, tmp_path):
    path = tmp_path / "f.json"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"thing at .* is corrupt: expected a JSON object"):
        read_json(path, "thing")


def test_missing_files_and_folders_are_refused_by_name(tmp_path):
    for read in (read_json, read_bytes):
        with pytest.raises(InputError, match=r"no thing at .*none: expected a file"):
            read(tmp_path / "none", "thing")
        with pytest.raises(InputError, match=r"thing at .* cannot be read: Is a directory"):
            read(tmp_path, "thing")


@pytest.mark.parametrize("number", [errno.EIO, errno.ESTALE, errno.EMFILE, errno.EACCES, errno.ETIMEDOUT])
def test_a_file_that_is_there_and_cannot_be_read_is_told_from_a_wrong_path(number, tmp_path, monkeypatch):
    def fails(self):
        raise OSError(number, os.strerror(number), str(self))

    monkeypatch.setattr(Path, "read_bytes", fails)
    for read in (read_json, read_bytes):
        with pytest.raises(UnreadableError, match=f"thing at .*f cannot be read: {os.strerror(number)}"):
            read(tmp_path / "f", "thing")


@pytest.mark.parametrize("wrong", ["none", "", "file/f", "loop", "x" * 300])
def test_a_wrong_path_is_bad_input_alone(wrong, tmp_path):
    (tmp_path / "file").touch()
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(InputError) as caught:
        read_bytes(tmp_path / wrong, "thing")
    assert not isinstance(caught.value, UnreadableError)


def test_what_cannot_be_read_in_a_run_ends_it_in_one_line():
    line = r"^c cannot be read: what was finished is kept, go on with resume$"
    with pytest.raises(RunFailedError, match=line), disk_errors(Path("/run")):
        raise UnreadableError("c cannot be read")
    with pytest.raises(InputError, match=r"^no c$"), disk_errors(Path("/run")):
        raise InputError("no c")


def test_sha256():
    assert sha256(b"abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
