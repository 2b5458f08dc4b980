"""What an evaluation in a log or a study may hold."""

from dataclasses import asdict

import pytest

from topo_search.search import Evaluation

GOOD = asdict(Evaluation(0.5, (0.4, 0.5), (1.0, 0.9), best_epoch=2, parameters=7, final_edges=((0, 1), (1, 2))))


def test_what_was_written_is_read():
    assert asdict(Evaluation.from_dict(GOOD)) == GOOD


@pytest.mark.parametrize(
    "change",
    [
        {"score": 1.5},
        {"score": "0.5"},
        {"score": float("nan")},
        {"curve": [0.4, -1]},
        {"losses": [float("inf"), 1.0]},
        {"seconds": -1.0},
        {"parameters": 2.5},
        {"best_epoch": 3},
        {"edge_scores": 3},
        {"final_edges": [[0, float("inf")]]},
        {"final_edges": [[0, 1.0]]},
        {"final_edges": [[0]]},
        {"unknown": 1},
    ],
)
def test_what_no_training_gives_is_refused(change):
    with pytest.raises((TypeError, ValueError)):
        Evaluation.from_dict({**GOOD, **change})
