"""The footprint's parts without making an environment: sizes as pip recorded them, memory, what ONNX Runtime gets."""

from __future__ import annotations

import json
import sys

import numpy as np
import pytest

pytest.importorskip("bench.footprint", reason="bench/ stands beside the package, in a checkout only")
from bench import environments, footprint, startup


def test_sizes_count_a_distribution_with_what_it_needs():
    found = environments.sizes(sys.executable, "scipy")
    assert set(found["parts_mb"]) == set(found["versions"]) >= {"scipy", "numpy"}
    assert found["installed_mb"] == pytest.approx(sum(found["parts_mb"].values()))
    assert found["parts_mb"]["scipy"] > 10
    assert found["versions"]["numpy"] == np.__version__
    with pytest.raises(environments.Unavailable, match="not-there"):
        environments.sizes(sys.executable, "not-there")


def test_an_environment_that_cannot_be_made_is_not_left(tmp_path, monkeypatch):
    def fails(*argv, **_):
        raise environments.Unavailable("no network")

    monkeypatch.setattr(environments.venv, "create", lambda folder, **_: folder.mkdir())
    monkeypatch.setattr(environments, "_run", fails)
    with pytest.raises(environments.Unavailable, match="no network"):
        environments.make_environment(tmp_path / "env", "numpy")
    assert not (tmp_path / "env").exists()


def test_peak_memory_is_that_of_the_process_itself():
    """Not of this one, which is far larger."""
    code = 'import json\nblock = bytearray({size})\nprint(json.dumps({{"peak_mb": peak_mb()}}))'
    small, large = (startup.process(code.format(size=size), threads=1)["peak_mb"] for size in (1, 100_000_000))
    assert 1 < small < 60
    assert 90 < large - small < 110


def test_onnx_runtime_gets_the_same_model(tmp_path):
    """Its products, gather and scattered sum, here in NumPy, give our float model's logits."""
    footprint.write_arrays(tmp_path / "arrays.npz", "synthetic")
    with np.load(tmp_path / "arrays.npz") as arrays:
        value = arrays["x"]
        for layer in range(int(arrays["layers"])):
            message = (value @ arrays[f"w{layer}"])[arrays["sources"]] * arrays["norm"]
            total = np.zeros((len(value), message.shape[1]), np.float32)
            np.add.at(total, arrays["targets"][:, 0], message)
            value = total + arrays[f"b{layer}"]
            value = np.maximum(value, 0) if layer + 1 < int(arrays["layers"]) else value
        np.testing.assert_allclose(value, arrays["logits"], atol=1e-5)
    compile(footprint.MAKE_ONNX, "make", "exec")
    compile(startup.PEAK + footprint.ONNX, "run", "exec")


def test_the_table_says_what_is_absent():
    time = {"median_ms": 512.0}
    content = {
        "sizes": {"dqnumba": {"installed_mb": 450.0}, "onnxruntime": {"absent": "no network"}},
        "contenders": {"dqnumba": {"import": time, "first_prediction": time, "peak_rss_mb": 200.0}},
    }
    rows = footprint.table(content).splitlines()[2:]
    assert len(rows) == len(footprint.WHAT)
    assert "450" in rows[0] and "512" in rows[0] and "200" in rows[0]
    assert "450" in rows[1] and "no network" in rows[2]
    json.dumps(content)
