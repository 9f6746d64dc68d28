"""Where a run writes: a place that can be written, and one run at a time."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from ..errors import DataError
from ..files import check_place
from ..locks import alone
from .checkpoint import train_file_of

__all__ = ["check_output", "claimed"]


def check_output(path: str | Path) -> None:
    """Raise DataError unless an output can be written at ``path``: better before the training than after it.

    The name of a train file is refused too: the train file of a run would replace the run's own model file.
    """
    path = Path(path)
    if path.name.endswith(".train.safetensors"):
        raise DataError(f"Cannot write {path}: it is named as a train file; give a name such as model.safetensors.")
    if path.is_dir():
        raise DataError(f"Cannot write {path}: it is a folder; give a file name such as {path}/model.safetensors.")
    try:
        check_place(path)
    except OSError as error:
        raise _unwritable(path, error) from None


@contextmanager
def claimed(out: str | Path | None) -> Iterator[None]:
    """Keep other runs from writing the model file ``out`` and its train file while the block runs.

    Two runs that took turns with these files would leave the model of one beside the train file of the other. The claim
    ends with the process, however it ends.

    Raises
    ------
    DataError
        Another process holds the claim, or its lock cannot be written.
    """
    if out is None:
        yield
        return
    path = train_file_of(out)
    with ExitStack() as stack:
        try:
            other = stack.enter_context(alone(path.with_name(f".{path.name}.lock")))
        except OSError as error:
            raise _unwritable(path, error) from None
        if other is not None:
            who = f"process {other}" if other else "another process"
            raise DataError(f"{out} is being made by {who}; wait for it, stop it, or give another --out.")
        yield


def _unwritable(path: Path, error: OSError) -> DataError:
    return DataError(f"Cannot write {path}: {error.strerror}; choose a folder that exists and is writable.")
