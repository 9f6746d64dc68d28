"""Records of the products with weights."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ...kernels.dot import combine, matmul, matmul_pack, sparse
from ...kernels.dot.codes import row_bytes
from ...kernels.dot.fold import Fold
from ...kernels.dot.halves import split_codes_op
from ...kernels.dot.launch import aligned
from ...kernels.dot.matmul_trust import trusted_isa
from ...kernels.dot.requantize import requantize_op
from .layout import WIDE_CODES
from .records import Place, Records, records_of
from .units import Source, Unit, Unplanned

__all__: list[str] = []


@records_of("matmul")
def _matmul(r: Records, unit: Unit) -> None:
    step, a = unit.steps[0], unit.steps[0].attributes
    weight, bias = r.bound.constant(step, "weight"), r.bound.constant(step, "bias").astype(np.int64)
    register = r.bound.registers[step.output]
    r.reach[step.output] = np.array([max(-register.low, register.high)], np.float64)
    if any(r.home(source).kind in WIDE_CODES for source in unit.reads):
        _halves(r, unit, weight, bias)
        return
    out, after = r.sums(unit)
    if r.home(unit.reads[0]).kind == "sparse":
        _sparse_product(r, unit, r.place(unit.reads[0])[0], weight, bias, out)
    else:
        columns = weight.astype(np.int64).sum(axis=0)
        _product(r, unit, [_as_bytes(r, s) for s in unit.reads], weight, bias - a["zero_in"] * columns, out)
    r.add(after)


def _halves(r: Records, unit: Unit, weight: NDArray[np.int8], bias: NDArray[np.int64]) -> None:
    """Codes of 16 bits: their high bytes and their low ones are multiplied apart.

    Modulo 2**32 the two products together are right whenever the whole sum fits; where it may not, each must fit alone,
    and they meet in 64 bits where they are rounded.
    """
    columns, zero = weight.astype(np.int64).sum(axis=0), unit.steps[0].attributes["zero_in"]
    dense = r.home(unit.reads[0]).kind != "sparse halves"
    # x - zero = 256 * (high + a) + (low + b); sparse codes are stored without their zero point, and low from 0 up.
    a, b = divmod(128 - zero, 256) if dense else (0, 0)
    high_bias, low_bias = (a * columns + (bias >> 8), b * columns + (bias & 255))
    joined = r.home(unit.output).kind == "halves"
    if joined:
        high_out, low_out, after = r.place(unit.output), r.second(unit.output), []
    else:
        high_out, after = r.sums(unit)
        low_out = r.reserved(max(64, row_bytes("int32", weight.shape[1])))
    if dense:
        parts = [_split(r, source) for source in unit.reads]
        _product(r, unit, [high for high, _ in parts], weight, high_bias, high_out)
        _product(r, unit, [low for _, low in parts], weight, low_bias, low_out)
    else:
        codes = (r.place(unit.reads[0])[0], r.second(unit.reads[0])[0])
        _sparse_product(r, unit, codes[0], weight, high_bias, high_out)
        _sparse_product(r, unit, codes[1], weight, low_bias, low_out)
    if not joined:
        r.add(combine.add_self_op(
            total=high_out, own=low_out, own_kind="int32", output=high_out, columns=weight.shape[1], zero=0, weight=1,
            gain=8,
        ))  # fmt: skip
    r.add(after)


def _product(
    r: Records, unit: Unit, inputs: list[Place], weight: NDArray[np.int8], bias: NDArray[np.int64], out: Place
) -> None:  # fmt: skip
    segments = tuple(source.channels for source in unit.reads)
    bits = 4 if weight.size and -8 <= weight.min() and weight.max() <= 7 else 8
    isa = trusted_isa(weight.shape[1], bits, len(segments))
    if isa is None:
        raise Unplanned("no kernel of the matrix product gives right numbers on this machine")
    key = (unit.steps[0].tensors["weight"], isa, segments)
    packed = r.packs.get(key)
    if packed is None:
        packed = r.packs[key] = matmul_pack.pack_weights(weight, isa=isa, segments=segments, bits=bits)
    scratch = r.extra(matmul.scratch_bytes(packed, r.layout.block_rows[r.group]))
    r.add(matmul.matmul_op(inputs=inputs, packed=packed, bias=bias, out=out, scratch=scratch))


def _sparse_product(
    r: Records, unit: Unit, codes: int, weight: NDArray[np.int8], bias: NDArray[np.int64], out: Place
) -> None:
    stride = row_bytes("int8", weight.shape[1])
    rows = aligned(len(weight), stride)
    rows[:, : weight.shape[1]] = weight
    padded = np.zeros(weight.shape[1] + 64, np.int32)
    padded[: len(bias)] = bias
    ops = sparse.sparse_matmul_ops(
        out=out, starts=0, indices=0, codes=codes, weight=r.held(rows), weight_stride=stride, columns=weight.shape[1],
        bias=r.held(padded),
    )  # fmt: skip
    for k in range(len(ops)):
        r.patches += [("indptr", len(r.ops) + k, 4), ("indices", len(r.ops) + k, 5)]
    r.add(ops)


def _as_bytes(r: Records, source: Source) -> Place:
    """Place of codes a byte each: where two share one, they are unpacked for the block first."""
    home = r.home(source)
    if home.kind == "int8":
        return r.place(source)
    place = r.reserved(max(64, row_bytes("int8", source.channels)))
    r.add(requantize_op(
        source=r.place(source), source_kind=home.kind, output=place, output_kind="int8", columns=source.channels,
        fold=Fold([], 0), magnitude=np.zeros(1), zero_in=0, low=-8, high=7,
    ))  # fmt: skip
    return place


def _split(r: Records, source: Source) -> tuple[Place, Place]:
    """Places of the high and the low bytes of codes of 16 bits."""
    width = max(64, row_bytes("int8", source.channels))
    high, low = r.reserved(width), r.reserved(width)
    r.add(split_codes_op(source=r.place(source), source_kind=r.home(source).kind, high=high, low=low,
                         columns=source.channels))  # fmt: skip
    return high, low
