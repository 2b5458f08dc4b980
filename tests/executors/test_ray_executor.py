"""Evaluations as tasks of a real private Ray on this machine."""

import dataclasses
import os
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from support.ray_clusters import descendants, listening
from support.tiny import tiny_space

from topo_search.errors import InputError, RunFailedError
from topo_search.executors import SerialExecutor
from topo_search.executors.ray_cluster import RayExecutor, connect
from topo_search.executors.ray_cluster.jobs import Job
from topo_search.graph import make_family
from topo_search.search import Evaluation, Evaluator, Request
from topo_search.search.resources import TrialResources
from topo_search.tasks import load_task
from topo_search.training.checkpoint import FORMAT, read_tensors
from topo_search.training.inheritance import FORMAT as COUPLING_FORMAT

ray = pytest.importorskip("ray", reason="Ray is not installed: pip install 'topo_search[ray]'")

SPACE = tiny_space()
TASK = load_task(SPACE.task)
ONE = TrialResources()


def request(seed, epochs=2, **options):
    graph = make_family("random_density", SPACE.constraints, np.random.default_rng(seed))
    return Request(graph.to_json(), epochs, seed, **options)


class Staged:
    """Evaluates as the seed of a request says; travels to workers as code, which do not know this file."""

    def __init__(self, space, task, *, device, threads):
        self.threads = threads

    def evaluate(self, request):
        folder = Path(request.inherit_key)
        match request.seed:
            case 1:
                time.sleep(60)
            case 2:
                print("Traceback: \x1b[31m\x00 garbage" * 100, flush=True)
                print("garbage", file=sys.stderr, flush=True)
                os.write(1, b"\xff\xfe garbage\n")
            case 3:
                time.sleep(0.3)  # Results on their way would go down with this process.
                os._exit(1)
            case 4:
                room = [bytearray(10_000_000) for _ in range(100)]
                return Evaluation(0.5, (), (), parameters=len(room))
            case 5:
                mine = folder / f"{os.getpid()}"
                mine.mkdir()
                time.sleep(0.2)
                beside = len(list(folder.iterdir()))
                mine.rmdir()
                return Evaluation(0.5, (), (), parameters=beside, detail=os.environ.get("CUDA_VISIBLE_DEVICES", ""))
            case 6:
                time.sleep(0.4)
        return Evaluation(0.5, (), ())

    def evaluate_part(self, request, *, seconds):
        checkpoint = Path(request.checkpoint)
        if request.seed == 7 and not checkpoint.exists():
            checkpoint.write_bytes(b"begun")
            return None
        return Evaluation(0.5, (), (), detail=f"{seconds:g}")


def variables():
    return {name: value for name, value in os.environ.items() if name.startswith("RAY_") or name == "TMPDIR"}


@pytest.fixture(scope="module")
def session():
    before = variables()
    ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])
    opened = connect("local", workers=3, resources=ONE, gpus=1)
    private = Path(os.environ["RAY_AUTH_TOKEN_PATH"]).parent
    yield opened
    opened.close()
    assert variables() == before
    assert not private.exists()


@pytest.fixture
def executors(session):
    made = []

    def make(**options):
        made.append(RayExecutor(SPACE, TASK, **{"session": session, "resources": ONE, **options}))
        return made[-1]

    yield make
    for executor in made:
        executor.close()


def collect(executor, requests, **options):
    """What became of requests, by ticket."""
    for ticket, one in enumerate(requests):
        executor.submit(ticket, one, **options)
    found = {}
    while len(found) < len(requests):
        found |= {finished.ticket: finished for finished in executor.wait()}
    return found


def results(executor, requests):
    return {t: dataclasses.replace(f.evaluation, seconds=0.0) for t, f in collect(executor, requests).items()}


def serially(requests):
    return results(SerialExecutor(Evaluator(SPACE, TASK)), requests)


def content(path):
    """Of a file: what it holds, where the order of its header is of no matter."""
    if path.name not in ("checkpoint", "coupling", "whole", "parts"):
        return path.read_bytes()
    expected = COUPLING_FORMAT if path.name == "coupling" else FORMAT
    tensors, header = read_tensors(path, "file", expected=expected)
    return {name: tensor.tolist() for name, tensor in tensors.items()}, header


def contents(folder):
    return {str(path.relative_to(folder)): content(path) for path in folder.rglob("*") if path.is_file()}


def test_results_and_files_are_those_of_serial(executors, tmp_path):
    def asked(folder):
        files = {"keep_coupling": str(folder / "coupling"), "save_to": str(folder / "saved")}
        first = request(0, use_best=True, read_test=True, checkpoint=str(folder / "checkpoint"), **files)
        return [first, request(2, edge_scores=True)]

    def heir(folder):
        return [request(3, inherit=str(folder / "coupling"), inherit_key="0")]

    theirs, ours = tmp_path / "serial", tmp_path / "ray"
    theirs.mkdir()
    executor = executors()
    assert results(executor, asked(ours)) == serially(asked(theirs))
    assert contents(ours) == contents(theirs)
    assert {"checkpoint", "coupling", "saved/certificate.json"} <= set(contents(ours))
    assert results(executor, heir(ours)) == serially(heir(theirs))


def test_a_training_in_parts_gives_the_bits_of_one_and_their_seconds_together(executors, tmp_path):
    whole = request(4, epochs=3, checkpoint=str(tmp_path / "whole"))
    parts = request(4, epochs=3, checkpoint=str(tmp_path / "parts"))
    executor = executors(part_seconds=1e-9)
    written = []
    keep, executor._keep = executor._keep, lambda *given: written.append(given[1]["seconds"]) or keep(*given)
    (finished,) = collect(executor, [parts]).values()
    assert dataclasses.replace(finished.evaluation, seconds=0.0) == serially([whole])[0]
    assert len(written) == 3
    assert sum(written[:2]) < finished.evaluation.seconds <= sum(written)
    assert content(tmp_path / "parts") == content(tmp_path / "whole")


def test_failures_of_an_evaluation_are_results(executors):
    bug = Request(request(0).graph, 99, 0)
    missing = request(0, inherit="/nowhere/coupling", inherit_key="0")
    found = results(executors(), [Request("{}", 2, 0), bug, missing])
    assert [found[ticket].reason for ticket in range(3)] == ["bad input", "error", "bad input"]
    assert "Traceback" in found[1].detail
    assert "epochs must lie in 1 .. 3" in found[1].detail
    assert "/nowhere/coupling" in found[2].detail


def test_what_takes_too_long_is_ended_and_its_time_begins_when_it_runs(executors):
    executor = executors(evaluator=Staged, resources=TrialResources(cpus=3, seconds=1.0))
    # One at a time: the second waits until the first is ended and a new worker is there, longer than it may run.
    found = collect(executor, [Request("", 1, 1), Request("", 1, 0)])
    assert (found[0].loss, found[0].evaluation) == ("timed out", None)
    assert found[1].evaluation.score == 0.5


def sizes_of_tasks(executor):
    """How many evaluations its tasks hold from now on, in a list that grows; it has seen that they are short."""
    for _ in range(4):
        executor._pace.note(Request("", 1, 0), 1e-3)
    sizes, choose = [], executor._next_task

    def noted():
        task = choose()
        sizes.append(len(task))
        return task

    executor._next_task = noted
    return sizes


def test_short_evaluations_share_a_task_and_one_that_ends_its_worker_is_lost_alone(executors):
    executor = executors(evaluator=Staged)
    sizes = sizes_of_tasks(executor)
    assert executor.slots == 4 * 16
    seeds = [0, 0, 0, 0, 2, 3, 0, 0]
    found = collect(executor, [Request("", 1, seed) for seed in seeds])
    # Each worker that is free has one at once, what comes then waits for one of them; after the loss none shares.
    assert sizes == [1, 1, 1, 5, 1, 1]
    assert [found[ticket].loss for ticket in range(8)] == [None] * 5 + ["worker lost"] + [None] * 2
    assert [f.evaluation.score for f in found.values() if f.evaluation] == [0.5] * 7
    sizes.clear()
    # Again: what was lost goes alone, whoever is before and after it.
    found = collect(executor, [Request("", 1, seed) for seed in seeds])
    assert sum(sizes) == 8
    assert [found[ticket].loss for ticket in range(8)] == [None] * 5 + ["worker lost"] + [None] * 2


def test_what_shares_a_task_is_put_off_soon_where_it_is_long(executors, tmp_path):
    executor = executors(evaluator=Staged)
    sizes = sizes_of_tasks(executor)
    asked = [Request("", 1, seed, checkpoint=str(tmp_path / str(n))) for n, seed in enumerate([0, 0, 0, 0, 7, 0])]
    found = collect(executor, asked)
    assert sizes[:4] == [1, 1, 1, 3]
    # It was begun in the task of three, is ended by itself, and kept nobody for long.
    assert [found[ticket].evaluation.detail for ticket in range(6)] == ["60", "60", "60", "1", "60", "1"]


def test_no_more_run_side_by_side_than_workers_were_asked_for(executors):
    executor = executors(evaluator=Staged, workers=2)
    assert executor.slots == 3  # Two, though there are three CPUs, and one that waits here.
    start, at_a_time = executor._start, []

    def noted(tasks):
        start(tasks)
        at_a_time.append(len(executor._running))

    executor._start = noted
    assert len(collect(executor, [Request("", 1, 6) for _ in range(5)])) == 5
    assert max(at_a_time) == 2
    assert executors(workers=5).slots == 4


def test_parts_before_a_lack_of_memory_are_not_forgotten(executors):
    executor = executors(evaluator=Staged)
    lost = Job(0, Request("", 1, 0), {}, spent=3.0)
    short = {"files": {}, "seconds": 1.0, "loss": "out of memory", "detail": "no room"}
    assert [finished.loss for finished in executor._keep(lost, short)] == ["out of memory"]
    found = collect(executor, [Request("", 1, 0)], memory_factor=2.0)
    assert found[0].evaluation.seconds == 3.0


def test_each_evaluation_of_a_task_is_timed_by_itself(executors):
    executor = executors(evaluator=Staged, resources=TrialResources(cpus=3, seconds=1.0))
    sizes = sizes_of_tasks(executor)
    found = collect(executor, [Request("", 1, seed) for seed in (0, 6, 6, 6, 6, 1, 0)])
    assert sizes == [1, 6, 1]
    assert [found[ticket].loss for ticket in range(7)] == [None] * 5 + ["timed out", None]


def test_winners_and_what_reads_the_test_part_share_no_task(executors, tmp_path):
    executor = executors()
    sizes = sizes_of_tasks(executor)
    plain, saved, read = request(0), request(1, save_to=str(tmp_path / "saved")), request(2, read_test=True)
    asked = [plain] * 3 + [plain, plain, saved, plain, read, plain]
    ours = results(executor, asked)
    assert sizes[:5] == [1, 1, 1, 2, 1]
    assert ours == serially([*asked[:5], request(1, save_to=str(tmp_path / "theirs")), *asked[6:]])


def test_garbage_that_a_task_prints_stays_on_the_worker(executors, capfd):
    found = collect(executors(evaluator=Staged), [Request("", 1, 2), Request("", 1, 3)])
    assert found[0].evaluation.score == 0.5
    assert found[1].loss == "worker lost"
    time.sleep(0.5)  # Ray would print a second's worth of messages late.
    printed = capfd.readouterr()
    assert (printed.out, printed.err) == ("", "")


@pytest.mark.skipif(sys.platform != "linux", reason="memory of a process is limited on Linux alone")
def test_memory_is_limited_and_a_second_try_is_given_more(executors):
    executor = executors(evaluator=Staged, resources=TrialResources(memory_gb=0.6))
    (first,) = collect(executor, [Request("", 1, 4)]).values()
    assert first.loss == "out of memory"
    (second,) = collect(executor, [Request("", 1, 4)], memory_factor=2.0).values()
    assert second.evaluation.parameters == 100


def test_shares_of_a_gpu_bound_what_runs_side_by_side(executors, tmp_path):
    executor = executors(evaluator=Staged, resources=TrialResources(gpus=0.5))
    assert executor.slots == 3  # Two on the only GPU, though there are three CPUs, and one that waits.
    found = collect(executor, [Request("", 1, 5, inherit_key=str(tmp_path)) for _ in range(8)])
    assert {f.evaluation.detail for f in found.values()} == {"0"}
    assert max(f.evaluation.parameters for f in found.values()) <= 2


def test_a_worker_with_other_versions_ends_the_run(executors):
    executor = executors()
    executor._traits = {**executor._traits, "torch": "1.0"}
    with pytest.raises(RunFailedError, match=r"^node \S+ has torch \S+, the driver has 1\.0: .*$"):
        collect(executor, [request(0)])


def test_what_fits_no_node_is_refused_before_anything_runs(executors):
    with pytest.raises(InputError, match=r"asks for 64 CPUs, 0 GPUs; the largest has 3 CPUs, 1 GPUs"):
        executors(resources=TrialResources(cpus=64))
    with pytest.raises(InputError, match=r"asks for 1 CPUs, 0 GPUs, 1e\+06 GB of memory"):
        executors(resources=TrialResources(memory_gb=1e6))


def test_close_ends_what_runs_and_the_session_serves_on(executors):
    executor = executors(evaluator=Staged)
    executor.submit(0, Request("", 1, 1))
    while not any(running.started for running in executor._running.values()):
        assert executor.wait(timeout=1) == []
    executor.close()
    assert executor.wait() == []
    assert collect(executors(evaluator=Staged), [Request("", 1, 0)])[0].evaluation.score == 0.5


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_private_ray_listens_on_loopback_alone_asks_for_a_token_and_keeps_it_private(session):
    assert listening([os.getpid(), *descendants(os.getpid())]) <= {"0100007F", "0000000000000000FFFF00000100007F"}
    token = Path(os.environ["RAY_AUTH_TOKEN_PATH"])
    assert (token.stat().st_mode & 0o777, token.parent.stat().st_mode & 0o777) == (0o600, 0o700)
    assert os.environ["RAY_AUTH_MODE"] == "token"


def test_a_process_has_one_session_at_a_time(session):
    with pytest.raises(InputError, match="in use already"):
        connect("local", resources=ONE)
