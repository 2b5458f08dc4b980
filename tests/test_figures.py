import numpy as np
import pytest

from topo_search.graph import Area, GraphConstraints, ModuleGraph, make_family
from topo_search.report import draw_graph
from topo_search.report.figures import graph_figure


def test_the_same_graph_gives_the_same_file_and_another_another(tmp_path):
    graph = ModuleGraph([Area(4, is_input=True), Area(8), Area(4, is_output=True)], [(0, 1), (1, 2)])
    for name, drawn in (("a", graph), ("b", graph), ("c", graph.with_edges([(0, 2)]))):
        draw_graph(drawn, tmp_path / f"{name}.svg")
    a, b, c = ((tmp_path / f"{name}.svg").read_bytes() for name in "abc")
    assert a == b
    assert a != c


@pytest.mark.parametrize("family", ["all_to_all", "ring", "global_workspace", "random_density"])
def test_every_area_and_edge_is_drawn(family):
    areas = [Area(4, is_input=True)] * 2 + [Area(4)] * 5 + [Area(4, is_input=True, is_output=True)]
    graph = make_family(family, GraphConstraints.build(areas), np.random.default_rng(0))
    axes = graph_figure(graph, title="x").axes[0]
    assert {text.get_text() for text in axes.texts} == {str(area) for area in range(8)}
    assert len(axes.patches) == graph.n_edges


def test_one_area_alone_is_drawn(tmp_path):
    draw_graph(ModuleGraph([Area(4, is_input=True, is_output=True)], []), tmp_path / "one.png")
    assert (tmp_path / "one.png").read_bytes().startswith(b"\x89PNG")
