"""One model and many Python threads, children after a fork, and other processes: the same bits, and no abort."""

from __future__ import annotations

import copy
import multiprocessing
import os
import pickle
import subprocess
import sys
import threading
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor

import numba
import numpy as np
import pytest
from small_models import MODELS, build, random_graph

import dqnumba as dq

FORK = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")


def served(model="gcn", **options):
    """A model, graphs of several sizes, and the right answers, found on one thread by the reference."""
    graphs = [random_graph(seed, nodes) for seed, nodes in enumerate((3, 24, 50, 1, 90))]
    qmodel = build(model, **options)
    dq.calibrate(qmodel, graphs[1])
    imodel = dq.convert(qmodel)
    return imodel, graphs, [imodel(graph, backend="reference") for graph in graphs]


def in_threads(work, count=8):
    """Run ``work(k)`` in threads that start together; what one of them raises is raised here."""
    barrier = threading.Barrier(count)

    def run(k):
        barrier.wait()
        return work(k)

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(run, range(count)))


@pytest.mark.parametrize("backend", ["dot", "numba"])
@pytest.mark.parametrize("model", MODELS)
def test_threads_share_a_model(model, backend):
    imodel, graphs, right = served(model)

    def work(k):
        for n in range(12):
            which = (k + n) % len(graphs)
            assert imodel(graphs[which], backend=backend).tobytes() == right[which].tobytes()

    in_threads(work)


@pytest.mark.parametrize("backend", ["dot", "numba"])
def test_threads_share_a_bound_model(backend):
    """Its buffers are one set: without its lock the rows of one call stand in the answer of another."""
    imodel, _, _ = served()
    graph = random_graph(5, 3000)
    inputs = [np.full_like(graph.x, k / 4 - 1) for k in range(8)]
    bound = imodel.bind(graph, backend=backend)
    right = [bound(x).tobytes() for x in inputs]
    assert len(set(right)) == 8

    def work(k):
        for _ in range(30):
            assert bound(inputs[k]).tobytes() == right[k]

    in_threads(work)


def test_codes_of_sites_are_those_of_one_call():
    imodel, graphs, _ = served()
    bound = imodel.bind(graphs[4])
    inputs = [np.full_like(graphs[4].x, k / 4 - 1) for k in range(8)]
    possible = []
    for x in inputs:
        bound(x)
        possible.append({name: codes.tobytes() for name, codes in bound.site_codes().items()})

    def work(k):
        for _ in range(5):
            bound(inputs[k])
            assert {name: codes.tobytes() for name, codes in bound.site_codes().items()} in possible

    in_threads(work)


def test_a_bound_model_is_neither_copied_nor_pickled_and_a_model_is():
    imodel, graphs, right = served()
    bound = imodel.bind(graphs[1])
    for way in (copy.copy, copy.deepcopy, pickle.dumps):
        with pytest.raises(TypeError, match="holds the addresses of its buffers"):
            way(bound)
    assert copy.deepcopy(imodel)(graphs[1]).tobytes() == right[1].tobytes()
    assert pickle.loads(pickle.dumps(imodel))(graphs[1]).tobytes() == right[1].tobytes()


def _predict(job):
    imodel, graph = job
    return imodel(graph).tobytes()


@pytest.mark.parametrize("way", ["fork", "spawn", "forkserver"])
def test_children_of_multiprocessing(way):
    if way not in multiprocessing.get_all_start_methods():
        pytest.skip(f"this system has no {way}")
    imodel, graphs, right = served()
    imodel(graphs[4])
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context(way)) as pool:
        found = list(pool.map(_predict, [(imodel, graph) for graph in graphs]))
    assert found == [answer.tobytes() for answer in right]


SCRIPT = """
import os, sys, threading, signal
import numpy as np
import numba
import dqnumba.infer as infer
from dqnumba.graph import Graph
path, layer = sys.argv[1:3]
rng = np.random.default_rng(0)
x = rng.standard_normal((40_000, 10)).astype(np.float32)
graph = Graph.from_edge_index(rng.integers(0, 40_000, (2, 200_000)), x)
model = infer.load(path)
right = model(graph, backend="reference").tobytes()
bound = model.bind(graph, backend="numba" if layer == "workqueue" else None)
answers = []
def work():
    for _ in range(4):
        answers.append(bound().tobytes() == right and model(graph).tobytes() == right)
work()                                                   # the main thread starts the threads of the layer
print(numba.threading_layer())
threads = [threading.Thread(target=work) for _ in range(6)]
[thread.start() for thread in threads]
work()                                                   # and works beside the others
if hasattr(os, "fork"):                                  # while they work: some hold the lock of the bound model
    child = os.fork()
    if child == 0:
        signal.alarm(100)
        os._exit(0 if bound().tobytes() == right and model(graph).tobytes() == right else 3)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
[thread.join() for thread in threads]
assert len(answers) == 32 and all(answers)
"""


def layers():
    """Threading layers that Numba can have here."""
    found = ["workqueue"]
    for layer, module in (("omp", "omppool"), ("tbb", "tbbpool")):
        try:
            __import__(f"numba.np.ufunc.{module}")
        except ImportError:
            continue
        found.append(layer)
    return found


@pytest.mark.parametrize("layer", ["workqueue", "omp", "tbb"])
def test_threads_and_a_fork_under_each_threading_layer(layer, tmp_path):
    if numba.config.DISABLE_JIT or layer not in layers():
        pytest.skip(f"Numba has no threading layer {layer} here")
    imodel, _, _ = served()
    path = tmp_path / "m.safetensors"
    imodel.save(path)
    env = os.environ | {"NUMBA_THREADING_LAYER": layer, "NUMBA_NUM_THREADS": "2", "PYTHONWARNINGS": "ignore"}
    argv = [sys.executable, "-c", SCRIPT, str(path), layer]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=240, env=env)
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.split() == [layer]
