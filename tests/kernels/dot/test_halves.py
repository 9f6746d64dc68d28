from __future__ import annotations

import numpy as np
import pytest
from vector_cases import RANGE, Rows

from dqnumba.kernels.dot.halves import split_codes_op
from dqnumba.kernels.dot.launch import run


@pytest.mark.parametrize("kind", ["int4", "int8", "int16"])
@pytest.mark.parametrize("columns", [1, 15, 16, 17, 100])
def test_every_code(kind, columns):
    low, high = RANGE[kind]
    rows = -(-(high - low + 1) // columns)
    values = np.resize(np.arange(low, high + 1), (rows, columns))
    source, upper, lower = Rows(kind, rows, columns, values), Rows("int8", rows, columns), Rows("int8", rows, columns)
    op = split_codes_op(source=source.place, source_kind=kind, high=upper.place, low=lower.place, columns=columns)
    for threads in (1, 2):
        run([op], np.array([0, rows // 3, rows]), threads=threads)
        assert np.array_equal(256 * upper.read().astype(np.int64) + lower.read() + 128, values)
        assert upper.intact() and lower.intact()
