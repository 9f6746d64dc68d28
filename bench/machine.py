"""The machine a result was made on, and equal threads for everybody."""

from __future__ import annotations

import contextlib
import ctypes
import importlib.metadata
import mmap
import os
import platform
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

__all__ = ["absent", "cpu_features", "describe", "keep_freed_memory", "room", "set_threads", "torch_or_none"]

_PACKAGES = ("numpy", "numba", "llvmlite", "scipy", "torch", "torch_geometric", "threadpoolctl", "dqnumba")
_SETTINGS = ("OMP_", "OPENBLAS_", "MKL_", "NUMBA_", "MALLOC_", "GLIBC_")
_LIMITS: list[Any] = []  # keeps threadpoolctl's limits alive for the process


def set_threads(threads: int) -> int:
    """Give numba, torch and BLAS the same number of threads; returns what they got."""
    import numba

    threads = max(1, min(threads, numba.config.NUMBA_NUM_THREADS))
    torch = torch_or_none()
    if torch is not None:
        torch.set_num_threads(threads)
    with _quiet_waiting():
        numba.set_num_threads(threads)
    try:
        import numpy  # noqa: F401  # BLAS has to be loaded before it can be limited
        from threadpoolctl import threadpool_limits
    except ImportError:  # then OPENBLAS_NUM_THREADS and the like have to do it
        return threads
    _LIMITS.append(threadpool_limits(limits=threads, user_api="blas"))
    return threads


@contextlib.contextmanager
def _quiet_waiting() -> Iterator[None]:
    """Numba's OpenMP threads wait without spinning, as dqnumba starts them: else they would disturb the next contender.

    The variable is read once, when Numba loads its OpenMP library. Torch has loaded its own one before.
    """
    chosen = "OMP_WAIT_POLICY" in os.environ
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    try:
        yield
    finally:
        if not chosen:
            del os.environ["OMP_WAIT_POLICY"]


def keep_freed_memory() -> bool:
    """Have glibc keep what is freed instead of giving it back: new pages are expensive in a virtual machine.

    Our integer and float programs allocate nothing when they are called; this is for the peers, and halves the time of
    some of them. Only arrays up to 32 MiB are kept; see ``--huge-pages`` of ``bench.models`` for larger ones.
    """
    trim_threshold, mmap_threshold = -1, -3  # M_TRIM_THRESHOLD and M_MMAP_THRESHOLD of <malloc.h>
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError, TypeError):  # another C library
        return False
    return bool(mallopt(trim_threshold, 2**31 - 1)) and bool(mallopt(mmap_threshold, 2**25))


def room(shape: tuple[int, ...], dtype: Any) -> Any:
    """Zeros in huge pages where Linux has some: a table's rate must not depend on what memory malloc reused."""
    import numpy as np

    size = int(np.prod(shape)) * np.dtype(dtype).itemsize
    memory = mmap.mmap(-1, size + (1 << 22))
    with contextlib.suppress(AttributeError, OSError):  # another system
        memory.madvise(mmap.MADV_HUGEPAGE)
    raw = np.frombuffer(memory, np.uint8)  # keeps the mapping alive
    start = -raw.ctypes.data % (1 << 21)
    array = raw[start : start + size].view(dtype).reshape(shape)
    array[...] = 0  # pages that nobody has written are all one and the same page of zeros, always in the cache
    return array


def torch_or_none() -> Any:
    """The module torch, or None where it is not installed."""
    try:
        import torch
    except ImportError:
        return None
    return torch


def absent(package: str) -> dict[str, str]:
    """The entry of a contender whose package is not installed."""
    return {"absent": f'{package} is not installed; pip install "dqnumba[bench]"'}


def cpu_features() -> frozenset[str]:
    """Instruction sets that Numba compiles for (not what the CPU has): without the leading plus."""
    try:
        from numba.core.registry import cpu_target

        triple = cpu_target.target_context.codegen().magic_tuple()
        return frozenset(name[1:] for name in str(triple[2]).split(",") if name.startswith("+"))
    except Exception:  # an internal of Numba: without it nothing special is assumed
        return frozenset()


def describe(threads: int) -> dict[str, Any]:
    """Processor, caches, memory, versions, threads, and how busy the machine was, as JSON types."""
    import llvmlite.binding as llvm
    import numba

    features = cpu_features()
    shown = ("avx2", "fma", "avx512f", "avx512bw", "avx512vl", "avx512vnni", "avxvnni", "amx-int8", "dotprod", "i8mm")
    return {
        "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "cpu": _cpu_model(),
        "cpu_as_numba_compiles": _numba_cpu() or llvm.get_host_cpu_name(),
        "features": [name for name in shown if name in features],
        "cores": os.cpu_count(),
        "caches": _caches(),
        "memory_gib": _memory_gib(),
        "load_average": list(os.getloadavg()) if hasattr(os, "getloadavg") else None,
        "threads": threads,
        "threading_layer": _threading_layer(numba),
        "python": platform.python_version(),
        "packages": {name: _version(name) for name in _PACKAGES},
        "environment": {
            name: value for name, value in sorted(os.environ.items())
            if value and name.startswith(_SETTINGS) and name != "NUMBA_CACHE_DIR"
        },
    }  # fmt: skip


def _numba_cpu() -> str | None:
    try:
        from numba.core.registry import cpu_target

        return str(cpu_target.target_context.codegen().magic_tuple()[1])
    except Exception:
        return None


def _threading_layer(numba: Any) -> str | None:
    try:
        return numba.threading_layer()
    except ValueError:  # no parallel kernel has run yet
        return None


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _cpu_model() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith(("model name", "Model")):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or "unknown"


def _caches() -> dict[str, str]:
    """Size of each cache of the first core, as the kernel tells; empty where it does not."""
    found = {}
    for index in sorted(Path("/sys/devices/system/cpu/cpu0/cache").glob("index*")):
        try:
            level, kind, size = ((index / name).read_text().strip() for name in ("level", "type", "size"))
        except OSError:
            continue
        found[f"L{level} {kind.lower()}"] = size
    return found


def _memory_gib() -> float | None:
    try:
        return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1)
    except (ValueError, OSError, AttributeError):
        return None
