"""What this machine can do at most, measured: multiply-adds, copies, random lines of memory."""

from __future__ import annotations

import ctypes
import platform
from collections.abc import Iterable
from typing import Any

import numpy as np

from . import machine
from .timing import interleave

__all__ = ["TABLE_MIB", "amx_usable", "line_rate_at", "line_rates", "measure", "peaks", "reader"]

TABLE_MIB = (0.5, 1, 2, 4, 8, 16, 32, 64, 128, 512)
LINES_READ = 2_000_000


def measure(threads: int, *, repeats: int = 7, tables: Iterable[float] = TABLE_MIB) -> dict[str, Any]:
    """``int8_gops``, ``int8_how``, ``fp32_gflops``, ``copy_gb_s``, and ``lines``: MiB -> million lines a second."""
    return peaks(threads, repeats=repeats) | {"lines": line_rates(threads, tables, repeats=repeats)}


def peaks(threads: int, *, repeats: int = 7, megabytes: int = 256) -> dict[str, Any]:
    """Peak rates of arithmetic out of registers (AMX: out of L1), and of a copy that no cache holds."""
    from . import limit_kernels as k

    features, rooms = machine.cpu_features(), {}
    loops: dict[str, Any] = {"fp32": (k.fma_loop, k.FMA_OPS)}
    if "avx512vnni" in features:
        loops["vpdpbusd, 512 bit"] = (k.vnni_loop, k.VNNI_OPS)
    elif "avxvnni" in features:
        loops["vpdpbusd, 256 bit"] = (k.narrow_vnni_loop, k.NARROW_VNNI_OPS)
    if "amx-int8" in features and amx_usable():
        loops["AMX tdpbssd"] = (k.tile_loop, k.TILE_OPS)
    count, runs = 200_000, {}
    for name, (loop, _) in loops.items():
        # Of its own, since the tiles' holds their configuration; aligned, since a line that crosses two costs two.
        rooms[name] = room = machine.room((threads * 8192,), np.uint8)
        for t in range(threads):
            _tile_configuration(room[t * 8192 :])
        runs[name] = lambda loop=loop, room=room: loop(threads, count, room)
    source, target = (machine.room((megabytes << 17,), np.float64) for _ in range(2))
    source += 1.0
    runs["copy"] = lambda: k.copy_rows(threads, source, target)
    times = interleave(runs, repeats=repeats, budget=6.0)
    rates = {name: ops * count * threads / times[name]["median_ms"] / 1e6 for name, (_, ops) in loops.items()}
    # Read and written; what the CPU reads of the target before it writes is not counted.
    copied = 2 * (len(source) // threads * threads) * 8 / times["copy"]["median_ms"] / 1e6
    fp32 = rates.pop("fp32")
    best = max(rates, key=rates.__getitem__) if rates else None
    return {
        "fp32_gflops": fp32, "int8_gops": rates[best] if best else None, "int8_how": best, "int8_all_gops": rates,
        "copy_gb_s": copied,
    }  # fmt: skip


def line_rates(
    threads: int, tables: Iterable[float] = TABLE_MIB, *, lines: int = 1, repeats: int = 7
) -> dict[float, float]:
    """Million 64-byte lines a second, of random rows of ``lines`` lines in tables of so many MiB.

    The tables lie in huge pages and are filled: pages that nobody has written are all one and the same page of zeros,
    which is always in the cache.
    """
    from .limit_kernels import read_lines

    rng, runs, sums = np.random.default_rng(0), {}, np.zeros((threads, 16), np.float32)
    read = LINES_READ // lines
    for mib in tables:
        rows = int(mib * 2**20) // (64 * lines)
        table, ids = machine.room((rows, 16 * lines), np.float32), np.zeros(read + 16, np.int32)
        table += 1.0
        ids[:read] = rng.integers(0, rows, read, dtype=np.int32)
        runs[mib] = lambda table=table, ids=ids: read_lines(threads, table, ids, lines, sums)
    times = interleave(runs, repeats=repeats, budget=8.0)
    return {mib: read // threads * threads * lines / times[mib]["median_ms"] / 1e3 for mib in runs}


def line_rate_at(rates: dict[float, float], table_bytes: float) -> float:
    """The rate for a table of that size, between the measured ones, straight in the logarithm of the size."""
    sizes = sorted(float(size) for size in rates)
    known = {float(size): rate for size, rate in rates.items()}
    return float(np.interp(np.log(table_bytes / 2**20), np.log(sizes), [known[size] for size in sizes]))


def amx_usable() -> bool:
    """Ask Linux for the tile registers, which a process has to do before it touches them."""
    if platform.system() != "Linux" or platform.machine() != "x86_64":
        return False
    arch_prctl, request_permission, tile_data = 158, 0x1023, 18
    try:
        return ctypes.CDLL(None, use_errno=True).syscall(arch_prctl, request_permission, tile_data) == 0
    except (OSError, AttributeError):
        return False


def _tile_configuration(room: Any) -> None:
    """Eight tiles of 16 rows of 64 bytes (Intel SDM, palette 1), at the start of ``room``."""
    room[0] = 1
    room[16:32].view(np.uint16)[:] = 64
    room[48:56] = 16


def reader(threads: int, rows: int, ids: Any, lines: int) -> Any:
    """A callable that reads the rows ``ids`` of a table, ``lines`` lines each, in that order, and does nothing else."""
    from .limit_kernels import read_lines

    table, sums = machine.room((rows, 16 * lines), np.float32), np.zeros((threads, 16), np.float32)
    table += 1.0
    padded = np.append(ids, np.zeros(16, np.int32)).astype(np.int32)
    return lambda: read_lines(threads, table, padded, lines, sums)
