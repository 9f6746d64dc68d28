"""Programs on Cora whole give the committed hashes, compiled for this processor and for a generic one.

``python -m bench.reliability cpus`` runs all eight models on every processor that the machine can run or emulate.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import dqnumba as dq
from dqnumba.infer import load

probes = pytest.importorskip("bench.reliability.cpu_probe", reason="bench/ stands beside the package, in a checkout")
GOLDEN = Path(__file__).parent / "golden"
HASHES = json.loads((GOLDEN / "cora.json").read_text(encoding="utf-8"))
TWO = ("cora_gcn_8", "cora_gat_4")


@pytest.fixture(scope="module")
def graph(tmp_path_factory):
    if "DQNUMBA_DATA" not in os.environ:
        pytest.skip("set DQNUMBA_DATA to a folder with the real data sets to run this")
    path = tmp_path_factory.mktemp("cora") / "cora.npz"
    dq.graph.save_npz(dq.data.load("cora"), path)
    return path


def expected(name):
    hashes = HASHES[name]
    return {"reference": hashes["logits"], "numba": hashes["logits"], "dot": hashes["logits"], "codes": hashes["codes"]}


def test_the_files_are_read_and_described():
    assert sorted(HASHES) == sorted(path.stem for path in GOLDEN.glob("*.safetensors")) and len(HASHES) == 8
    for name in HASHES:
        model = load(GOLDEN / f"{name}.safetensors")
        assert model.program.meta["quantization"]["weight_bits"] == int(name[-1])
        assert (model.program.meta["num_features"], model.program.meta["out_channels"]) == (1433, 7)


def test_on_this_processor(graph):
    found = probes.probe(dq.graph.load_npz(graph), [GOLDEN / f"{name}.safetensors" for name in TWO])
    assert found["models"] == {name: expected(name) for name in TWO}


@pytest.mark.compiled
def test_compiled_for_a_generic_processor(graph):
    kept = {k: v for k, v in os.environ.items() if k not in ("NUMBA_CPU_FEATURES", "DQNUMBA_ISA")}
    command = [sys.executable, "-m", "bench.reliability.cpu_probe", str(graph)]
    command += [str(GOLDEN / f"{name}.safetensors") for name in TWO]
    path = os.pathsep.join(filter(None, [str(GOLDEN.parents[2]), os.environ.get("PYTHONPATH")]))
    done = subprocess.run(
        command, env=kept | {"NUMBA_CPU_NAME": "generic", "PYTHONPATH": path}, capture_output=True, text=True,
        cwd=GOLDEN.parents[2], timeout=600, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["isa"] == "portable"
    assert found["models"] == {name: expected(name) for name in TWO}
