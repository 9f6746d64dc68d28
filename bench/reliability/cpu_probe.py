"""What programs give on this processor: ``python -m bench.reliability.cpu_probe GRAPH.npz MODEL.safetensors ...``.

Prints one JSON object: the processor that Numba compiles for, the instruction set of the vector kernels, and for each
model the SHA-256 of the logits by each backend, and of the codes at all sites. It needs the runtime alone, so that an
emulated processor can run it too; ``bench.reliability cpus`` starts it.
"""

from __future__ import annotations

import hashlib
import json
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dqnumba.graph import load_npz
from dqnumba.infer import load
from dqnumba.kernels.dot import cpu

__all__ = ["hash_codes", "hash_logits", "probe"]


def hash_logits(logits: NDArray[np.float32]) -> str:
    """SHA-256 of shape and bytes, little endian."""
    return _digest({"logits": logits})


def hash_codes(codes: Mapping[str, NDArray]) -> str:
    """SHA-256 of the codes at every site, as int64: by value, whatever type a backend keeps them in."""
    return _digest({site: array.astype(np.int64) for site, array in codes.items()})


def _digest(arrays: Mapping[str, NDArray]) -> str:
    digest = hashlib.sha256()
    for name, array in sorted(arrays.items()):
        digest.update(f"\0{name}\0{array.shape}\0".encode())
        digest.update(np.ascontiguousarray(array, array.dtype.newbyteorder("<")).tobytes())
    return digest.hexdigest()


def probe(graph: Any, models: Sequence[Path]) -> dict[str, Any]:
    """Hashes of each model by each backend; called twice, since the buffers of the first call are used again."""
    found: dict[str, Any] = {}
    for path in models:
        model, got = load(path), {}
        for backend in ("reference", "numba", "dot"):
            bound = model.bind(graph, backend=backend)
            first = hash_logits(bound())
            again = hash_logits(bound())
            got[backend] = first if first == again else f"{first}, then {again}"
            if backend == "dot" and bound.backend != "dot":
                got[backend] = f"not planned: {bound.reason}"
            if backend == "numba":
                got["codes"] = hash_codes(bound.site_codes())
        found[path.stem] = got
    triple, name, _ = cpu.target()
    return {"target": triple, "cpu": name, "isa": cpu.choose_isa(), "models": found}


def main(argv: Sequence[str]) -> int:
    started = time.monotonic()
    result = probe(load_npz(argv[0]), [Path(name) for name in argv[1:]])
    print(json.dumps(result | {"seconds": round(time.monotonic() - started, 1)}))
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
