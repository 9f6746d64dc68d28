"""Whole programs give the bytes of the processor that they were made on: the reference's.

``run.sh`` makes them where it runs and reads them on the emulated processors, with the runtime alone. Without
``DQNUMBA_PROGRAMS``, a folder, they are made here.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from programs import CASES, make

from dqnumba.graph import load_npz
from dqnumba.infer import load
from dqnumba.infer.plan import layout, ranges
from dqnumba.kernels import integer_threads


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    if "DQNUMBA_PROGRAMS" in os.environ:
        return Path(os.environ["DQNUMBA_PROGRAMS"])
    made = tmp_path_factory.mktemp("programs")
    make(made)
    return made


@pytest.mark.parametrize("way", ["layer by layer", "range by range"])
@pytest.mark.parametrize("name", CASES)
def test_same_bytes(name, way, folder, monkeypatch):
    model, graph = load(folder / f"{name}.safetensors"), load_npz(folder / f"{name}.npz")
    want = np.load(folder / f"{name}.npy").tobytes()
    if way == "range by range":  # of these small batches, too
        monkeypatch.setattr(ranges, "_LEAST", 60)
        monkeypatch.setattr(layout, "_RANGE_BYTES", 100_000)
    bound = model.bind(graph, backend="dot")
    assert bound.backend == "dot", bound.reason
    for work in (1 << 62, 1):  # on the calling thread, and on several
        monkeypatch.setattr(integer_threads, "PARALLEL_WORK", work)
        for _ in range(2):
            assert bound().tobytes() == want
