import math

import pytest
from pydantic import ValidationError

from topo_search.training import TrainingConfig
from topo_search.training.schedule import learning_rate


def rates(config, epochs=None):
    return [learning_rate(config, epoch) for epoch in range(epochs or config.epochs)]


def test_constant():
    assert rates(TrainingConfig(epochs=4, learning_rate=0.3)) == [0.3] * 4


def test_steps_cut_after_the_named_epochs():
    config = TrainingConfig(epochs=7, learning_rate=1.0, schedule="step", cuts=(2, 5), cut_factor=0.5)
    assert rates(config) == [1.0, 1.0, 0.5, 0.5, 0.5, 0.25, 0.25]


def test_cosine_falls_from_the_rate_to_its_share():
    config = TrainingConfig(epochs=10, learning_rate=2.0, schedule="cosine", final_factor=0.1)
    values = rates(config)
    assert values[0] == 2.0
    assert values == sorted(values, reverse=True)
    assert values[5] == pytest.approx(2.0 * 0.55)
    assert values[9] == pytest.approx(2.0 * (0.1 + 0.45 * (1 + math.cos(0.9 * math.pi))))
    assert learning_rate(config, 10) == pytest.approx(0.2)
    assert learning_rate(config, 50) == pytest.approx(0.2)
    zero = TrainingConfig(epochs=10, schedule="cosine")
    assert learning_rate(zero, 10) == pytest.approx(0)


def test_the_published_protocol():
    config = TrainingConfig(preset="published")
    assert (config.batch_size, config.learning_rate, config.epochs) == (128, 0.002, 250)
    assert (config.schedule, config.cuts, config.cut_factor) == ("step", (140, 190), 0.1)
    assert learning_rate(config, 139) == 0.002
    assert learning_rate(config, 140) == pytest.approx(2e-4)
    assert learning_rate(config, 189) == pytest.approx(2e-4)
    assert learning_rate(config, 190) == pytest.approx(2e-5)


def test_entries_beside_a_preset_take_precedence():
    config = TrainingConfig(preset="published", epochs=3, learning_rate=0.1)
    assert (config.epochs, config.learning_rate, config.batch_size, config.cuts) == (3, 0.1, 128, (140, 190))
    assert TrainingConfig.model_validate(config.model_dump()) == config
    assert TrainingConfig(preset=None).batch_size == 64


@pytest.mark.parametrize(
    "entries",
    [
        {"preset": "other"},
        {"schedule": "step"},
        {"schedule": "step", "cuts": [5, 2]},
        {"schedule": "step", "cuts": [2, 2]},
        {"schedule": "step", "cuts": [0]},
        {"schedule": "linear"},
        {"epochs": 0},
        {"batch_size": 0},
        {"learning_rate": 0},
        {"learning_rate": float("nan")},
        {"learning_rate": float("inf")},
        {"weight_decay": -1},
        {"weight_decay": float("nan")},
        {"clip_norm": 0},
        {"clip_norm": float("nan")},
        {"divergence_loss": 0},
        {"epoch": 3},
    ],
)
def test_impossible_settings_are_refused(entries):
    with pytest.raises(ValidationError):
        TrainingConfig.model_validate(entries)
