"""What the report finds, held against plain NumPy, the trained model and ``verify``."""

from __future__ import annotations

import dataclasses
import itertools

import numba
import numpy as np
import pytest
import small_models
from hypothesis import given
from hypothesis import strategies as st
from report_cases import look

from dqnumba.errors import ConfigError
from dqnumba.graph import GraphFile
from dqnumba.infer import load
from dqnumba.nn import Context
from dqnumba.report import gather
from dqnumba.report.degrees import buckets
from dqnumba.report.drawing import draw_program, register_kinds, step_detail
from dqnumba.report.predictions import Predictions, float_twin
from dqnumba.report.sites import count_codes
from dqnumba.report.speed import interleaved, quartiles
from dqnumba.train.build import restore_model
from dqnumba.train.checkpoint import read_checkpoint
from dqnumba.train.source import Source, SourceData, load_source


def source_of(model):
    checkpoint = read_checkpoint(model.file.with_suffix(".train.safetensors"))
    return checkpoint, load_source(Source(**checkpoint.settings["source"]))


@pytest.mark.parametrize("name", ["node", "graph", "regression"])
def test_the_float_twin_is_the_trained_model_without_rounding(models, name):
    checkpoint, source = source_of(models[name])
    qmodel, twin = restore_model(checkpoint), float_twin(checkpoint)
    for name, parameter in qmodel.parameters().items():  # GIN's eps stays on its grid, also where nothing is rounded
        if name.endswith("eps"):
            parameter.data = twin.parameters()[name].data = np.round(parameter.data * 256) / np.float32(256)
    graph = source.data.batch(np.arange(8)) if source.many_graphs else source.data
    np.testing.assert_allclose(
        twin(graph).data, qmodel.model.forward(Context(graph, rounding=False)).data, rtol=1e-4, atol=1e-5
    )
    assert twin(graph).data.tobytes() != qmodel(graph).data.tobytes()


def test_scores_and_confusion_of_a_node_task(models, findings):
    found, (checkpoint, source) = findings["node"], source_of(models["node"])
    logits, y, test = load(models["node"].file)(source.data), source.data.y, source.splits["test"]
    classes = logits.argmax(axis=1)
    scores = found["scores"]["models"]
    assert scores["integer"]["test"] == np.mean(classes[test] == y[test]) == checkpoint.record["test_integer"]
    assert scores["fake"]["test"] == checkpoint.record["test_fake_quant"]
    assert found["scores"]["counts"] == {name: len(index) for name, index in source.splits.items()}
    matrix = np.zeros((3, 3), int)
    for label, given_class in zip(y[test], classes[test], strict=True):
        matrix[label, given_class] += 1
    assert found["confusion"]["matrix"] == matrix.tolist()
    wrong = {(a, b): matrix[a, b] for a, b in itertools.permutations(range(3), 2) if matrix[a, b]}
    assert {(a, b): count for a, b, count in found["confusion"]["pairs"]} == wrong
    counts = [count for *_, count in found["confusion"]["pairs"]]
    assert counts == sorted(counts, reverse=True)
    twin = float_twin(checkpoint)(source.data).data
    assert found["changed"]["float"] == np.mean(twin.argmax(axis=1) != classes)
    assert found["verify"]["passed"] and found["missing"] == []


def test_without_a_test_split_labelled_nodes_count_alone(models):
    """What has no label holds class 0, and is not scored."""
    _, source = source_of(models["node"])
    labelled = np.arange(source.data.num_nodes) % 3 != 0
    file = GraphFile(source.data, "a table", labelled=labelled)
    integer = load(models["node"].file)
    found = Predictions(SourceData(source.data, {}, None, file), {"integer": integer}, None, None).to_dict()
    right = integer(source.data).argmax(axis=1) == source.data.y
    assert found["split"] == "labelled" and found["scored"] == labelled.sum()
    assert found["scores"]["models"]["integer"]["labelled"] == np.mean(right[labelled]) != np.mean(right)


def test_scores_of_a_regression(models, findings):
    found, (checkpoint, source) = findings["regression"], source_of(models["regression"])
    test = source.splits["test"]
    out = load(models["regression"].file)(source.data.batch(test))[:, 0]
    assert found["scores"]["models"]["integer"] == {"test": pytest.approx(checkpoint.record["test_integer"], rel=1e-6)}
    fit = found["fit"]
    np.testing.assert_allclose(fit["predicted"], out, rtol=1e-6)
    np.testing.assert_allclose(fit["target"], source.data.y[test])
    assert sum(fit["residual_counts"]) == len(test) == fit["shown"]
    assert fit["bias"] == pytest.approx(np.mean(out - source.data.y[test]), rel=1e-5)
    assert found["confusion"] is None and found["changed"] is None


@pytest.mark.parametrize("name", ["node", "graph", "regression"])
def test_the_site_table_is_that_of_the_trained_model(models, findings, name):
    checkpoint, _ = source_of(models[name])
    qmodel = restore_model(checkpoint)
    met = 0
    for entry in findings[name]["sites"]:
        quantizer = qmodel.quantizers.get(entry["site"])
        if quantizer is None or not hasattr(quantizer, "qparams"):
            continue
        met += 1
        if entry["kind"] == "weight":
            assert entry["low"] == -127 and entry["zero_point"] == 0
            continue
        qparams = quantizer.qparams()
        offset = qparams.spec.storage_offset
        assert entry["scale"] == pytest.approx(float(qparams.scale), rel=1e-6)
        assert entry["zero_point"] == int(qparams.zero_point) - offset
        assert entry["low"] >= qparams.spec.qmin - offset and entry["high"] == qparams.spec.qmax - offset
        ends = [(code - entry["zero_point"]) * entry["scale"] for code in (entry["low"], entry["high"])]
        assert entry["range"] == pytest.approx(ends)
        assert entry["max_difference"] <= 1
    assert met >= 4


codes_and_ends = st.tuples(st.integers(-300, 300), st.integers(0, 300), st.integers(0, 40)).flatmap(
    lambda t: st.tuples(
        st.lists(st.integers(t[0], t[0] + t[1]), max_size=40), st.just((t[0], t[0] + t[1])),
        st.integers(t[0] - 2, t[0] + t[1] + 2),
    )
)  # fmt: skip


@given(codes_and_ends)
def test_counting_codes(case):
    codes, (low, high), zero = case
    found = count_codes(np.array(codes, np.int32), low, high, zero)
    bins = min(64, high - low + 1)
    expected = [0] * bins
    for code in codes:
        if code != zero:
            expected[(code - low) * bins // (high - low + 1)] += 1
    assert found["bins"] == expected and found["count"] == len(codes)
    n = max(1, len(codes))
    assert found["zeros"] == pytest.approx(codes.count(zero) / n)
    assert found["saturated"] == pytest.approx(sum(c in (low, high) and c != zero for c in codes) / n)
    assert found["used"] == ([min(codes), max(codes)] if codes else None)


def test_counting_codes_of_a_span_as_wide_as_int32_takes_no_memory():
    found = count_codes(np.array([-(2**31), 2**31 - 1, 5], np.int64), -(2**31), 2**31 - 1, 0)
    assert found["bins"][0] == found["bins"][-1] == found["bins"][32] == 1 and len(found["bins"]) == 64


@given(st.lists(st.integers(0, 5000), min_size=1, max_size=30))
def test_buckets_of_in_degrees(degrees):
    for degree, bucket in zip(degrees, buckets(np.array(degrees)), strict=True):
        low, high = (0, 0) if bucket == 0 else (1, 1) if bucket == 1 else (2 ** (bucket - 2) + 1, 2 ** (bucket - 1))
        assert low <= degree <= high


@pytest.mark.parametrize("name", ["node", "graph", "regression"])
def test_by_in_degree(models, findings, name):
    found, (checkpoint, source) = findings[name], source_of(models[name])
    parts, metric = found["degrees"]["buckets"], found["scores"]["metric"]
    assert sum(b["count"] for b in parts) == found["items"] and sum(b["scored"] for b in parts) == found["scored"]
    for model, by_split in found["scores"]["models"].items():
        mean = sum(b["scored"] * b["scores"][model] for b in parts if b["scored"]) / found["scored"]
        assert mean == pytest.approx(by_split["test"]), metric
    if name == "node":
        graph = source.data
        assert found["degrees"]["of"] == "node"
        exact, ours = float_twin(checkpoint)(graph).data, load(models[name].file)(graph)
        error = np.abs(ours - exact).mean(axis=1) / exact.std()
        lone = np.flatnonzero(graph.in_degree == 0)
        assert parts[0]["name"] == "0" and parts[0]["count"] == len(lone)
        assert parts[0]["error"] == pytest.approx(np.percentile(error[lone], [25, 50, 75]).tolist(), rel=1e-4)
        assert parts[-1]["name"].endswith(f"–{graph.in_degree.max()}")
    else:
        assert found["degrees"]["of"] == "graph"
        largest = [source.data[int(i)].in_degree.max() for i in source.splits["test"]]
        assert parts[-1]["name"].split("–")[-1] == str(max(largest))


def test_bytes_and_times(models, findings):
    for name, found in findings.items():
        sizes = found["sizes"]
        assert sizes["file"] == models[name].file.stat().st_size > sizes["constants"] > 0
        assert sizes["float_file"] > sizes["float_weights"] > 0 and sizes["workspace"] > 0
        assert {row["model"] for row in found["speed"]} == {"integer", "float32"}
        assert all(0 < row["q1_ms"] <= row["median_ms"] <= row["q3_ms"] for row in found["speed"])
        assert len({row["what"] for row in found["speed"]}) == (1 if name == "node" else 2)
        assert found["machine"]["threads"] >= 1


def test_interleaved_sets_threads_and_restores_them():
    most, seen = numba.config.NUMBA_NUM_THREADS, set()
    interleaved({n: (lambda: seen.add(numba.get_num_threads()), n) for n in {1, most}}, 1)
    assert seen == {1, most} and numba.get_num_threads() == 1


def test_interleaved_takes_turns_and_stops_when_patience_ends():
    order = []
    calls = {name: (lambda name=name: order.append(name), 1) for name in "ab"}
    found = interleaved(calls, 2)
    assert [len(samples) for samples in found.values()] == [2, 2] and order[:4] == ["a", "a", "b", "b"]
    assert len(interleaved(calls, 50, patience=0.0)["a"]) == 3
    assert quartiles([3.0, 1.0, 2.0]) == {"median_ms": 2.0, "q1_ms": 1.5, "q3_ms": 2.5}


def test_without_a_train_file_what_there_is_remains(models):
    found = look(models["node"], trained=False)
    (missing,) = found["missing"]
    assert "float" in missing["what"] and "--against" in missing["why"]
    assert set(found["scores"]["models"]) == {"integer"} and found["training"] is None
    assert found["verify"]["levels"] == {"kernels": True, "sites": None, "predictions": None}
    assert found["sizes"]["float_file"] is None and {row["model"] for row in found["speed"]} == {"integer"}
    assert all(entry["differing"] is None and entry["scale"] is not None for entry in found["sites"])
    assert found["degrees"]["spread"] is None and found["degrees"]["buckets"][0]["error"] is None


def test_a_training_that_has_not_ended_is_as_good_as_none(models):
    checkpoint, source = source_of(models["node"])
    found = gather(load(models["node"].file), source, file=models["node"].file, name="n", repeats=1,
                   checkpoint=dataclasses.replace(checkpoint, model=None))  # fmt: skip
    assert "has not ended" in found["missing"][0]["why"] and len(found["training"]["history"]) == 6


def test_the_train_file_of_another_model_is_refused(models):
    checkpoint, source = source_of(models["node"])
    other = dataclasses.replace(checkpoint, quant_config=checkpoint.quant_config | {"weight_bits": 4})
    options = {"file": models["node"].file, "name": "n", "repeats": 1}
    with pytest.raises(ConfigError, match="weight_bits"):
        gather(load(models["node"].file), source, checkpoint=other, **options)
    twin = float_twin(checkpoint)
    floats = dataclasses.replace(checkpoint, quant_config=None, model=twin.state_dict())
    with pytest.raises(ConfigError, match="fp32"):
        gather(load(models["node"].file), source, checkpoint=floats, **options)


def test_limit_looks_at_the_first_graphs(models):
    found = look(models["graph"], limit=3)
    assert found["items"] == found["scored"] == 3 and found["verify"]["predictions"]["count"] == 3


def drawn_models():
    data = {kind: small_models.random_batch(0, kind)[0] for kind in ("dense", "embedding")}
    for model, sites, residual in itertools.product(small_models.MODELS, ("fused", "paper"), (False, True)):
        kind = "embedding" if residual else "dense"
        yield (
            model,
            sites,
            data[kind],
            dict(model=model, sites=sites, kind=kind, residual=residual, readout="mean" if residual else None),
        )


def test_every_operation_is_drawn_and_its_registers_are_as_wide_as_they_run():
    """The widths in the drawing come from the program alone; here they are held against the buffers of a run."""
    kinds_of = {"int8": {"codes"}, "int16": {"wide", "codes"}, "int32": {"sums", "wide"}, "int64": {"sums"}}
    met = set()
    for _, _, graph, options in drawn_models():
        _, imodel = small_models.trained(graph, epochs=0, **options)
        content = imodel.to_dict()
        steps, tensors = content["steps"], content["tensors"]
        met |= {step["op"] for step in steps}
        kinds = register_kinds(steps)
        bound = imodel.bind(graph, backend="numba")
        bound()
        for step in steps:
            dtype = str(bound.binding.registers[step["output"]].array.dtype)
            kind = kinds[step["output"]]
            assert kind == "float" if step["op"] == "dequantize" else kind in kinds_of[dtype], (step, dtype)
            assert step_detail(step, tensors) is not None
        drawing = draw_program(content)
        assert drawing.count('class="box ') == len(steps) + 1
        edges = {(name, step["output"]) for step in steps for name in step["inputs"]}
        assert drawing.count('class="flow ') == len(edges)
    assert {"matmul", "requantize", "add", "edge_softmax", "edge_norm", "concat", "lookup", "add_self"} <= met


def test_a_program_of_very_many_steps_is_not_drawn():
    assert draw_program({"steps": [{}] * 401, "tensors": {}}) is None
