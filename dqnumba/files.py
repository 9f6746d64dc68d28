"""Writing a file whole or not at all."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

__all__ = ["whole_file"]


@contextmanager
def whole_file(path: str | os.PathLike[str]) -> Iterator[BinaryIO]:
    """A binary stream whose content becomes the file ``path`` when the block ends without an error.

    It is written beside its place under a passing name, flushed to the disk, and moved there in one step: a reader sees
    the old file or the new one, and after an error nothing is left behind.

    Raises
    ------
    OSError
        If the folder is missing or cannot be written.
    """
    path = Path(path)
    # Not tempfile: its files are for the owner alone, and a new file should have the usual rights.
    passing = path.with_name(f".{path.name}.{os.getpid()}-{secrets.token_hex(4)}.part")
    try:
        with passing.open("xb") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(passing, path)
    finally:
        passing.unlink(missing_ok=True)
