import io
import math

import numpy as np
from rich.console import Console
from support.tiny import tiny_space

from topo_search.graph import make_family
from topo_search.report.tables import PLAIN_WIDTH, agreement_lines, comparison_table, group_comparison, verdict
from topo_search.search import Comparison, Evaluation, GraphScores
from topo_search.search.agreement import RankAgreement

CONSTRAINTS = tiny_space().constraints


def scores(kind, *tests, rank=0):
    graph = make_family("random_density", CONSTRAINTS, np.random.default_rng(int(1000 * np.nansum(tests))))
    evaluations = tuple(
        Evaluation.failure("diverged")
        if math.isnan(t)
        else Evaluation(t, (t,), (1.0,), best_epoch=1, test_accuracy=t, parameters=4586)
        for t in tests
    )
    return GraphScores(kind, graph, tuple(range(len(tests))), evaluations, rank)


def comparison(*, seeds=3):
    rng = np.random.default_rng(0)
    return Comparison(
        (
            scores("winner", *rng.uniform(0.85, 0.9, seeds), rank=1),
            *(scores("random", *rng.uniform(0.7, 0.8, seeds)) for _ in range(8)),
            *(scores("rewired", *rng.uniform(0.8, 0.88, seeds)) for _ in range(3)),
            scores("global_workspace", *rng.uniform(0.7, 0.8, seeds)),
        ),
        (),
    )


def printed(*parts):
    file = io.StringIO()
    console = Console(file=file, width=PLAIN_WIDTH)
    for part in parts:
        console.print(part, highlight=False)
    return file.getvalue().splitlines()


def test_means_have_intervals_that_hold_them_and_fit_the_width():
    lines = printed(comparison_table(comparison()))
    assert max(map(len, lines)) <= PLAIN_WIDTH
    rows = [[cell.strip() for cell in line.split("│")[1:-1]] for line in lines if line.startswith("│")]
    assert [row[0].split(",")[0] for row in rows] == [
        "winner 1",
        "random",
        "the best of them",
        "rewired winner",
        "the best of them",
        "global workspace",
    ]
    for row in rows:
        low, high = map(float, row[5].split(" - "))
        assert low < float(row[4].split(" ± ")[0]) < high
    assert rows[1][6] == "8 x 3"


def test_two_seeds_give_no_interval_for_one_graph():
    rows = [line for line in printed(comparison_table(comparison(seeds=2))) if "winner 1" in line]
    assert rows[0].split("│")[6].strip() == ""


def test_the_verdict_has_a_line_for_each_kind_with_interval_and_tests():
    lines = printed(verdict(comparison()))
    assert len(lines) == 3
    assert lines[1].startswith("  random, same number of edges")
    assert "n = 3 seeds" in lines[0]
    assert lines[1].endswith("and 0.250, above 8 of 8 graphs")
    assert lines[2].startswith("  rewired winner, same degrees")
    result = group_comparison(comparison(), "random")
    assert f"{result.by_seed.mean:+.3f} ({result.by_seed.low:+.3f} to {result.by_seed.high:+.3f})" in lines[1]
    assert printed(verdict(comparison())) == lines


def test_one_seed_and_divergence_are_said():
    lines = printed(verdict(comparison(seeds=1)))
    assert "n = 1 seed (" in lines[0]
    assert lines[1].count("(") == 0
    diverged = Comparison((scores("winner", 0.9, 0.8, rank=1), scores("random", 0.5, math.nan)), ())
    assert "no paired comparison" in verdict(diverged)


def test_rank_agreement_in_a_line():
    lines = agreement_lines([RankAgreement(6, 24, 0.63, 0.41, 0.8, 12), RankAgreement(12, 24, *[math.nan] * 3, 12)])
    assert lines[0] == "rung of 6 epochs ranks as 24 epochs do: tau 0.63 (0.41 to 0.80), n = 12"
    assert lines[1] == "rung of 12 epochs ranks as 24 epochs do: tau undefined, equal scores, n = 12"
