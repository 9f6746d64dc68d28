"""One compiled form of a kernel: read-only, strided and other arrays do not lead to further ones; data types do.

Looked at in a process of its own: other tests call kernels with arrays that no model gives them.
"""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
from numba.core import types
from numba.core.dispatcher import Dispatcher
from small_models import MODELS, random_batch, random_graph, trained

from dqnumba.graph import SparseFeatures
from dqnumba.kernels._twin import Twin

# Kernels of training that meet both kinds of arrays: those of a Graph are read-only, those that training makes (the
# reversed edges, sums, gradients) are not. Inference has none of these.
TWO_FORMS = {
    "dqnumba.kernels.csr_float.csr_sum": "the graph's edges, and the reversed ones for the gradient",
    "dqnumba.kernels.csr_float._first_row": "called by csr_sum; seen where that is compiled and not loaded from disk",
    "dqnumba.kernels.csr_float.gather_rows": "the graph's features, and a layer's",
    "dqnumba.kernels.fake_quant.fake_quantize": "the graph's features, and a layer's",
    "dqnumba.kernels.select._extremes": "the graph's features, and a layer's",
}


def dispatchers():
    found = {}
    for name, module in list(sys.modules.items()):
        if name.startswith("dqnumba.kernels"):
            for value in vars(module).values():
                for kernel in (value.serial, value.parallel) if isinstance(value, Twin) else (value,):
                    if isinstance(kernel, Dispatcher):
                        found[f"{kernel.py_func.__module__}.{kernel.py_func.__name__}"] = kernel
    return found


def essential(kind):
    """A type without layout, mutability and alignment; literal numbers are a kind of their own."""
    return (kind.dtype, kind.ndim) if isinstance(kind, types.Array) else kind


def run_everything():
    """All models, both backends, on arrays of every make."""
    for kind in ("dense", "sparse", "embedding"):
        for data in (random_graph(1, kind=kind), random_batch(1, kind)[0]):
            for model in MODELS:
                readout = "sum" if data.graph_ptr is not None else None
                _, program = trained(data, model=model, kind=kind, readout=readout, epochs=1)
                for backend in ("dot", "numba"):
                    bound = program.bind(data, backend=backend)
                    bound()
                    for x in others(data.x):
                        bound(x)
                    bound(out=np.zeros((2 * len(bound()), 3), np.float32)[::2])


def others(x):
    """The same features in memory of another make."""
    if isinstance(x, SparseFeatures):
        return [x]
    strided = np.repeat(x, 2, axis=0)[::2]
    frozen = x.copy()
    frozen.flags.writeable = False
    return [x.copy(), strided, frozen, np.asfortranarray(x)]


def check_forms():
    seen = 0
    for name, kernel in dispatchers().items():
        if ".dot." in name and name.rsplit(".", 1)[-1] not in ("run_serial", "run_parallel"):
            continue  # helpers: compiled into each caller, for its literal numbers
        kinds = Counter(tuple(map(essential, signature)) for signature in kernel.signatures)
        seen += bool(kinds)
        twice = [kind for kind, count in kinds.items() if count > 1]
        assert not twice or name.removesuffix("_serial").removesuffix("_parallel") in TWO_FORMS, (
            f"{name}: {kernel.signatures}"
        )
    assert seen > 20
    from dqnumba.kernels.dot.executor import run_parallel, run_serial

    assert len(run_serial.signatures) == 1
    assert len(run_parallel.signatures) <= 1


def test_no_kernel_is_compiled_twice_for_the_same_data_types():
    here = Path(__file__)
    code = (
        f"import sys; sys.path[:0] = [{str(here.parent)!r}, {str(here.parent.parent)!r}]\n"
        f"import {here.stem} as t\n"
        "t.run_everything()\n"
        "t.check_forms()\n"
        "print('every kernel has one form')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=500)
    assert done.returncode == 0, done.stderr[-3000:]
    assert "every kernel has one form" in done.stdout
