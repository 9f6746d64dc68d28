"""The two decorators every compiled function goes through, so that cache and threading choices stand in one place.

Decorating costs next to nothing: a function is compiled, or loaded from disk, when it is first called. Where nothing
can be written it is compiled once per process.
"""

from __future__ import annotations

from collections.abc import Callable

import numba

from ._cache import KernelCache

__all__ = ["kernel", "parallel_kernel"]


def _compile(function: Callable, *, parallel: bool) -> Callable:
    compiled = numba.njit(function, nogil=True, parallel=parallel)
    if not numba.config.DISABLE_JIT:  # then it is the function itself
        compiled._cache = KernelCache(function)
    return compiled


def kernel(function: Callable) -> Callable:
    """Compile ``function`` for one thread. No fast-math: a float kernel gives the same bits on every CPU."""
    return _compile(function, parallel=False)


def parallel_kernel(function: Callable) -> Callable:
    """Compile ``function`` with ``prange`` loops spread over threads.

    A kernel must not reduce floats across a ``prange``: the order of such a sum depends on the number of threads.
    """
    return _compile(function, parallel=True)
