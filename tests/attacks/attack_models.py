"""Hostile safetensors files: models, train files, state dicts."""

from __future__ import annotations

import copy
import json

import numpy as np
from attack import Attack, attacks
from safetensors.numpy import save as save_tensors
from samples import program_body, program_file, program_tensors, tensor_file, train_file

from dqnumba.train.checkpoint import _digest

__all__ = ["ATTACKS"]

_ONE = {"t": {"dtype": "I8", "shape": [4], "data_offsets": [0, 4]}}


def _entry(shape: object, offsets: object, dtype: object = "I8", **more: object) -> bytes:
    return tensor_file({"t": {"dtype": dtype, "shape": shape, "data_offsets": offsets, **more}}, b"1234")


def _two(first: list[int], second: list[int], data: int) -> bytes:
    header = {
        name: {"dtype": "I8", "shape": [end - begin], "data_offsets": [begin, end]}
        for name, (begin, end) in (("a", first), ("b", second))
    }
    return tensor_file(header, bytes(data))


#: Of the container; every reader of safetensors says it with the same words inside of its own.
_CONTAINER: dict[str, tuple] = {
    "nothing": (b"", "announces 0 bytes, and 0 follow"),
    "seven bytes": (bytes(7), "announces 0 bytes"),
    "header longer than the file": (tensor_file(_ONE, length=1000), "announces 1,000 bytes"),
    "header of 2^64 - 1 bytes": (tensor_file(_ONE, length=2**64 - 1), "announces 18,446,744"),
    "header of 70 MiB of blanks": (lambda: tensor_file(b"{}" + b" " * (70 << 20)), "bytes, and at most"),
    "header of a million lists": (lambda: tensor_file(b'{"a":[' + b"[]," * 5_000_000 + b"[]]}"), "at most", 96),
    "header that is a list": (tensor_file([1]), "no JSON object"),
    "header behind a byte order mark": (tensor_file("\ufeff{}".encode()), "no JSON object"),
    "header that is no UTF-8": (tensor_file(b'{"\xff\xfe":1}'), "utf-8"),
    "header cut short": (tensor_file(b'{"t":{"dtype":"I8"'), "delimiter"),
    "header nested deeply": (tensor_file(b'{"a":' * 5000 + b"1" + b"}" * 5000), "nested too deeply|damaged|recursion"),
    "a tensor twice": (
        tensor_file(
            b'{"t":{"dtype":"I8","shape":[0],"data_offsets":[0,0]},"t":{"dtype":"I8","shape":[0],"data_offsets":[0,0]}}'
        ),
        "twice",
    ),
    "metadata twice": (
        tensor_file(b'{"__metadata__":{"format":"a"},"__metadata__":{"format":"dqnumba.program"}}'),
        "twice",
    ),
    "metadata that are numbers": (tensor_file({"__metadata__": {"format": 1}}), "no texts by name"),
    "metadata that are a list": (tensor_file({"__metadata__": []}), "no texts by name"),
    "half a surrogate pair": (tensor_file(b'{"__metadata__":{"format":"\\ud800"}}'), "surrogate"),
    "NaN for a size": (_entry([float("nan")], [0, 4]), "NaN"),
    "a size of ten thousand digits": (
        tensor_file(b'{"t":{"dtype":"I8","shape":[1' + b"0" * 10000 + b'],"data_offsets":[0,4]}}', b"1234"),
        "4300",
    ),
    "tensors that overlap": (_two([0, 3], [2, 4], 4), "begins at 2, not where another ends"),
    "tensors with a gap": (_two([0, 2], [3, 4], 4), "begins at 3, not where another ends"),
    "bytes of no tensor": (tensor_file(_ONE, bytes(9)), "end at 4, its bytes at 9"),
    "bytes that are missing": (tensor_file(_ONE, bytes(3)), "end at 4, its bytes at 3"),
    "a shape that overflows": (_entry([2**62, 2**62], [0, 4]), "has the shape"),
    "a huge axis beside none": (
        tensor_file({"t": {"dtype": "I8", "shape": [0, 2**62], "data_offsets": [0, 0]}}),
        "no possible shape",
    ),
    "large axes beside none": (
        tensor_file({"t": {"dtype": "I8", "shape": [0, 2**39, 2**39], "data_offsets": [0, 0]}}),
        "too big|too large|no possible|exceed",
    ),
    "seventeen axes": (_entry([1] * 17, [0, 1]), "no possible shape"),
    "offsets turned round": (_entry([4], [4, 0]), "no possible shape"),
    "offsets below zero": (_entry([4], [-4, 0]), "no possible shape"),
    "offsets that are no integers": (_entry([4], [0.0, 4.0]), "no possible shape"),
    "sizes that are truth values": (_entry([True], [0, 1]), "no possible shape"),
    "a type nobody knows": (_entry([4], [0, 4], "I9"), "has the type I9"),
    "a type that is a list": (_entry([4], [0, 4], ["I8"]), "has the type"),
    "a key too many": (_entry([4], [0, 4], more=1), "is not described by"),
    "an entry that is a number": (tensor_file({"t": 4}), "is not described by"),
    "a truth value of 49": (_entry([4], [0, 4], "BOOL"), "neither 0 nor 1"),
    "twenty thousand tensors": (
        lambda: tensor_file({f"t{k}": {"dtype": "I8", "shape": [0], "data_offsets": [0, 0]} for k in range(20000)}),
        "tensors, and at most",
        24,
    ),
}


def _sparse(path) -> None:
    """A hundred GiB, of which the header says the same."""
    size = 100 << 30
    header = tensor_file({"t": {"dtype": "I8", "shape": [size], "data_offsets": [0, size]}})
    with path.open("wb") as file:
        file.write(header)
        file.truncate(len(header) + size)


def _body(change) -> bytes:
    body = program_body()
    replaced = change(body)
    return program_file(body if replaced is None else replaced)


def _step(number: int, **values: object):
    return lambda: _body(lambda body: body["steps"][number].update(values))


def _attribute(number: int, **values: object):
    return lambda: _body(lambda body: body["steps"][number]["attributes"].update(values))


def _tensor(name: str, array: np.ndarray | None):
    tensors = program_tensors() | {name: array}
    return lambda: program_file(program_body(), {key: t for key, t in tensors.items() if t is not None})


def _many_steps(body: dict) -> None:
    first = body["steps"][0]
    body["steps"] = [first | {"output": f"q{k}", "site": None} for k in range(20000)]


def _doubling(body: dict) -> None:
    """Forty steps that each double the channels of the one before."""
    steps, channels = body["steps"][:3], 2
    steps[2]["output"] = "c0"
    for k in range(40):
        channels *= 2
        steps.append({
            "op": "concat", "output": f"c{k + 1}", "inputs": [f"c{k}", f"c{k}"], "rows": "node", "channels": channels,
            "attributes": {}, "tensors": {}, "site": None,
        })  # fmt: skip
    body["steps"] = [*steps, {**body["steps"][4], "inputs": ["c40"], "channels": channels}]


_TEXT = json.dumps(program_body())
_PROGRAMS: dict[str, tuple] = {
    "another format": (lambda: program_file(_TEXT, format="other"), "no dqnumba model"),
    "a version of the future": (
        lambda: program_file(_TEXT, format_version="2"),
        "version 2, this dqnumba reads version 1",
    ),
    "a wrong checksum": (lambda: program_file(_TEXT, sha256="0" * 64), "damaged"),
    "a train file": (train_file, "It is a training file"),
    "no program": (lambda: program_file(""), "cannot be read"),
    "a program that is a list": (lambda: program_file("[]"), "cannot be read"),
    "a program nested deeply": (lambda: program_file("[" * 100_000), "nested too deeply"),
    "a program of a million lists": (lambda: program_file("[" + "[]," * 300_000 + "[]]"), "values", 48),
    "a key twice": (lambda: program_file(_TEXT.replace('"steps"', '"packed": {}, "steps"')), "twice"),
    "infinity": (lambda: program_file(_TEXT.replace("0.05", "Infinity", 1)), "Infinity"),
    "a number beyond float64": (lambda: program_file(_TEXT.replace("0.05", "1e999", 1)), "beyond float64"),
    "an integer of ten thousand digits": (lambda: program_file(_TEXT.replace("0.05", "9" * 10000, 1)), "4300"),
    "half a surrogate pair in a name": (
        lambda: program_file(_TEXT.replace('"site": "a"', '"site": "\\udfff"')),
        "surrogate",
    ),
    "twenty thousand steps": (lambda: _body(_many_steps), "header has|20,000 steps"),
    "no steps": (lambda: _body(lambda b: b.update(steps=[])), "does not end with a dequantize"),
    "steps that are numbers": (lambda: _body(lambda b: b.update(steps=[1, 2])), "cannot be read"),
    "a step that reads itself": (_step(2, inputs=["r"]), "which does not fit"),
    "two steps in a circle": (_step(1, inputs=["n"]), "which does not fit"),
    "a register written twice": (_step(2, output="m"), "which does not fit"),
    "a register that is a list": (_step(1, inputs=[["q"]]), "no text|cannot be read"),
    "a step that overwrites the features": (_step(0, output="x"), "which does not fit"),
    "an operation nobody knows": (_step(3, op="exec"), "unknown operation"),
    "an operation that is a list": (_step(3, op=[]), "unknown operation"),
    "channels beyond the matrix": (_step(1, channels=3), "its weight has shape"),
    "2^40 channels": (_step(1, channels=2**40), "channels=1099511627776 is not possible"),
    "channels that double forty times": (lambda: _body(_doubling), "is not possible|does not fit"),
    "columns outside of a table": (
        lambda: _body(lambda b: b["steps"][3].update(op="columns", attributes={"start": 1})),
        "columns are beyond",
    ),
    "a table of another length": (_tensor("f", np.ones(3, np.int32)), "multipliers0 has shape"),
    "a shift of 63": (_tensor("s", np.array([63, 33], np.int8)), "leaves 1 .. 62"),
    "a shift below zero": (_tensor("s", np.array([-1, 33], np.int8)), "leaves 1 .. 62"),
    "a zero point of 2^40": (_attribute(2, zero_in=2**40), "no integer from"),
    "a scale of nothing": (_attribute(4, scale=0.0), "no positive float32"),
    "codes in the wrong order": (_attribute(2, low=5, high=-5), "wrong order"),
    "a weight of floats": (_tensor("w", np.ones((4, 2), np.float32)), "missing or no"),
    "a weight of three axes": (_tensor("w", np.ones((4, 2, 1), np.int8)), "its weight has shape"),
    "a weight that is missing": (_tensor("w", None), "missing or no"),
    "a tensor of no step": (_tensor("more", np.ones(1, np.int8)), "belong to no step"),
    "2^40 features": (lambda: _body(lambda b: b["meta"].update(num_features=2**40)), "is not possible"),
    "as many features as a truth value": (lambda: _body(lambda b: b["meta"].update(num_features=True)), "no int"),
    "a packed tensor that is not there": (lambda: _body(lambda b: b["packed"].update(v=2)), "cannot be read"),
    "a packed tensor of 2^60 columns": (
        lambda: program_file(
            program_body() | {"packed": {"w": 2**60}}, program_tensors() | {"w": np.ones((4, 1), np.uint8)}
        ),
        "cannot be read",
    ),
    "packed that is a list": (lambda: _body(lambda b: b.update(packed=[["w", 2]])), "cannot be read"),
}


# -- train files -----------------------------------------------------------------------------------------------------


def _trained(change) -> bytes:
    """The train file with its content changed, and a right checksum over that."""
    content, tensors = _parts()
    replaced = change(content, tensors)
    text = replaced if isinstance(replaced, str) else json.dumps(content if replaced is None else replaced)
    return save_tensors(tensors, {"dqnumba": text, "sha256": _digest(text, tensors)})


def _parts() -> tuple[dict, dict[str, np.ndarray]]:
    from safetensors.numpy import load

    whole = train_file()
    size = int.from_bytes(whole[:8], "little")
    return json.loads(json.loads(whole[8 : 8 + size])["__metadata__"]["dqnumba"]), load(whole)


def _state(**values: object):
    return lambda: _trained(lambda content, _: content["state"].update(values))


def _config(**values: object):
    return lambda: _trained(lambda content, _: content["model_config"].update(values))


def _quant(**values: object):
    return lambda: _trained(lambda content, _: content["quant_config"].update(values))


def _without(key: str):
    return lambda: _trained(lambda content, _: {k: v for k, v in content.items() if k != key})


def _rng(state: object) -> dict:
    whole = copy.deepcopy(dict(np.random.default_rng(0).bit_generator.state))
    return whole | {"state": state}


_TRAIN: dict[str, tuple] = {
    "no train file": (lambda: save_tensors({"t": np.ones(1)}), "no train file of dqnumba"),
    "a wrong checksum": (lambda: save_tensors({}, {"dqnumba": "{}", "sha256": ""}), "damaged"),
    "content that is a list": (lambda: _trained(lambda c, t: "[]"), "cannot be read"),
    "content nested deeply": (lambda: _trained(lambda c, t: "[" * 100_000), "nested too deeply"),
    "content of five million lists": (
        lambda: _trained(lambda c, t: "[" + "[]," * 5_000_000 + "[]]"),
        "values|header",
        128,
    ),
    "a version of the future": (lambda: _trained(lambda c, t: c.update(version=9)), "version 9; this dqnumba reads"),
    "settings without data": (
        lambda: _trained(lambda c, t: c["settings"].pop("source") and None),
        "settings of this run cannot be read",
        "ConfigError",
    ),
    "a path of numbers": (
        lambda: _trained(lambda c, t: c["settings"]["source"].update(dataset=[1])),
        "settings of this run cannot be read",
        "ConfigError",
    ),
    "a run of an unknown setting": (
        lambda: _trained(lambda c, t: c["settings"].update(exec=1)),
        "settings of this run cannot be read",
        "ConfigError",
    ),
    "a recipe of an unknown key": (
        lambda: _trained(lambda c, t: c["recipe"]["train"].update(exec=1)),
        "unknown key 'exec'",
    ),
    "a recipe of lists": (lambda: _trained(lambda c, t: c["recipe"]["train"].update(lr=[1])), "must be of type float"),
    "no state": (_without("state"), "state is missing"),
    "no configuration": (_without("model_config"), "model_config is missing"),
    "a state with more": (_state(more=1), "other parts"),
    "a history of texts": (_state(history=["x"]), "history is missing or of another type"),
    "an epoch below zero": (_state(epoch=-1), "epoch is missing or of another type"),
    "a random state of texts": (_state(rng=_rng({"state": "x", "inc": "y"})), "no state of a generator"),
    "a random state that is too large": (_state(rng=_rng({"state": 2**200, "inc": 1})), "no state of a generator"),
    "another random generator": (_state(rng={"bit_generator": "os.system"}), "no state of a generator"),
    "a schedule of lists": (_state(schedule={"lr": [1]}), "schedule holds"),
    "a tensor of no section": (
        lambda: _trained(lambda c, t: t.update({"__class__/x": np.ones(1)})),
        "belongs to no section",
    ),
    "10^9 hidden channels": (_config(hidden_channels=10**9), "does not belong to"),
    "10^9 input channels": (_config(in_channels=10**9), "does not belong to"),
    "a million layers": (_config(num_layers=10**6), "does not belong to"),
    "10^9 heads": (_config(kind="GAT", heads=10**9), "does not belong to"),
    "an embedding of 10^9": (_config(embedding=10**9, in_channels=10**9), "does not belong to"),
    "other widths than the tensors": (_config(hidden_channels=2), "shape", "ConfigError"),
    "a model nobody knows": (_config(kind="os.system"), "is not known", "ConfigError"),
    "a kind that is a list": (_config(kind=[]), "is not known", "ConfigError"),
    "99 bits": (_quant(weight_bits=99), "is not possible", "ConfigError"),
    "an option nobody knows": (_quant(exec="x"), "Unknown quantization option", "ConfigError"),
    "training that has not ended": (
        lambda: _trained(lambda c, t: [t.pop(k) for k in list(t) if k.startswith("model/")] and None),
        "has not ended",
        "ConfigError",
    ),
}


# -- state dicts -----------------------------------------------------------------------------------------------------


def _weights(**tensors: np.ndarray):
    return lambda: save_tensors({name.replace("__", "."): np.asarray(a) for name, a in tensors.items()})


_STATE_DICTS: dict[str, tuple] = {
    "bfloat16": (_entry([2], [0, 4], "BF16"), r"has the type BF16.*model\.float\(\)"),
    "bytes": (_weights(conv1__lin__weight=np.ones((2, 3), np.uint8)), "has the type uint8"),
    "a head for a hundred thousand channels": (
        _weights(
            conv1__lin__weight=np.ones((100_000, 1), np.float32),
            conv1__bias=np.ones(100_000, np.float32),
            lin__weight=np.ones((2, 100_000), np.float32),
            lin__bias=np.ones(2, np.float32),
        ),
        "read as two",
        24,
    ),
    "weights that are not finite": (
        _weights(conv1__lin__weight=np.full((2, 3), np.nan, np.float32), conv1__bias=np.ones(2, np.float32)),
        "not finite",
    ),
    "weights beyond float32": (
        _weights(conv1__lin__weight=np.full((2, 3), 1e300), conv1__bias=np.ones(2)),
        "beyond float32",
    ),
    "weights of no width": (
        _weights(conv1__lin__weight=np.ones((2, 0), np.float32), conv1__bias=np.ones(2, np.float32)),
        "has the shape",
    ),
    "weights of three axes": (
        _weights(conv1__lin__weight=np.ones((2, 3, 1), np.float32), conv1__bias=np.ones(2, np.float32)),
        "shape",
    ),
    "a bias of another width": (
        _weights(conv1__lin__weight=np.ones((2, 3), np.float32), conv1__bias=np.ones(5, np.float32)),
        "shape",
    ),
    "tensors nobody knows": (_weights(eval=np.ones(3, np.float32)), "."),
}

ATTACKS: list[Attack] = [
    *attacks("model", "ModelFormatError", _CONTAINER | _PROGRAMS),
    *attacks("train", "ModelFormatError", _CONTAINER | _TRAIN),
    *attacks("weights", "DataError", _CONTAINER | _STATE_DICTS),
    *(
        Attack(reader, "a hundred GiB of nothing", _sparse, error, "at most", places=True)
        for reader, error in (("model", "ModelFormatError"), ("train", "ModelFormatError"), ("weights", "DataError"))
    ),
]
