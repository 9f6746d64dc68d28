"""The table of sites: range, scale, zero point and codes of every place where the integer program rounds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..graph import Graph
from ..infer import IntegerModel
from ..infer.program import Program, Step

__all__ = ["count_codes", "site_table"]

_BINS = 64
_CHUNK = 1 << 20
_CODE_ENDS = {"int8": (-128, 127), "int16": (-32768, 32767)}


def site_table(
    model: IntegerModel, graph: Graph, compared: Sequence[Mapping[str, Any]], backend: str | None = None
) -> list[dict[str, Any]]:
    """One entry a site, in the order of the program, from one run on ``graph``.

    Parameters
    ----------
    model : IntegerModel
    graph : Graph
    compared : sequence of dict
        What level 2 of ``verify`` found, for ``max_difference`` and ``differing``; may be empty.
    backend : str, optional

    Returns
    -------
    list of dict
        ``site``, ``kind`` (``"input"``, ``"activation"``, ``"weight"``), ``low`` and ``high`` (stored codes),
        ``scale`` (a number, or smallest and largest of the channels, or None where the file does not say),
        ``zero_point``, ``range`` (real numbers), the counts of :func:`count_codes`, ``max_difference``, ``differing``.
    """
    bound = model.bind(graph, backend=backend)
    bound()
    codes = bound.site_codes()
    program = model.program
    scales = program.meta.get("scales", {})
    differences = {entry["site"]: entry for entry in compared}
    table = []
    for step in program.steps:
        if step.op == "matmul":
            site, kind = step.output.partition(":")[2] or step.output, "weight"
            array, (low, high) = program.tensors[step.tensors["weight"]], _weight_ends(program, step)
            zero, scale = step.attributes["weight_zero"], scales.get(site)
        elif step.site is not None:
            site, kind = step.site, "input" if "x" in step.inputs else "activation"
            array = codes[site]
            low, high, zero, scale = _ends(step, array, scales.get(site))
        else:
            continue
        entry = {"site": site, "kind": kind, "low": low, "high": high, "zero_point": zero}
        entry |= _reals(low, high, zero, scale) | count_codes(array, low, high, zero)
        entry |= {key: differences.get(site, {}).get(key) for key in ("max_difference", "differing")}
        table.append(entry)
    return table


def _ends(step: Step, codes: NDArray, scale: Any) -> tuple[int, int, int, Any]:
    """Lowest and highest code, zero point and scale of a step that rounds."""
    a = step.attributes
    if "qmin" in a:
        return a["qmin"] - a["offset"], a["qmax"] - a["offset"], a["zero_point"] - a["offset"], a["scale"]
    if step.op == "edge_softmax":  # parts of one, on a fixed grid
        return 0, 1 << a["bits"], 0, 2.0 ** -a["bits"]
    if {"low", "high"} <= a.keys():
        return a["low"], a["high"], a["zero_point"], scale
    return int(codes.min(initial=0)), int(codes.max(initial=0)), 0, scale


def _weight_ends(program: Program, step: Step) -> tuple[int, int]:
    """The configured codes of a weight, where they can hold the codes that are there."""
    weight, config = program.tensors[step.tensors["weight"]], program.meta["quantization"]
    low, high = _CODE_ENDS[str(weight.dtype)]
    bits = config["weight_bits"]
    if 2 <= bits <= 8 and weight.size:
        top = (1 << (bits - 1)) - 1
        bottom = -top - (0 if config.get("weight_narrow") is True else 1)
        if bottom <= weight.min() and weight.max() <= top:
            return bottom, top
    return low, high


def _reals(low: int, high: int, zero: int, scale: Any) -> dict[str, Any]:
    if scale is None:
        return {"scale": None, "range": None}
    values = np.asarray(scale, np.float64).reshape(-1)
    ends = [float(((low - zero) * values).min()), float(((high - zero) * values).max())]
    spread = [float(values.min()), float(values.max())]
    return {"scale": spread if len(values) > 1 else spread[0], "range": ends}


def count_codes(codes: NDArray, low: int, high: int, zero: int) -> dict[str, Any]:
    """Histogram of codes in at most 64 equal bins, and the shares that matter.

    Returns
    -------
    dict
        ``count``; ``bins``: counts of all codes but the zero point, whose share is ``zeros`` (in a sparse matrix it
        would dwarf the rest); ``saturated``: share at an end of the range, an end that stands for zero aside (the
        zeros of a ReLU are not cut off); ``used``: lowest and highest code that occur.
    """
    span = high - low + 1
    bins = min(_BINS, span)
    counts, ends, zeros, used = np.zeros(bins, np.int64), 0, 0, None
    flat = codes.reshape(-1)
    for start in range(0, flat.size, _CHUNK):
        part = flat[start : start + _CHUNK].astype(np.int64)
        is_zero = part == zero
        zeros += int(is_zero.sum())
        ends += int((((part == low) | (part == high)) & ~is_zero).sum())
        # As Python integers the product could not overflow; the span of a 32-bit site times 64 fits 64 bits too.
        place = np.clip((part[~is_zero] - low) * bins // span, 0, bins - 1)
        counts += np.bincount(place, minlength=bins)
        used = _joined(used, int(part.min()), int(part.max()))
    share = 1.0 / flat.size if flat.size else 0.0
    return {
        "count": int(flat.size), "bins": counts.tolist(), "zeros": zeros * share, "saturated": ends * share,
        "used": used,
    }  # fmt: skip


def _joined(used: list[int] | None, low: int, high: int) -> list[int]:
    return [low, high] if used is None else [min(low, used[0]), max(high, used[1])]
