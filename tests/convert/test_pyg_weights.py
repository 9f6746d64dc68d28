"""PyG state dicts against the outputs that PyG recorded for them, in the names of its releases; and what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyg_models
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyg_state import renamed_to_2_0, state_of
from small_models import FEATURES, MODELS, random_graph

import dqnumba as dq
from dqnumba.convert import load_pyg
from dqnumba.convert.foreign_file import read_tensors
from dqnumba.errors import ConfigError, DataError, DQError

GOLDEN = Path(__file__).parent / "golden"
PARITY = 1e-5


@pytest.fixture(scope="module")
def golden():
    with np.load(GOLDEN / "golden.npz") as arrays:
        return {name: arrays[name] for name in arrays.files}


def options_of(golden, name):
    return json.loads(str(golden["made"]))["options"][name]


def graph_of(golden, name):
    edges = pyg_models.edges_for(name, golden["edge_index"])
    graph = dq.Graph.from_edge_index(edges, x=golden["x"], coalesce=False)
    return graph.replace(graph_ptr=golden["graph_ptr"]) if name.startswith("graphs") else graph


def tensors(name):
    return read_tensors(GOLDEN / f"{name}.safetensors")


def difference(model, golden, name):
    return float(np.abs(model(graph_of(golden, name)).data - golden[f"out/{name}"]).max())


@pytest.mark.parametrize("name", pyg_models.NAMES)
def test_outputs_are_those_that_pyg_recorded(golden, name):
    model = load_pyg(GOLDEN / f"{name}.safetensors", **options_of(golden, name))
    assert difference(model, golden, name) < PARITY


@pytest.mark.parametrize("name", pyg_models.NAMES)
def test_names_of_2_0(golden, name):
    state = renamed_to_2_0(tensors(name))
    assert ("gat" in name) == any(".lin_src." in key for key in state)
    assert difference(load_pyg(state, **options_of(golden, name)), golden, name) < PARITY


@pytest.mark.parametrize("lost", ["lin_src", "lin_dst"])
def test_either_name_of_a_shared_tensor_is_enough(golden, lost):
    """Writers of safetensors refuse two names for one tensor, or drop one of them."""
    state = {k: v for k, v in renamed_to_2_0(tensors("hand_gat")).items() if f".{lost}." not in k}
    assert difference(load_pyg(state), golden, "hand_gat") < PARITY


def test_gcn_before_2_0_was_not_transposed(golden):
    state = {k.replace(".lin.", "."): v.T if ".lin." in k else v for k, v in tensors("hand_gcn").items()}
    assert set(state) == {"conv1.weight", "conv1.bias", "conv2.weight", "conv2.bias"}
    assert difference(load_pyg(state), golden, "hand_gcn") < PARITY


def test_a_prefix_around_everything_is_no_hindrance(golden):
    for name in ("basic_gat_bn", "graphs_sage_max", "graphs_gin_sum"):
        state = {f"net.{k}": v for k, v in tensors(name).items()}
        assert difference(load_pyg(state, **options_of(golden, name)), golden, name) < PARITY


def test_half_and_double_precision_are_read(golden):
    state = {k: v.astype(np.float64) if v.dtype == np.float32 else v for k, v in tensors("basic_gcn_bn").items()}
    assert difference(load_pyg(state), golden, "basic_gcn_bn") < PARITY
    state = {k: v.astype(np.float16) if v.dtype == np.float64 else v for k, v in state.items()}
    assert difference(load_pyg(state), golden, "basic_gcn_bn") < 0.02


def test_another_eps_of_the_normalizations(golden):
    state = tensors("basic_gcn_bn")
    shifted = {k: v + np.float32(1e-2 - 1e-5) if k.endswith("running_var") else v for k, v in state.items()}
    a, b = load_pyg(state, norm_eps=1e-2), load_pyg(shifted)
    graph = graph_of(golden, "basic_gcn_bn")
    np.testing.assert_allclose(a(graph).data, b(graph).data, atol=1e-6)
    assert np.abs(a(graph).data - load_pyg(state)(graph).data).max() > 1e-4


def test_one_linear_behind_pooled_values_that_may_be_negative(golden):
    """Where GIN ends in a normalization; the two linears of a head have a ReLU between them."""
    rng = np.random.default_rng(0)
    body = without(tensors("graphs_gin_sum"), "lin1.")
    body = {k: v for k, v in body.items() if not k.startswith("lin2.")}
    weight, bias = rng.standard_normal((4, 8)).astype(np.float32), rng.standard_normal(4).astype(np.float32)
    one = load_pyg(body | {"lin.weight": weight, "lin.bias": bias}, readout="mean")
    graph = graph_of(golden, "graphs_gin_sum")
    zeros, both = np.zeros(16, np.float32), np.concatenate([weight, -weight], axis=1)
    eye = np.concatenate([np.eye(8), -np.eye(8)]).astype(np.float32)
    two = {"lin1.weight": eye, "lin1.bias": zeros, "lin2.weight": both, "lin2.bias": bias}
    two = load_pyg(body | two, readout="mean")
    np.testing.assert_allclose(one(graph).data, two(graph).data, atol=1e-5)
    plain = {"lin1.weight": eye[:8], "lin1.bias": zeros[:8], "lin2.weight": weight, "lin2.bias": bias}
    clipped = load_pyg(body | plain, readout="mean")
    assert np.abs(one(graph).data - clipped(graph).data).max() > 0.1


def test_live_pyg(golden):
    """The installed PyG makes each model anew; the recorded outputs are of one release only."""
    torch = pytest.importorskip("torch", reason="needs torch")
    pytest.importorskip("torch_geometric", reason="needs torch_geometric")
    batch = torch.from_numpy(np.repeat([0, 1], np.diff(golden["graph_ptr"])))
    for name in pyg_models.NAMES:
        module, told = pyg_models.build(name)
        pyg_models.settle(module, seed=1)
        edges = torch.from_numpy(pyg_models.edges_for(name, golden["edge_index"]))
        with torch.no_grad():
            wanted = module(torch.from_numpy(golden["x"]), edges, batch).numpy()
        model = load_pyg({key: tensor.numpy() for key, tensor in module.state_dict().items()}, **told)
        assert np.abs(model(graph_of(golden, name)).data - wanted).max() < PARITY, name


@settings(max_examples=30)
@given(
    kind=st.sampled_from(sorted(MODELS)), layers=st.integers(1, 4), heads=st.integers(1, 3), width=st.integers(1, 4),
    norm=st.sampled_from([None, "batch"]), readout=st.sampled_from([None, "sum", "mean", "max"]),
    seed=st.integers(0, 99),
)  # fmt: skip
def test_any_model_survives_the_way_out_and_back(kind, layers, heads, width, norm, readout, seed):
    options = {"heads": heads} if kind == "gat" else {}
    model = MODELS[kind](
        FEATURES, width * heads, 3, num_layers=layers, norm=norm, readout=readout, seed=seed, **options
    )
    rng = np.random.default_rng(seed)
    for name, array in model.parameters().items():
        array.data += rng.normal(0, 0.1, array.data.shape).astype(np.float32)
        assert array.data.dtype == np.float32, name
    again = load_pyg(state_of(model), readout=readout, act_first=kind == "gin")
    graph = random_graph(seed).replace(y=None, train_mask=None)
    np.testing.assert_allclose(again(graph).data, model(graph).data, atol=1e-5, rtol=1e-5)
    if norm is None and readout is None and kind != "gin" and layers > 1:
        assert again.config == model.config | {"seed": 0}


@pytest.mark.parametrize("name", pyg_models.NAMES)
def test_a_missing_tensor_is_named(golden, name):
    state, told = tensors(name), options_of(golden, name)
    for lost in state:
        rest = {k: v for k, v in state.items() if k != lost}
        if lost.endswith("num_batches_tracked"):  # decides nothing at evaluation
            assert difference(load_pyg(rest, **told), golden, name) < PARITY
            continue
        with pytest.raises(DQError) as error:
            load_pyg(rest, **told)
        assert lost in str(error.value), (lost, str(error.value))


@pytest.mark.parametrize("name", pyg_models.NAMES)
def test_a_tensor_that_belongs_to_nothing_is_named(golden, name):
    state, told = tensors(name), options_of(golden, name)
    first = next(iter(sorted(state))).partition(".")[0]
    for extra in ("mystery", "mystery.weight", f"{first}.0.scale", "convs.0.extra.bias", "norms.0.weight2"):
        module = extra.removesuffix(".weight").removesuffix(".bias")
        with pytest.raises(DQError, match=module.replace(".", r"\.")):
            load_pyg(state | {extra: np.zeros(3, np.float32)}, **told)
    with pytest.raises(DQError, match="mystery"):
        load_pyg(state | {"mystery.weight": np.zeros((3, 5), np.float32)}, **told)


def without(state, part):
    return {k: v for k, v in state.items() if part not in k}


def test_what_cannot_be_read_from_shapes_is_asked_for_by_name(golden):
    with pytest.raises(ConfigError, match="readout"):
        load_pyg(tensors("graphs_gcn_mean"))
    with pytest.raises(DataError, match=r"conv2\.bias.*bias=False"):
        load_pyg(tensors("hand_gat_side"))
    with pytest.raises(ConfigError, match=r"conv2 has 2 heads.*concat=True"):
        load_pyg(tensors("hand_gat_side"), bias=False)
    state = tensors("hand_gcn")
    mixed = {k.replace("conv1", "input_conv").replace("conv2", "convs.0"): v for k, v in state.items()}
    with pytest.raises(ConfigError, match=r"order=\[\.\.\.\]"):
        load_pyg(mixed)
    assert difference(load_pyg(mixed, order=["input_conv", "convs.0"]), golden, "hand_gcn") < PARITY
    with pytest.raises(DataError, match="order of execution"):
        load_pyg(mixed, order=["convs.0", "input_conv"])
    with pytest.raises(ConfigError, match="every convolution once"):
        load_pyg(mixed, order=["input_conv"])
    with pytest.raises(ConfigError, match="act='elu'"):
        load_pyg(state, act="elu")
    with pytest.raises(ConfigError, match="'colour'"):
        load_pyg(state, colour="red")
    with pytest.raises(ConfigError, match="act_first=True"):
        load_pyg(tensors("basic_gcn_bn"), act_first=True)
    for wrong in ({"readout": "median"}, {"act_first": 3}, {"order": "conv1"}, {"norm_eps": 0}, {"dropout": 1.5}):
        with pytest.raises(ConfigError, match=next(iter(wrong))):
            load_pyg(state, **wrong)


def test_layers_without_a_counterpart_are_named():
    state = tensors("hand_gat")
    v2 = {k.replace("att_src", "att").replace("lin.", "lin_l."): v for k, v in without(state, "att_dst").items()}
    with pytest.raises(DataError, match="GATv2Conv"):
        load_pyg(v2)
    with pytest.raises(DataError, match="bipartite"):
        load_pyg(renamed_to_2_0(state) | {"conv1.lin_dst.weight": 2 * state["conv1.lin.weight"]})
    with pytest.raises(DataError, match=r"conv1\.res\.weight.*residual=True"):
        load_pyg(state | {"conv1.res.weight": np.ones((12, 9), np.float32)})
    with pytest.raises(DataError, match="edge features"):
        load_pyg(state | {"conv1.lin_edge.weight": np.ones((12, 2), np.float32)})
    with pytest.raises(DataError, match=r"norms\.0.*LayerNorm"):
        load_pyg(without(without(tensors("basic_gcn_bn"), "running_"), "num_b"))
    with pytest.raises(DataError, match=r"conv1\.lin_r\.weight.*root_weight"):
        load_pyg(without(tensors("hand_sage"), "conv1.lin_r"))
    with pytest.raises(DataError, match="GCN convolution and"):
        load_pyg(tensors("hand_gcn") | {k.replace("conv", "conv3"): v for k, v in tensors("hand_sage").items()})
    gin = tensors("hand_gin")
    with pytest.raises(DataError, match="has 3 linear layers"):
        load_pyg(gin | {"conv1.nn.9.weight": np.ones((6, 6), np.float32), "conv1.nn.9.bias": np.ones(6, np.float32)})
    moved = {k.replace("conv1.nn.1.", "conv1.nn.9."): v for k, v in gin.items()}
    with pytest.raises(DataError, match=r"conv1\.nn\.9"):
        load_pyg(moved)
    with pytest.raises(DataError, match="no convolution"):
        load_pyg({"lin.weight": np.ones((2, 3), np.float32), "lin.bias": np.ones(2, np.float32)})


def test_wrong_shapes_and_values():
    state = tensors("hand_gcn")
    for name, wrong, says in (
        ("conv1.bias", np.zeros(5, np.float32), r"\(6\) is expected"),
        ("conv2.lin.weight", np.zeros((4, 7), np.float32), "gives 6 channels"),
        ("conv1.lin.weight", np.zeros((6, 0), np.float32), "shape"),
        ("conv1.bias", np.full(6, np.nan, np.float32), "not finite"),
        ("conv1.bias", np.full(6, 1e300), "beyond float32"),
        ("conv1.bias", np.array(["a"] * 6), "numbers"),
    ):
        with pytest.raises(DataError, match=says):
            load_pyg(state | {name: wrong})
    with pytest.raises(DataError, match="negative"):
        load_pyg(tensors("basic_gcn_bn") | {"norms.0.module.running_var": -np.ones(12, np.float32)})


def test_files_that_are_no_state_dicts(tmp_path):
    from safetensors.numpy import save_file

    path = tmp_path / "weights.safetensors"
    with pytest.raises(DataError, match="No weights at"):
        load_pyg(path)
    path.write_bytes(b"PK\x03\x04 archive/data.pkl")
    with pytest.raises(DataError, match=r"save_file\(model\.state_dict\(\)"):
        load_pyg(path)
    header = b'{"conv1.bias":{"dtype":"BF16","shape":[1],"data_offsets":[0,2]}}'
    path.write_bytes(len(header).to_bytes(8, "little") + header + b"\0\0")
    with pytest.raises(DataError, match=r"conv1\.bias.*BF16.*float\(\)"):
        load_pyg(path)
    save_file({f"conv{i}.bias": np.zeros(1, np.float32) for i in range(5000)}, path)
    with pytest.raises(DataError, match="5000 tensors"):
        load_pyg(path)


@settings(max_examples=60)
@given(st.data())
def test_a_damaged_file_raises_errors_of_ours_or_loads(tmp_path_factory, data):
    content = bytearray((GOLDEN / "hand_gat.safetensors").read_bytes())
    for _ in range(data.draw(st.integers(1, 6))):
        content[data.draw(st.integers(0, min(600, len(content) - 1)))] = data.draw(st.integers(0, 255))
    path = tmp_path_factory.mktemp("damaged") / "w.safetensors"
    path.write_bytes(bytes(content[: data.draw(st.integers(0, len(content)))] if data.draw(st.booleans()) else content))
    try:
        load_pyg(path)
    except DQError as error:
        assert len(str(error)) > 20
