"""The vector kernels exist as machine code only: without Numba's compiler there is nothing here to test."""

from __future__ import annotations

from pathlib import Path

import numba
import pytest

FOLDER = Path(__file__).parent


def pytest_collection_modifyitems(items):
    if not numba.config.DISABLE_JIT:
        return
    for item in items:
        if item.path.parent == FOLDER and item.path.name != "test_cpu.py":
            item.add_marker(pytest.mark.skip(reason="NUMBA_DISABLE_JIT: these kernels exist as machine code only"))
