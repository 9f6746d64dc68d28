"""How much memory this process may still take, and the refusal of what does not fit.

NumPy gets large arrays from the system without any memory behind them; the pages come when they are first written. What
is too large therefore does not fail where it is asked for: the machine swaps, or the process is killed in the middle.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

from ..errors import ConfigError, MemoryRiskError

__all__ = ["LIMIT_VARIABLE", "free_memory", "require_memory", "text_of"]

LIMIT_VARIABLE = "DQNUMBA_MEMORY"
"""Environment variable: what running one graph may take at most, such as ``512M`` or ``2G``. An estimate holds tables,
buffers and output against it; ``bind``, when the tables are made, what is still to come."""

_UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}
_ASKED_FROM = 8 << 20  # bytes: below, asking the system would take longer than small graphs do


def require_memory(needed: int, what: str) -> None:
    """Refuse to go on where ``needed`` bytes are more than there are.

    Raises
    ------
    MemoryRiskError
        The message has both numbers.
    ConfigError
        If the environment variable cannot be read.
    """
    if needed < _ASKED_FROM and LIMIT_VARIABLE not in os.environ:
        return
    found = free_memory()
    if found is not None and needed > found[0]:
        raise MemoryRiskError(
            f"{what} would take {text_of(needed)}; {text_of(found[0])} are {found[1]}. Free some memory, run parts of "
            "the graph, or use a larger machine."
        )


def free_memory(root: Path = Path("/")) -> tuple[int, str] | None:
    """Bytes that can be had without swapping, and what says so: the least of what the environment variable, the
    machine, the control groups (a container's limit) and the process's own limits leave. None where nothing says it.

    Raises
    ------
    ConfigError
        If the environment variable cannot be read.
    """
    found = [*_chosen(), *_machine(root), *_control_groups(root), *_own_limits(root)]
    size, says = min(found, default=(-1, ""))
    return (max(0, size), says) if found else None


def text_of(size: float) -> str:
    """``1.5 GiB``."""
    for unit in ("bytes", "KiB", "MiB", "GiB"):
        if size < 1024:
            return f"{size:.0f} bytes" if unit == "bytes" else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:.1f} TiB"


def _chosen() -> Iterator[tuple[int, str]]:
    text = os.environ.get(LIMIT_VARIABLE, "").strip()
    if not text:
        return
    match = re.fullmatch(r"(\d{1,15}(?:\.\d{1,6})?)([KMGT]?)(?:i?B)?", text, re.IGNORECASE)
    if match is None:
        raise ConfigError(f"{LIMIT_VARIABLE}={text!r} is no size; write 512M or 2G, or leave it out.")
    yield int(float(match[1]) * _UNITS[match[2].upper()]), f"allowed by {LIMIT_VARIABLE}"


def _machine(root: Path) -> Iterator[tuple[int, str]]:
    for line in _lines(root / "proc/meminfo"):
        if line.startswith("MemAvailable:"):
            yield int(line.split()[1]) << 10, "free on this machine"
            return
    if root == Path("/") and hasattr(os, "sysconf"):  # macOS and the BSDs tell what there is, not what is free
        for name in ("SC_AVPHYS_PAGES", "SC_PHYS_PAGES"):
            if name in os.sysconf_names and (pages := os.sysconf(name)) > 0:
                yield pages * os.sysconf("SC_PAGE_SIZE"), "free on this machine" if "AV" in name else "all there is"
                return


def _control_groups(root: Path) -> Iterator[tuple[int, str]]:
    """What the limits of the process's control groups leave; files that can be dropped from the cache count as free."""
    base = root / "sys/fs/cgroup"
    for line in _lines(root / "proc/self/cgroup"):
        number, controllers, path = ([*line.split(":", 2), "", ""])[:3]
        if number == "0" and not controllers:  # version 2: every group above may have a limit too
            names, top, cached = ("memory.max", "memory.current"), base, "inactive_file"
        elif "memory" in controllers.split(","):
            names, top = ("memory.limit_in_bytes", "memory.usage_in_bytes"), base / "memory"
            cached = "total_inactive_file"
        else:
            continue
        parts = Path(path.lstrip("/")).parts
        for depth in range(len(parts), -1, -1):  # in a container the path may not be visible, its top is
            folder = top.joinpath(*parts[:depth])
            limit, used = (_number(folder / name) for name in names)
            if limit is not None and used is not None:
                stat = dict(line.split()[:2] for line in _lines(folder / "memory.stat") if len(line.split()) == 2)
                yield limit - used + int(stat.get(cached, 0)), "left to this control group (container)"


def _own_limits(root: Path) -> Iterator[tuple[int, str]]:
    """What ``ulimit -v`` leaves."""
    try:
        import resource
    except ImportError:  # Windows
        return
    limit = resource.getrlimit(resource.RLIMIT_AS)[0]
    sizes = _lines(root / "proc/self/statm")
    if limit != resource.RLIM_INFINITY and sizes:
        yield limit - int(sizes[0].split()[0]) * resource.getpagesize(), "left by the limit on this process (ulimit -v)"


def _number(path: Path) -> int | None:
    lines = _lines(path)
    return int(lines[0]) if lines and lines[0].strip().isdigit() else None


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:
        return []
