from __future__ import annotations

import numpy as np
import pytest
from aggregate_cases import WIDTHS, codes, same


@pytest.mark.parametrize("dtype", [np.int8, np.int16])
@pytest.mark.parametrize("columns", WIDTHS[::3])
def test_sums_over_segments(columns, dtype):
    rng = np.random.default_rng(columns)
    ptr = np.append(0, np.cumsum([0, 1, 2, 3, 4, 5, 0, 23, 0])).astype(np.int64)
    info = np.iinfo(dtype)
    for zero in (info.min, 0, info.max):
        same("segment_sum", (9, columns), np.int32, ptr, codes(rng, (ptr[-1], columns), dtype), zero)
        same("segment_sum", (9, columns), np.int64, ptr, codes(rng, (ptr[-1], columns), dtype), zero, threads=(2,))


@pytest.mark.parametrize("dtype", [np.int8, np.int16])
def test_one_large_segment_of_extreme_codes(dtype):
    ptr = np.array([0, 40_000, 40_000, 40_001, 40_257])
    for code in (np.iinfo(dtype).min, np.iinfo(dtype).max):
        same("segment_sum", (4, 33), np.int32, ptr, np.full((40_257, 33), code, dtype), -1)


def test_segments_within_a_longer_array():
    rng = np.random.default_rng(0)
    same("segment_sum", (2, 5), np.int32, np.array([3, 5, 9]), codes(rng, (12, 5)), 4)
    same("segment_sum", (0, 5), np.int32, np.array([0]), codes(rng, (0, 5)), 4)
