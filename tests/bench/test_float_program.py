"""The float contender gives what the float model gives; a wrong one would make every ratio worthless."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("bench.float_program", reason="bench/ stands beside the package, in a checkout only")
from bench.float_launch import _parts
from bench.float_program import FloatProgram
from bench.float_stages import Product, Sum, packed
from bench.workloads import power_law
from dqnumba import Graph, nn
from dqnumba.autograd import no_grad
from dqnumba.graph import SparseFeatures


def sparse(x):
    rows, columns = np.nonzero(x)
    indptr = np.append(0, np.cumsum(np.bincount(rows, minlength=len(x))))
    return SparseFeatures(indptr, columns, x[rows, columns], x.shape)


def graph_of(nodes, edges, width, seed=0):
    indptr, indices = power_law(nodes, edges, seed)
    return Graph(indptr, indices, np.random.default_rng(seed).standard_normal((nodes, width), dtype=np.float32))


def model_of(kind, *widths, heads=4, layers=3, seed=0):
    classes = {"gcn": nn.GCN, "gat": nn.GAT, "gin": nn.GIN, "sage": nn.GraphSAGE}
    model = classes[kind](*widths, num_layers=layers, seed=seed, **({"heads": heads} if kind == "gat" else {}))
    rng = np.random.default_rng(seed)
    for tensor in model.parameters().values():  # no zeros: a forgotten bias has to show
        tensor.data += rng.uniform(-0.05, 0.05, tensor.data.shape).astype(np.float32)
    return model


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("widths", [(64, 64, 64), (128, 64, 40), (32, 128, 7), (19, 64, 5)], ids=str)
@pytest.mark.parametrize("kind", ["gcn", "gin", "sage", "gat"])
def test_as_the_float_model(kind, widths, threads):
    graph, model = graph_of(500, 3000, widths[0]), model_of(kind, *widths)
    with no_grad():
        expected = model(graph).data
    program = FloatProgram.of_model(model, graph, threads)
    out = np.full_like(expected, np.nan)
    for _ in range(2):  # the second run meets buffers that are not zero
        program(out)
        assert np.abs(out - expected).max() <= 2e-5 * np.abs(expected).max()
    assert program.workspace_bytes > 0


@pytest.mark.parametrize("kind", ["gcn", "gin", "sage", "gat"])
def test_sparse_features_are_the_dense_ones(kind):
    graph = graph_of(300, 1200, 70)
    x = graph.x * (np.random.default_rng(1).random(graph.x.shape) < 0.1)
    model = model_of(kind, 70, 64, 7, heads=8, layers=2)
    outs = []
    for features in (x, sparse(x)):
        out = np.zeros((300, 7), np.float32)
        outs.append(FloatProgram.of_model(model, graph.replace(x=features))(out))
    assert np.abs(outs[0] - outs[1]).max() <= 1e-5 * np.abs(outs[0]).max()


def test_rows_without_edges_and_one_node():
    for nodes in (1, 5):
        indptr = np.zeros(nodes + 1, np.int64)
        graph = Graph(indptr, np.zeros(0, np.int32), np.ones((nodes, 64), np.float32))
        for kind in ("gcn", "gin", "sage", "gat"):
            model = model_of(kind, 64, 64, 3)
            with no_grad():
                expected = model(graph).data
            out = FloatProgram.of_model(model, graph)(np.zeros_like(expected))
            assert np.abs(out - expected).max() <= 1e-5 * max(1.0, np.abs(expected).max())


@pytest.mark.parametrize("columns", [1, 16, 40, 48, 64, 80, 129])
def test_product_of_every_panel_width(columns):
    rng = np.random.default_rng(columns)
    x, w = rng.standard_normal((101, 37), dtype=np.float32), rng.standard_normal((37, columns), dtype=np.float32)
    out = FloatProgram([Product(columns=columns, weight=w)], x, (101, columns))(np.zeros((101, columns), np.float32))
    assert np.abs(out - x @ w).max() <= 1e-4
    assert len(packed(w)) == 37 * -(-columns // 16) * 16


@pytest.mark.parametrize("width", [16, 32, 48, 64, 96, 128, 160, 256, 272])
def test_sum_of_every_width(width):
    graph = graph_of(200, 900, width)
    edges = (graph.indptr, graph.indices, None)
    out = FloatProgram([Sum(columns=width, edges=edges)], graph.x, (200, width))(np.zeros((200, width), np.float32))
    expected = np.zeros((200, width))
    np.add.at(expected, graph.adjacency().targets, graph.x[graph.indices].astype(np.float64))
    assert np.abs(out - expected).max() <= 1e-4


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("kind", ["gcn", "gin", "sage", "gat"])
def test_range_by_range(kind, threads):
    """Paths of 1 to 60 nodes, in both directions: no edge leaves one."""
    rng = np.random.default_rng(0)
    ends = np.append(0, np.cumsum(rng.integers(1, 60, 150)))
    inside = np.setdiff1d(np.arange(1, ends[-1]), ends)  # nodes with one before them in the same path
    edges = np.concatenate([np.stack([inside, inside - 1]), np.stack([inside - 1, inside])], axis=1)
    graph = Graph.from_edge_index(edges, num_nodes=int(ends[-1]))
    graph = graph.replace(x=rng.standard_normal((ends[-1], 64), dtype=np.float32))
    model = model_of(kind, 64, 64, 40)
    with no_grad():
        expected = model(graph).data
    program, out = FloatProgram.of_model(model, graph, threads), np.full_like(expected, np.nan)
    assert program.ranges is not None and len(program.ranges) > 2 and np.isin(program.ranges, ends).all()
    for _ in range(2):
        program(out)
        assert np.abs(out - expected).max() <= 2e-5 * np.abs(expected).max()
    whole = FloatProgram.of_model(model, graph_of(int(ends[-1]), 20_000, 64), threads)
    assert whole.ranges is None and program.workspace_bytes < whole.workspace_bytes


def test_parts_cover_all_rows_in_about_equal_work():
    for rows, threads in ((0, 2), (1, 2), (100, 1), (100, 3), (100_000, 2)):
        work = np.cumsum(np.random.default_rng(0).pareto(1.5, rows) + 1)
        bounds = _parts(work, threads)
        assert bounds[0] == 0 and bounds[-1] == rows and (np.diff(bounds) >= 0).all()
        assert len(bounds) - 1 == max(threads, min(32 * threads, rows // 1024))
        if rows > 1000:
            shares = np.diff(np.append(0, work)[bounds])
            assert shares.max() <= work[-1] / (len(bounds) - 1) + np.diff(work).max()


@pytest.mark.parametrize("columns", [1, 5, 16, 40, 64])
def test_nothing_beside_the_result_is_written(columns):
    graph, model = graph_of(333, 1500, 64), model_of("gcn", 64, 64, columns)
    with no_grad():
        expected = model(graph).data
    program = FloatProgram.of_model(model, graph)
    for offset in range(0, 64, 4):
        memory = np.full(expected.size + 64, 7.0, np.float32)
        out = memory[16 + offset // 4 :][: expected.size].reshape(expected.shape)
        program(out)
        assert np.abs(out - expected).max() <= 2e-5 * np.abs(expected).max()
        assert (memory == 7.0).sum() == 64


def test_what_it_does_not_cover_is_refused():
    graph = graph_of(20, 60, 16)
    with pytest.raises(ValueError, match="plain stacks"):
        FloatProgram.of_model(nn.GCN(16, 16, 3, norm="batch"), graph)
    program = FloatProgram.of_model(nn.GCN(16, 16, 3), graph)
    with pytest.raises(ValueError, match="out must be"):
        program(np.zeros((20, 4), np.float32))
