"""The text format of "How Powerful are Graph Neural Networks?" (Xu et al., ICLR 2019), as REDDIT-BINARY comes
in.

::

    G                       number of graphs
    n c                     for each graph: nodes and class,
    t k j1 ... jk           and n lines: tag, number of neighbours, neighbours (from 0, inside the graph)
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..errors import DataError
from ..formats import Malformed, read_bytes
from ..graph import Graph, GraphDataset
from .node_features import degree_features
from .text import parse_integers, token_lines

__all__ = ["read_gin_text"]

_LIMIT = 1 << 28  # bytes; while it is read it takes some twenty times as many


def read_gin_text(path: str | Path, *, features: str = "auto", name: str = "") -> GraphDataset:
    """Read a file of graphs with tags and neighbour lists.

    Edges are made symmetric; duplicates and self-loops are dropped. Classes are numbered in sorted order of
    what the file holds. Node tags are not used (they are all 0 where this format is used here).

    Parameters
    ----------
    path : path
    features : {"auto", "degree", "one_hot_degree", "constant"}
        See ``degree_features``.
    name : str

    Raises
    ------
    DataError
        If a line does not hold what it should; the message names the line.
    """
    path = Path(path)
    try:
        text = read_bytes(path, _LIMIT)
    except (Malformed, OSError) as error:
        raise DataError(f"{path} cannot be read ({error}); give a file of graphs as text") from error
    numbers = parse_integers(text, str(path))
    token_line = token_lines(text)
    if len(numbers) == 0 or len(token_line) != len(numbers):
        raise DataError(f"{path}: the numbers cannot be told apart; separate them by blanks and line ends")
    line_numbers, starts, counts = np.unique(token_line, return_index=True, return_counts=True)

    num_graphs = int(numbers[0])
    headers, line = [], 1
    for _ in range(num_graphs):
        if line >= len(starts):
            raise DataError(f"{path}: line 1 announces {num_graphs} graphs, but the file ends after {len(headers)}")
        if counts[line] != 2 or numbers[starts[line]] < 0:
            raise DataError(f"{path}, line {line_numbers[line] + 1}: expected 'nodes class' of graph {len(headers)}")
        headers.append(line)
        line += 1 + int(numbers[starts[line]])
    if counts[0] != 1 or num_graphs < 1 or line != len(starts):
        raise DataError(
            f"{path}: has {len(starts)} lines; its {num_graphs} graphs need {line}. "
            "Line 1 must hold the number of graphs alone; check that the file is complete"
        )

    header_starts = starts[headers]
    sizes, classes = numbers[header_starts], numbers[header_starts + 1]
    is_node = np.ones(len(starts), dtype=bool)
    is_node[0] = is_node[headers] = False
    node_starts, node_counts = starts[is_node], counts[is_node]
    short = node_counts < 2
    degrees = np.where(short, 0, numbers[np.minimum(node_starts + 1, len(numbers) - 1)])
    wrong = np.flatnonzero(short | (degrees != node_counts - 2))
    if len(wrong):
        place = line_numbers[is_node][wrong[0]] + 1
        raise DataError(f"{path}, line {place}: expected 'tag k' and then k neighbours")

    is_neighbour = np.ones(len(numbers), dtype=bool)
    is_neighbour[0] = False
    for taken in (header_starts, header_starts + 1, node_starts, node_starts + 1):
        is_neighbour[taken] = False
    return _assemble(path, sizes, classes, degrees, numbers[is_neighbour], features, name or path.stem)


def _assemble(
    path: Path, sizes: NDArray, classes: NDArray, degrees: NDArray, neighbours: NDArray, features: str, name: str
) -> GraphDataset:
    graph_ptr = np.concatenate(([0], np.cumsum(sizes)))
    num_nodes = int(graph_ptr[-1])
    graph = np.repeat(np.arange(len(sizes)), sizes)
    targets = np.repeat(np.arange(num_nodes), degrees)
    home = graph[targets]
    bad = np.flatnonzero((neighbours < 0) | (neighbours >= sizes[home]))
    if len(bad):
        at = home[bad[0]]
        raise DataError(f"{path}: graph {at} names the neighbour {neighbours[bad[0]]}; "
                        f"its nodes are 0..{sizes[at] - 1}")
    sources = neighbours + graph_ptr[home]
    other = sources != targets
    edges = np.stack([sources[other], targets[other]])
    union = Graph.from_edge_index(edges, num_nodes=num_nodes)
    if not np.array_equal(union.adjacency().transposed[1], union.indices):
        edges = np.concatenate([edges, edges[::-1]], axis=1)
        union = Graph.from_edge_index(edges, num_nodes=num_nodes)
    x = degree_features(union.in_degree, features)
    y = np.unique(classes, return_inverse=True)[1]
    return GraphDataset(union.replace(x=x, y=y, graph_ptr=graph_ptr, name=name), name=name)
