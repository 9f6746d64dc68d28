"""A small layered layout of a directed acyclic graph (Sugiyama, Tagawa and Toda 1981): layers, order, places.

Three steps. Nodes go to layers by their longest path, and long edges get a bend in each layer that they cross. Layers
are ordered by the mean place of their neighbours, downwards and upwards in turns. Then every node takes the place
nearest to the mean of its neighbours that keeps the order and the distances: the least squares solution, by pooling
neighbours that collide.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

__all__ = ["Layout", "lay_out"]

_ROUNDS = 12
_BEND_WIDTH = 12.0
_NODE_WEIGHT = 1000.0


@dataclass(frozen=True)
class Layout:
    """Centres of nodes, courses of edges (points from top to bottom), and the size of the whole."""

    places: dict[int, tuple[float, float]]
    courses: dict[tuple[int, int], list[tuple[float, float]]]
    width: float
    height: float


def lay_out(
    sizes: Sequence[tuple[float, float]], edges: Sequence[tuple[int, int]], *, across: float = 22.0, down: float = 24.0
) -> Layout:
    """Places for nodes 0 .. n - 1, from top to bottom.

    Parameters
    ----------
    sizes : sequence of (width, height)
    edges : sequence of (source, target)
        With source < target, as the steps of a program are: no cycle is possible.
    across, down : float
        Distance between neighbours in a layer, and between layers.

    Returns
    -------
    Layout
        All coordinates are at least 0.
    """
    edges = list(dict.fromkeys(edges))
    if any(not 0 <= a < b < len(sizes) for a, b in edges):
        raise ValueError("an edge must lead from a node to a later one")
    layer_of = _layers(len(sizes), edges)
    # Nodes are numbers; a bend of the edge (a, b) in layer k is the tuple (a, b, k).
    layers: list[list] = [[] for _ in range(max(layer_of, default=-1) + 1)]
    for node, layer in enumerate(layer_of):
        layers[layer].append(node)
    chains = {}
    for a, b in edges:
        bends = [(a, b, k) for k in range(layer_of[a] + 1, layer_of[b])]
        for bend in bends:
            layers[bend[2]].append(bend)
        chains[a, b] = [a, *bends, b]
    above: dict = {key: [] for layer in layers for key in layer}
    below: dict = {key: [] for layer in layers for key in layer}
    for chain in chains.values():
        for upper, lower in pairwise(chain):
            below[upper].append(lower)
            above[lower].append(upper)
    _order(layers, above, below)
    widths = {key: sizes[key][0] if isinstance(key, int) else _BEND_WIDTH for layer in layers for key in layer}
    x = _columns(layers, above, below, widths, across)
    heights = [max((sizes[k][1] for k in layer if isinstance(k, int)), default=0.0) for layer in layers]
    tops = [sum(heights[:k]) + k * down for k in range(len(layers))]
    places = {node: (x[node], tops[k] + heights[k] / 2) for node, k in enumerate(layer_of)}
    courses = {}
    for (a, b), chain in chains.items():
        points = [(x[a], places[a][1] + sizes[a][1] / 2)]
        for bend in chain[1:-1]:
            points += [(x[bend], tops[bend[2]]), (x[bend], tops[bend[2]] + heights[bend[2]])]
        courses[a, b] = [*points, (x[b], places[b][1] - sizes[b][1] / 2)]
    width = max((x[key] + widths[key] / 2 for key in x), default=0.0)
    return Layout(places, courses, width, (tops[-1] + heights[-1]) if layers else 0.0)


def _layers(count: int, edges: Sequence[tuple[int, int]]) -> list[int]:
    """Longest path from a source; sources themselves as low as their readers allow."""
    layer, readers = [0] * count, {}
    has_input = {b for _, b in edges}
    for a, b in sorted(edges, key=lambda edge: edge[1]):
        layer[b] = max(layer[b], layer[a] + 1)
        readers.setdefault(a, []).append(b)
    for node in range(count):
        if node not in has_input and node in readers:
            layer[node] = min(layer[b] for b in readers[node]) - 1
    return layer


def _order(layers: list[list], above: Mapping, below: Mapping) -> None:
    """Sort each layer by the mean position of its neighbours, in turns from above and from below."""
    for turn in range(_ROUNDS):
        near = above if turn % 2 == 0 else below
        position = {key: i for layer in layers for i, key in enumerate(layer)}
        for layer in layers if turn % 2 == 0 else reversed(layers):
            means = {k: sum(position[n] for n in near[k]) / len(near[k]) if near[k] else position[k] for k in layer}
            layer.sort(key=means.__getitem__)
            position.update((key, i) for i, key in enumerate(layer))


def _columns(layers: list[list], above: Mapping, below: Mapping, widths: Mapping, across: float) -> dict:
    """Horizontal centre of every node and bend; the leftmost edge is 0."""
    x = {}
    for layer in layers:
        at = -(sum(widths[key] for key in layer) + across * (len(layer) - 1)) / 2
        for key in layer:
            x[key] = at + widths[key] / 2
            at += widths[key] + across
    for turn in range(_ROUNDS):
        for layer in layers if turn % 2 == 0 else reversed(layers):
            near = {key: (above[key] if turn % 2 == 0 else below[key]) or above[key] or below[key] for key in layer}
            wanted = [_mean(x, near[key], key) for key in layer]
            weights = [_weight(key) for key in layer]
            x.update(zip(layer, _apart(wanted, [widths[k] for k in layer], weights, across), strict=True))
    left = min((x[key] - widths[key] / 2 for key in x), default=0.0)
    return {key: value - left for key, value in x.items()}


def _weight(key: int | tuple[int, int, int]) -> float:
    """Nodes stay in line and long edges go round them."""
    return _NODE_WEIGHT if isinstance(key, int) else 1.0


def _mean(x: Mapping, near: Sequence, key: int | tuple[int, int, int]) -> float:
    total = sum(_weight(n) for n in near)
    return sum(_weight(n) * x[n] for n in near) / total if near else x[key]


def _apart(wanted: Sequence[float], widths: Sequence[float], weights: Sequence[float], across: float) -> list[float]:
    """The places nearest to ``wanted`` (weighted least squares) in this order, without overlap: isotonic regression."""
    offsets, at = [], 0.0
    for i, width in enumerate(widths):
        at += width / 2 + (across if i else 0.0)
        offsets.append(at)
        at += width / 2
    pools: list[list[float]] = []  # [sum, weight, count] of pooled shifts; their means must not fall
    for want, offset, weight in zip(wanted, offsets, weights, strict=True):
        pools.append([weight * (want - offset), weight, 1])
        while len(pools) > 1 and pools[-2][0] / pools[-2][1] > pools[-1][0] / pools[-1][1]:
            for i, part in enumerate(pools.pop()):
                pools[-1][i] += part
    shifts = [total / weight for total, weight, count in pools for _ in range(int(count))]
    return [shift + offset for shift, offset in zip(shifts, offsets, strict=True)]
