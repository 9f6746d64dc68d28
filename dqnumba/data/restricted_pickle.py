"""Reading the Python 2 pickles of the Planetoid files without running anything that they name.

A pickle is a program: it can import and call whatever it names. The files at hand name six things; this
module permits these six and puts a harmless class of its own in the place of each, so neither scipy nor
private parts of NumPy are needed. Anything else is refused before it is looked up. The opcodes are restricted
too, because a few bytes can ask the C unpickler for a memo of 2^32 entries.
"""

from __future__ import annotations

import io
import math
import pickle
import pickletools
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..errors import DataError
from ..formats import read_bytes

__all__ = ["CsrParts", "load_pickle"]

_OPCODES = frozenset(
    """PROTO GLOBAL BINPUT LONG_BINPUT BINGET LONG_BINGET EMPTY_TUPLE EMPTY_DICT EMPTY_LIST NEWOBJ MARK
    SHORT_BINSTRING BINSTRING BININT BININT1 BININT2 TUPLE TUPLE1 TUPLE2 TUPLE3 REDUCE NONE NEWFALSE NEWTRUE BUILD
    SETITEM SETITEMS APPEND APPENDS STOP""".split()
)
_MOST_BYTES = 1 << 28  # the largest registered one has 4 MB
_MOST_STATES = 64  # a sparse matrix has 7
_DTYPES = frozenset({"i1", "i2", "i4", "i8", "u1", "f4", "f8"})


class _Array:
    """Stands for ``numpy.core.multiarray._reconstruct``: becomes an array when its state arrives."""

    array: NDArray | None = None

    def __new__(cls, *_: object) -> _Array:
        return object.__new__(cls)

    def __setstate__(self, state: object) -> None:
        _, shape, dtype, fortran, raw = state
        if not isinstance(dtype, _Dtype) or not isinstance(raw, str):
            raise pickle.UnpicklingError("an array of something else than plain numbers")
        kind = dtype.finished()
        shape = tuple(int(n) for n in shape)
        if any(n < 0 for n in shape) or math.prod(shape) * kind.itemsize != len(raw):
            raise pickle.UnpicklingError(f"an array of shape {shape} with {len(raw)} bytes")
        flat = np.frombuffer(raw.encode("latin1"), dtype=kind)
        self.array = flat.reshape(shape, order="F" if fortran else "C")


class _Dtype:
    """Stands for ``numpy.dtype``: ``dtype('f4', 0, 1)``, then a state whose second entry is the byte
    order."""

    order = "="

    def __init__(self, code: str, *_: object) -> None:
        if code not in _DTYPES:
            raise pickle.UnpicklingError(f"an array of dtype {code!r}")
        self.code = code

    def __setstate__(self, state: object) -> None:
        self.order = state[1]

    def finished(self) -> np.dtype:
        return np.dtype(self.code).newbyteorder({"<": "<", ">": ">"}.get(self.order, "="))


class CsrParts:
    """Stands for ``scipy.sparse.csr.csr_matrix``: keeps the arrays of the matrix and nothing else."""

    indptr: NDArray
    indices: NDArray
    data: NDArray
    shape: tuple[int, int] | None = None  # until the state arrives

    def __setstate__(self, state: object) -> None:
        self.indptr, self.indices, self.data = (state[key].array for key in ("indptr", "indices", "data"))
        if any(a.ndim != 1 for a in (self.indptr, self.indices, self.data)) or self.indptr.dtype.kind != "i":
            raise pickle.UnpicklingError("a sparse matrix of arrays with other than one dimension, or no integers")
        rows, columns = state["_shape"]
        self.shape = int(rows), int(columns)


class _Neighbours(dict):
    """Stands for ``collections.defaultdict``, whose factory is not needed for reading."""

    def __init__(self, *_: object) -> None:
        super().__init__()

    def __setstate__(self, state: object) -> None:
        raise pickle.UnpicklingError("a dictionary with a state")


class _Marker:
    """Stands for names that occur only as arguments: ``numpy.ndarray``, ``list``."""

    def __init__(self, *_: object) -> None:
        raise pickle.UnpicklingError("a call of a name that is only a marker")

    def __setstate__(self, state: object) -> None:
        raise pickle.UnpicklingError("a state for a name that is only a marker")


_PERMITTED: dict[tuple[str, str], type] = {
    ("scipy.sparse.csr", "csr_matrix"): CsrParts,
    ("numpy.core.multiarray", "_reconstruct"): _Array,
    ("numpy", "ndarray"): _Marker,
    ("numpy", "dtype"): _Dtype,
    ("collections", "defaultdict"): _Neighbours,
    ("__builtin__", "list"): _Marker,
}


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> type:
        return _PERMITTED[module, name]


def load_pickle(path: Path) -> NDArray | CsrParts | dict[int, list[int]]:
    """Read one Planetoid pickle: an array, the parts of a CSR matrix, or a dictionary of neighbour lists.

    Raises
    ------
    DataError
        If the file names anything but the six permitted globals, uses another opcode, is truncated or
        malformed.
    """
    try:
        content = read_bytes(path, _MOST_BYTES)
        _inspect(content)
        value = _Unpickler(io.BytesIO(content), fix_imports=False, encoding="latin1").load()
    except Exception as error:  # a malformed pickle can raise nearly anything
        raise DataError(
            f"{path}: refused, it is no Planetoid pickle ({type(error).__name__}: {error})\n"
            "delete the file and fetch it again from the address in the registry"
        ) from error
    if isinstance(value, _Array):
        value = value.array
    if not isinstance(value, np.ndarray | CsrParts | _Neighbours) or not getattr(value, "shape", True):
        raise DataError(f"{path}: holds a {type(value).__name__}, not an array, a sparse matrix or neighbour lists")
    return value


def _inspect(content: bytes) -> None:
    """Read the opcodes without executing them; refuse unknown ones, unknown names, absurd memo slots and many states:
    a state makes an array, and a thousand of them can share one string.
    """
    states = 0
    for opcode, argument, _ in pickletools.genops(content):
        if opcode.name not in _OPCODES:
            raise pickle.UnpicklingError(f"opcode {opcode.name} is not permitted")
        if opcode.name == "GLOBAL" and tuple(argument.split(" ")) not in _PERMITTED:
            raise pickle.UnpicklingError(f"the global {argument.replace(' ', '.')} is not permitted")
        if opcode.name == "LONG_BINPUT" and argument > len(content):
            raise pickle.UnpicklingError(f"memo slot {argument} in a file of {len(content)} bytes")
        states += opcode.name == "BUILD"
        if states > _MOST_STATES:
            raise pickle.UnpicklingError(f"more than {_MOST_STATES} objects with a state")
