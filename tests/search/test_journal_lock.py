"""Nothing but a journal is cut to whole lines."""

import optuna
import pytest

from topo_search.errors import InputError
from topo_search.search import open_storage
from topo_search.search.storage.journal_lock import JournalLock, mend_end


def journal(path):
    optuna.create_study(study_name="run", storage=open_storage(path))
    return path.read_bytes()


FOREIGN = {
    "words": b"precious, and no whole line",
    "words after a line": b"first line\nprecious, and no whole line",
    "a record after a line of words": b'first line\n{"op_code":0,"worker_id":"x"',
    "an object": b'{"a": 1}',
    "objects": b'{"a": 1}\n{"b": 2',
    "nothing but zeros": bytes(64),
    "a blank line": b"\n  x",
    "other bytes": b"\xff\xfe\x00\n\xff",
}


@pytest.mark.parametrize("content", FOREIGN.values(), ids=FOREIGN)
def test_the_end_of_another_file_is_not_cut_off(tmp_path, content):
    path = tmp_path / "file"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"."):
        mend_end(path, JournalLock(path))
    with pytest.raises(InputError, match="cannot be opened: the journal is damaged: line 1 ") as caught:
        open_storage(path)
    assert "\n" not in str(caught.value)
    assert path.read_bytes() == content
    assert [left.name for left in tmp_path.iterdir()] == ["file"]


def test_a_first_record_that_was_cut_anywhere_is_one_still(tmp_path):
    path = tmp_path / "study.journal"
    first = journal(path).splitlines(keepends=True)[0]
    for cut in range(len(first)):
        path.write_bytes(first[:cut])
        mend_end(path, JournalLock(path))
        assert path.read_bytes() == b"", f"cut after {cut} bytes"


@pytest.mark.parametrize("torn", [b'{"op_', bytes(64), b"\xff"])
def test_whatever_follows_the_records_of_a_journal_is_cut_off(tmp_path, torn):
    path = tmp_path / "study.journal"
    content = journal(path)
    path.write_bytes(content + torn)
    mend_end(path, JournalLock(path))
    assert path.read_bytes() == content
