"""The figures that explain: what they measure is what they say, and they are drawn from what is there."""

from __future__ import annotations

import json

import numpy as np
import pytest

pytest.importorskip("bench.accuracy", reason="bench/ stands beside the package, in a checkout only")
from bench.accuracy import explain, figures, records
from bench.accuracy.cells import Run, parse_cell
from dqnumba import data, nn
from dqnumba.qat import QuantConfig, prepare
from dqnumba.train.evaluate import predict


@pytest.fixture(scope="module")
def graph():
    return data.load("synthetic", num_nodes=2000, num_words=40)


@pytest.mark.parametrize("bits", [2, 8])
def test_error_of_a_part_is_the_norm_of_the_difference(bits):
    rng = np.random.default_rng(0)
    x, g = rng.normal(size=(9, 4)), rng.normal(size=(9, 3))
    xr, gr = (np.round(a * bits) / bits for a in (x, g))
    found = explain.gradient_error((x, g), (xr, gr))
    wanted = [np.linalg.norm(np.outer(x[v], g[v]) - np.outer(xr[v], gr[v])) for v in range(9)]
    assert np.allclose(found, wanted)
    assert not explain.gradient_error((x, g), (x, g)).any()


@pytest.mark.parametrize(("kind", "sites"), [("GCN", "paper"), ("GIN", "paper"), ("GIN", "fused")])
def test_the_parts_of_the_nodes_sum_to_the_gradient(kind, sites, graph):
    model = getattr(nn, kind)(graph.num_features, 8, graph.num_classes, seed=0)
    qmodel = prepare(model, QuantConfig.degree_quant(8, sites=sites))
    taps = explain._Taps(qmodel.model, keep_hooks=False)
    explain._pass(qmodel.model, graph, None)
    layers = dict(qmodel.model.modules())
    assert taps.gradients.keys() == taps.inputs.keys() and taps.inputs
    for name, x in taps.inputs.items():
        assert np.allclose(x.T @ taps.gradients[name], layers[name].weight.grad, atol=1e-5)
    assert {"conv2.lin1", "conv2.lin2"} <= taps.inputs.keys() or (kind == "GCN" and len(taps.inputs) == 2)


def test_gradient_errors(graph):
    cell = parse_cell("synthetic/gin/dq/4/paper@4")
    found = explain.gradient_errors(cell, 0, epochs=(2, 4), data=graph)
    assert set(found) == {"float part", "all rounded", "masked"}
    assert all(values.shape == (2000,) and np.isfinite(values).all() for values in found.values())
    assert found["float part"].mean() == pytest.approx(1.0)
    assert found["all rounded"].mean() > 0
    fine = explain.gradient_errors(parse_cell("synthetic/gin/qat/8@4"), 0, epochs=(2, 4), data=graph)
    assert set(fine) == {"float part", "all rounded"}
    assert fine["all rounded"].mean() < found["all rounded"].mean()


def test_ranges_of_aggregates(graph):
    for kind, layers in (("gcn", 2), ("gat", 2), ("gin", 2)):
        found = explain.aggregate_ranges(parse_cell(f"synthetic/{kind}/fp32@3"), 0, data=graph)
        assert len(found) == layers and all(width.shape == (2000,) and (width >= 0).all() for width in found)
    curve = explain.by_degree(graph.in_degree, found[0])
    assert np.corrcoef(curve["degree"], curve["value"])[0, 1] > 0.8  # GIN's sums grow with the in-degree


def test_ranges_are_those_of_the_float_model(graph):
    """Taking the hooks out leaves the float model, in the other order of its operations."""
    model = nn.GCN(graph.num_features, 8, graph.num_classes, seed=0)
    qmodel = prepare(model, QuantConfig.degree_quant(8, sites="paper"))
    for _, module in qmodel.model.modules():
        module.hooks = {}
    assert np.allclose(predict(qmodel.model, graph), predict(model, graph), atol=1e-5)


def test_bins():
    degree = np.array([0, 1, 1, 2, 6, 40])
    found = explain.by_degree(degree, np.arange(6.0))
    assert found == {"degree": [1.0, 2.0, 6.0, 40.0], "value": [1.5, 3.0, 4.0, 5.0], "nodes": [2, 1, 1, 1]}


def record_of(name, value, seed):
    cell = parse_cell(name)
    kind = "test_float" if cell.method == "fp32" else "test_integer"
    record = {"format": records.FORMAT, "cell": cell.name, "dataset": cell.dataset, "model": cell.model,
              "method": cell.method, "ablation": cell.variant, "file_bytes": 40_000, kind: value,
              "curve": {"val_accuracy": [value / 2, value]}}  # fmt: skip
    return Run(cell, seed), record


def test_drawing(tmp_path):
    pytest.importorskip("matplotlib")
    assert figures.redraw(tmp_path) == []  # there is nothing yet
    for name in (
        "cora/gcn/fp32",
        "cora/gcn/dq/8",
        "cora/gcn/dq/4",
        "cora/gin/dq/w4a8",
        "cora/gin/dq/4/paper/mask-ste-ema",
        "mnist/gin/dq/8",
    ):
        for seed in (0, 1):
            run, record = record_of(name, 0.8 + 0.01 * seed, seed)
            records.save(records.record_path(tmp_path, run), record)
    curve = {"degree": [1.0, 4.0], "value": [1.0, 3.0], "nodes": [5, 2]}
    panels = {"GCN": {"float part": [curve, curve], "trained with mask, masked": [curve]}}
    where = tmp_path / "figures"
    where.mkdir(exist_ok=True)
    (where / "gradient.json").write_text(json.dumps({"panels": panels, "seeds": [0, 1], "epochs": [10]}))
    (where / "range.json").write_text(json.dumps({"curves": {"gin layer 1": [curve | {"exponent": 0.9}]}}))
    drawn = figures.redraw(tmp_path)
    assert [path.stem for path in drawn] == list(figures.NAMES)
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in drawn)


def test_what_is_there_is_not_measured_again(tmp_path, monkeypatch):
    pytest.importorskip("matplotlib")
    called = []
    curve = {"degree": [1.0, 4.0], "value": [1.0, 3.0], "nodes": [5, 2], "exponent": 1.0}

    def measure(seeds, say):
        called.append(seeds)
        return {"curves": {"gcn layer 1": [curve]}}

    monkeypatch.setitem(figures._MEASURED, "range", measure)
    for again, times in ((False, 1), (False, 1), (True, 2)):
        figures.make(tmp_path, ["range"], say=print, again=again)
        assert len(called) == times
    content = json.loads((tmp_path / "figures" / "range.json").read_text())
    assert content["machine"]["cpu"] and content["curves"]
    with pytest.raises(ValueError, match="unknown figure"):
        figures.make(tmp_path, ["none"], say=print)
