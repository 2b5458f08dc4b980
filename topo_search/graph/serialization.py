"""Graphs as text: JSON, GraphML and networkx objects, read with suspicion.

The functions speak of areas and edges; ``ModuleGraph`` checks what they return.
"""

from __future__ import annotations

import contextlib
import json
import re
import secrets
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn
from xml.etree import ElementTree
from xml.parsers import expat

import networkx as nx

from topo_search.graph.area import Area, Edge, GraphError

__all__ = [
    "checked_suffix",
    "format_graphml",
    "format_json",
    "parse_graphml",
    "parse_json",
    "parse_networkx",
    "read_text",
    "write_text",
]

_FORMAT = "topo_search.graph/1"
# GraphML needs four levels; what is far deeper takes seconds a megabyte.
_MAX_DEPTH = 64
_SUFFIXES = (".json", ".graphml")
_Parts = tuple[list[Area], list[Edge]]


def format_json(areas: Sequence[Area], edges: Sequence[Edge]) -> str:
    """One JSON object with the keys format, areas and edges."""
    document = {
        "format": _FORMAT,
        "areas": [{"size": area.size, "role": area.role} for area in areas],
        "edges": [list(edge) for edge in edges],
    }
    return json.dumps(document)


def parse_json(text: str) -> _Parts:
    """Areas and edges of a JSON text; strict about keys and types.

    Raises:
        GraphError: If the text is not what ``format_json`` writes.
    """
    try:
        document = json.loads(text, object_pairs_hook=_no_repeats, parse_constant=_no_constant)
    except GraphError:
        raise
    except (ValueError, RecursionError, TypeError) as error:
        raise GraphError(f"graph JSON cannot be read: {_line(error)}") from error
    _check_keys(document, ("format", "areas", "edges"), "graph JSON")
    if document["format"] != _FORMAT:
        raise GraphError(f'graph JSON: format must be "{_FORMAT}", got {str(document["format"])[:80]!r}')
    areas: list[Area] = []
    for index, entry in enumerate(_as_list(document["areas"], "areas")):
        where = f"areas[{index}]"
        _check_keys(entry, ("size", "role"), f"graph JSON: {where}")
        areas.append(_area(entry["size"], entry["role"], f"graph JSON: {where}"))
    edges: list[Edge] = []
    for index, pair in enumerate(_as_list(document["edges"], "edges")):
        if len(_as_list(pair, f"edges[{index}]")) != 2:
            raise GraphError(f"graph JSON: edges[{index}] must hold two area indices, got {len(pair)} entries")
        edges.append((pair[0], pair[1]))
    return areas, edges


def parse_networkx(graph: nx.Graph[Any]) -> _Parts:
    """Areas and edges of an undirected simple networkx graph with nodes 0..p-1.

    Raises:
        GraphError: If the graph is directed, a multigraph, or its nodes or their ``size`` and ``role`` are not as said.
    """
    if graph.is_directed() or graph.is_multigraph():
        raise GraphError("the graph must be undirected and simple, got a directed graph or a multigraph")
    count = graph.number_of_nodes()
    if any(isinstance(node, bool) or not isinstance(node, int) for node in graph) or set(graph) != set(range(count)):
        raise GraphError(f"nodes must be the integers 0 to {count - 1}, got {str(list(graph)[:5])[:80]} ...")
    areas: list[Area] = []
    for node in range(count):
        data = graph.nodes[node]
        for name in ("size", "role"):
            if name not in data:
                raise GraphError(f"node {node} must have the attribute {name!r}, got {str(sorted(data))[:80]}")
        areas.append(_area(data["size"], data["role"], f"node {node}"))
    return areas, [(i, j) for i, j in graph.edges()]


def format_graphml(graph: nx.Graph[int]) -> str:
    """GraphML text of a graph with node attributes size and role."""
    return "\n".join(nx.generate_graphml(graph)) + "\n"


def parse_graphml(text: str) -> _Parts:
    """Areas and edges of a GraphML text.

    Raises:
        GraphError: If the text has a DTD or entities, does not hold exactly one undirected simple graph, or its nodes
            are not "0".."p-1" with ``size`` and ``role``.
    """
    # Entities can grow a small file without limit, and only a DTD can define them.
    if re.search(r"<!\s*(doctype|entity)", text, flags=re.IGNORECASE):
        raise GraphError("GraphML with a document type or entities is refused")
    try:
        tags = _tags(text)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            graph: nx.Graph[str] = nx.parse_graphml(text, node_type=str, force_multigraph=True)
    except (expat.ExpatError, ElementTree.ParseError, nx.NetworkXException) as error:
        raise GraphError(f"GraphML cannot be read: {_line(error)}") from error
    except GraphError:
        raise
    except (ValueError, KeyError, TypeError, AttributeError, IndexError, OverflowError, RecursionError) as error:
        raise GraphError(f"GraphML cannot be read: {type(error).__name__} {_line(error)}") from error
    if tags.count("graph") != 1:
        raise GraphError(f"GraphML must hold exactly one graph, got {tags.count('graph')}")
    if graph.is_directed():
        raise GraphError("GraphML must hold an undirected graph, got a directed one")
    # The reader merges nodes and edges that share an id, so the elements themselves are counted.
    simple: nx.Graph[str] = nx.Graph(graph)
    if tags.count("edge") != simple.number_of_edges():
        raise GraphError(
            f"GraphML has parallel edges: {tags.count('edge')} edges join {simple.number_of_edges()} pairs"
        )
    count = tags.count("node")
    if set(simple) != {str(index) for index in range(count)}:
        raise GraphError(
            f'GraphML nodes must be "0" to "{count - 1}", each once, got {str(sorted(simple)[:5])[:80]} ...'
        )
    try:
        return parse_networkx(nx.relabel_nodes(simple, {node: int(node) for node in simple}))
    except GraphError as error:
        raise GraphError(f"GraphML: {error}") from error


def _tags(text: str) -> list[str]:
    """The name of every element, without its namespace."""
    tags: list[str] = []
    depth = 0

    def start(name: str, _: dict[str, str]) -> None:
        nonlocal depth
        depth += 1
        if depth > _MAX_DEPTH:
            raise GraphError(f"GraphML must not have elements more than {_MAX_DEPTH} deep in one another")
        tags.append(name.rpartition("}")[2])

    def end(_: str) -> None:
        nonlocal depth
        depth -= 1

    parser = expat.ParserCreate(namespace_separator="}")
    parser.StartElementHandler = start
    parser.EndElementHandler = end
    parser.Parse(text, True)
    return tags


def checked_suffix(path: str | Path) -> str:
    """The suffix of a graph file in lower case.

    Raises:
        GraphError: If it is neither .json nor .graphml.
    """
    suffix = Path(path).suffix.lower()
    if suffix not in _SUFFIXES:
        raise GraphError(f"{path}: a graph file must end in {' or '.join(_SUFFIXES)}, got {suffix!r}")
    return suffix


def write_text(path: Path, text: str) -> None:
    """Write a file so that a reader, or a crash, never meets half of it.

    Raises:
        GraphError: If the file cannot be written.
    """
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        temporary.write_text(text, encoding="utf-8")
        temporary.replace(path)
    except OSError as error:
        raise GraphError(f"{path}: graph cannot be written: {error.strerror}") from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def read_text(path: Path) -> str:
    """Text of a graph file.

    Raises:
        GraphError: If it cannot be read or is not UTF-8.
    """
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise GraphError(f"{path}: graph cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise GraphError(f"{path}: a graph file must be UTF-8 text, got other bytes at {error.start}") from error


def _area(size: Any, role: Any, where: str) -> Area:
    try:
        return Area.from_role(size, role)
    except GraphError as error:
        raise GraphError(f"{where}: {error}") from error


def _check_keys(entry: Any, keys: Sequence[str], where: str) -> None:
    if not isinstance(entry, dict):
        raise GraphError(f"{where} must be an object with the keys {', '.join(keys)}, got {type(entry).__name__}")
    if set(entry) != set(keys):
        raise GraphError(f"{where} must have exactly the keys {', '.join(keys)}, got {str(sorted(entry))[:120]}")


def _as_list(value: Any, where: str) -> list[Any]:
    if not isinstance(value, list):
        raise GraphError(f"graph JSON: {where} must be a list, got {type(value).__name__}")
    return value


def _no_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    entry = dict(pairs)
    if len(entry) != len(pairs):
        raise GraphError(f"graph JSON has a key twice in one object: {str([name for name, _ in pairs])[:120]}")
    return entry


def _no_constant(name: str) -> NoReturn:
    raise GraphError(f"graph JSON may hold only finite numbers, got {name}")


def _line(error: Exception) -> str:
    # Names in a file may hold what a terminal obeys.
    return "".join(c if c.isprintable() else "?" for c in " ".join(str(error).split()))[:160]
