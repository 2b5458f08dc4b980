from __future__ import annotations

import json

import networkx as nx
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from topo_search.graph import Area, GraphError, ModuleGraph

from .generators import lightly, module_graphs

GRAPH = ModuleGraph([Area(32, is_input=True), Area(16), Area(8, is_output=True)], [(0, 1), (1, 2)])


@lightly
@given(module_graphs())
def test_json_round_trip(graph):
    assert ModuleGraph.from_json(graph.to_json()) == graph


@lightly
@given(module_graphs())
def test_graphml_round_trip(graph):
    assert ModuleGraph.from_graphml(graph.to_graphml()) == graph


def test_json_looks_as_documented():
    assert json.loads(GRAPH.to_json()) == {
        "format": "topo_search.graph/1",
        "areas": [{"size": 32, "role": "input"}, {"size": 16, "role": "hidden"}, {"size": 8, "role": "output"}],
        "edges": [[0, 1], [1, 2]],
    }


def changed(**entries):
    return json.dumps(json.loads(GRAPH.to_json()) | entries)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "cannot be read"),
        ("{", "cannot be read"),
        ("[" * 100_000, "cannot be read"),
        ("[]", "must be an object with the keys format, areas, edges, got list"),
        ("3", "must be an object"),
        ("{}", r"must have exactly the keys format, areas, edges, got \[\]"),
        (changed(extra=1), "exactly the keys"),
        (changed(format="topo_search.graph/2"), 'format must be "topo_search.graph/1"'),
        (changed(areas={}), "areas must be a list, got dict"),
        (changed(areas=[]), "1 to 4096 areas, got 0"),
        (changed(areas=[3]), r"areas\[0\] must be an object with the keys size, role, got int"),
        (changed(areas=[{"size": 3}]), r"areas\[0\] must have exactly the keys size, role"),
        (changed(areas=[{"size": 3, "role": "hub"}]), r"areas\[0\]: area role must be one of"),
        (changed(areas=[{"size": 3.0, "role": "input"}]), r"areas\[0\]: area size must be an integer .* got 3.0"),
        (changed(areas=[{"size": True, "role": "input"}]), "got True"),
        (changed(areas=[{"size": "3", "role": "input"}]), "got '3'"),
        (changed(areas=[{"size": 0, "role": "input"}]), "got 0"),
        (changed(areas=[{"size": 10**30, "role": "input"}]), "a number of more than 12 digits"),
        (changed(areas=[{"size": 3, "role": "input"}] * 5000, edges=[]), "1 to 4096 areas, got 5000"),
        (changed(edges=3), "edges must be a list, got int"),
        (changed(edges=[3]), r"edges\[0\] must be a list, got int"),
        (changed(edges=[[0, 1, 2]]), r"edges\[0\] must hold two area indices, got 3 entries"),
        (changed(edges=[[0, 1.0]]), "got 1.0"),
        (changed(edges=[["0", "1"]]), "got '0'"),
        (changed(edges=[[0, 3]]), "from 0 to 2, got 3"),
        (changed(edges=[[0, 0]]), "self-loop"),
        (changed(edges=[[0, 1], [1, 0]]), "twice"),
        (GRAPH.to_json().replace("32", "NaN"), "only finite numbers, got NaN"),
        (GRAPH.to_json().replace("32", "-Infinity"), "only finite numbers, got -Infinity"),
        (GRAPH.to_json().replace("32", "9" * 5000), "cannot be read"),
        (GRAPH.to_json().replace("32", "1e2"), "got 100.0"),
        (GRAPH.to_json().replace('"size": 32', '"size": 32, "size": 33'), "a key twice"),
        (GRAPH.to_json() + "x", "cannot be read"),
    ],
)
def test_bad_json_is_refused_in_one_line(text, message):
    with pytest.raises(GraphError, match=message) as caught:
        ModuleGraph.from_json(text)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 300


XML = GRAPH.to_graphml()


def edge_again(text):
    return text.replace('<edge source="0" target="1" />', '<edge source="0" target="1" />' * 2)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "cannot be read"),
        ("<graphml>", "cannot be read"),
        ("<html/>", "cannot be read"),
        ("<?xml version='1.0'?><!DOCTYPE x [<!ENTITY a 'b'>]>" + XML, "document type or entities is refused"),
        ("<!doctype graphml>" + XML, "document type or entities is refused"),
        (XML.replace("undirected", "directed"), "must hold an undirected graph, got a directed one"),
        (edge_again(XML), "parallel edges: 3 edges join 2 pairs"),
        (edge_again(XML).replace('target="1"', 'target="1" id="same"'), "parallel edges"),
        (XML.replace('<edge source="0" target="1"', '<edge source="1" target="2"'), "parallel edges"),
        (XML.replace('source="0" target="1"', 'source="1" target="1"'), "self-loop"),
        (XML.replace('source="0" target="1"', 'source="0" target="7"'), 'nodes must be "0" to "2"'),
        (XML.replace('<node id="2">', '<node id="b">'), 'nodes must be "0" to "2"'),
        (XML.replace('<node id="2">', '<node id="02">'), 'nodes must be "0" to "2"'),
        (
            XML.replace('<node id="2">', '<node id="1">').replace('<edge source="1" target="2" />', ""),
            'nodes must be "0" to "2", each once',
        ),
        (XML.replace('target="2"', 'target="2" directed="true"'), "cannot be read"),
        (XML.replace('target="2"', 'goal="2"'), 'nodes must be "0" to "2"'),
        (XML.replace(">32<", ">thirty<"), "cannot be read"),
        (XML.replace(">32<", ">0<"), "area size must be an integer"),
        (XML.replace('"long"', '"double"'), "area size must be an integer .* got 32.0"),
        (XML.replace(">input<", ">hub<"), "area role must be one of"),
        (XML.replace('"size"', '"units"'), "node 0 must have the attribute 'size'"),
        (XML.replace('"role"', '"kind"'), "node 0 must have the attribute 'role'"),
        (XML.replace("</graph>", "</graph><graph edgedefault='undirected'/>"), "exactly one graph, got 2"),
        (XML.replace('attr.type="long"', 'attr.type="quaternion"'), "cannot be read"),
    ],
)
def test_bad_graphml_is_refused_in_one_line(text, message):
    with pytest.raises(GraphError, match=message) as caught:
        ModuleGraph.from_graphml(text)
    assert "\n" not in str(caught.value)


def test_graphml_of_other_tools_may_carry_more():
    graph = nx.Graph(GRAPH.graph)
    nx.set_node_attributes(graph, 0.5, "x")
    nx.set_edge_attributes(graph, "friend", "label")
    assert ModuleGraph.from_graphml("\n".join(nx.generate_graphml(graph))) == GRAPH


@lightly
@given(st.text(max_size=60))
@example("null")
@example("<a/>")
def test_any_text_is_refused_with_a_graph_error(text):
    with pytest.raises(GraphError):
        ModuleGraph.from_json(text)
    with pytest.raises(GraphError):
        ModuleGraph.from_graphml(text)


@lightly
@given(st.data())
def test_damaged_files_are_read_as_a_graph_or_refused(data):
    # One character changed, anywhere: never another kind of error.
    for text, read in ((GRAPH.to_json(), ModuleGraph.from_json), (XML, ModuleGraph.from_graphml)):
        place = data.draw(st.integers(0, len(text) - 1))
        damaged = text[:place] + data.draw(st.characters(codec="ascii")) + text[place + 1 :]
        try:
            graph = read(damaged)
        except GraphError:
            continue
        assert read(graph.to_json() if read == ModuleGraph.from_json else graph.to_graphml()) == graph


@pytest.mark.parametrize(
    ("graph", "message"),
    [
        (nx.DiGraph(GRAPH.graph), "undirected and simple"),
        (nx.MultiGraph(GRAPH.graph), "undirected and simple"),
        (nx.path_graph(3), "node 0 must have the attribute 'size'"),
        (nx.relabel_nodes(GRAPH.graph, {0: "a"}), "nodes must be the integers 0 to 2"),
        (nx.relabel_nodes(GRAPH.graph, {0: 5}), "nodes must be the integers 0 to 2"),
        (nx.Graph(), "1 to 4096 areas, got 0"),
    ],
)
def test_bad_networkx_graphs_are_refused(graph, message):
    with pytest.raises(GraphError, match=message):
        ModuleGraph.from_networkx(graph)


@pytest.mark.parametrize("name", ["graph.json", "graph.graphml", "GRAPH.JSON"])
def test_save_and_load(tmp_path, name):
    path = tmp_path / name
    GRAPH.with_edges([]).save(path)
    GRAPH.save(str(path))
    assert ModuleGraph.load(path) == GRAPH
    assert [entry.name for entry in tmp_path.iterdir()] == [name]


def test_save_leaves_the_old_file_when_writing_fails(tmp_path, monkeypatch):
    path = tmp_path / "graph.json"
    GRAPH.save(path)
    monkeypatch.setattr("pathlib.Path.replace", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left")))
    with pytest.raises(GraphError, match=r"graph\.json: graph cannot be written: No space left"):
        GRAPH.with_edges([]).save(path)
    assert ModuleGraph.load(path) == GRAPH
    assert len(list(tmp_path.iterdir())) == 1


def test_bad_files_name_the_path(tmp_path):
    with pytest.raises(GraphError, match=r"graph\.yaml: a graph file must end in \.json or \.graphml, got '\.yaml'"):
        GRAPH.save(tmp_path / "graph.yaml")
    with pytest.raises(GraphError, match=r"a graph file must end in"):
        ModuleGraph.load(tmp_path / "graph")
    with pytest.raises(GraphError, match=r"none\.json: graph cannot be read: No such file"):
        ModuleGraph.load(tmp_path / "none.json")
    with pytest.raises(GraphError, match=r"g\.json: graph cannot be written"):
        GRAPH.save(tmp_path / "none" / "g.json")
    (tmp_path / "file").write_text("")
    with pytest.raises(GraphError, match=r"g\.json: graph cannot be written"):
        GRAPH.save(tmp_path / "file" / "g.json")
    (tmp_path / "folder.json").mkdir()
    with pytest.raises(GraphError, match=r"folder\.json: graph cannot be written"):
        GRAPH.save(tmp_path / "folder.json")
    with pytest.raises(GraphError, match=r"folder\.json: graph cannot be read"):
        ModuleGraph.load(tmp_path / "folder.json")
    (tmp_path / "bytes.json").write_bytes(b'{"\xff')
    with pytest.raises(GraphError, match=r"bytes\.json: a graph file must be UTF-8 text"):
        ModuleGraph.load(tmp_path / "bytes.json")
    (tmp_path / "bad.json").write_text("{}")
    with pytest.raises(GraphError, match=r"bad\.json: graph JSON must have exactly the keys"):
        ModuleGraph.load(tmp_path / "bad.json")


def test_graphml_with_elements_far_inside_one_another_is_refused():
    text = GRAPH.to_graphml().replace("<graph ", "<x>" * 100 + "</x>" * 100 + "<graph ", 1)
    with pytest.raises(GraphError, match="64 deep"):
        ModuleGraph.from_graphml(text)


def test_names_in_graphml_cannot_write_to_a_terminal():
    text = GRAPH.to_graphml().replace('key="d0"', 'key="&#x9b;2J&#x202e;"', 1)
    with pytest.raises(GraphError) as caught:
        ModuleGraph.from_graphml(text)
    assert str(caught.value).isprintable()
