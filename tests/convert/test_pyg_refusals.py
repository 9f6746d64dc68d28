"""PyG state dicts that stand for no model of ours, each refused by name; and their neighbours, which are read."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from pyg_models import IN
from safetensors.numpy import save_file
from small_models import random_graph

import dqnumba as dq
from dqnumba.convert import load_pyg, pyg_weights
from dqnumba.convert.foreign_file import Tensors, read_tensors
from dqnumba.errors import ConfigError, DataError

GOLDEN = Path(__file__).parent / "golden"
RNG = np.random.default_rng(6)


def tensors(name):
    return read_tensors(GOLDEN / f"{name}.safetensors")


def without(state, *starts):
    return {name: array for name, array in state.items() if not name.startswith(starts)}


def renamed(state, old, new):
    return {name.replace(old, new): array for name, array in state.items()}


def drawn(*shape):
    return RNG.standard_normal(shape).astype(np.float32)


def linear(prefix, outputs, inputs):
    return {f"{prefix}.weight": drawn(outputs, inputs), f"{prefix}.bias": drawn(outputs)}


def norm(prefix, channels):
    return {
        f"{prefix}.weight": drawn(channels), f"{prefix}.bias": drawn(channels),
        f"{prefix}.running_mean": drawn(channels), f"{prefix}.running_var": drawn(channels) ** 2 + 0.5,
        f"{prefix}.num_batches_tracked": np.array(3),
    }  # fmt: skip


def graph(**fields):
    made = random_graph(50, 30)
    return made.replace(x=np.random.default_rng(1).standard_normal((30, IN)).astype(np.float32), **fields)


def same(first, second):
    np.testing.assert_allclose(first(graph()).data, second(graph()).data, atol=1e-5)


def test_a_normalization_at_the_end_of_an_mlp_is_the_one_behind_the_activation():
    """A GIN whose MLPs end in ReLU and normalization, and one of PyG's with ``act_first``: the same model."""
    state = without(tensors("graphs_gin_sum"), "lin1.", "lin2.", "convs.1.nn.5.")
    inside = load_pyg(state)
    assert inside.config["norm"] == "batch"
    outside = {k.replace("convs.0.nn.5.", "norms.0.module."): v for k, v in state.items()}
    same(inside, load_pyg(outside, act_first=True))
    before = load_pyg(outside)  # PyG's default: in front of the activation, another model
    assert np.abs(inside(graph()).data - before(graph()).data).max() > 1e-2


@pytest.mark.parametrize(
    ("lost", "readout"), [("convs.1.nn.5.", "sum"), ("convs.0.nn.5.", "sum"), ("convs.0.nn.5.", None), ("-", None)]
)
def test_mlps_of_which_some_end_in_a_normalization(lost, readout):
    """All hidden convolutions have one or none, and the last of a node task none."""
    state = without(tensors("graphs_gin_sum"), lost, *(() if readout else ("lin1.", "lin2.")))
    with pytest.raises(DataError, match="some MLPs end in a normalization behind an activation and others do not"):
        load_pyg(state, readout=readout)


def test_a_second_normalization_behind_that_of_the_mlp():
    state = tensors("graphs_gin_sum") | norm("norms.0", 8) | norm("norms.1", 8)
    with pytest.raises(DataError, match=r"norms\.0 follows convolutions whose MLPs end in a normalization already"):
        load_pyg(state, readout="sum")


def test_normalizations_of_another_number_than_convolutions():
    state = without(tensors("basic_gcn_bn"), "norms.1.")
    with pytest.raises(DataError, match=r"1 normalizations \(norms\.0\.module\) do not fit 2 hidden.*give readout"):
        load_pyg(state)
    state = tensors("graphs_gcn_mean") | norm("norms.0", 8)
    with pytest.raises(DataError, match=r"1 normalizations \(norms\.0\) do not fit 2 hidden") as error:
        load_pyg(state, readout="mean")
    assert "give readout" not in str(error.value), "it is given"


def test_heads_that_are_no_head():
    body = without(tensors("graphs_gcn_mean"), "lin.")
    with pytest.raises(DataError, match=r"0 linear layers \(none\) follow the convolutions.*one or two"):
        load_pyg(body, readout="mean")
    three = linear("lin1", 6, 6) | linear("lin2", 6, 6) | linear("lin3", 4, 6)
    with pytest.raises(DataError, match=r"3 linear layers \(lin1, lin2, lin3\) follow"):
        load_pyg(body | three, readout="mean")
    with pytest.raises(DataError, match=r"lin9 is a linear layer beside mlp; one head is needed"):
        load_pyg(tensors("graphs_sage_max") | linear("lin9", 4, 8), readout="max")
    closed = linear("head.0", 5, 6) | linear("head.2", 4, 5) | norm("head.4", 4)
    with pytest.raises(DataError, match="head ends in a normalization; a graph task ends with a linear here"):
        load_pyg(body | closed, readout="mean")
    beside = linear("head.0", 5, 6) | norm("head.1", 5) | linear("head.3", 4, 5)
    assert load_pyg(body | beside, readout="mean").config["out_channels"] == 4


def test_a_head_whose_normalization_is_folded_in():
    """In front of the ReLU into the first linear, behind it into the second: by hand."""
    body = without(tensors("graphs_gcn_mean"), "lin.")
    first, second = linear("head.0", 5, 6), linear("head.3", 4, 5)
    for place, gap in (("head.1", 1), ("head.2", 2)):
        bn = norm(place, 5)
        scale = bn[f"{place}.weight"] / np.sqrt(bn[f"{place}.running_var"] + 1e-5)
        shift = bn[f"{place}.bias"] - scale * bn[f"{place}.running_mean"]
        if gap == 1:
            one = first["head.0.weight"] * scale[:, None], first["head.0.bias"] * scale + shift
            two = second["head.3.weight"], second["head.3.bias"]
        else:
            one = first["head.0.weight"], first["head.0.bias"]
            two = second["head.3.weight"] * scale, second["head.3.bias"] + second["head.3.weight"] @ shift
        plain = {"lin1.weight": one[0], "lin1.bias": one[1], "lin2.weight": two[0], "lin2.bias": two[1]}
        same(load_pyg(body | first | bn | second, readout="mean"), load_pyg(body | plain, readout="mean"))


def test_an_identity_that_would_be_too_wide(monkeypatch):
    state = tensors("graphs_gcn_mean")
    monkeypatch.setattr(pyg_weights, "_WIDEST_IDENTITY", 6)
    load_pyg(state, readout="mean")
    monkeypatch.setattr(pyg_weights, "_WIDEST_IDENTITY", 5)
    with pytest.raises(DataError, match=r"behind a pooling of 6 channels.*6 x 6 weights, for at most 5"):
        load_pyg(state, readout="mean")


def test_heads_side_by_side_or_averaged():
    side = tensors("hand_gat_side")
    averaged = load_pyg(side, bias=False, concat=False)
    assert averaged.config["out_channels"] == 2
    zeros = {"conv1.bias": np.zeros(6, np.float32), "conv2.bias": np.zeros(2, np.float32)}
    same(averaged, load_pyg(side | zeros))
    joined = load_pyg(side, bias=False, concat=True)
    assert joined.config["out_channels"] == 4
    with pytest.raises(DataError, match=r"conv1 has 4 heads of 3, which do not fit a width of 5"):
        load_pyg(tensors("hand_gat") | {"conv1.bias": np.zeros(5, np.float32)})


def test_eps_of_a_gin_may_be_a_number_or_an_array_of_one():
    state = tensors("hand_gin")
    scalar = {name: array.reshape(()) if name.endswith(".eps") else array for name, array in state.items()}
    assert scalar["conv1.eps"].shape == () and float(scalar["conv1.eps"]) != 0
    same(load_pyg(state), load_pyg(scalar))
    with pytest.raises(DataError, match=r"conv1\.eps.*shape \(2,\); \(1\) is expected"):
        load_pyg(state | {"conv1.eps": np.zeros(2, np.float32)})


def test_a_gin_around_a_single_linear():
    state = {"conv1.eps": np.zeros(1, np.float32)} | linear("conv1.nn", 4, IN)
    with pytest.raises(DataError, match=r"conv1\.nn has 1 linear layers"):
        load_pyg(state)


def test_a_normalization_of_an_mlp_beyond_its_linears():
    state = renamed(tensors("basic_gin_bn"), "convs.0.nn.norms.0.", "convs.0.nn.norms.2.")
    with pytest.raises(DataError, match=r"where the normalization 'convs\.0\.nn\.norms\.2.*cannot be told"):
        load_pyg(state)
    state = tensors("hand_gin") | norm("conv1.nn.extra", 7)
    with pytest.raises(DataError, match=r"where the normalization 'conv1\.nn\.extra' stands cannot be told"):
        load_pyg(state)


@pytest.mark.parametrize(
    ("extra", "says"),
    [
        ({"conv1.lin_rel.weight": (4, IN), "conv1.lin_root.weight": (4, IN)}, "seems to hold GraphConv"),
        ({"conv1.lin_key.weight": (4, IN), "conv1.lin_key.bias": (4,)}, "seems to hold TransformerConv"),
        ({"conv1.lin.weight": (4, IN), "conv1.bias": (4,), "conv1.att_l": (1, 2, 2)}, "GATConv before PyG 2.0"),
        ({"conv1.weight": (IN, 4), "conv1.bias": (4,), "conv1.jk.weight": (4, 4)}, "a JumpingKnowledge"),
        ({f"part{k}": (2,) for k in range(7)}, r"The tensors are part0, part1, .*part5, \.\.\.\."),
        ({"b": (2,), "a": (2,)}, r"The tensors are a, b\.$"),
    ],
)
def test_what_holds_no_convolution_of_ours(extra, says):
    with pytest.raises(DataError, match=f"no convolution was found.*{says}"):
        load_pyg({name: drawn(*shape) for name, shape in extra.items()})


def test_layers_without_a_bias_have_one_of_zeros():
    """GIN's MLPs and the head: said once for the whole model."""
    body = {"convs.0.eps": np.zeros(1, np.float32)} | linear("convs.0.nn.0", 5, IN) | linear("convs.0.nn.2", 6, 5)
    state = body | linear("lin1", 4, 6) | linear("lin2", 3, 4)
    bare = {name: array for name, array in state.items() if not name.endswith("bias")}
    zeros = {name: np.zeros_like(array) for name, array in state.items() if name.endswith("bias")}
    same(load_pyg(bare, readout="sum", bias=False), load_pyg(bare | zeros, readout="sum"))
    with pytest.raises(DataError, match=r"'lin2\.bias' is missing\. If the layer was built with bias=False, say so"):
        load_pyg({name: array for name, array in state.items() if name != "lin2.bias"}, readout="sum")


def test_what_is_left_over_is_counted_and_explained():
    state = tensors("hand_gcn")
    with pytest.raises(DataError, match=r"tensor 'norm\.mean_scale' is left over.*GraphNorm, which dqnumba has not"):
        load_pyg(state | {"norm.mean_scale": drawn(6)})
    with pytest.raises(DataError, match=r"tensor 'x2' and 2 more are left over: no layer of the model takes it\.$"):
        load_pyg(state | {"x10": drawn(6), "x2": drawn(6), "x11": drawn(1)})


def test_a_convolution_inside_another_is_part_of_it():
    """A wrapper around a SAGEConv that has a convolution's name: one layer, not two."""
    state = renamed(renamed(tensors("hand_sage"), "conv1.", "conv1.conv."), "conv2.", "conv2.conv.")
    same(load_pyg(state), load_pyg(tensors("hand_sage")))


def test_the_width_that_a_head_reads_says_how_heads_stand():
    """Without biases the width that the head reads says whether the heads of the last GATConv stand side by side."""
    body = without(tensors("hand_gat_side"), "-")
    weights = {"lin1.weight": drawn(5, 2), "lin2.weight": drawn(3, 5)}
    averaged = load_pyg(body | weights, bias=False, readout="sum")
    assert averaged.config["out_channels"] == 3 and averaged.config["layers"][1]["concat"] is False
    joined = load_pyg(body | weights | {"lin1.weight": drawn(5, 4)}, bias=False, readout="sum")
    assert joined.convs[1].concat is True
    with pytest.raises(ConfigError, match="Give concat=True"):
        load_pyg(body | {"lin2.weight": drawn(3, 5), "lin1.bias": drawn(5)}, bias=False, readout="sum")


@pytest.mark.parametrize("dtype", [np.int16, np.uint8, np.int8, np.bool_])
def test_types_that_no_state_dict_of_weights_has(tmp_path, dtype):
    path = tmp_path / "w.safetensors"
    save_file({"conv1.bias": np.ones(3, dtype)}, path)
    with pytest.raises(DataError, match=r"conv1\.bias.*type.*model\.float\(\)"):
        load_pyg(path)
    save_file({"conv1.bias": np.ones(3, np.int64), "a": np.ones(1, np.int32)}, path)
    assert read_tensors(path)["conv1.bias"].dtype == np.int64


def test_tensors_that_are_taken_or_dropped_are_not_left():
    held = Tensors({"a": np.ones((2, 3)), "b": [1, 2]}, "this")
    assert "a" in held and "c" not in held
    assert held.take("a", (None, 3)).dtype == np.float32 and held.left == {"b"}
    held.drop("b")
    held.drop("c")
    assert held.left == set()
    with pytest.raises(DataError, match=r"this: tensor 'a' has the shape \(2, 3\); \(any, 4\) is expected"):
        held.take("a", (None, 4))
    with pytest.raises(DataError, match=r"this: tensor 'c' is missing\. Why not\?$"):
        held.take("c", (1,), why="Why not?")


def test_options_that_say_nothing_possible():
    state = tensors("hand_gcn")
    for wrong in ({"norm_eps": True}, {"norm_eps": "1"}, {"norm_eps": 1.0}, {"bias": None}, {"head_dropout": -0.1}):
        with pytest.raises(ConfigError, match=next(iter(wrong))):
            load_pyg(state, **wrong)
    assert load_pyg(state, dropout=0.25, norm_eps=0.5).config["dropout"] == 0.25
    assert isinstance(load_pyg(state), dq.nn.GNN)
