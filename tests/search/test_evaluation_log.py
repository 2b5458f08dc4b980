import pytest

from topo_search.errors import InputError
from topo_search.search import Evaluation, EvaluationLog, Request

RESULT = Evaluation(0.5, (0.25, 0.5), (1.5, 1.0), best_epoch=2, parameters=7, seconds=0.25)


def request(seed=0):
    return Request("{}", 2, seed)


def filled(path):
    log = EvaluationLog(path)
    assert log.start(request(0), label="trial 0") == 1
    log.finish(request(0), RESULT)
    assert log.start(request(1), label="trial 1") == 1
    log.close()
    return path.read_bytes()


def test_results_and_attempts_outlive_the_driver(tmp_path):
    path = tmp_path / "log"
    filled(path)
    log = EvaluationLog(path)
    assert log.find(request(0)) == RESULT
    assert log.find(request(1)) is None
    assert log.start(request(1), label="again") == 2
    assert log.attempts(request(0)) == 1


def test_a_log_cut_anywhere_in_its_last_line_is_taken_up(tmp_path):
    path = tmp_path / "log"
    content = filled(path)
    last = content[:-1].rfind(b"\n") + 1
    for cut in range(last, len(content)):
        path.write_bytes(content[:cut])
        log = EvaluationLog(path)
        assert log.find(request(0)) == RESULT
        assert log.attempts(request(1)) == 0
        log.start(request(1), label="again")
        log.close()
        assert path.read_bytes().count(b"\n") == 3
        assert EvaluationLog(path).attempts(request(1)) == 1


@pytest.mark.parametrize("spoil", [b"not json\n", b'{"event":"result"}\n', b'{"event":"party","key":"x"}\n', b"[]\n"])
def test_a_damaged_line_is_refused(tmp_path, spoil):
    path = tmp_path / "log"
    path.write_bytes(spoil + filled(path))
    with pytest.raises(InputError, match="line 1 is corrupt"):
        EvaluationLog(path)


def test_the_key_names_what_is_computed():
    keys = {
        Request("a", 1, 0).key,
        Request("b", 1, 0).key,
        Request("a", 2, 0).key,
        Request("a", 1, 1).key,
        Request("a", 1, 0, use_best=True).key,
        Request("a", 1, 0, read_test=True).key,
    }
    assert len(keys) == 6
    assert Request("a", 1, 0, checkpoint="x", save_to="y").key == Request("a", 1, 0).key
