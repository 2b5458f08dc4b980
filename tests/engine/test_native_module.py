"""The compiled module checks what it is given: arrays that do not fit raise, and never end the process."""

import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from support.calls import make_call
from support.native import needs_native, passed

from topo_search.engine import INTEGRATORS, AreaLayout
from topo_search.engine.native import native_status

pytestmark = needs_native

LAYOUT = AreaLayout.of([3, 4], [(0, 1)])
STEPS, BATCH, CHANNELS, UNITS = 6, 5, 3, 7
GRADIENTS = {"inputs": 90, "input_weights": 21, "bias": 7, "area_weights": 25, "forward": 12, "initial": 35}


def floats(*shape):
    return np.zeros(shape, dtype=np.float32)


def arguments(integrator="euler", *, keep=True, **options):
    """What a call passes to the module, with every array that is optional."""
    call = make_call(LAYOUT, integrator, steps=STEPS, batch=BATCH, channels=CHANNELS, initial=True, **options)
    call = replace(call, lengths=torch.full((BATCH,), STEPS), saturation=torch.ones(UNITS))
    return passed(call, keep=keep)


def ran_forward(given):
    rollout = native_status().module.Rollout(**given)
    native_status().module.forward([rollout], [floats(BATCH, UNITS)], 1)
    return rollout


def targets(**others):
    arrays = {"inputs": floats(90), **{name: floats(count) for name, count in GRADIENTS.items()}, **others}
    order = ("inputs", "input_weights", "bias", "area_weights", "forward", "backward", "initial")
    return [arrays.get(name) for name in order]


def backward(rollout, gradients, grad=None):
    native_status().module.backward([rollout], [floats(BATCH, UNITS) if grad is None else grad], [gradients], 1)


@pytest.mark.parametrize("integrator", INTEGRATORS)
def test_what_calls_pass_is_taken(integrator):
    backward(ran_forward(arguments(integrator)), targets())


@pytest.mark.parametrize("count", [0, 6, 8])
@pytest.mark.parametrize("name", ["input_weights", "bias", "area_weights", "forward", "saturation", "initial"])
def test_arrays_of_another_size_are_refused(name, count):
    given = arguments()
    given[name] = floats(count)
    with pytest.raises(ValueError, match=f"{name} has {count} entries, expected"):
        native_status().module.Rollout(**given)


@pytest.mark.parametrize(
    ("integrator", "changes", "message"),
    [
        ("euler", {"backward": floats(3)}, "backward has 3 entries, expected 12"),
        ("euler", {"lengths": np.zeros(4, dtype=np.int64)}, "lengths has 4 entries, expected 5"),
        ("euler", {"lengths": np.full(5, 7)}, "a length lies outside"),
        ("euler", {"lengths": np.full(5, -1)}, "a length lies outside"),
        ("euler", {"inputs": floats(0, 5, 3)}, "no areas, steps or sequences"),
        ("euler", {"inputs": floats(6, 0, 3)}, "no areas, steps or sequences"),
        ("euler", {"sizes": []}, "no areas"),
        ("euler", {"sizes": [3, 0]}, "an area has no units"),
        ("euler", {"edges": [0, 2]}, "area 2 is not there"),
        ("euler", {"edges": [-1, 1]}, "area -1 is not there"),
        ("euler", {"edges": [1, 0]}, "pairs i < j"),
        ("euler", {"edges": [0, 0]}, "pairs i < j"),
        ("euler", {"seeing": [2]}, "area 2 is not there"),
        ("euler", {"level": "sse"}, "level sse was not compiled"),
        ("euler", {"speeds": [1.0]}, "one entry an area"),
        ("euler", {"relu": [1, 1, 1]}, "one entry an area"),
        ("euler", {"speeds": [1.0, 0.0]}, r"h times a speed must lie in \(0, 1\]"),
        ("euler", {"speeds": [1.0, 4.0]}, r"h times a speed must lie in \(0, 1\]"),
        ("euler", {"half": 0.0}, r"half must lie in \(0, h\]"),
        ("euler", {"scheme": 1}, "Euler and edge-wise steps have scheme 0"),
        ("edge_cayley", {"scheme": 2}, "Euler and edge-wise steps have scheme 0"),
        ("imex", {"scheme": 3}, "scheme 3 is not one of 0 to 2"),
        ("cayley", {"cover": [2]}, "area 2 is not there"),
        ("cayley", {"cover": []}, "an edge has no end in the cover"),
        ("cayley", {"matrix": floats(4)}, "matrix has 4 entries"),
        ("cayley", {"backward": floats(12)}, "takes a skew coupling"),
        ("cayley", {"form": 3, "series": []}, "the series has no coefficients"),
        ("edge_cayley", {"matrix": floats(4)}, "matrix has 4 entries, expected 9"),
    ],
)
def test_rollouts_that_make_no_sense_are_refused(integrator, changes, message):
    given = arguments(integrator)
    with pytest.raises(ValueError, match=message):
        native_status().module.Rollout(**{**given, **changes})


CRASHES = """
import sys
import numpy as np
import _topo_search_native as module

floats = lambda *shape: np.zeros(shape, dtype=np.float32)
rollout = lambda **others: module.Rollout(**{
    "level": module.usable_levels()[0], "sizes": [2, 3], "edges": [0, 1], "seeing": [0, 1], "cover": [], "form": 1,
    "scheme": 0, "half": 0.25, "speeds": [1.0, 1.0], "relu": [1, 0],
    "all_states": False, "keep": True, "fill_nan": True, "h": 0.5, "series_scale": 0.0, "series": [],
    "state_budget": 0, "inputs": floats(4, 3, 1), "input_weights": floats(5, 1), "bias": floats(5),
    "area_weights": floats(13), "forward": floats(6), "backward": None, "matrix": None, "saturation": None,
    "initial": None, "lengths": None, **others,
})
try:
    module.forward([EXPRESSION], [floats(3, 5)], 1)
except (TypeError, ValueError):
    sys.exit(7)
"""


@pytest.mark.parametrize("expression", ["rollout(form=-1)", "rollout(form=5)", "rollout(form=99)", "None"])
def test_nonsense_does_not_end_the_process(expression):
    script = CRASHES.replace("EXPRESSION", expression)
    assert subprocess.run([sys.executable, "-c", script], check=False, timeout=60).returncode == 7


def test_the_same_script_runs_where_it_makes_sense():
    script = CRASHES.replace("EXPRESSION", "rollout()")
    subprocess.run([sys.executable, "-c", script], check=True, timeout=60)


def test_outputs_that_do_not_fit_are_refused():
    module = native_status().module
    for outputs, message in (([floats(3)], "output has 3 entries, expected 35"), ([], "one output a rollout")):
        rollout = module.Rollout(**arguments())
        with pytest.raises(ValueError, match=message):
            module.forward([rollout], outputs, 1)


def test_a_rollout_runs_forward_once():
    rollout = ran_forward(arguments())
    with pytest.raises(RuntimeError, match="runs forward once"):
        native_status().module.forward([rollout], [floats(BATCH, UNITS)], 1)


def test_a_rollout_runs_backward_once_and_after_forward():
    rollout = native_status().module.Rollout(**arguments())
    with pytest.raises(RuntimeError, match="runs backward once, after forward"):
        backward(rollout, targets())
    rollout = ran_forward(arguments())
    backward(rollout, targets())
    with pytest.raises(RuntimeError, match="runs backward once, after forward"):
        backward(rollout, targets())


def test_a_rollout_whose_forward_pass_was_refused_has_no_backward_pass():
    module = native_status().module
    one, other = (module.Rollout(**arguments()) for _ in range(2))
    with pytest.raises(ValueError, match="output has 3 entries"):
        module.forward([one, other], [floats(BATCH, UNITS), floats(3)], 1)
    for rollout in (one, other):
        with pytest.raises(RuntimeError, match="after forward"):
            backward(rollout, targets())


def test_a_rollout_without_its_states_has_no_backward_pass():
    rollout = ran_forward(arguments(keep=False))
    with pytest.raises(RuntimeError, match="with its states kept"):
        backward(rollout, targets())


@pytest.mark.parametrize("name", GRADIENTS)
def test_gradients_that_do_not_fit_are_refused_and_the_right_ones_taken_after(name):
    rollout = ran_forward(arguments())
    with pytest.raises(ValueError, match=f"the gradient of {name} has 2 entries, expected {GRADIENTS[name]}"):
        backward(rollout, targets(**{name: floats(2)}))
    backward(rollout, targets())


@pytest.mark.parametrize("name", ["input_weights", "bias", "forward"])
def test_gradients_that_must_be_there(name):
    rollout = ran_forward(arguments())
    with pytest.raises(ValueError, match="a gradient is missing"):
        backward(rollout, targets(**{name: None}))


def test_gradients_of_feedback_are_there_where_it_is_free():
    with pytest.raises(ValueError, match="a gradient is missing"):
        backward(ran_forward(arguments(free=True)), targets())
    with pytest.raises(ValueError, match="a gradient is missing"):
        backward(ran_forward(arguments()), targets(backward=floats(12)))


def test_other_shapes_of_the_call_are_refused():
    module = native_status().module
    rollout = ran_forward(arguments())
    with pytest.raises(ValueError, match="grad_output has 3 entries, expected 35"):
        backward(rollout, targets(), floats(3))
    with pytest.raises(ValueError, match="expected seven gradients"):
        backward(rollout, targets()[:-1])
    with pytest.raises(ValueError, match="one set of targets a rollout"):
        module.backward([rollout], [floats(BATCH, UNITS)], [], 1)


def test_no_rollouts_are_no_work():
    native_status().module.forward([], [], 2)
    native_status().module.backward([], [], [], 2)
