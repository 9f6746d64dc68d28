"""One hostile file: what it is, and what must be said about it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

__all__ = ["MIB", "Attack", "attacks"]

MIB = 1 << 20


@dataclass(frozen=True)
class Attack:
    """A file and its error.

    Attributes
    ----------
    reader : str
        Key of ``bench.reliability.readers.READERS``.
    name : str
    make : callable
        Gives the bytes of the file; or, with ``places``, puts something at a path.
    error : str
        Class of ``dqnumba.errors``.
    message : str
        Regular expression that the message fits.
    peak : int
        Bytes that the reader may have at once, beside what it held before. Memory that is taken and not touched counts.
    places : bool
    """

    reader: str
    name: str
    make: Callable[..., bytes | None]
    error: str
    message: str
    peak: int = 8 * MIB
    places: bool = False

    @property
    def id(self) -> str:
        return f"{self.reader}: {self.name}"

    def write(self, path: Path) -> None:
        """Put the file at ``path``."""
        if self.places:
            self.make(path)
        else:
            content = self.make()
            assert content is not None
            path.write_bytes(content)


def attacks(reader: str, error: str, rows: dict[str, tuple]) -> list[Attack]:
    """Attacks on one reader: name -> (bytes or what makes them, message[, MiB of memory][, another error])."""
    out = []
    for name, (make, message, *more) in rows.items():
        peak = next((int(m * MIB) for m in more if not isinstance(m, str)), 8 * MIB)
        other = next((m for m in more if isinstance(m, str)), error)
        out.append(Attack(reader, name, make if callable(make) else lambda make=make: make, other, message, peak))
    return out
