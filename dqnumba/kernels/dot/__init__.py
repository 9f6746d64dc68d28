"""Vector kernels: the same integers as :mod:`dqnumba.kernels.reference`, in registers and cache blocks.

``simd`` makes LLVM's vectors values that a Numba function can hold; ``micro`` compiles kernels of one uniform C
signature that work on a block of rows; ``executor`` and ``launch`` run lists of them, serially or over threads. Whole
programs are planned in ``dqnumba.infer.plan``. The functions of the reference, one kernel each, are here under their
names; they are imported when asked for.
"""

from __future__ import annotations

import importlib
from typing import Any

_HOMES = {
    "api_requantize": ("requantize",),
    "api_matmul": ("matmul", "matmul_packed"),
    "api_aggregate": (
        "neighbor_max",
        "neighbor_sum",
        "segment_max",
        "segment_sum",
        "sparse_matmul",
        "sparse_neighbor_sum",
        "weighted_neighbor_sum",
    ),
}


def __getattr__(name: str) -> Any:
    for module, names in _HOMES.items():
        if name in names:
            return getattr(importlib.import_module(f"{__name__}.{module}"), name)
    from .. import integer  # what has no vector kernel of its own

    if name in integer.__all__:
        return getattr(integer, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
