"""Small whole files for every reader: what attacks change one thing of, and what the fuzzer begins with."""

from __future__ import annotations

import gzip
import io
import json
import tarfile
import tempfile
import zipfile
from pathlib import Path

import numpy as np
from safetensors.numpy import save as save_tensors

import dqnumba as dq
from dqnumba.infer.file import checksum, encode_program
from dqnumba.infer.program import Program, Step
from dqnumba.train.checkpoint import Checkpoint, write_checkpoint
from dqnumba.train.settings import RunSettings
from dqnumba.train.source import Source
from dqnumba.train.state import TrainingState

__all__ = ["SAMPLES", "npz", "program_body", "program_file", "program_tensors", "tensor_file", "train_file", "zipped"]

ROOT = Path(__file__).parents[2]
FIXTURES = ROOT / "datasets" / "fixtures"
GOLDEN = ROOT / "tests" / "convert" / "golden"


def tensor_file(header: object, data: bytes = b"", length: int | None = None) -> bytes:
    """A safetensors file of a header, as a value or as its bytes, and perhaps with another length than it has."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return (len(text) if length is None else length).to_bytes(8, "little") + text + data


# -- models ----------------------------------------------------------------------------------------------------------

_META = {
    "num_features": 4, "out_channels": 2, "task_rows": "node", "embedding": False,
    "model": {"kind": "GCN", "in_channels": 4, "hidden_channels": 3, "out_channels": 2, "num_layers": 1},
    "quantization": {"method": "dq", "weight_bits": 8, "activation_bits": 8, "sites": "fused"},
    "scales": {"conv1.input": 0.05},
}  # fmt: skip


def program() -> Program:
    """quantize, matmul, requantize, neighbor_sum, dequantize; one tensor stored in nibbles."""
    stage = {"multiplier": None, "shift": None, "row_factor": None, "bias": True}
    steps = (
        Step("quantize", "q", ("x",), "node", 4, {
            "scale": 0.05, "zero_point": 3, "qmin": -128, "qmax": 127, "offset": 0, "row_factor": None}, site="a"),
        Step("matmul", "m", ("q",), "node", 2, {"zero_in": 3, "weight_zero": 0}, {"weight": "w", "bias": "b"}),
        Step("requantize", "r", ("m",), "node", 2, {
            "zero_in": 0, "zero_point": 0, "low": -128, "high": 127, "bits": 8, "stages": [stage]},
            {"multipliers0": "f", "shifts0": "s", "bias0": "c"}, "b"),
        Step("neighbor_sum", "n", ("r",), "node", 2, {"zero_in": 0, "self_loops": "add"}),
        Step("dequantize", "y", ("n",), "node", 2, {"zero_in": 0, "scale": 0.1}),
    )  # fmt: skip
    tensors = {
        "w": np.array([[1, -2], [3, 4], [-5, 6], [7, -8]], np.int8), "b": np.array([10, -20], np.int32),
        "f": np.array([1 << 30, 1 << 30], np.int32), "s": np.array([33, 34], np.int8), "c": np.array([1, 2], np.int32),
    }  # fmt: skip
    return Program(steps, tensors, json.loads(json.dumps(_META)))


def program_body() -> dict:
    """The program as the JSON of its file, with no packed tensor."""
    whole = program()
    return {"meta": whole.meta, "packed": {}, "steps": [json.loads(json.dumps(s.to_dict())) for s in whole.steps]}


def program_tensors() -> dict[str, np.ndarray]:
    return program().tensors


def program_file(body: object, tensors: dict[str, np.ndarray] | None = None, **metadata: str) -> bytes:
    """A model file with a right checksum over a program, as a value or as its text."""
    tensors = program_tensors() if tensors is None else tensors
    text = body if isinstance(body, str) else json.dumps(body)
    about = {"format": "dqnumba.program", "format_version": "1", "dqnumba_version": "0", "program": text}
    about["sha256"] = checksum(text, tensors) if text.isascii() else ""
    return save_tensors(tensors, about | metadata)


# -- training --------------------------------------------------------------------------------------------------------


def train_file(quantized: bool = True) -> bytes:
    """A train file of a small model that was never trained."""
    model = dq.nn.GCN(4, 3, 2, seed=0)
    trained = dq.prepare(model, dq.QuantConfig.degree_quant(bits=8)) if quantized else model
    weights = trained.state_dict()
    state = TrainingState(
        epoch=1, model=weights, optimizer={"step": np.array(1)}, schedule={"lr": 0.01, "done": False},
        rng=dict(np.random.default_rng(0).bit_generator.state), history=[{"epoch": 1, "lr": 0.01, "loss": 1.5}],
        seconds=[0.1], best_epoch=1, best_value=0.5, best_rank=[-0.5, 1.0], best_model=weights,
    )  # fmt: skip
    checkpoint = Checkpoint(
        model_config=model.config, quant_config=trained.config.to_dict() if quantized else None, model=weights,
        state=state, settings=RunSettings(Source(dataset="cora")).to_dict(),
        recipe={"model": {}, "train": {}, "quant": {}},
    )  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "m.train.safetensors"
        write_checkpoint(checkpoint, path)
        return path.read_bytes()


# -- archives and arrays ---------------------------------------------------------------------------------------------


def npz(packed: bool = False, **arrays: object) -> bytes:
    out = io.BytesIO()
    (np.savez_compressed if packed else np.savez)(out, **arrays)
    return out.getvalue()


def zipped(members: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as archive:
        for name, content in members.items():
            archive.writestr(zipfile.ZipInfo(name), content, method)
    return out.getvalue()


def npy(array: object) -> bytes:
    out = io.BytesIO()
    np.save(out, array)
    return out.getvalue()


def tarred(packed: bool, member: str = "set/data.bin") -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for name in ("set/other.txt", member):
            info = tarfile.TarInfo(name)
            info.size = 600
            archive.addfile(info, io.BytesIO(bytes(range(200)) * 3))
    return gzip.compress(out.getvalue(), mtime=0) if packed else out.getvalue()


EDGES, X, Y = np.array([[0, 1, 2, 2], [1, 0, 1, 0]]), np.eye(3, dtype=np.float32), np.array([0, 1, 1])
_MASK = np.array([True, False, True])
SPARSE_X = {"x_indptr": [0, 1, 2, 2], "x_indices": [0, 1], "x_data": np.ones(2, np.float32), "x_shape": [3, 4]}
ZINC = {
    "node_ptr": [0, 2, 3], "edge_ptr": [0, 2, 2], "atom_type": np.array([0, 5, 1], np.uint8),
    "edge_index": [[0, 1], [1, 0]], "bond_type": np.array([1, 1], np.uint8),
    "target": np.array([0.5, -1.0], np.float32),
}  # fmt: skip
ADJACENCY = {
    "adj_data": np.ones(4, np.float32), "adj_indices": [1, 0, 1, 0], "adj_indptr": [0, 1, 2, 4], "adj_shape": [3, 3],
}  # fmt: skip
_SPARSE_ATTRIBUTES = {
    "attr_data": np.ones(3, np.float32), "attr_indices": [2, 0, 1], "attr_indptr": [0, 2, 2, 3], "attr_shape": [3, 3],
}  # fmt: skip
_CACHE = {
    "size": np.array([2, 1], np.uint8), "x": np.ones((3, 3), np.float32), "in_degree": np.array([1, 1, 0], np.uint8),
    "source": np.array([1, 0], np.uint8),
}  # fmt: skip

_NODES = "id,age,label,split\na,0.5,yes,train\nb,-1e3,no,val\nc,TRUE,,\n"
_RECIPE = (ROOT / "dqnumba" / "train" / "recipes" / "cora_gcn.toml").read_bytes()


def _golden(*names: str) -> list[bytes]:
    return [(GOLDEN / f"{name}.safetensors").read_bytes() for name in names]


def _fixture(*names: str) -> list[bytes]:
    return [(FIXTURES / name).read_bytes() for name in names]


#: Reader -> contents that it must take.
SAMPLES: dict[str, list[bytes]] = {
    "model": [encode_program(program(), version="0"), program_file(program_body())],
    "train": [train_file(), train_file(quantized=False)],
    "weights": _golden("hand_gcn", "hand_gat", "hand_sage", "hand_gin", "basic_gcn_bn", "graphs_gcn_mean"),
    "graph": [
        npz(edge_index=EDGES, x=X, y=Y, edge_weight=np.ones(4), train_mask=_MASK, name="g"),
        npz(edge_index=EDGES, **SPARSE_X, num_nodes=3, num_classes=2),
        npz(True, edge_index=[[0, 1, 2], [1, 0, 2]], x=[1, 0, 2], y=[1, 0], graph_ptr=[0, 2, 3], num_categories=4,
            train_index=[0], val_index=[1], test_index=np.zeros(0, np.int64)),
        npz(**ADJACENCY, **_SPARSE_ATTRIBUTES, labels=Y),
        npz(**ADJACENCY, attr_matrix=X),
        npz(edges=EDGES.T, node_features=X, node_labels=Y, train_masks=np.stack([_MASK, ~_MASK]),
            val_masks=np.zeros((2, 3), bool), test_masks=np.zeros((2, 3), bool)),
    ],
    "edges": [
        b"source,target,weight\na,b,1\nb,a,0.5\n", b"0 1\n1 2\n2 0\n", b"# c\n1\t2\t3\n2\t1\t4\n",
        '\ufeff"a;b";x\r\n"c ""d""";y\r\né;a;b\r\n'.replace(";a;b", ";z").encode(),
    ],
    "nodes": [_NODES.encode(), b"id;code\na;3\nb;0\n", b"a 1 2 0\nb 3 4 1\n"],
    "folder": [b"graph,label,split\none,a,train\ntwo,b,test\n", b"file\ttarget\nx\ty\n".replace(b"x\ty", b"one\t1")],
    "planetoid": _fixture(*(f"planetoid/ind.mini.{part}" for part in ("graph", "allx", "ally"))),
    "test_index": _fixture("planetoid/ind.mini.test.index"),
    "tu": _fixture("tu/MINI.zip"),
    "gin": _fixture("gin/MINI.txt"),
    "zinc": [npz(**ZINC)],
    "idx": [
        gzip.compress(b"\0\0\x08\x01\0\0\0\x05abcde", mtime=0),
        gzip.compress(b"\0\0\x08\x03\0\0\0\x02\0\0\0\x02\0\0\0\x01" + b"abcd", mtime=0),
    ],
    "cifar": [bytes([3]) + bytes(range(256)) * 12],
    "archive": [tarred(True), tarred(False), zipped({"a/set/data.bin": b"abc", "other": b"x"})],
    "recipe": [_RECIPE, b"[method.dq.paper.bits4]\nlr = 1e-3\nquant = {momentum = 0.5}\n", b""],
    "expected": [npy(np.ones((3, 2), np.float32)), npy(np.arange(3))],
    "cache": [npz(**_CACHE)],
    "note": [b'{"version": "\\"abc\\"", "bytes": 17}', b'{"version": "x", "bytes": null}'],
}  # fmt: skip
