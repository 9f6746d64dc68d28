"""The program drawn as a graph: a box for each step, a line for each register, as wide as its integers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

from .layered import Layout, lay_out
from .markup import Markup, join, tag
from .text import short, whole

__all__ = ["MOST_STEPS", "draw_program", "register_kinds", "step_detail"]

#: Steps of the largest program that is drawn; beyond, the table of steps has to do.
MOST_STEPS = 400
_BOX, _PILL, _TEXT = (164.0, 44.0), (146.0, 26.0), 23
_MARGIN, _GUTTER = 6.0, 74.0
_FITS = 480.0
"""A drawing up to this wide is made smaller on a phone; a wider one would be too small to read, and scrolls."""
_PRODUCTS = {"matmul", "lookup"}
_GRAPH = {"neighbor_sum", "edge_sum", "edge_product", "edge_logits", "edge_softmax", "edge_norm", "pool_sum",
          "weighted_neighbor_sum", "pool_max"}  # fmt: skip
_ENDS = {"quantize", "dequantize"}


def draw_program(program: Mapping[str, Any]) -> Markup | None:
    """The program (as :meth:`.IntegerModel.to_dict` gives it) as an ``svg``; None with more than 400 steps."""
    steps = program["steps"]
    if len(steps) > MOST_STEPS:
        return None
    kinds = register_kinds(steps)
    names = ["x", *(step["output"] for step in steps)]
    number = {name: i for i, name in enumerate(names)}
    edges = [(number[name], i) for i, step in enumerate(steps, 1) for name in step["inputs"]]
    sizes = [_size(step) for step in (None, *steps)]
    layout = lay_out(sizes, edges)
    groups = _groups(steps, number)
    spans = _spans(groups, layout, sizes)
    left = _MARGIN + (_GUTTER if spans else 0.0)
    width, height = left + layout.width + _MARGIN, layout.height + 2 * _MARGIN
    lines = [
        tag("path", class_=f"flow {kinds[names[a]]}", d=_course(points)) for (a, _), points in layout.courses.items()
    ]
    nodes = [_node(None, layout.places[0])]
    nodes += [_node(step, layout.places[i], i - 1) for i, step in enumerate(steps, 1)]
    said = f"The program as a graph of {len(steps)} steps from the features to the outputs; the table lists them all."
    return tag(
        "svg", tag("g", tag("g", _brackets(spans), transform=f"translate({-left + _MARGIN:.1f} 0)"), lines, nodes,
                   transform=f"translate({left:g} {_MARGIN:g})"),
        class_="program" if width > _FITS else "program fits", role="img", aria_label=said,
        viewBox=f"0 0 {width:.1f} {height:.1f}", width=width, height=height,
    )  # fmt: skip


def register_kinds(steps: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """What each register holds: ``"float"``, ``"codes"`` (at most 8 bits), ``"wide"`` (16) or ``"sums"`` (32 and more).

    Sums that the graph decides on may be 64 bits wide; they are drawn alike.
    """
    kinds = {"x": "float"}
    for step in steps:
        op, a = step["op"], step["attributes"]
        if op == "dequantize":
            kind = "float"
        elif op in ("columns", "concat", "pool_max"):
            kind = kinds[step["inputs"][0]]
        elif op in ("quantize", "edge_norm"):
            kind = "codes" if a["qmax"] - a["qmin"] < 256 else "wide"
        elif op in ("requantize", "add", "lookup"):
            span = a["high"] - a["low"]
            kind = "codes" if span < 256 else "wide" if span < 65536 else "sums"
        else:
            kind = "wide" if op == "edge_softmax" else "sums"
        kinds[step["output"]] = kind
    return kinds


def step_detail(step: Mapping[str, Any], tensors: Mapping[str, Any]) -> str:
    """The arithmetic of a step in a few words."""
    op, a = step["op"], step["attributes"]
    if op == "matmul":
        weight = tensors[step["tensors"]["weight"]]
        return f"{whole(weight['shape'][0])} × {whole(weight['shape'][1])}, {weight['dtype']}"
    if op == "requantize":
        stages = len(a["stages"])
        factors = [stage["row_factor"] for stage in a["stages"] if stage["row_factor"]]
        rows = f", rows × {' and '.join(factors)}" if factors else ""
        return f"{stages} rounding{'s' if stages > 1 else ''}{rows}"
    if op == "quantize":
        return "float32 to codes" + (f", rows × {a['row_factor']}" if a["row_factor"] else "")
    if op == "dequantize":
        return "sums to float32"
    if op == "neighbor_sum":
        loops = {"add": "self-loops added", "remove": "self-loops left out", "keep": "edges as they are"}
        return loops[a["self_loops"]]
    if op == "add_self":
        return f"own row × {whole(a['self_weight'])}"
    if op == "head_sum":
        return f"{whole(a['heads'])} heads"
    if op == "columns":
        return f"from column {whole(a['start'])}"
    if op == "lookup":
        return f"table of {whole(tensors[step['tensors']['table']]['shape'][0])} rows"
    return {"edge_norm": "degrees of both ends", "edge_softmax": f"to parts of 2^{a.get('bits')}",
            "concat": "side by side", "add": "two sets of codes"}.get(op, "")  # fmt: skip


def _size(step: Mapping[str, Any] | None) -> tuple[float, float]:
    """Width and height of the box of a step, of the features without one."""
    if step is None or step["op"] == "requantize":
        return _PILL
    return max(_BOX[0], 8.0 * len(step["op"]) + 12.0), _BOX[1]


def _node(step: Mapping[str, Any] | None, place: tuple[float, float], number: int = -1) -> Markup:
    x, y = place
    width, height = _size(step)
    if step is None or step["op"] == "requantize":
        kind = "end" if step is None else "round"
        name = "features x" if step is None else short(step["site"] or "requantize", _TEXT)
        words = [tag("text", name, class_="name", x=x, y=y + 4, text_anchor="middle")]
    else:
        kind = next((k for k, ops in (("end", _ENDS), ("product", _PRODUCTS), ("graph", _GRAPH)) if step["op"] in ops),
                    "other")  # fmt: skip
        label = step["site"] or step["output"].partition(":")[2]
        under = f"{whole(step['channels'])} per {step['rows']}"
        if label != step["op"]:
            under = short(label, _TEXT)
        words = [
            tag("text", step["op"], class_="name", x=x, y=y - 4, text_anchor="middle"),
            tag("text", under, class_="under", x=x, y=y + 12, text_anchor="middle"),
        ]
    hint = tag("title", "the features of the graph" if step is None else
               f"step {number}: {step['op']}, {whole(step['channels'])} channels per {step['rows']}")  # fmt: skip
    box = tag("rect", class_=f"box {kind}", x=x - width / 2, y=y - height / 2, width=width, height=height,
              rx=13 if height == _PILL[1] else 5)  # fmt: skip
    return tag("g", hint, box, words)


def _course(points: Sequence[tuple[float, float]]) -> str:
    """A smooth line through points, upright at each of them."""
    x, y = points[0]
    parts = [f"M{x:.1f} {y:.1f}"]
    for nx, ny in points[1:]:
        middle = (y + ny) / 2
        parts.append(
            f"V{ny:.1f}" if abs(nx - x) < 0.05 else f"C{x:.1f} {middle:.1f} {nx:.1f} {middle:.1f} {nx:.1f} {ny:.1f}"
        )
        x, y = nx, ny
    return "".join(parts)


def _groups(steps: Sequence[Mapping[str, Any]], number: Mapping[str, int]) -> list[str]:
    """The layer of the model that a step belongs to, by the site or weight it is named after, else by what it reads."""
    found = [""]
    for step in steps:
        label = step["site"] or step["output"].partition(":")[2]
        if "." in label:
            found.append(label.partition(".")[0])
        else:
            found.append(found[number[step["inputs"][0]]] if step["inputs"] else "")
    return found


def _spans(
    groups: Sequence[str], layout: Layout, sizes: Sequence[tuple[float, float]]
) -> list[tuple[str, float, float]]:
    """Name, top and bottom of each layer of the model; nothing where they do not lie one below the other."""
    ends: dict[str, list[float]] = {}
    for i, group in enumerate(groups):
        if group:
            y, half = layout.places[i][1], sizes[i][1] / 2
            ends.setdefault(group, []).extend([y - half, y + half])
    spans = sorted((min(ys), max(ys), name) for name, ys in ends.items())
    if any(after[0] < before[1] for before, after in pairwise(spans)):
        return []
    return [(name, top, bottom) for top, bottom, name in spans]


def _brackets(spans: Sequence[tuple[str, float, float]]) -> Markup:
    parts = []
    for name, top, bottom in spans:
        parts.append(tag("path", class_="bracket", d=f"M{_GUTTER - 14:.0f} {top:.1f}h-5V{bottom:.1f}h5"))
        middle = (top + bottom) / 2
        parts.append(tag("text", short(name, 10), class_="layer", x=_GUTTER - 25, y=middle + 4, text_anchor="end"))
    return join(parts)
