"""Tensors of other libraries: read from a safetensors file within limits, and taken one by one so that none is lost."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import DataError
from ..formats import Malformed
from ..formats import read_tensors as read_within

__all__ = ["MOST_BYTES", "MOST_TENSORS", "Tensors", "read_tensors"]

#: A state dict of a graph network is far below both; a file beyond them is not read.
MOST_TENSORS, MOST_BYTES = 4096, 1 << 31
_MOST_HEADER, _MOST_VALUES = 4 << 20, 1 << 18
_TYPES = ("f8", "f4", "f2", "i8", "i4")


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
    try:
        _, tensors = read_within(
            path, most_bytes=MOST_BYTES, most_tensors=MOST_TENSORS, most_header=_MOST_HEADER, most_values=_MOST_VALUES
        )
    except (Malformed, OSError, UnicodeDecodeError) as error:
        if "has the type" in str(error):
            remedy = "convert the model with model.float() before it is saved"
        raise DataError(f"{path} is no safetensors file, or it is damaged ({error}); {remedy}.") from None
    for name, array in tensors.items():
        if array.dtype not in _TYPES:
            raise DataError(
                f"{path}: tensor {name!r} has the type {array.dtype}; convert the model with model.float() before it "
                "is saved."
            )
    return tensors


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
