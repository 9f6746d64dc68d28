"""What the fuzzer found: the files in ``found/<reader>/``, each with what must come of it now.

A finding is kept for good. A new one is a file that the fuzzer wrote and a row here.
"""

from __future__ import annotations

from pathlib import Path

from attack import MIB, Attack

__all__ = ["FINDINGS", "FOUND"]

FOUND = Path(__file__).parent / "found"
#: (reader, file) -> (class of the error, piece of its message), or None where the file is read.
TABLE: dict[tuple[str, str], tuple[str, str] | None] = {}

FINDINGS = {
    key: Attack(key[0], f"found: {key[1]}", (FOUND / key[0] / key[1]).read_bytes, *(outcome or ("", "")), 64 * MIB)
    for key, outcome in TABLE.items()
}
