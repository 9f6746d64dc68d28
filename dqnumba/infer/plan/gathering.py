"""Records of the units that read other rows: neighbours, attention, the nodes of a graph."""

from __future__ import annotations

import functools

import numpy as np

from ...kernels.dot.attention import attention_op, attention_scratch
from ...kernels.dot.gather import neighbor_sum_ops
from ...kernels.dot.gather_max import pool_max_ops
from ...kernels.dot.gather_packed import packed_sum_ops
from ...kernels.dot.hubs import join_sum_op
from ...kernels.dot.launch import Phase, aligned, even_blocks
from ...kernels.dot.long_sums import join_long_op
from ...kernels.dot.pool import pool_sum_ops
from .covered import attention_numbers
from .records import Records, records_of
from .units import Unit

__all__: list[str] = []


def _terms(r: Records, unit: Unit, counts: np.ndarray) -> None:
    """Sums of ``counts`` codes: how large each can be."""
    zero, codes = unit.steps[0].attributes["zero_in"], r.bound.registers[unit.gathers[0].register]
    r.reach[unit.output] = counts * float(max(abs(codes.low - zero), abs(codes.high - zero)))


@records_of("neighbor_sum")
def _neighbor_sum(r: Records, unit: Unit) -> None:
    source, edges = unit.gathers[0], r.edges(unit)
    starts, indices = r.edge_lists(unit)
    _terms(r, unit, edges.terms)
    x, stride, room = r.place(source)
    make = {"int8": neighbor_sum_ops, "int4": packed_sum_ops, "int16": functools.partial(neighbor_sum_ops, bits=16)}[
        r.home(source).kind
    ]
    common = {"indices": indices, "x": x, "x_stride": stride, "channels": source.channels,
              "zero": unit.steps[0].attributes["zero_in"]}  # fmt: skip
    if room:
        common["room"] = room
    out, own = r.place(unit.output), (x, stride, room) if edges.own else None
    most, long = (1 << 31) - 1, r.home(unit.output).kind == "long"
    if long:  # each piece shall fit 32 bits, and so every row without one, its own codes counted
        codes = r.bound.registers[source.register]
        most = most // max(codes.high - common["zero"], common["zero"] - codes.low) - 1
    hubs = r.hubs(unit, most)
    if hubs is None:
        r.add(make(out=out, starts=starts, stops=starts + 8, own=own, **common))
        return
    # Rows of very many edges are summed in pieces first, so that no thread is left with one of them.
    width = -(-4 * source.channels // 64) * 64
    pieces = aligned(hubs.pieces, width)
    begin, end = r.held(hubs.starts), r.held(hubs.stops)
    partial = make(out=(r.held(pieces), width, False), starts=begin, stops=end, **common)
    r.before.append(Phase(partial, even_blocks(hubs.pieces, 1)))
    r.add(make(out=out, starts=starts, stops=r.held(hubs.row_stops), own=own, **common))
    r.keep.append(hubs)
    joined = {"hubs": hubs, "pieces": pieces.ctypes.data, "piece_stride": width, "channels": source.channels}
    r.add(join_long_op(low=out, high=r.second(unit.output), **joined) if long else join_sum_op(out=out, **joined))


@records_of("attention")
def _attention(r: Records, unit: Unit) -> None:
    logits, alpha, _, weighted = unit.steps
    scores, values = unit.gathers
    (starts, indices), heads = r.edge_lists(unit), logits.channels
    register = r.bound.registers[unit.output]
    r.reach[unit.output] = np.array([max(-register.low, register.high)], np.float64)
    r.add(attention_op(
        target=r.place(unit.reads[0]), source=r.place(scores), x=r.place(values), out=r.place(unit.output),
        indptr=starts, indices=indices, heads=heads, head_width=values.channels // heads,
        zero_point=alpha.attributes["zero_point"], zero=weighted.attributes["zero_in"],
        work=r.extra(attention_scratch(heads)), packed=r.home(values).kind == "int4",
        **attention_numbers(unit, r.bound),
    ))  # fmt: skip


@records_of("pool_sum")
def _pool_sum(r: Records, unit: Unit) -> None:
    source = unit.gathers[0]
    _terms(r, unit, np.diff(r.bound.graph_ptr))
    x, stride, room = r.place(source)
    starts = r.graph_starts()
    r.add(pool_sum_ops(
        out=r.place(unit.output), starts=starts, stops=starts + 8, x=x, x_stride=stride, channels=source.channels,
        zero=unit.steps[0].attributes["zero_in"], bits=16 if r.home(source).kind == "int16" else 8, room=room,
    ))  # fmt: skip


@records_of("pool_max")
def _pool_max(r: Records, unit: Unit) -> None:
    source = unit.gathers[0]
    x, stride, room = r.place(source)
    starts = r.graph_starts()
    r.add(pool_max_ops(
        out=r.place(unit.output), starts=starts, stops=starts + 8, x=x, x_stride=stride, channels=source.channels,
        empty=unit.steps[0].attributes["empty"], bits=16 if r.home(source).kind == "int16" else 8, room=room,
    ))  # fmt: skip
