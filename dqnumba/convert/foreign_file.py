"""Tensors of other libraries: read from a safetensors file within limits, and taken one by one so that none is lost."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open

from ..errors import DataError

__all__ = ["MOST_BYTES", "MOST_TENSORS", "Tensors", "read_tensors"]

#: A state dict of a graph network is far below both; a file beyond them is not read.
MOST_TENSORS, MOST_BYTES = 4096, 1 << 31
_TYPES = ("F64", "F32", "F16", "I64", "I32")


def read_tensors(path: str | Path) -> dict[str, NDArray]:
    """All tensors of a safetensors file.

    Returns
    -------
    dict of arrays
        float64, float32, float16, int64 or int32, by name.

    Raises
    ------
    DataError
        No such file, no safetensors file, a damaged one, more than ``MOST_TENSORS`` tensors or ``MOST_BYTES`` bytes, or
        a type that NumPy does not have (bfloat16).
    """
    path = Path(path)
    remedy = "save the model with safetensors.torch.save_file(model.state_dict(), PATH) and give that file"
    if not path.is_file():
        raise DataError(f"No weights at {path}; {remedy}.")
    if path.stat().st_size > MOST_BYTES:
        raise DataError(f"{path} has {path.stat().st_size:,} bytes; weights of at most {MOST_BYTES:,} bytes are read.")
    try:
        with safe_open(path, framework="numpy") as file:
            names = list(file.keys())
            if len(names) > MOST_TENSORS:
                raise DataError(f"{path} holds {len(names)} tensors; at most {MOST_TENSORS} are read.")
            for name in names:
                kind = file.get_slice(name).get_dtype()
                if kind not in _TYPES:
                    raise DataError(
                        f"{path}: tensor {name!r} has the type {kind}; convert the model with model.float() before it "
                        "is saved."
                    )
            return {name: file.get_tensor(name) for name in names}
    except (SafetensorError, OSError, ValueError) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(f"{path} is no safetensors file, or it is damaged ({error}); {remedy}.") from None


class Tensors:
    """The tensors of a model, each to be taken once; what nobody took is known at the end.

    Parameters
    ----------
    arrays : mapping of arrays
    source : str
        What messages call the whole.
    """

    def __init__(self, arrays: Mapping[str, Any], source: str) -> None:
        self.arrays = {str(name): np.asarray(array) for name, array in arrays.items()}
        self.source = source
        self.left = set(self.arrays)

    def __contains__(self, name: str) -> bool:
        return name in self.arrays

    def take(self, name: str, shape: tuple[int | None, ...], *, why: str = "") -> NDArray[np.float32]:
        """The tensor called ``name``, float32; None in ``shape`` stands for any size.

        Raises
        ------
        DataError
            It is missing (``why`` is added to the message), has another shape, is no number or not finite.
        """
        if name not in self.arrays:
            raise DataError(f"{self.source}: tensor {name!r} is missing.{' ' + why if why else ''}")
        array = self.arrays[name]
        fits = array.ndim == len(shape) and all(w in (None, s) for w, s in zip(shape, array.shape, strict=True))
        if not fits or 0 in array.shape:
            wanted = ", ".join("any" if size is None else str(size) for size in shape)
            raise DataError(f"{self.source}: tensor {name!r} has the shape {array.shape}; ({wanted}) is expected.")
        if array.dtype.kind not in "fiu" or not np.isfinite(array).all():
            raise DataError(f"{self.source}: tensor {name!r} holds values that are not finite numbers; train again.")
        self.left.discard(name)
        with np.errstate(over="ignore"):
            narrow = array.astype(np.float32)
        if not np.isfinite(narrow).all():
            raise DataError(f"{self.source}: tensor {name!r} holds values beyond float32.")
        return narrow

    def drop(self, name: str) -> None:
        """Take a tensor that stands for nothing here, if it is there."""
        self.left.discard(name)
