"""Whole searches on a real cluster of two nodes, whose nodes come and go."""

import csv
import os
import sys
import time

import pytest
from support.ray_clusters import ray_cluster, wait_for
from support.tiny import tiny_space

from topo_search.errors import InputError
from topo_search.executors import SerialExecutor
from topo_search.executors.ray_cluster import RayExecutor, connect, protection
from topo_search.executors.ray_cluster import session as session_module
from topo_search.search import EvaluationLog, Evaluator, Request, RunFolder, SearchDriver, SearchStudy, open_storage
from topo_search.search.resources import TrialResources
from topo_search.tasks import load_task

ray = pytest.importorskip("ray", reason="Ray is not installed: pip install 'topo_search[ray]'")

pytestmark = [pytest.mark.slow, pytest.mark.skipif(sys.platform != "linux", reason="finds processes in /proc")]

SPACE = tiny_space()
ONE = TrialResources()


def search(path, executor, *, trials=100, space=SPACE, on_progress=None):
    """A search; what it decided, and the rows of its table without what depends on time and luck."""
    folder = RunFolder(path)
    folder.create()
    log = EvaluationLog(folder.log)
    study = SearchStudy(open_storage(folder.journal), "run", space=space)
    driver = SearchDriver(
        space, seed=0, study=study, log=log, executor=executor, folder=folder, on_progress=on_progress
    )
    try:
        driver.run([trials])
    finally:
        log.close()
        executor.close()
    with (path / "trials.csv").open() as file:
        rows = [{k: v for k, v in row.items() if k not in ("seconds", "attempts")} for row in csv.DictReader(file)]
    decided = [
        (number, trial.graph.key, trial.proposal, [result.score for result in trial.results], trial.state)
        for number, trial in sorted(driver.decisions.trials.items())
    ]
    return decided, rows, study


@pytest.fixture(scope="module")
def serial(tmp_path_factory):
    executor = SerialExecutor(Evaluator(SPACE, load_task(SPACE.task)))
    decided, rows, _ = search(tmp_path_factory.mktemp("serial"), executor)
    assert len(rows) == 100
    return decided, rows


def executor_on(session, **options):
    return RayExecutor(SPACE, load_task(SPACE.task), **{"session": session, "resources": ONE, **options})


def seen_by(executor):
    """Nodes that evaluations began on, as a set that grows."""
    nodes = set()
    check = executor._check_traits

    def noted(message):
        nodes.add(message["node"])
        check(message)

    executor._check_traits = noted
    return nodes


def test_two_nodes_give_the_search_of_serial(tmp_path, serial):
    with ray_cluster() as cluster:
        cluster.add()
        with connect(cluster.address, resources=ONE) as session:
            executor = executor_on(session)
            nodes = seen_by(executor)
            assert executor.slots == 3
            decided, rows, study = search(tmp_path, executor)
    assert (decided, rows) == serial
    assert len(study.trials()) == 100
    assert len(nodes) == 2


def test_a_node_that_is_killed_costs_no_finished_trial(tmp_path, serial):
    with ray_cluster() as cluster:
        other = cluster.add()
        with connect(cluster.address, resources=ONE) as session:
            executor = executor_on(session)
            nodes, losses, killed = seen_by(executor), [], []
            lost = executor._lost

            def noted(running, loss, detail):
                losses.append(loss)
                return lost(running, loss, detail)

            executor._lost = noted

            def kill(progress):
                if progress.done < 30 or killed:
                    return
                with cluster.frozen(other):
                    on_it = [stream for stream, running in executor._running.items() if running.node == other.node_id]
                    # A result that is on its way arrives; what has none then cannot have one any more.
                    if on_it and not ray.wait(on_it, num_returns=len(on_it), timeout=0.5)[0]:
                        cluster.kill(other)
                        killed.append(progress.done)

            decided, rows, study = search(tmp_path, executor, on_progress=kill)
            # Ray may count the node in for a while after it has told of its end.
            wait_for(lambda: executor._room.evaluations == 1)
    assert 30 <= killed[0] < 100
    assert len(nodes) == 2
    assert losses
    assert set(losses) == {"node lost"}
    assert (decided, rows) == serial
    assert sorted(study.trials()) == list(range(100))


def test_a_node_that_joins_later_gets_work(tmp_path, serial):
    with ray_cluster() as cluster, connect(cluster.address, resources=ONE) as session:
        executor = executor_on(session)
        nodes = seen_by(executor)
        assert executor.slots == 2
        joined = []

        def join(progress):
            if progress.done >= 10 and not joined:
                joined.append(cluster.add().node_id)
                wait_for(lambda: executor._room.evaluations == 2)

        decided, rows, _ = search(tmp_path, executor, on_progress=join)
    assert joined[0] in nodes
    assert (decided, rows) == serial


class Greedy(Evaluator):
    """Takes memory without bound; travels to workers as code."""

    def _evaluate(self, request, at_most_seconds, on_epoch):
        taken = []
        while True:
            taken.append(bytearray(20_000_000))


def test_what_allocates_without_bound_fails_after_a_second_try_with_more(tmp_path):
    ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])
    resources = TrialResources(memory_gb=0.3)
    factors = []
    with connect("local", workers=2, resources=resources) as session:
        executor = executor_on(session, resources=resources, evaluator=Greedy)
        submit = executor.submit

        def noted(ticket, request, *, memory_factor=1.0):
            factors.append(memory_factor)
            submit(ticket, request, memory_factor=memory_factor)

        executor.submit = noted
        _, rows, _ = search(tmp_path, executor, trials=3)
    assert [row["state"] for row in rows] == ["FAIL"] * 3
    assert {row["reason"] for row in rows} == {"out of memory"}
    assert sorted(factors) == [1.0, 1.0, 1.0, 2.0, 2.0, 2.0]


def test_a_cluster_that_others_reach_must_ask_for_the_token_and_be_given_it(monkeypatch, tmp_path):
    # No test opens a port to others: the address is taken for one that they reach.
    for module in (session_module, protection):
        monkeypatch.setattr(module, "is_loopback", lambda host: False)
    with ray_cluster() as cluster:
        connect(cluster.address, resources=ONE).close()
        wrong = tmp_path / "token"
        wrong.write_text("0" * 64)
        with monkeypatch.context() as patch:
            patch.setenv("RAY_AUTH_TOKEN_PATH", str(wrong))
            with pytest.raises(InputError, match="cannot be joined"):
                connect(cluster.address, resources=ONE)
    assert not ray.is_initialized()
    with ray_cluster(mode="disabled") as cluster, pytest.raises(InputError, match="from anyone who reaches it"):
        connect(cluster.address, resources=ONE)
    assert not ray.is_initialized()


class Lingering(Evaluator):
    """Takes so long for each part that a node dies in the midst of it; travels to workers as code."""

    def evaluate_part(self, request, *, seconds):
        part = super().evaluate_part(request, seconds=seconds)
        time.sleep(3)
        return part


def test_a_lost_part_of_a_training_is_done_again_from_its_checkpoint(tmp_path):
    ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])
    with ray_cluster() as cluster:
        other = cluster.add(cpus=2)
        with connect(cluster.address, resources=ONE) as session:
            resources = TrialResources(cpus=2)  # The head has no room: it runs on the other node.
            executor = executor_on(session, resources=resources, part_seconds=1e-9, evaluator=Lingering)
            graph = serial_request(tmp_path / "checkpoint")
            executor.submit(0, graph)

            def second_part_runs():
                # Between two parts a node takes nothing with it: what waits goes to the next that comes.
                (running,) = executor._running.values() or (None,)
                return (tmp_path / "checkpoint").exists() and running is not None and running.started is not None

            while not second_part_runs():
                assert executor.wait(timeout=0.01) == []
            cluster.kill(other)
            (finished,) = executor.wait(timeout=60)
            assert finished.loss == "node lost"
            cluster.add(cpus=2)
            executor.submit(1, graph)
            (finished,) = executor.wait(timeout=60)
            executor.close()
    expected = Evaluator(SPACE, load_task(SPACE.task)).evaluate(serial_request(tmp_path / "other"))
    assert finished.evaluation.curve == expected.curve
    assert finished.evaluation.losses == expected.losses


def serial_request(checkpoint):
    from topo_search.graph import make_family
    from topo_search.seeds import generator

    graph = make_family("random_density", SPACE.constraints, generator(0, "test"))
    return Request(graph.to_json(), 3, 0, checkpoint=os.fspath(checkpoint))
