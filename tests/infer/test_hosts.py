"""The same saved models on other hosts: one core, one thread, no compiler, a processor of which nothing is known."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys

import pytest
from small_models import MODELS, build, random_graph

import dqnumba as dq
from dqnumba.graph import save_npz

SCRIPT = """
import hashlib, json, os, sys
if sys.argv[1] == "one core":
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
import dqnumba.infer as infer
from dqnumba.graph import load_npz
graph = load_npz(sys.argv[2])
found = {}
for path in sys.argv[3:]:
    bound = infer.load(path).bind(graph)
    found[path] = [hashlib.sha256(bound().tobytes()).hexdigest() for _ in range(3)]
print(json.dumps(found))
"""
HOSTS = {
    "one core": {},
    "one core, many threads": {"NUMBA_NUM_THREADS": "16"},
    "one thread": {"NUMBA_NUM_THREADS": "1"},
    "no compiler": {"NUMBA_DISABLE_JIT": "1"},
    "generic": {"NUMBA_CPU_NAME": "generic", "NUMBA_CPU_FEATURES": ""},
}


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """Path of a graph, and those of models with the digest of their answer by the reference."""
    folder = tmp_path_factory.mktemp("saved")
    graph = random_graph(1, 60)
    save_npz(graph, folder / "graph.npz")
    wanted = {}
    for model in MODELS:
        qmodel = build(model)
        dq.calibrate(qmodel, graph)
        imodel = dq.convert(qmodel)
        imodel.save(folder / f"{model}.safetensors")
        answer = imodel(graph, backend="reference")
        wanted[str(folder / f"{model}.safetensors")] = hashlib.sha256(answer.tobytes()).hexdigest()
    return str(folder / "graph.npz"), wanted


@pytest.mark.parametrize("host", HOSTS)
def test_the_same_bits(host, saved):
    if "core" in host and not hasattr(os, "sched_setaffinity"):
        pytest.skip("this system cannot pin a process to a core")
    graph, wanted = saved
    paths = list(wanted)[: 1 if host == "generic" else None]  # all that it runs is compiled anew for that processor
    kept = {name: value for name, value in os.environ.items() if not name.startswith("NUMBA_") or "CACHE" in name}
    argv = [sys.executable, "-W", "ignore", "-c", SCRIPT, host[:8], graph, *paths]
    done = subprocess.run(argv, env=kept | HOSTS[host], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]
    assert json.loads(done.stdout) == {path: [wanted[path]] * 3 for path in paths}
