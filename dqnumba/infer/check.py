"""Holding a program, above all one from a file, against what the runtime can carry out without reading a byte it
should not.

Types and ranges of all attributes first, then the flow: for each step the rows, channels and kind of what it
reads. Nothing a
kernel indexes with comes from a file: node and edge indices come from graphs, and the one table that codes look up (the
exponentials) is checked for its length when a graph is bound.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from ..errors import ModelFormatError
from ..quant.qparams import SCALE_ABOVE
from .flow import FLOW, Shape
from .program import OPERATIONS, ROW_FACTORS, Program, Step

__all__ = ["check_program"]

_INT32 = (-(1 << 31), (1 << 31) - 1)
_CODE = (-(1 << 16), 1 << 16)
_FACTOR = (1 - (1 << 31), (1 << 31) - 1)
#: Attribute -> its lowest and highest integer, wherever it appears.
_RANGES = {
    "zero_in": _CODE, "zero1": _CODE, "zero2": _CODE, "weight_zero": _CODE, "coefficient_zero": _CODE, "empty": _CODE,
    "zero_point": _INT32, "low": _INT32, "high": _INT32, "qmin": _CODE, "qmax": _CODE, "offset": (0, 1 << 15),
    "bits": (1, 32), "multiplier": _FACTOR, "multiplier1": _FACTOR, "multiplier2": _FACTOR, "self_weight": _FACTOR,
    "shift": (1, 62), "start": (0, 1 << 24), "heads": (1, 1 << 24),
}  # fmt: skip
_ROWS_OF_FACTOR = {name: "graph" if name == "pool_mean" else "node" for name in ROW_FACTORS}
_META = {
    "num_features": int, "out_channels": int, "task_rows": str, "embedding": bool, "model": dict, "quantization": dict,
}  # fmt: skip
_MODEL = {"kind": str, "in_channels": int, "hidden_channels": int, "out_channels": int, "num_layers": int}
_QUANTIZATION = {"method": str, "weight_bits": int, "activation_bits": int, "sites": str}


@dataclass(frozen=True)
class _Place:
    """Where a fault is, for the message."""

    text: str

    def need(self, condition: Any, what: str) -> None:
        if not condition:
            raise ModelFormatError(
                f"{self.text}: {what}. The program is damaged or foreign; convert and save the model again."
            )


def check_program(program: Program) -> Program:
    """Raise ModelFormatError unless every step is well formed and fits those before it; returns the program."""
    place = _Place("the program")
    _check_meta(program, place)
    place.need(program.steps and program.steps[-1].op == "dequantize", "it does not end with a dequantize step")
    shapes = {
        "x": Shape("node", program.meta["num_features"], "categories" if program.meta["embedding"] else "features")
    }
    used: set[str] = set()
    sites: set[str] = set()
    for i, step in enumerate(program.steps):
        place = _Place(f"step {i} ({step.op})")
        _check_form(step, place, shapes)
        place.need(step.site is None or step.site not in sites, f"site {step.site!r} appears twice")
        sites.add(step.site or "")
        tensors = _check_tensors(program, step, place)
        used.update(step.tensors.values())
        _check_attributes(step, place)
        shapes[step.output] = FLOW[step.op](step, [shapes[name] for name in step.inputs], tensors, place.need)
    last = program.steps[-1]
    expected = (program.meta["task_rows"], program.meta["out_channels"])
    place.need(
        (last.rows, last.channels) == expected, f"it gives ({last.rows}, {last.channels}), its head says {expected}"
    )
    place.need(used == set(program.tensors), f"tensors {sorted(set(program.tensors) - used)[:3]} belong to no step")
    return program


def _check_meta(program: Program, place: _Place) -> None:
    groups = (
        (program.meta, _META),
        (program.meta.get("model"), _MODEL),
        (program.meta.get("quantization"), _QUANTIZATION),
    )
    for values, wanted in groups:
        for name, kind in wanted.items():
            place.need(
                isinstance(values, dict) and type(values.get(name)) is kind,
                f"meta {name!r} is missing or no {kind.__name__}",
            )
            place.need(kind is not int or 1 <= values[name] < 1 << 31, f"meta {name}={values[name]!r} is not possible")
    names = program.meta.get("class_names")  # these too
    texts = isinstance(names, list) and all(type(name) is str for name in names)
    place.need(
        names is None or (texts and len(names) == program.meta["out_channels"]),
        "meta 'class_names' does not name each output",
    )
    scales = program.meta.get("scales", {})  # only for people to read: a program runs without
    place.need(isinstance(scales, dict), "meta 'scales' is no dict")
    for site, scale in scales.items():
        values = scale if isinstance(scale, list) else [scale]
        place.need(values and all(type(v) is float and 0.0 < v < float("inf") for v in values), f"scale of {site!r}")
    place.need(
        program.meta["task_rows"] in ("node", "graph"), f"task_rows={program.meta['task_rows']!r} is not possible"
    )


def _check_form(step: Step, place: _Place, shapes: dict[str, Shape]) -> None:
    place.need(
        isinstance(step.op, str) and step.op in OPERATIONS, "unknown operation, perhaps of a newer version of dqnumba"
    )
    operation = OPERATIONS[step.op]
    names = (
        step.output,
        *step.inputs,
        *step.tensors,
        *step.tensors.values(),
        *([] if step.site is None else [step.site]),
    )
    place.need(all(isinstance(name, str) for name in names), "a name is no text")
    fits = len(step.inputs) == operation.inputs and set(step.inputs) <= shapes.keys() and step.output not in shapes
    place.need(fits, f"it reads {list(step.inputs)} and writes {step.output!r}, which does not fit")
    place.need(step.rows in ("node", "edge", "graph"), f"rows={step.rows!r} is not possible")
    place.need(
        type(step.channels) is int and 0 < step.channels < 1 << 24, f"channels={step.channels!r} is not possible"
    )
    place.need(
        set(operation.attributes) == set(step.attributes), f"its attributes are {sorted(map(str, step.attributes))}"
    )


def _check_tensors(program: Program, step: Step, place: _Place) -> dict[str, NDArray]:
    wanted = dict(OPERATIONS[step.op].tensors)
    if step.op == "requantize":
        wanted |= _stage_tensors(step, place)
    place.need(set(wanted) == set(step.tensors), f"its tensors are {sorted(step.tensors)}")
    found = {}
    for role, dtypes in wanted.items():
        name = step.tensors[role]
        found[role] = tensor = program.tensors.get(name)
        place.need(
            tensor is not None and str(tensor.dtype) in dtypes,
            f"tensor {name!r} is missing or no {' or '.join(dtypes)}",
        )
    return found


def _stage_tensors(step: Step, place: _Place) -> dict[str, tuple[str, ...]]:
    """Roles of a requantization's tensors: per-channel multipliers and shifts, and biases, of each of its 1 to 3
    stages.
    """
    stages = step.attributes["stages"]
    place.need(isinstance(stages, list) and 1 <= len(stages) <= 3, "a requantize step has 1 to 3 stages")
    wanted: dict[str, tuple[str, ...]] = {}
    for i, stage in enumerate(stages):
        keys = {"multiplier", "shift", "row_factor", "bias"}
        place.need(
            isinstance(stage, dict) and set(stage) == keys and type(stage["bias"]) is bool,
            f"stage {i} is not well formed",
        )
        if stage["multiplier"] is None:
            place.need(stage["shift"] is None and stage["row_factor"] is None, f"stage {i} is not well formed")
            wanted |= {f"multipliers{i}": ("int32",), f"shifts{i}": ("int8",)}
        else:
            _check_integer("multiplier", stage["multiplier"], place)
            _check_integer("shift", stage["shift"], place)
            _check_row_factor(stage["row_factor"], step, place)
        if stage["bias"]:
            wanted[f"bias{i}"] = ("int32",)
    return wanted


def _check_attributes(step: Step, place: _Place) -> None:
    for name, value in step.attributes.items():
        if name in _RANGES:
            _check_integer(name, value, place)
        elif name == "row_factor":
            _check_row_factor(value, step, place)
        elif name == "scale":
            scales = value if isinstance(value, list) and step.op == "dequantize" else [value]
            # What enters is multiplied by the reciprocal, which must be finite; outputs are multiplied by the scale.
            above = 2.0**-148 if step.op == "dequantize" else SCALE_ABOVE
            good = all(type(s) in (int, float) and math.isfinite(s) and above < s < 2.0**127 for s in scales)
            place.need(good, "a scale is no positive float32 number")
            place.need(not isinstance(value, list) or len(value) == step.channels, "there is not one scale a channel")
        elif name == "self_loops":
            place.need(value in ("keep", "add", "remove"), f"self_loops={value!r} is not possible")
    for low, high in (("low", "high"), ("qmin", "qmax")):
        if high in step.attributes:
            place.need(
                step.attributes[low] <= step.attributes[high], f"its codes are {low} .. {high} in the wrong order"
            )


def _check_integer(name: str, value: Any, place: _Place) -> None:
    low, high = _RANGES[name]
    place.need(type(value) is int and low <= value <= high, f"{name}={value!r} is no integer from {low} to {high}")


def _check_row_factor(value: Any, step: Step, place: _Place) -> None:
    fits = value is None or (isinstance(value, str) and _ROWS_OF_FACTOR.get(value) == step.rows)
    place.need(fits, f"row_factor={value!r} does not belong to rows of kind {step.rows!r}")
