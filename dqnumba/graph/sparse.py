"""Sparse node features: a small CSR container with float32 values, frozen.

Bag-of-words features are about 1 % dense, so a first layer that multiplies only what is stored does a
hundredth of the work. scipy has such a class; it is not used here because importing it costs more than the
whole integer runtime.
"""

from __future__ import annotations

from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import GraphError
from .arrays import as_array, integers, rises
from .freeze import frozen, own

__all__ = ["SparseFeatures", "gather_ranges", "group_by"]


def group_by(keys: NDArray[np.integer], num_groups: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Group positions by key, keeping their order inside a group.

    Returns
    -------
    indptr : int64 (num_groups + 1,)
        Group ``g`` is ``order[indptr[g]:indptr[g + 1]]``.
    order : int64 (len(keys),)
        Positions into ``keys``.

    Notes
    -----
    Sorting (key, position) packed into one integer is several times faster than a stable argsort, because
    NumPy sorts plain integers with vector instructions; the positions make every packed value unique, so the
    order is stable. Needs keys below 2^31 and fewer than 2^32 of them.
    """
    packed = (keys.astype(np.int64) << 32) | np.arange(len(keys), dtype=np.int64)
    packed.sort()
    packed &= 0xFFFFFFFF
    indptr = np.zeros(num_groups + 1, dtype=np.int64)
    np.cumsum(np.bincount(keys, minlength=num_groups), out=indptr[1:])
    return indptr, packed


def gather_ranges(starts: NDArray[np.int64], lengths: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the concatenation of ``arange(starts[k], starts[k] + lengths[k])`` over all ``k``, without a
    loop."""
    ends = np.cumsum(lengths)
    total = int(ends[-1]) if len(ends) else 0
    return np.arange(total, dtype=np.int64) + np.repeat(starts - ends + lengths, lengths)


class SparseFeatures:
    """A frozen float32 matrix (N, F) in compressed rows.

    Parameters
    ----------
    indptr : int (N + 1,)
        Row ``i`` is stored in ``[indptr[i], indptr[i + 1])``.
    indices : int (nnz,)
        Columns, ascending inside a row, none twice.
    data : float (nnz,)
        Values; finite. A stored zero is allowed and counts as stored.
    shape : (int, int)

    Raises
    ------
    GraphError
        If the arrays do not describe such a matrix, or a value is NaN or infinite (the message says where).
    """

    indptr: NDArray[np.int64]
    indices: NDArray[np.int32]
    data: NDArray[np.float32]
    shape: tuple[int, int]

    def __init__(self, indptr: ArrayLike, indices: ArrayLike, data: ArrayLike, shape: tuple[int, int]) -> None:
        num_rows, num_columns = (int(n) for n in shape)
        pointer = integers(indptr, "sparse features: indptr")
        columns = integers(indices, "sparse features: indices")
        if pointer.shape != (num_rows + 1,) or not rises(pointer, 0, int(pointer[-1])):
            raise GraphError(
                f"sparse features: indptr has shape {pointer.shape}; it must have {num_rows + 1} ascending entries "
                "starting at 0 for that many rows"
            )
        values = _values(data)
        if not 0 <= num_columns < 2**31:
            raise GraphError(f"sparse features: {num_columns} columns; at most {2**31 - 1} fit int32 indices")
        if columns.shape != (int(pointer[-1]),) or values.shape != columns.shape:
            raise GraphError(
                f"sparse features: indptr ends at {int(pointer[-1])}, but indices has shape {columns.shape} and data "
                f"{values.shape}; all three must agree"
            )
        if columns.size and (columns.min() < 0 or columns.max() >= num_columns):
            raise GraphError(
                f"sparse features: column {int(columns.min() if columns.min() < 0 else columns.max())} is outside "
                f"0..{num_columns - 1}"
            )
        rows = np.repeat(np.arange(num_rows, dtype=np.int32), np.diff(pointer))
        if ((np.diff(columns.astype(np.int64)) <= 0) & (np.diff(rows) == 0)).any():
            raise GraphError(
                "sparse features: columns inside a row must ascend, none twice; "
                "SparseFeatures.from_scipy sorts and sums duplicates"
            )
        if not np.isfinite(values).all():
            entry = int(np.flatnonzero(~np.isfinite(values))[0])
            raise GraphError(
                f"features hold {values[entry]} at node {rows[entry]}, column {columns[entry]}; "
                "features must be finite float32 numbers: replace or drop it"
            )
        self._fill(frozen(pointer, np.int64), frozen(columns, np.int32), values, (num_rows, num_columns))

    def _fill(self, indptr: NDArray, indices: NDArray, data: NDArray, shape: tuple[int, int]) -> None:
        # __setattr__ refuses; what cached_property keeps goes into __dict__ the same way.
        self.__dict__.update(indptr=indptr, indices=indices, data=data, shape=shape)

    @classmethod
    def _trusted(cls, indptr: NDArray, indices: NDArray, data: NDArray, shape: tuple[int, int]) -> SparseFeatures:
        """Build from arrays of this library that are known to be right; they are frozen in place."""
        self = object.__new__(cls)
        self._fill(own(indptr), own(indices), own(data), shape)
        return self

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"SparseFeatures is frozen; cannot set {name!r}. Use with_data or build a new one")

    def __reduce__(self) -> tuple:
        return SparseFeatures, (self.indptr, self.indices, self.data, self.shape)

    @classmethod
    def from_dense(cls, array: ArrayLike) -> SparseFeatures:
        """Keep the non-zero entries of a matrix (N, F)."""
        dense = np.asarray(array)
        if dense.ndim != 2:
            raise GraphError(f"sparse features need a matrix (N, F), not shape {dense.shape}")
        rows, columns = np.nonzero(dense)
        indptr = np.zeros(dense.shape[0] + 1, dtype=np.int64)
        np.cumsum(np.bincount(rows, minlength=dense.shape[0]), out=indptr[1:])
        return cls(indptr, columns, dense[rows, columns], dense.shape)

    @classmethod
    def from_scipy(cls, matrix: object) -> SparseFeatures:
        """Take any scipy.sparse matrix or array (N, F); its duplicates are summed in a copy, never in
        place."""
        csr = matrix.tocsr()
        if not (csr.has_canonical_format and csr.has_sorted_indices):
            csr = csr.copy()
            csr.sum_duplicates()
            csr.sort_indices()
        return cls(csr.indptr, csr.indices, csr.data, csr.shape)

    @property
    def nnz(self) -> int:
        """Number of stored entries."""
        return len(self.data)

    @property
    def dtype(self) -> np.dtype:
        """Always float32."""
        return self.data.dtype

    @cached_property
    def row_ids(self) -> NDArray[np.int32]:
        """Row of each stored entry, int32 (nnz,)."""
        return own(np.repeat(np.arange(self.shape[0], dtype=np.int32), np.diff(self.indptr)))

    @cached_property
    def transposed(self) -> tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.int64]]:
        """The same entries by column: ``(t_indptr, t_rows, perm)``.

        Column ``f`` holds the entries ``perm[t_indptr[f]:t_indptr[f + 1]]`` of this container, which lie in
        the rows ``t_rows[t_indptr[f]:t_indptr[f + 1]]``, ascending. int64 (F + 1,), int32 (nnz,), int64
        (nnz,).
        """
        t_indptr, perm = group_by(self.indices, self.shape[1])
        return own(t_indptr), own(self.row_ids[perm]), own(perm)

    def toarray(self) -> NDArray[np.float32]:
        """Return a new dense float32 matrix (N, F)."""
        out = np.zeros(self.shape, dtype=np.float32)
        out[self.row_ids, self.indices] = self.data
        return out

    def with_data(self, data: ArrayLike) -> SparseFeatures:
        """Return the same pattern with other values (nnz,); what was worked out about the pattern is
        shared."""
        values = _values(data)
        if values.shape != self.data.shape:
            raise GraphError(f"with_data: {values.shape} values for {self.nnz} stored entries")
        if not np.isfinite(values).all():
            raise GraphError("with_data: values must be finite")
        out = object.__new__(SparseFeatures)
        out.__dict__.update(self.__dict__, data=values)
        return out

    def take_rows(self, rows: ArrayLike) -> SparseFeatures:
        """Return the given rows, in the given order, as a new container (len(rows), F)."""
        rows = np.asarray(rows)
        lengths = np.diff(self.indptr)[rows]
        entries = gather_ranges(self.indptr[:-1][rows], lengths)
        indptr = np.zeros(len(lengths) + 1, dtype=np.int64)
        np.cumsum(lengths, out=indptr[1:])
        return SparseFeatures._trusted(
            indptr, self.indices[entries], self.data[entries], (len(lengths), self.shape[1])
        )

    def __repr__(self) -> str:
        return f"SparseFeatures({self.shape[0]} x {self.shape[1]}, {self.nnz} stored)"


def _values(data: ArrayLike) -> NDArray[np.float32]:
    """Convert to float32; what overflows becomes infinite and is refused by the caller, who knows its place."""
    array = as_array(data, "sparse features: data")
    if array.dtype.kind not in "iufb":
        raise GraphError(f"sparse features: data has dtype {array.dtype}; it must hold real numbers")
    with np.errstate(over="ignore", invalid="ignore"):
        return frozen(array, np.float32)
