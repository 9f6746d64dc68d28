"""Record what PyTorch and ONNX Runtime give for hostile values: ``python tests/testing/record_vectors.py torch``.

Writes ``vectors/torch.json`` (or ``onnxruntime.json``) beside this file; floats as the integers of their 32 bits.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
from foreign import limits, onnx_session

from dqnumba.testing.strategies import HOSTILE_VALUES

FOLDER = Path(__file__).parent / "vectors"
OPERATORS = ("QuantizeLinear", "DequantizeLinear")
PARAMETERS = [(1.0, 0), (1.0, 1), (0.5, -3), (0.1, 5), (0.0371, 17), (2.0**-23, 0), (1e12, 2), (1e-12, 1)]


def inputs(scale, zero_point, qmin, qmax, seed):
    """Hostile values, ties around both ends and 0, and random ones, as float32."""
    rng = np.random.default_rng(seed)
    steps = [q + off for q in (qmin, 0, qmax) for off in (-1.5, -1, -0.5, -0.25, 0, 0.5, 1, 1.5)]
    grid = np.concatenate([np.array(steps) - zero_point, rng.uniform(qmin - 3, qmax + 3, 12) - zero_point])
    return np.concatenate([np.array(HOSTILE_VALUES), [np.inf, -np.inf], grid * scale]).astype(np.float32)


def bits_of(array):
    return np.asarray(array, np.float32).view(np.uint32).tolist()


def cases(kinds):
    for bits, signed in kinds:
        qmin, qmax = limits(bits, signed)
        for i, (scale, zero_point) in enumerate(PARAMETERS):
            scale, zero_point = float(np.float32(scale)), min(max(zero_point, qmin), qmax)
            x = inputs(scale, zero_point, qmin, qmax, i)
            yield {"bits": bits, "signed": signed, "scale": scale, "zero_point": zero_point, "x": bits_of(x)}, x


def record_torch():
    import torch

    found = []
    for case, x in cases([(8, True), (8, False), (4, True)]):
        leaf = torch.from_numpy(x.copy()).requires_grad_(True)
        ends = limits(case["bits"], case["signed"])
        out = torch.fake_quantize_per_tensor_affine(leaf, case["scale"], case["zero_point"], *ends)
        out.backward(torch.ones_like(out))
        found.append(case | {"out": bits_of(out.detach().numpy()), "gradient": leaf.grad.numpy().astype(int).tolist()})
    return {"version": torch.__version__, "cases": found}


def record_onnxruntime():
    import onnxruntime

    found = []
    for case, x in cases([(8, True), (8, False), (16, False)]):
        into, back = (onnx_session(op, case["bits"], case["signed"], None) for op in OPERATORS)
        kind = f"{'' if case['signed'] else 'u'}int{case['bits']}"
        feed = {"s": np.array(case["scale"], np.float32), "z": np.array(case["zero_point"], kind)}
        codes = into.run(None, {"x": x, **feed})[0]
        found.append(case | {"codes": codes.tolist(), "out": bits_of(back.run(None, {"x": codes, **feed})[0])})
    return {"version": onnxruntime.__version__, "cases": found}


if __name__ == "__main__":
    name = sys.argv[1]
    record = {"torch": record_torch, "onnxruntime": record_onnxruntime}[name]()
    lines = ",\n".join(json.dumps(case) for case in record["cases"])
    text = f'{{"version": "{record["version"]}", "cases": [\n{lines}\n]}}\n'
    (FOLDER / f"{name}.json").write_text(text, encoding="utf-8")
