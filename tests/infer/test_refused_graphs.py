"""Graphs and constants that fit a program by their shape and not by their values: refused when they are bound."""

from __future__ import annotations

import json

import numpy as np
import pytest
from safetensors.numpy import save as save_tensors
from small_models import CATEGORIES, random_graph, trained
from test_unplanned import NO_EDGES, ONE, program, to_codes

import dqnumba as dq
from dqnumba.infer import file, load

BACKENDS = ("reference", "numba", "dot")


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_category_that_the_table_does_not_have(backend):
    graph = random_graph(0, kind="embedding")
    imodel = trained(graph, epochs=0, kind="embedding")[1]
    known = graph.replace(x=np.full(graph.num_nodes, CATEGORIES - 1))
    assert np.isfinite(imodel(known, backend=backend)).all()
    beyond = graph.replace(x=np.append(known.x[1:], CATEGORIES), num_categories=None)
    with pytest.raises(dq.GraphError, match=f"has category {CATEGORIES}; the model knows 0 to {CATEGORIES - 1}"):
        imodel.bind(beyond, backend=backend)
    nobody = dq.Graph.from_edge_index(NO_EDGES, x=np.zeros(0, np.int64), num_nodes=0)
    assert imodel(nobody, backend=backend).shape == (0, 3)


def scored(columns):
    """Attention over 16-bit codes whose scores take ``columns`` columns of weights 127."""
    steps = [("matmul", name, ("q",), "node", 1, {"zero_in": 0, "weight_zero": 0}) for name in ("t", "s")]
    table = np.full(256, 1 << 30, np.int64)
    weight, bias = np.full((columns, 1), 127, np.int8), np.zeros(1, np.int32)
    return program(
        columns,
        *steps,
        ("edge_logits", "l", ("t", "s"), "edge", 1, {}),
        ("requantize", "a", ("l",), "edge", 1, to_codes(-128, 127, shift=60)),
        ("edge_softmax", "c", ("a",), "edge", 1, {"low": -128, "bits": 15}),
        ("requantize", "n", ("q",), "node", columns, to_codes(-128, 127, shift=38)),
        ("weighted_neighbor_sum", "w", ("c", "n"), "node", columns, {"zero_in": 0, "bits": 15}),
        bits=16, t_weight=weight, t_bias=bias, s_weight=weight, s_bias=bias, c_mantissa=table,
        c_exponent=np.zeros(256, np.int64),
    )  # fmt: skip


@pytest.mark.parametrize("backend", BACKENDS)
def test_attention_logits_beyond_int32(backend):
    """Each score fits, 2 * 32768 * 127 * 258 = 2,147,352,576 does too, and with one column more it does not."""
    for columns, fits in ((258, True), (259, False)):
        x = np.full((2, columns), -32768, np.float32)
        graph = dq.Graph.from_edge_index(np.array([[0, 1], [1, 0]]), x=x)
        imodel = scored(columns)
        if fits:
            bound = imodel.bind(graph, backend="reference")
            bound()
            assert bound.binding.registers["l"].array.min() == -2 * 32768 * 127 * columns
            assert imodel(graph, backend=backend).tolist() == [[-128.0 * (1 << 15)] * columns] * 2
        else:
            with pytest.raises(dq.OverflowRiskError, match="l: attention logits could leave int32"):
                imodel.bind(graph, backend=backend)


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_table_of_exponentials_that_is_too_short(backend):
    """Found when the graph is bound: how far codes reach is known there."""
    graph = random_graph(2)
    imodel = trained(graph, epochs=0, model="gat")[1]
    name = next(step for step in imodel.program.steps if step.op == "edge_softmax").tensors["mantissa"]
    tensors = dict(imodel.program.tensors)
    for role in (name, name.replace("mantissa", "exponent")):
        tensors[role] = tensors[role][:-1]
    short = dq.infer.IntegerModel(dq.infer.Program(imodel.program.steps, tensors, imodel.program.meta))
    with pytest.raises(dq.ModelFormatError, match=r"r7:conv1\.coefficient: its table has 255 entries"):
        short.bind(graph, backend=backend)


@pytest.mark.parametrize("backend", BACKENDS)
def test_sums_beyond_62_bits(backend):
    own = {"multiplier": (1 << 31) - 1, "shift": 1, "row_factor": None, "zero_in": 0, "self_weight": 1}
    sums = ("neighbor_sum", "s", ("q",), "node", 1, {"zero_in": 0, "self_loops": "keep"})
    imodel = program(1, sums, ("add_self", "a", ("s", "q"), "node", 1, own), bits=16)
    indptr = np.array([0, 65_537, 65_537])
    graph = dq.Graph(indptr, np.ones(65_537, np.int32), np.ones((2, 1), np.float32))
    with pytest.raises(dq.OverflowRiskError, match=r"add_self: sums on this graph could reach 2\.31e\+18, .* 62"):
        imodel.bind(graph, backend=backend)
    with pytest.raises(dq.OverflowRiskError, match="62-bit"):
        imodel.estimate(graph, backend=backend)
    fewer = dq.Graph(np.array([0, 65_000, 65_000]), np.ones(65_000, np.int32), np.ones((2, 1), np.float32))
    assert imodel(fewer, backend=backend)[1].tolist() == [1.0]


@pytest.fixture
def imodel():
    return trained(random_graph(3), epochs=0)[1]


@pytest.mark.parametrize(("limit", "value"), [("most_bytes", 3000), ("most_header", 400), ("most_tensors", 3)])
def test_what_would_not_be_read_is_not_written(imodel, tmp_path, monkeypatch, limit, value):
    path = tmp_path / "m.safetensors"
    imodel.save(path)
    whole = path.read_bytes()
    monkeypatch.setitem(file.LIMITS, limit, value)
    with pytest.raises(dq.ModelFormatError):
        load(path)
    with pytest.raises(dq.ModelFormatError, match=r"Cannot write the model: it has .* steps; at most .* are read"):
        imodel.save(path)
    assert path.read_bytes() == whole


def test_more_steps_than_are_read(imodel, tmp_path, monkeypatch):
    path, count = tmp_path / "m.safetensors", len(imodel.program.steps)
    imodel.save(path)
    monkeypatch.setattr(file, "_MOST_STEPS", count)
    assert load(path).program.steps == imodel.program.steps
    imodel.save(path)
    monkeypatch.setattr(file, "_MOST_STEPS", count - 1)
    with pytest.raises(dq.ModelFormatError, match=f"it has {count} steps, and at most {count - 1} are read"):
        load(path)
    with pytest.raises(dq.ModelFormatError, match=f"{count} steps; at most .* {count - 1} are read. Make the model"):
        imodel.save(path)


def test_a_text_that_would_not_be_read_is_not_written(imodel, tmp_path):
    named = imodel.with_class_names(["a", "b", "c" * 3])
    assert load_after(named, tmp_path).class_names == ("a", "b", "ccc")
    with pytest.raises(dq.ModelFormatError, match="Give shorter or other names"):
        imodel.with_class_names(["a", "b", "half of a pair: \ud800"]).save(tmp_path / "m.safetensors")
    assert load(tmp_path / "m.safetensors").class_names == ("a", "b", "ccc")
    with pytest.raises(dq.ModelFormatError, match=r"8,.* of them in its header.* Make the model smaller"):
        imodel.with_class_names(["a", "b", "c" * (1 << 23)]).to_bytes()


@pytest.mark.parametrize("columns", [0, -1, 6.0, True, "6", None])
def test_a_packed_matrix_of_an_impossible_width(tmp_path, columns):
    """With a right checksum: what a stranger could write."""
    path = tmp_path / "m.safetensors"
    trained(random_graph(4), epochs=0, bits=(4, 4))[1].save(path)
    metadata, stored = file._read(path)
    content = json.loads(metadata["program"])
    name = min(content["packed"])
    write(path, content, stored)
    assert name in load(path).program.tensors
    write(path, content | {"packed": content["packed"] | {name: columns}}, stored)
    with pytest.raises(dq.ModelFormatError, match="a packed matrix is not well formed"):
        load(path)
    write(path, content, stored | {name: stored[name].astype(np.int32)})
    with pytest.raises(dq.ModelFormatError, match="a packed matrix is not well formed"):
        load(path)


def write(path, content, stored):
    text = json.dumps(content)
    metadata = {"format": "dqnumba.program", "format_version": "1", "program": text}
    path.write_bytes(save_tensors(stored, metadata | {"sha256": file.checksum(text, stored)}))


def load_after(imodel, folder):
    imodel.save(folder / "m.safetensors")
    return load(folder / "m.safetensors")


def test_names_of_nobody_change_nothing(imodel):
    assert imodel.with_class_names(None) is imodel and imodel.class_names is None


def test_a_stage_by_one_is_the_identity():
    """What the hand-made programs of these tests rest on."""
    imodel = program(3, ("requantize", "a", ("q",), "node", 3, to_codes(-128, 127)))
    x = np.array([[-128.0, 0, 127]], np.float32)
    assert ONE["multiplier"] >> ONE["shift"] == 1
    assert imodel(dq.Graph.from_edge_index(NO_EDGES, x=x, num_nodes=1)).tolist() == x.tolist()
