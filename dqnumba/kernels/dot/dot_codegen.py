"""LLVM code for a register tile of the int8 matrix product on vector instructions: no Numba, so any target will do.

A tile is ``rows`` activations by ``vectors`` of 16 columns. Its sums stay in registers while the loop goes through the
packed weights (order: see ``matmul_pack``): the weights of 4 channels are loaded once for all rows, 4 activations of a
row are broadcast once for all columns.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from llvmlite import ir

__all__ = ["TILES", "Tile", "emit_nibbles", "emit_tile"]

_I8, _I16, _I32, _I64 = (ir.IntType(bits) for bits in (8, 16, 32, 64))
_COLUMNS = 16


# ---- small pieces


def _load(builder: ir.IRBuilder, address: ir.Value, kind: ir.Type) -> ir.Value:
    return builder.load(builder.inttoptr(address, kind.as_pointer()), align=1)


def _offset(builder: ir.IRBuilder, address: ir.Value, offset: int) -> ir.Value:
    return builder.add(address, ir.Constant(_I64, offset)) if offset else address


def _splat(builder: ir.IRBuilder, scalar: ir.Value, lanes: int) -> ir.Value:
    undefined = ir.Constant(ir.VectorType(scalar.type, lanes), ir.Undefined)
    first = builder.insert_element(undefined, scalar, ir.Constant(_I32, 0))
    return builder.shuffle_vector(first, undefined, ir.Constant(ir.VectorType(_I32, lanes), [0] * lanes))


def _every(kind: ir.VectorType, value: int) -> ir.Constant:
    return ir.Constant(kind, [value] * kind.count)


def _pieces(builder: ir.IRBuilder, vector: ir.Value, lanes: int) -> list[ir.Value]:
    count, index = vector.type.count, ir.VectorType(_I32, lanes)
    starts = range(0, count, lanes)
    return [builder.shuffle_vector(vector, vector, ir.Constant(index, list(range(s, s + lanes)))) for s in starts]


def _instruction(builder: ir.IRBuilder, name: str, result: ir.Type, arguments: list[ir.Value]) -> ir.Value:
    kind = ir.FunctionType(result, [value.type for value in arguments])
    function = builder.module.globals.get(name) or ir.Function(builder.module, kind, name)
    return builder.call(function, arguments)


def emit_nibbles(builder: ir.IRBuilder, both: ir.Value, shift: int) -> ir.Value:
    """Bits ``shift .. shift + 3`` of each byte of a vector, as signed numbers."""
    low = builder.and_(builder.lshr(both, _every(both.type, shift)) if shift else both, _every(both.type, 15))
    return builder.sub(builder.xor(low, _every(both.type, 8)), _every(both.type, 8))


def _loop(builder: ir.IRBuilder, count: ir.Value, carried: list[ir.Value], body: Callable) -> list[ir.Value]:
    """``for k in range(count)``, count at least 1; ``body(k, values)`` gives the values for the next round."""
    before, block = builder.block, builder.append_basic_block("steps")
    after = builder.append_basic_block("done")
    builder.branch(block)
    builder.position_at_end(block)
    k, *phis = (builder.phi(kind) for kind in (_I64, *(value.type for value in carried)))
    values = body(k, phis)
    following = builder.add(k, ir.Constant(_I64, 1))
    for phi, start, end in zip((k, *phis), (ir.Constant(_I64, 0), *carried), (following, *values), strict=True):
        phi.add_incoming(start, before)
        phi.add_incoming(end, builder.block)
    builder.cbranch(builder.icmp_signed("<", following, count), block, after)
    builder.position_at_end(after)
    return list(values)


# ---- instruction sets: how 4 channels of 16 columns meet 4 channels of one row


@dataclass(frozen=True)
class Tile:
    """One instruction set.

    Attributes
    ----------
    lanes : int
        int32 sums in a register.
    rows : dict
        Rows of the tile by its vectors of columns: as many as leave registers for the operands.
    weights : function (builder, address, bits) -> list over groups of lists over registers
        The weights of one vector of columns; two groups with 4 bits.
    activations : function (builder, address) -> operand
    dot : function (builder, sums, activations, weights) -> sums
    weight_bytes : int
        Bytes of 4 channels of 16 columns in memory, with 8 bits.
    """

    lanes: int
    rows: dict[int, int]
    weights: Callable
    activations: Callable
    dot: Callable
    weight_bytes: int = 64


def _weights(split: Callable) -> Callable:
    def weights(builder, address, bits):
        raw = _load(builder, address, ir.VectorType(_I8, 64))
        if bits == 8:
            return [split(builder, raw)]
        return [split(builder, emit_nibbles(builder, raw, shift)) for shift in (0, 4)]

    return weights


def _dwords(lanes: int) -> Callable:
    def split(builder, raw):
        return _pieces(builder, builder.bitcast(raw, ir.VectorType(_I32, _COLUMNS)), lanes)

    return _weights(split)


def _vnni_activations(lanes: int) -> Callable:
    def activations(builder, address):
        # Unsigned: + 128. Flipped before the broadcast: after it, LLVM 22 does not come to an end.
        flipped = builder.xor(_load(builder, address, _I32), ir.Constant(_I32, 0x80808080))
        return _splat(builder, flipped, lanes)

    return activations


def _vnni_dot(lanes: int) -> Callable:
    def dot(builder, sums, activations, weights):
        arguments = [sums, activations, weights]
        return _instruction(builder, f"llvm.x86.avx512.vpdpbusd.{32 * lanes}", sums.type, arguments)

    return dot


_PAIRS = ir.VectorType(_I16, 16)


def _avx2_weights(builder, address, bits):
    if bits == 8:
        words = [_load(builder, _offset(builder, address, 32 * k), _PAIRS) for k in range(4)]
        return [[(words[0], words[2]), (words[1], words[3])]]
    raw, groups = _load(builder, address, ir.VectorType(_I8, 64)), []
    for shift in (0, 4):
        wide = builder.sext(emit_nibbles(builder, raw, shift), ir.VectorType(_I16, 64))
        words = _pieces(builder, wide, 16)
        groups.append([(words[0], words[2]), (words[1], words[3])])
    return groups


def _avx2_activations(builder, address):
    """Channels 0 and 2, and channels 1 and 3, as int16."""
    words = builder.bitcast(_splat(builder, _load(builder, address, _I32), 8), _PAIRS)
    eight = _every(_PAIRS, 8)
    return builder.ashr(builder.shl(words, eight), eight), builder.ashr(words, eight)


def _avx2_dot(builder, sums, activations, weights):
    for a, w in zip(activations, weights, strict=True):
        sums = builder.add(sums, _instruction(builder, "llvm.x86.avx2.pmadd.wd", sums.type, [a, w]))
    return sums


def _sdot_activations(builder, address):
    return builder.bitcast(_splat(builder, _load(builder, address, _I32), 4), ir.VectorType(_I8, 16))


def _sdot(builder, sums, activations, weights):
    name = "llvm.aarch64.neon.sdot.v4i32.v16i8"
    return _instruction(builder, name, sums.type, [sums, weights, activations])


def _portable_activations(builder, address):
    scalars = [_load(builder, _offset(builder, address, k), _I8) for k in range(4)]
    return [_splat(builder, builder.sext(scalar, _I16), _COLUMNS) for scalar in scalars]


def _portable_dot(builder, sums, activations, weights):
    for a, w in zip(activations, weights, strict=True):
        # int16 on both sides: NEON multiplies those into int32 and adds, in one instruction.
        wide = builder.sext(builder.sext(w, a.type), sums.type)
        sums = builder.add(sums, builder.mul(builder.sext(a, sums.type), wide))
    return sums


TILES = {
    "avx512vnni": Tile(16, {4: 6, 3: 8, 2: 8, 1: 8}, _dwords(16), _vnni_activations(16), _vnni_dot(16)),
    "avxvnni": Tile(8, {1: 6}, _dwords(8), _vnni_activations(8), _vnni_dot(8)),
    "avx2": Tile(8, {1: 4}, _avx2_weights, _avx2_activations, _avx2_dot, 128),
    "sdot": Tile(4, {1: 6}, _weights(lambda builder, raw: _pieces(builder, raw, 16)), _sdot_activations, _sdot),
    "portable": Tile(
        16, {1: 4}, _weights(lambda b, raw: [_pieces(b, raw, 16)]), _portable_activations, _portable_dot
    ),
}  # fmt: skip
"""How each instruction set makes a tile."""


def emit_tile(
    builder: ir.IRBuilder,
    isa: str,
    rows: int,
    vectors: int,
    bits: int,
    inputs: list[tuple[ir.Value, ir.Value, ir.Value]],
    weights: ir.Value,
    bias: ir.Value,
    out: ir.Value,
    out_stride: ir.Value,
) -> None:
    """Write ``out = bias + sum over inputs of A @ W`` for ``rows`` by ``16 * vectors`` sums.

    Parameters
    ----------
    inputs : list of (address of the first row, row stride, steps), int64
        Steps of 4 channels, of 8 with 4 bits; at least 1.
    weights, bias, out, out_stride : int64
        Addresses of the panel, of its first column's bias and sum; bytes between the rows of sums.
    """
    tile = TILES[isa]
    registers = _COLUMNS // tile.lanes
    kind = ir.VectorType(_I32, tile.lanes)
    size = tile.lanes * 4
    first = [_load(builder, _offset(builder, bias, q * size), kind) for q in range(vectors * registers)]
    sums = first * rows
    groups, vector_bytes = (1, tile.weight_bytes) if bits == 8 else (2, 64)
    for address, stride, steps in inputs:
        lines = [address]
        for _ in range(rows - 1):
            lines.append(builder.add(lines[-1], stride))

        def body(k, values, lines=lines):
            w, *values = values
            channels = builder.mul(k, ir.Constant(_I64, 4 * groups))
            loaded = [tile.weights(builder, _offset(builder, w, v * vector_bytes), bits) for v in range(vectors)]
            for g in range(groups):
                operands = [operand for weights in loaded for operand in weights[g]]
                for r, line in enumerate(lines):
                    a = tile.activations(builder, _offset(builder, builder.add(line, channels), 4 * g))
                    for q, operand in enumerate(operands):
                        place = r * len(operands) + q
                        values[place] = tile.dot(builder, values[place], a, operand)
            return [_offset(builder, w, vectors * vector_bytes), *values]

        weights, *sums = _loop(builder, steps, [weights, *sums], body)
    for r in range(rows):
        for q in range(vectors * registers):
            pointer = builder.inttoptr(_offset(builder, out, q * size), kind.as_pointer())
            builder.store(sums[r * vectors * registers + q], pointer, align=1)
        out = builder.add(out, out_stride)
