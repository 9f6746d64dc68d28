"""What the fuzzer found: the files in ``found/<reader>/``, each with what must come of it now.

A finding is kept for good. A new one is a file that the fuzzer wrote and a row here.
"""

from __future__ import annotations

from pathlib import Path

from attack import MIB, Attack

__all__ = ["FINDINGS", "FOUND"]

FOUND = Path(__file__).parent / "found"
#: (reader, file) -> (class of the error, piece of its message), or None where the file is read.
TABLE: dict[tuple[str, str], tuple[str, str] | None] = {
    # No edges, and a batch that ends with -1: np.zeros of a negative length.
    ("graph", "64070cfc55ba"): ("GraphError", "graph_ptr ends with"),
    # Masks of no split at all: a ConfigError that asked for --fold 0..-1.
    ("graph", "d75cc49aa272"): ("DataError", "it must be"),
    # Names of arrays that hold line ends, in the message as they were.
    ("graph", "a93ab6529ef0"): ("DataError", "no known layout|no array edge_index"),
    # A member that announces 4 GiB packed bytes: zipfile asks for that many at once.
    ("tu", "408fc79fd73d"): ("DataError", "announces more bytes than the archive has"),
    # An array of shape (0, 2^60) or so, which has no bytes, and no room for it as int64.
    ("zinc", "5df5fee81575"): ("DataError", "an array of shape"),
}

FINDINGS = {
    key: Attack(key[0], f"found: {key[1]}", (FOUND / key[0] / key[1]).read_bytes, *(outcome or ("", "")), 64 * MIB)
    for key, outcome in TABLE.items()
}
