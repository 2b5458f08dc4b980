import numpy as np
import pytest
from hypothesis import given

from topo_search.graph import Area, GraphConstraints, GraphError, ModuleGraph
from topo_search.graph.adjacency_file import graph_of_matrix, read_adjacency, strongest_edges

from .generators import constraint_sets, lightly, seeds

AREAS = [Area(4, is_input=True), Area(4), Area(4), Area(4), Area(4, is_output=True)]


def write(tmp_path, text):
    path = tmp_path / "matrix.csv"
    path.write_text(text)
    return path


def weights_of(p, seed):
    """Symmetric weights, of which about half are zero."""
    rng = np.random.default_rng(seed)
    upper = np.triu(rng.exponential(size=(p, p)) * (rng.random((p, p)) < 0.5), 1)
    return upper + upper.T


def test_a_matrix_of_zeros_and_ones_is_the_graph_itself(tmp_path):
    graph = ModuleGraph(AREAS, [(0, 1), (1, 4), (2, 3)])
    rows = "\n".join(",".join(map(str, row)) for row in graph.adjacency().tolist())
    matrix = read_adjacency(write(tmp_path, rows + "\n\n"))
    assert graph_of_matrix(matrix, GraphConstraints.build(AREAS)) == graph


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "expected a square matrix of 1 to 4096 rows, got no row"),
        ("0,1\n1,0\n0,0", "expected a square matrix of 1 to 4096 rows, got 3 rows of 2"),
        ("0,1\n1", "line 2: expected 2 numbers, got 1"),
        ("a,b\n0,1", "line 1: expected numbers separated by commas, got 'a'"),
        ("0;1\n1;0", "line 1: expected numbers separated by commas, got '0;1'"),
        ("0,1_0\n10,0", "line 1: expected numbers separated by commas, got '1_0'"),
        ("0,1,\n1,0,", "line 1: expected numbers separated by commas, got ''"),
        ("0,nan\nnan,0", "line 1: expected finite numbers that are not negative, got nan"),
        ("0,1e999\n1e999,0", "line 1: expected finite numbers that are not negative, got 1e999"),
        ("0,-0.5\n-0.5,0", "line 1: expected finite numbers that are not negative, got -0.5"),
        ("0,2\n3,0", r"entries \(0, 1\) and \(1, 0\) are 2 and 3, expected a symmetric matrix.*save \(M \+ M.T\) / 2"),
        ("0,1\n1,0.5", r"entry \(1, 1\) is 0.5, expected a zero diagonal: set it to 0"),
    ],
)
def test_what_is_no_symmetric_matrix_is_refused_in_one_line(tmp_path, text, message):
    path = write(tmp_path, text)
    with pytest.raises(GraphError, match=message) as caught:
        read_adjacency(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_number_of_rows_is_that_of_the_areas():
    with pytest.raises(GraphError, match="must have 5 rows, one an area, got 3"):
        graph_of_matrix(np.zeros((3, 3)), GraphConstraints.build(AREAS))


def test_the_strongest_edges_are_kept():
    weights = np.zeros((5, 5))
    for (i, j), weight in {(0, 1): 5, (1, 4): 4, (1, 2): 3, (2, 3): 2, (3, 4): 1}.items():
        weights[i, j] = weights[j, i] = weight
    assert strongest_edges(weights, GraphConstraints.build(AREAS, max_edges=3)) == ((0, 1), (1, 2), (1, 4))
    assert len(strongest_edges(weights, GraphConstraints.build(AREAS))) == 5


def test_a_connection_takes_the_place_of_the_weakest_only():
    weights = np.zeros((5, 5))
    # The strongest three do not reach the output; the way there is the weakest.
    for (i, j), weight in {(0, 1): 5, (1, 2): 4, (2, 3): 3, (0, 2): 2, (3, 4): 0.1}.items():
        weights[i, j] = weights[j, i] = weight
    constraints = GraphConstraints.build(AREAS, max_edges=4, forbidden_roles=[("input", "output")])
    assert strongest_edges(weights, constraints) == ((0, 1), (1, 2), (2, 3), (3, 4))


def test_equal_weights_rank_by_their_areas():
    weights = 0.5 * (np.ones((5, 5)) - np.eye(5))
    assert strongest_edges(weights, GraphConstraints.build(AREAS, max_edges=4)) == ((0, 1), (0, 2), (0, 3), (0, 4))


@lightly
@given(constraint_sets(low=2), seeds)
def test_what_is_kept_is_valid_and_fills_the_budget_with_weighted_edges(constraints, seed):
    weights = weights_of(len(constraints.areas), seed)
    try:
        edges = strongest_edges(weights, constraints)
    except GraphError:
        # With many inputs and outputs no connection within a tight budget may be found.
        assert len(constraints.terminals) > 10
        return
    assert constraints.violation(ModuleGraph(constraints.areas, edges)) is None
    weighted = {edge for edge in constraints.allowed_edges if weights[edge] > 0}
    assert len(edges) >= min(constraints.edge_budget, len(weighted))
    if constraints.connects(weighted) and len(weighted) <= constraints.edge_budget:
        assert set(edges) == weighted
    assert edges == strongest_edges(weights, constraints)
