"""Places for buffers in one stretch of memory: two buffers share bytes only if they are never needed together."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Stretch", "arrange"]

_LINE = 64


@dataclass
class Stretch:
    """Bytes that are needed from moment ``first`` to moment ``last``, both included; ``offset`` is set by
    :func:`arrange`.
    """

    size: int
    first: int
    last: int
    offset: int = 0


def arrange(stretches: list[Stretch]) -> int:
    """Give every stretch an offset (a multiple of a cache line), large ones first; returns the bytes needed in all."""
    placed: list[Stretch] = []
    end = 0
    for stretch in sorted(stretches, key=lambda s: -s.size):
        size = -(-stretch.size // _LINE) * _LINE
        offset = 0
        for other in sorted(placed, key=lambda s: s.offset):
            if other.last < stretch.first or stretch.last < other.first:
                continue
            if offset + size <= other.offset:
                break
            offset = max(offset, other.offset + -(-other.size // _LINE) * _LINE)
        stretch.offset = offset
        placed.append(stretch)
        end = max(end, offset + size)
    return end
