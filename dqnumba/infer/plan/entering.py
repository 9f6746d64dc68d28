"""Records of the units that read the caller's features."""

from __future__ import annotations

import numpy as np

from ...graph import SparseFeatures
from ...kernels.dot import entry, sparse
from ...kernels.dot.launch import aligned
from ...kernels.dot.sparse_dense import sparse_dense_op
from ...quant import pack4
from .records import Records, records_of
from .units import Unit

__all__: list[str] = []


@records_of("quantize")
def _quantize(r: Records, unit: Unit) -> None:
    a, x, home = unit.steps[0].attributes, r.bound.graph.x, r.home(unit.output)
    factor = None if a["row_factor"] is None else r.bound.factor(a["row_factor"]).astype(np.float32)
    factors = 0 if factor is None else r.row_array(factor)
    inverse = np.float32(1.0 / a["scale"])
    if home.kind.startswith("sparse"):
        r.patches += [("indptr", len(r.ops), 1), ("data", len(r.ops), 2)]
        r.add(sparse.sparse_quantize_op(
            starts=0, values=0, out=r.place(unit.output)[0], inverse_scale=float(inverse), zero_point=a["zero_point"],
            low=a["qmin"], high=a["qmax"], status=r.status, factors=factors,
            low_bytes=0 if home.kind == "sparse" else r.second(unit.output)[0],
        ))  # fmt: skip
        return
    numbers = np.array([inverse, a["zero_point"], a["qmin"], a["qmax"], a["offset"]], np.float32)
    r.keep.append(numbers)
    if isinstance(x, SparseFeatures):
        r.patches += [(what, len(r.ops), 4 + k) for k, what in enumerate(("indptr", "indices", "data"))]
        r.add(sparse_dense_op(
            out=r.place(unit.output), out_kind=home.kind, starts=0, columns=0, values=0, numbers=numbers,
            factors=factors, scratch=r.extra(64), status=r.status,
        ))  # fmt: skip
        return
    r.patches.append(("x", len(r.ops), 1))
    r.add(entry.quantize_op(
        source=(0, 4 * x.shape[1], False), output=r.place(unit.output), output_kind=home.kind, columns=x.shape[1],
        numbers=numbers, factors=factors, status=r.status,
    ))  # fmt: skip


@records_of("lookup")
def _lookup(r: Records, unit: Unit) -> None:
    step, home = unit.steps[0], r.home(unit.output)
    codes = r.bound.constant(step, "table")
    table = aligned(len(codes), home.row_bytes)
    if home.kind == "int8":
        table[:, : codes.shape[1]] = codes
    elif home.kind == "int16":
        table[:, : 2 * codes.shape[1]] = codes.astype(np.int16).view(np.int8)
    else:
        table[:, : -(-codes.shape[1] // 2)] = pack4(codes).view(np.int8)
    r.keep.append(table)
    r.patches.append(("x", len(r.ops), 1))
    r.add(entry.lookup_op(categories=(0, 4, False), output=r.place(unit.output), table=table))
