import pytest
from pydantic import ValidationError

from topo_search.model import NetworkConfig, SparseRecipe


def test_a_step_beyond_the_time_constant_is_refused():
    with pytest.raises(ValidationError, match=r"dt must not exceed tau.*got 1\.5"):
        NetworkConfig(dt=1.5)
    with pytest.raises(ValidationError, match="dt must not exceed tau"):
        NetworkConfig(dt=0.3, tau=0.2)
    assert NetworkConfig(dt=1.0).h == 1
    assert NetworkConfig(dt=2.0, tau=8.0).h == 0.25


@pytest.mark.parametrize("stability", ["continuous", "as_released", "unconstrained"])
@pytest.mark.parametrize("integrator", ["cayley", "edge_cayley"])
def test_cayley_steps_are_for_certified_networks(integrator, stability):
    with pytest.raises(
        ValidationError, match=rf"{stability} runs with integrator euler.*, got integrator {integrator}\b"
    ):
        NetworkConfig(stability=stability, integrator=integrator)


@pytest.mark.parametrize(
    ("stability", "integrator", "expected"),
    [
        ("certified", "auto", "cayley"),
        ("certified", "euler", "euler"),
        ("certified", "cayley", "cayley"),
        ("certified", "edge_cayley", "edge_cayley"),
        ("continuous", "auto", "euler"),
        ("as_released", "auto", "euler"),
        ("unconstrained", "auto", "euler"),
        ("unconstrained", "euler", "euler"),
    ],
)
def test_auto_is_resolved_by_stability(stability, integrator, expected):
    config = NetworkConfig(stability=stability, integrator=integrator)
    assert config.step_rule == expected
    assert config.rescaled == (stability != "as_released")


@pytest.mark.parametrize(
    "entries",
    [
        {"area_norm": 1.0},
        {"area_norm": 0.0},
        {"dt": 0.0},
        {"dt": -0.1},
        {"dt": float("nan")},
        {"tau": float("inf")},
        {"coupling_scale": float("nan")},
        {"input_scale": 0.0},
        {"integrator": "leapfrog"},
        {"stability": "sure"},
        {"activation": "gelu"},
        {"recipe": {"density": 0.0}},
        {"recipe": {"density": 1.1}},
        {"recipe": {"magnitude": float("inf")}},
        {"recipe": {"tries": 0}},
        {"recipe": {"densty": 0.1}},
        {"unknown": 1},
    ],
)
def test_impossible_settings_are_refused(entries):
    with pytest.raises(ValidationError):
        NetworkConfig.model_validate(entries)


def test_settings_are_frozen_and_survive_json():
    config = NetworkConfig(dt=0.1, recipes={64: SparseRecipe(density=0.01, magnitude=5)})
    with pytest.raises(ValidationError):
        config.dt = 0.2
    assert NetworkConfig.model_validate_json(config.model_dump_json()) == config
    assert config.recipe_for(64).density == 0.01
    assert config.recipe_for(32) == SparseRecipe()
