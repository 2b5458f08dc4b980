import dataclasses
import json

import numpy as np
import pytest
from support.tiny import tiny_space

from topo_search.errors import InputError
from topo_search.graph import ModuleGraph, make_family
from topo_search.search import Evaluation, Evaluator, Request
from topo_search.tasks import load_task
from topo_search.training import EDGE_CRITERIA

SPACE = tiny_space()
GRAPH = make_family("random_density", SPACE.constraints, np.random.default_rng(0)).to_json()


@pytest.fixture(scope="module")
def evaluator():
    return Evaluator(SPACE, load_task(SPACE.task))


def values(evaluation):
    return dataclasses.replace(evaluation, seconds=0.0)


def test_an_evaluation_is_a_function_of_graph_epochs_and_seed(evaluator):
    request = Request(GRAPH, 3, 0)
    first, second = evaluator.evaluate(request), Evaluator(SPACE, load_task(SPACE.task)).evaluate(request)
    assert values(first) == values(second)
    assert values(evaluator.evaluate(Request(GRAPH, 3, 1))) != values(first)


def test_climbing_the_ladder_gives_the_bits_of_one_long_training(evaluator, tmp_path):
    checkpoint = str(tmp_path / "0.safetensors")
    for epochs in (1, 2):
        evaluator.evaluate(Request(GRAPH, epochs, 0, checkpoint=checkpoint))
    climbed = evaluator.evaluate(Request(GRAPH, 3, 0, checkpoint=checkpoint))
    straight = evaluator.evaluate(Request(GRAPH, 3, 0))
    assert climbed.curve == straight.curve
    assert climbed.losses == straight.losses


@pytest.mark.parametrize("more", [{}, {"use_best": True, "read_test": True}, {"edge_scores": True, "moves": "rigl"}])
def test_parts_on_several_workers_give_the_evaluation_of_one(evaluator, more, tmp_path):
    straight = evaluator.evaluate(Request(GRAPH, 3, 0, **more))
    request = Request(GRAPH, 3, 0, checkpoint=str(tmp_path / "0.safetensors"), **more)
    parts = [Evaluator(SPACE, evaluator.task).evaluate_part(request, seconds=0.0) for _ in range(3)]
    assert parts[:2] == [None, None]
    assert values(parts[2]) == values(straight)


def test_a_checkpoint_of_other_settings_is_not_taken_up(evaluator, tmp_path):
    checkpoint = str(tmp_path / "0.safetensors")
    evaluator.evaluate(Request(GRAPH, 2, 0, checkpoint=checkpoint))
    other = tiny_space(training={"epochs": 3, "batch_size": 10})
    straight = Evaluator(other, load_task(other.task)).evaluate(Request(GRAPH, 3, 0))
    climbed = Evaluator(other, load_task(other.task)).evaluate(Request(GRAPH, 3, 0, checkpoint=checkpoint))
    assert climbed.curve == straight.curve


def test_the_test_part_is_read_only_when_asked(evaluator, tmp_path):
    plain = evaluator.evaluate(Request(GRAPH, 1, 0))
    assert plain.test_accuracy is None
    assert plain.certified is None
    full = evaluator.evaluate(Request(GRAPH, 1, 0, use_best=True, read_test=True, save_to=str(tmp_path / "net")))
    assert 0 <= full.test_accuracy <= 1
    assert full.certified
    assert full.rho < 1
    assert (tmp_path / "net" / "certificate.json").is_file()


def test_divergence_is_a_value_with_a_reason():
    space = tiny_space(training={"epochs": 3, "divergence_loss": 1e-6})
    evaluation = Evaluator(space, load_task(space.task)).evaluate(Request(GRAPH, 1, 0))
    assert evaluation.reason == "diverged"
    assert "epoch 1, batch 1" in evaluation.detail


def test_a_recipe_without_stable_areas_is_one_line():
    space = tiny_space(network={"dt": 0.2, "recipe": {"density": 1.0, "magnitude": 50.0, "tries": 3}})
    with pytest.raises(InputError, match="no stable area of 4 units was found in 3 tries"):
        Evaluator(space, load_task(space.task)).evaluate(Request(GRAPH, 1, 0))


DENSE = ModuleGraph(SPACE.constraints.areas, SPACE.constraints.allowed_edges)


def test_edge_scores_come_only_when_asked_for(evaluator):
    plain, scored = (evaluator.evaluate(Request(DENSE.to_json(), 2, 0, edge_scores=asked)) for asked in (False, True))
    assert plain.edge_scores is None
    assert scored.edge_scores.keys() == EDGE_CRITERIA.keys()
    assert all(len(row) == DENSE.n_edges for row in scored.edge_scores.values())
    assert plain.curve == scored.curve, "looking at gradients must not change the training"
    again = Evaluation.from_dict(json.loads(json.dumps(dataclasses.asdict(scored))))
    assert (
        values(again) == values(evaluator.evaluate(Request(DENSE.to_json(), 2, 0, edge_scores=True))) == values(scored)
    )


@pytest.mark.parametrize("moves", ["rigl", "set"])
def test_moved_edges_are_told_and_their_network_is_certified(evaluator, moves, tmp_path):
    request = Request(GRAPH, 3, 0, moves=moves, edge_scores=True, save_to=str(tmp_path / "net"))
    evaluation = evaluator.evaluate(request)
    before = ModuleGraph.from_json(GRAPH)
    assert evaluation.final_edges != before.edges
    assert len(evaluation.final_edges) == before.n_edges
    assert SPACE.constraints.violation(before.with_edges(evaluation.final_edges)) is None
    assert evaluation.certified
    assert ModuleGraph.load(tmp_path / "net" / "graph.json").edges == evaluation.final_edges
    assert len(evaluation.edge_scores["taylor"]) == before.n_edges
    assert values(evaluator.evaluate(request)) == values(evaluation)


def test_a_child_begins_with_the_coupling_of_its_parent(evaluator, tmp_path):
    kept = tmp_path / "couplings" / "0-2.safetensors"
    plain = evaluator.evaluate(Request(GRAPH, 3, 0, keep_coupling=str(kept)))
    request = Request(DENSE.to_json(), 3, 0, inherit=str(kept), inherit_key="parent@2")
    child = evaluator.evaluate(request)
    assert child.curve != evaluator.evaluate(Request(DENSE.to_json(), 3, 0)).curve
    assert values(plain) == values(evaluator.evaluate(Request(GRAPH, 3, 0)))
    checkpoint = str(tmp_path / "1.safetensors")
    for epochs in (1, 2, 3):
        climbed = evaluator.evaluate(dataclasses.replace(request, epochs=epochs, checkpoint=checkpoint))
    assert (climbed.curve, climbed.losses) == (child.curve, child.losses)
    # Of another parent the checkpoint is not taken up.
    other = dataclasses.replace(request, inherit_key="other@2", checkpoint=checkpoint)
    evaluator.evaluate(dataclasses.replace(other, epochs=1))
    assert evaluator.evaluate(other).curve == child.curve
    kept.unlink()
    with pytest.raises(InputError, match="no coupling at"):
        evaluator.evaluate(request)


def test_pruned_pairs_are_not_counted_as_parameters(evaluator, tmp_path):
    training = {**SPACE.training.model_dump(), "unit_pruning": {"fraction": 0.5, "epochs": [1]}}
    pruning = Evaluator(tiny_space(training=training), evaluator.task)
    whole, short, long = (e.evaluate(Request(GRAPH, n, 0)) for e, n in ((evaluator, 3), (pruning, 1), (pruning, 3)))
    assert whole.parameters == short.parameters
    assert whole.parameters - long.parameters == ModuleGraph.from_json(GRAPH).n_edges * 8
    checkpoint = str(tmp_path / "0.safetensors")
    climbed = [pruning.evaluate(Request(GRAPH, epochs, 0, checkpoint=checkpoint)) for epochs in (1, 2, 3)]
    assert values(climbed[-1]) == values(long)
