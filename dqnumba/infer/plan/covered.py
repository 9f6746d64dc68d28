"""What the vector kernels do not do, told from the program, its bounds on a graph and its layout.

No table of the graph is made for it, so that an estimate says the same as a plan.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numba
import numpy as np

from ...graph import SparseFeatures
from ...kernels.dot.attention import attention_misfit
from ..binding import Binding
from .layout import TWO_ROWS, WIDE_CODES, Layout
from .units import Unit, Unplanned

__all__ = ["attention_numbers", "choose_layout", "fixed_layout"]

_CHECKS: dict[str, Callable[[Unit, Binding, Layout], None]] = {}


def choose_layout(units: list[Unit], bound: Binding) -> Layout:
    """The layout of a plan: range by range where that does not stand in the way.

    Raises
    ------
    Unplanned
        If a unit, or a sum on this graph, is nothing for the vector kernels.
    """
    layout = Layout(units, bound, numba.config.NUMBA_NUM_THREADS)
    try:
        _check(units, bound, layout)
    except Unplanned:  # perhaps what only the other way covers
        if not layout.ranges:
            raise
        layout = fixed_layout(units, bound)
    return layout


def fixed_layout(units: list[Unit], bound: Binding) -> Layout:
    """As :func:`choose_layout`, but not range by range."""
    layout = Layout(units, bound)
    _check(units, bound, layout)
    return layout


def _check(units: list[Unit], bound: Binding, layout: Layout) -> None:
    for unit in units:
        if unit.kind in _CHECKS:
            _CHECKS[unit.kind](unit, bound, layout)


def _checks(kind: str) -> Callable:
    def register(function: Callable) -> Callable:
        _CHECKS[kind] = function
        return function

    return register


@_checks("quantize")
def _quantize(unit: Unit, bound: Binding, layout: Layout) -> None:
    if not isinstance(bound.graph.x, SparseFeatures) or layout.homes[unit.output].kind.startswith("sparse"):
        return
    a, read = unit.steps[0].attributes, set()
    for step in bound.program.steps:
        for k, name in enumerate(step.inputs):
            if name == unit.output and step.op != "concat":  # which writes the code of zero out
                read.add(step.attributes[f"zero{k + 1}" if step.op == "add" else "zero_in"])
    if not read <= {a["zero_point"] - a["offset"]}:  # entries that are not stored must add nothing
        raise Unplanned(f"{unit.output}: read with another zero point than it has, where nothing is stored")


@_checks("matmul")
def _matmul(unit: Unit, bound: Binding, layout: Layout) -> None:
    step = unit.steps[0]
    weight, bias = bound.constant(step, "weight"), bound.constant(step, "bias").astype(np.int64)
    if step.attributes["weight_zero"] or weight.dtype != np.int8:
        raise Unplanned(f"{step.output}: weights with a zero point, or of more than 8 bits")
    kinds = [layout.homes[source.register].kind for source in unit.reads]
    if any(kind in WIDE_CODES for kind in kinds) and bound.registers[unit.output].array.dtype == "int64":
        reach = np.abs(weight.astype(np.int64)).sum(axis=0) * 384 + (np.abs(bias) >> 8) + 256
        if reach.max(initial=0) >= 1 << 31:
            raise Unplanned(f"{unit.output}: a sum on this graph can leave 32 bits")
    if kinds[0].startswith("sparse"):
        entry = next(s.attributes for s in bound.program.steps if s.output == unit.reads[0].register)
        if entry["zero_point"] - entry["offset"] != step.attributes["zero_in"]:
            raise Unplanned(f"{step.output}: another zero point than the entry's")


@_checks("neighbor_sum")
def _neighbor_sum(unit: Unit, bound: Binding, layout: Layout) -> None:
    if layout.ranges and layout.homes[unit.output].kind == "long":
        raise Unplanned(f"{unit.output}: a hub that is summed in pieces")


def attention_numbers(unit: Unit, bound: Binding) -> dict[str, Any]:
    """What the kernel of an attention has to know of its steps; Unplanned where its logits are rounded otherwise."""
    _, alpha, softmax, _ = unit.steps
    a, table, stages = alpha.attributes, softmax.attributes, alpha.attributes["stages"]
    if len(stages) != 1 or stages[0]["bias"] or stages[0]["row_factor"] or alpha.tensors or a["zero_in"]:
        raise Unplanned(f"{alpha.output}: logits that are rounded in more than one step")
    return {
        "multiplier": stages[0]["multiplier"], "shift": stages[0]["shift"], "low": a["low"], "high": a["high"],
        "code_low": table["low"], "bits": table["bits"], "mantissa": bound.constant(softmax, "mantissa"),
        "exponent": bound.constant(softmax, "exponent"),
    }  # fmt: skip


@_checks("attention")
def _attention(unit: Unit, bound: Binding, layout: Layout) -> None:
    degree = bound.graph.adjacency("add").in_degree
    misfit = attention_misfit(max_degree=int(degree.max(initial=0)), **attention_numbers(unit, bound))
    if misfit:
        raise Unplanned(f"{unit.output}: {misfit}")
    if layout.homes[unit.gathers[1].register].kind not in ("int8", "int4"):  # no site gives them, a file may
        raise Unplanned(f"{unit.output}: an attention over codes of more than 8 bits")


@_checks("pool_max")
def _pool_max(unit: Unit, bound: Binding, layout: Layout) -> None:
    if layout.homes[unit.gathers[0].register].kind != layout.homes[unit.output].kind:
        raise Unplanned(f"{unit.output}: a maximum that is kept in another form than its codes")


@_checks("requantize")
def _requantize(unit: Unit, bound: Binding, layout: Layout) -> None:
    joins = unit.steps[0].op == "add_self"
    step, last = unit.steps[int(joins)], unit.steps[-1]
    a = step.attributes
    if a["zero_in"] and (joins or layout.homes[unit.reads[0].register].kind in TWO_ROWS):
        raise Unplanned(f"{step.output}: sums with a zero point")
    exit_zero = last.attributes["zero_in"] if last.op == "dequantize" else 0
    if exit_zero and max(-a["low"], a["high"]) + abs(exit_zero) >= 1 << 31:
        raise Unplanned(f"{unit.output}: an exit that can leave 32 bits when its zero point is taken off")


@_checks("add")
def _add(unit: Unit, bound: Binding, layout: Layout) -> None:
    a, total = unit.steps[0].attributes, 0
    for source, m, zero in zip(unit.reads, ("multiplier1", "multiplier2"), ("zero1", "zero2"), strict=True):
        codes = bound.registers[source.register]
        total += abs(a[m]) * max(abs(codes.low - a[zero]), abs(codes.high - a[zero]))
    if (total >> a["shift"]) + 1 + abs(a["zero_point"]) >= 1 << 31:
        raise Unplanned(f"{unit.output}: a residual sum that can leave 32 bits before its clamp")
