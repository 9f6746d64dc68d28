"""Packages that may be missing: each is known, belongs to an extra, and its absence is said with the command to run."""

from __future__ import annotations

import ast
import subprocess
import sys
import tomllib
from functools import cache
from pathlib import Path

import numpy as np
import pytest

import dqnumba as dq
from dqnumba.errors import MissingExtraError

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
#: What is imported, the distribution that has it, and the extra that names that.
OPTIONAL = {
    "hypothesis": ("hypothesis", "testing"),
    "matplotlib": ("matplotlib", "plot"),
    "pooch": ("pooch", "data"),
    "requests": ("pooch", "data"),  # pooch needs it, and our downloader is a guest of both
    "skimage": ("scikit-image", "superpixels"),
}
SOFT = {"threadpoolctl", "sklearn"}  # used where it is there (the second: by a method that only it calls)
SAME = {"llvmlite"}  # numba's own


@cache
def imported():
    """Top-level modules of others that dqnumba imports, each with the files that do."""
    found: dict[str, set[str]] = {}
    for path in sorted((ROOT / "dqnumba").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
                names = [node.module]
            for name in names:
                top = name.split(".")[0]
                if top not in sys.stdlib_module_names and top != "dqnumba":
                    found.setdefault(top, set()).add(str(path.relative_to(ROOT)))
    return found


def test_every_import_is_a_dependency_or_an_extra():
    base = {need.split(">=")[0] for need in PROJECT["dependencies"]}
    assert set(imported()) - base - SAME - SOFT == set(OPTIONAL)
    for distribution, extra in OPTIONAL.values():
        assert any(need.startswith(f"{distribution}>=") for need in PROJECT["optional-dependencies"][extra])


def test_nothing_heavier_than_numba_is_ever_imported():
    assert not {"torch", "torch_geometric", "tensorflow", "jax", "pandas", "onnxruntime"} & set(imported())


@pytest.fixture
def without(monkeypatch, tmp_path):
    """Take a package away, as an environment without the extra is."""
    monkeypatch.delenv("DQNUMBA_DATA", raising=False)
    monkeypatch.setenv("DQNUMBA_CACHE_DIR", str(tmp_path / "cache"))

    def block(*names):
        for loaded in [key for key in sys.modules if key.split(".")[0] in names]:
            monkeypatch.delitem(sys.modules, loaded)
        for name in names:
            monkeypatch.setitem(sys.modules, name, None)

    return block


def test_downloads(without, call):
    without("pooch", "requests")
    with pytest.raises(MissingExtraError, match=r'pip install "dqnumba\[data\]"'):
        dq.data.load("cora")
    for argv in (("data", "fetch", "cora"), ("train", "--dataset", "cora"), ("data", "info", "cora")):
        result = call(*argv)
        assert (result.code, result.out) == (2, "")
        assert 'pip install "dqnumba[data]"' in result.err and "DQNUMBA_DATA" in result.err
        assert "Traceback" not in result.err and len(result.err.splitlines()) <= 3


def test_superpixels(without):
    from dqnumba.data.superpixels import superpixel_graph

    without("skimage")
    with pytest.raises(MissingExtraError, match=r'pip install "dqnumba\[superpixels\]"'):
        superpixel_graph(np.zeros((8, 8), np.uint8), max_superpixels=4, compactness=1.0)


@pytest.mark.parametrize("verb", ["train", "bench"])
def test_pictures(without, call, tmp_path, verb):
    """Said before the work begins; a picture as SVG needs nothing."""
    model = tmp_path / "m.safetensors"
    graph = dq.Graph.from_edge_index([[0, 1], [1, 0]], x=np.eye(2, dtype=np.float32), y=[0, 1])
    qmodel = dq.prepare(dq.nn.GCN(2, 4, 2, seed=0), dq.QuantConfig.ptq())
    dq.convert(dq.calibrate(qmodel, graph)).save(model)
    without("matplotlib")
    file = [] if verb == "train" else [model]
    result = call(verb, *file, "--dataset", "synthetic", "--plot", tmp_path / "p.png")
    assert (result.code, result.out) == (2, "")
    assert 'pip install "dqnumba[plot]"' in result.err and ".svg" in result.err
    assert not (tmp_path / "p.png").exists()


def test_training_and_inference_need_no_extra(tmp_path):
    """All of them taken away: a model is made, calibrated, converted, saved and run."""
    code = f"""
import sys
for name in {[*OPTIONAL, *SOFT, "torch"]!r}:
    sys.modules[name] = None
import numpy as np, dqnumba as dq
graph = dq.Graph.from_edge_index([[0, 1], [1, 0]], x=np.eye(2, dtype=np.float32), y=[0, 1])
model = dq.convert(dq.calibrate(dq.prepare(dq.nn.GCN(2, 4, 2, seed=0), dq.QuantConfig.ptq()), graph))
model.save(sys.argv[1])
print(dq.load(sys.argv[1])(graph).shape)
"""
    argv = [sys.executable, "-c", code, str(tmp_path / "m.safetensors")]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "(2, 2)"
