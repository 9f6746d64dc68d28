"""Small integer programs with their graphs and the bytes that they must give: ``python programs.py FOLDER``.

Made where the command runs, by the reference; read by ``test_programs.py`` on the same or on another processor.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

__all__ = ["CASES", "make"]

# (model, bits, kind of features, readout, more)
CASES: dict[str, tuple[str, tuple[int, int], str, str | None, dict]] = {
    f"{model}-{bits[1]}-{kind}-{readout or 'nodes'}": (model, bits, kind, readout, more)
    for model, bits, kind, readout, more in (
        ("gcn", (8, 8), "dense", None, {}),
        ("gcn", (4, 4), "sparse", None, {"hidden": 40}),
        ("gat", (8, 8), "dense", None, {"hidden": 64, "heads": 4}),
        ("gat", (4, 4), "sparse", None, {}),
        ("gin", (8, 8), "dense", "sum", {"norm": "batch"}),
        ("gin", (4, 4), "sparse", None, {}),
        ("sage", (8, 8), "embedding", "max", {"residual": True, "hidden": 16}),
        ("sage", (4, 4), "dense", "mean", {"hidden": 72}),
    )
}


def make(folder: Path) -> None:
    """Write all cases into ``folder``."""
    sys.path.insert(0, str(Path(__file__).parent.parent))
    from small_models import random_batch, random_graph, trained

    from dqnumba.graph import save_npz

    for index, (name, (model, bits, kind, readout, more)) in enumerate(CASES.items()):
        graph = random_batch(index, kind, (9, 1, 30, 2, 120))[0] if readout else random_graph(index, 150, kind)
        imodel = trained(graph, epochs=0, model=model, bits=bits, kind=kind, readout=readout, **more)[1]
        imodel.save(folder / f"{name}.safetensors")
        save_npz(graph, folder / f"{name}.npz")
        np.save(folder / f"{name}.npy", imodel.bind(graph, backend="reference")())


if __name__ == "__main__":
    make(Path(sys.argv[1]))
