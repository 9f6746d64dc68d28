"""Memory as the vector kernels see it: padded rows, places, guards around what they write."""

from __future__ import annotations

import numpy as np

from dqnumba.kernels.dot.codes import row_bytes
from dqnumba.kernels.dot.launch import aligned
from dqnumba.quant import pack4

GUARD = 85
RANGE = {
    "int4": (-8, 7),
    "int8": (-128, 127),
    "int16": (-(1 << 15), (1 << 15) - 1),
    "int32": (-(1 << 31), (1 << 31) - 1),
}


class Rows:
    """A buffer of rows as the planner makes it, spare rows behind, every byte set to a mark.

    Parameters
    ----------
    kind : str
        "int4" to "int32" or "float32".
    rows, columns : int
    values : array, optional
        What the rows hold at first.
    """

    def __init__(self, kind, rows, columns, values=None):
        self.kind, self.shape = kind, (rows, columns)
        self.width = row_bytes("int32" if kind == "float32" else kind, columns)
        if kind == "int32":
            self.width = max(self.width, 64)  # vectors of sums are written whole
        self.memory = aligned(rows + 2, self.width)
        self.memory[:] = GUARD
        if values is not None:
            self.write(np.asarray(values))

    def write(self, values):
        rows, columns = self.shape
        if self.kind == "int4":
            self.memory[:rows, : (columns + 1) // 2] = pack4(values.astype(np.int8)).view(np.int8)
        else:
            raw = np.ascontiguousarray(values, self.kind)
            self.memory[:rows, : columns * raw.itemsize] = raw.view(np.int8).reshape(rows, -1)

    @property
    def place(self):
        return self.memory.ctypes.data, self.width, False

    def read(self):
        rows, columns = self.shape
        if self.kind == "int4":  # by hand: an oracle of its own
            byte = self.memory[:rows].astype(np.int64) & 255
            nibbles = np.stack([byte & 15, byte >> 4], axis=2).reshape(rows, -1)[:, :columns]
            return np.where(nibbles > 7, nibbles - 16, nibbles)
        return np.ascontiguousarray(self.memory[:rows]).view(self.kind)[:, :columns]

    def intact(self):
        """Nothing behind the last row was written."""
        return bool((self.memory[self.shape[0] :] == GUARD).all())
