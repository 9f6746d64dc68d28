"""Running lists of micro-kernels over blocks of rows, on the calling thread or over several.

A *phase* is a list of operations and a list of blocks: each block of rows goes through all operations of the phase
before the next block begins, so that what they hand on stays in cache. Between phases all rows are finished. Threads
take blocks from a common counter, so that no thread waits for one that met the hubs of a graph.
"""

from __future__ import annotations

from llvmlite import ir
from numba import prange, types
from numba.extending import intrinsic

from .micro import driver, helper
from .simd import address_of, i64_at

__all__ = ["run_block", "run_parallel", "run_serial", "take"]


@intrinsic
def _call(typingctx, function, op, start, stop, scratch):
    """Call the micro-kernel at an address."""

    def codegen(context, builder, signature, args):
        integer = ir.IntType(64)
        kind = ir.FunctionType(ir.VoidType(), [integer] * 4)
        builder.call(builder.inttoptr(args[0], kind.as_pointer()), args[1:])
        return context.get_dummy_value()

    return types.void(*(types.int64,) * 5), codegen


@intrinsic
def take(typingctx, address):
    """Atomically add 1 to the int64 at an address and return what it was."""

    def codegen(context, builder, signature, args):
        integer = ir.IntType(64)
        pointer = builder.inttoptr(args[0], integer.as_pointer())
        return builder.atomic_rmw("add", pointer, ir.Constant(integer, 1), "monotonic")

    return types.int64(types.int64), codegen


@helper
def run_block(ops, fields, first, last, start, stop, scratch):
    """Take a block of rows through operations ``first`` to ``last - 1``."""
    for k in range(first, last):
        op = ops + k * fields * 8
        _call(i64_at(op), op, start, stop, scratch)


# A phase in the table `phases` (P, 4): first operation, last + 1, first entry of its blocks in `bounds`, number of
# blocks. Block b covers the rows bounds[entry + b] .. bounds[entry + b + 1].


@driver()
def run_serial(phases, ops, bounds, scratch):
    """Run all phases on the calling thread.

    Parameters
    ----------
    phases : (P, 4) int64
    ops : (n, FIELDS) int64
    bounds : (m,) int64
    scratch : (threads, bytes) int8
    """
    for p in range(phases.shape[0]):
        entry = phases[p, 2]
        for b in range(phases[p, 3]):
            start, stop = bounds[entry + b], bounds[entry + b + 1]
            run_block(address_of(ops), ops.shape[1], phases[p, 0], phases[p, 1], start, stop, address_of(scratch))


@driver(parallel=True)
def run_parallel(phases, ops, bounds, scratch, queue, threads):
    """Run all phases over ``threads`` threads; arguments as in :func:`run_serial`.

    queue : (P, 8) int64
        Counters of the blocks taken, one cache line a phase; set to 0 here.
    """
    for p in range(phases.shape[0]):
        queue[p, 0] = 0
        for t in prange(threads):
            entry, count = phases[p, 2], phases[p, 3]
            memory = address_of(scratch) + t * scratch.shape[1]
            b = take(address_of(queue) + p * 64)
            while b < count:
                start, stop = bounds[entry + b], bounds[entry + b + 1]
                run_block(address_of(ops), ops.shape[1], phases[p, 0], phases[p, 1], start, stop, memory)
                b = take(address_of(queue) + p * 64)
