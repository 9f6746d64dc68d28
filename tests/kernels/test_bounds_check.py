"""NUMBA_BOUNDSCHECK reaches our kernels: `.ci/leg bounds` would see an index beyond an array.

On one thread: an error in another thread of a parallel loop is lost.

Kernels that were compiled without the checks are on disk already; they must not be taken for these.
"""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

CODE = """
import numpy as np
from dqnumba.kernels import integer_edges, csr_float
table, out = np.arange(6, dtype=np.int8).reshape(3, 2), np.zeros((2, 2), np.int8)
for gather in (lambda index: integer_edges.gather_rows_rows(table, index, out, 0, 2),
               lambda index: integer_edges.gather_rows_parallel(table, index, out, 1)):
    gather(np.array([2, 0], np.int32))
    assert out.tolist() == [[4, 5], [0, 1]]
    for beyond in (3, 1 << 20):
        try:
            gather(np.array([0, beyond], np.int32))
        except (IndexError, SystemError):  # the second is how Numba hands one out of a loop over threads
            print("seen")
"""


@pytest.mark.skipif(bool(os.environ.get("NUMBA_DISABLE_JIT")), reason="nothing is compiled")
def test_an_index_beyond_an_array_is_seen():
    env = os.environ | {"NUMBA_BOUNDSCHECK": "1", "NUMBA_NUM_THREADS": "1"}
    argv = [sys.executable, "-c", CODE]
    done = subprocess.run(argv, env=env, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["seen"] * 4
