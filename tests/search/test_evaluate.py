import dataclasses

import numpy as np
import pytest
from support.tiny import tiny_space

from topo_search.errors import InputError
from topo_search.graph import make_family
from topo_search.search import Evaluator, Request
from topo_search.tasks import load_task

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
