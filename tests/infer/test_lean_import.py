"""A model trained in one process gives the same bits in a fresh one that loads the runtime only."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

TRAIN = """
import sys, numpy as np, dqnumba as dq
sys.path.insert(0, sys.argv[2])
from small_models import random_graph, trained
from dqnumba.graph import save_npz
folder, case = sys.argv[1], sys.argv[3].split(",")
graph = random_graph(5, nodes=60, kind=case[2])
qmodel, imodel = trained(graph, epochs=3, model=case[0], sites=case[1], kind=case[2])
imodel.save(folder + "/model.safetensors")
save_npz(graph, folder + "/graph.npz")
np.save(folder + "/logits.npy", imodel(graph))
"""
RUN = """
import sys
import dqnumba.infer
before = sorted(sys.modules)
import numpy as np
from dqnumba.graph import load_npz
folder = sys.argv[1]
model = dqnumba.infer.load(folder + "/model.safetensors")
graph = load_npz(folder + "/graph.npz")
for backend in dqnumba.infer.BACKENDS:
    logits = model(graph, backend=backend)
    expected = np.load(folder + "/logits.npy")
    assert logits.dtype == expected.dtype and logits.tobytes() == expected.tobytes(), backend
print(model.describe().splitlines()[0])
rooms = tuple("dqnumba." + room for room in ("autograd", "nn", "qat", "train", "convert", "cli", "data", "testing"))
heavy = ("scipy.sparse", "networkx", "tqdm", "skimage", "matplotlib")
print("LOADED", [m for m in sys.modules if m.startswith(rooms) or m in heavy])
print("MODULES", len([m for m in sys.modules if m.startswith("dqnumba")]))
"""


def python(code, *argv):
    done = subprocess.run([sys.executable, "-W", "error", "-c", code, *argv], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.compiled
@pytest.mark.parametrize("case", ["gcn,fused,sparse", "gat,paper,dense"])
def test_same_bits_in_a_lean_process(tmp_path, case):
    tests = str(Path(__file__).parents[1])
    python(TRAIN, str(tmp_path), tests, case)
    out = python(RUN, str(tmp_path))
    assert "LOADED []" in out, out
    assert np.isfinite(np.load(tmp_path / "logits.npy")).all()
