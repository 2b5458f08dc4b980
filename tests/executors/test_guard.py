import errno
import json
import os
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from support import faulty

from topo_search.errors import RunFailedError
from topo_search.executors.guard import LONGEST_DETAIL, guarded, printable, to_finished
from topo_search.files import UnreadableError, write_atomically
from topo_search.search import Evaluation, Finished

REQUEST = faulty.request("good")


def raising(error):
    def evaluate(request):
        raise error

    return evaluate


@given(st.text(st.characters(), max_size=200))
def test_printable_text_can_be_shown_and_stored(text):
    shown = printable(text)
    assert all(c.isprintable() or c == "\n" for c in shown)
    assert len(shown) == len(text)
    shown.encode()


def test_a_long_detail_keeps_its_end():
    shown = printable("a" * LONGEST_DETAIL + "the error")
    assert shown.startswith("... aaa")
    assert shown.endswith("the error")
    assert len(shown) == LONGEST_DETAIL + 4


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        torch.OutOfMemoryError("CUDA out of memory"),
        RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 8 bytes"),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling cublasCreate(handle)"),
        RuntimeError("std::bad_alloc"),
        OSError(errno.ENOMEM, "Cannot allocate memory"),
    ],
)
def test_what_runs_out_of_memory_may_be_tried_again(error):
    result = guarded(raising(error), REQUEST)
    assert result["loss"] == "out of memory"
    assert type(error).__name__ in result["detail"]
    assert to_finished(3, json.loads(json.dumps(result))) == Finished(3, None, "out of memory", result["detail"])


@pytest.mark.parametrize(
    "error", [RuntimeError("shapes do not fit"), OSError(errno.ENOENT, "no such file"), ValueError("out of memory")]
)
def test_other_errors_are_results(error):
    finished = to_finished(3, guarded(raising(error), REQUEST))
    assert finished.evaluation.reason == "error"
    assert "Traceback" in finished.evaluation.detail


def test_a_result_survives_the_way_through_json():
    evaluation = Evaluation(
        0.1 + 0.2, (1 / 3, 0.5), (1e-300, 2.0), edge_scores={"magnitude": (0.1,)}, final_edges=((0, 1),), rho=0.99
    )
    result = json.loads(json.dumps(guarded(lambda request: evaluation, REQUEST), allow_nan=False))
    assert to_finished(0, result) == Finished(0, evaluation)


@pytest.mark.parametrize("ending", [KeyboardInterrupt, SystemExit])
def test_what_ends_the_process_is_let_through(ending):
    with pytest.raises(ending):
        guarded(raising(ending()), REQUEST)


@pytest.mark.parametrize("result", [{}, {"loss": "worker lost"}, {"evaluation": {"score": 1.0}}, {"evaluation": []}])
def test_what_is_no_result_is_refused(result):
    with pytest.raises((KeyError, TypeError)):
        to_finished(0, result)


DISK = ["ENOSPC", "EDQUOT", "EROFS", "EACCES", "EPERM", "EIO", "ESTALE", "EMFILE", "ENFILE"]


@pytest.mark.parametrize("number", [getattr(errno, name) for name in DISK], ids=DISK)
def test_a_disk_that_fails_is_no_fault_of_the_candidate(number):
    def full(_):
        raise OSError(number, os.strerror(number), "rungs/0.safetensors")

    result = guarded(full, REQUEST)
    with pytest.raises(RunFailedError, match=r"or write a file: .*rungs/0.safetensors.*go on with resume"):
        to_finished(0, json.loads(json.dumps(result)))


def test_a_missing_file_is_an_error_like_any_other():
    def missing(_):
        raise FileNotFoundError(errno.ENOENT, "no such file", "data")

    assert to_finished(0, guarded(missing, REQUEST)).evaluation.reason == "error"


def test_a_file_that_the_disk_does_not_let_be_read_is_no_bad_input():
    result = guarded(raising(UnreadableError("coupling at c cannot be read: Input/output error")), REQUEST)
    with pytest.raises(RunFailedError, match="a file: coupling at c cannot be read: Input/output error; what was"):
        to_finished(0, json.loads(json.dumps(result)))


def test_a_run_whose_folder_is_gone_ends_and_a_missing_file_elsewhere_does_not(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def writes(request):
        write_atomically(Path(request.checkpoint), b"x")

    for gone in (tmp_path / "gone" / "0.safetensors", Path("gone/0.safetensors")):
        request = faulty.request("good", marker=gone)
        assert "No such file" in guarded(writes, request)["disk"]
        # As on a worker that shares no file system with the driver: its own files are elsewhere.
        missing = raising(FileNotFoundError(errno.ENOENT, "no such file", "/other/0.safetensors"))
        assert guarded(missing, request)["evaluation"]["reason"] == "error"
    (tmp_path / "gone").mkdir()
    missing = raising(FileNotFoundError(errno.ENOENT, "no such file", "gone/1.safetensors"))
    assert guarded(missing, request)["evaluation"]["reason"] == "error"


@pytest.mark.parametrize(
    "answer",
    [
        {},
        {"loss": "bored", "detail": "x"},
        {"loss": ["worker lost"], "detail": "x"},
        {"loss": "worker lost", "detail": 3},
        {"loss": "worker lost"},
    ],
)
def test_an_answer_that_no_worker_of_ours_gives_is_refused(answer):
    with pytest.raises((KeyError, TypeError, ValueError)):
        to_finished(0, answer)
