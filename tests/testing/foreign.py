"""Quantizers of other hands, written down in NumPy from their descriptions; and the real ones where they are installed.

* The official Degree-Quant rules: Tailor et al. (ICLR 2021), behaviour of ``dq/quantization.py``.
* PyTorch's ``fake_quantize_per_tensor_affine`` and ``fake_quantize_per_channel_affine``, forward and backward.
* ONNX's QuantizeLinear and DequantizeLinear, as ONNX Runtime computes them.

``record_vectors.py`` recorded what PyTorch and ONNX Runtime give; ``test_foreign.py`` holds the NumPy forms to it.
"""

from __future__ import annotations

import numpy as np

from dqnumba.testing import Quantizer

FP32_EPS = 2.0**-23


def limits(bits, signed):
    low = -(1 << (bits - 1)) if signed else 0
    return low, low + (1 << bits) - 1


def float32(value):
    return np.asarray(value).astype(np.float32)


def dequantize(q, scale, zero_point):
    return (np.asarray(q, np.int64) - zero_point).astype(np.float32) * float32(scale)


def official(bits, *, signed=True, gradient="gc"):
    """One IntegerQuantizer: asymmetric, per tensor; "ste", or "gc", which cuts the two end codes too."""
    qmin, qmax = limits(bits, signed)

    def grid(x, scale, zero_point):
        return np.rint(x * np.float32(1 / scale) + np.float32(zero_point))

    def passes(x, upstream, scale, zero_point):
        codes = grid(x, scale, zero_point)
        return upstream if gradient == "ste" else np.where((codes >= qmax) | (codes <= qmin), 0, upstream)

    def qparams(low, high):
        low, high = min(0.0, low), max(0.0, high)
        if low == high:
            return 1.0, 0
        scale = max((high - low) / (qmax - qmin), FP32_EPS)
        return scale, int(min(max(qmin - round(low / scale), qmin), qmax))

    return Quantizer(
        name=f"official Degree-Quant {bits}-bit {'signed' if signed else 'unsigned'} {gradient}",
        quantize=lambda x, s, z: np.clip(grid(x, s, z), qmin, qmax).astype(np.int32),
        dequantize=dequantize, gradient=passes, gradient_rule={"ste": "ste", "gc": "clip_inclusive"}[gradient],
        qparams=qparams, bits=bits, signed=signed,
    )  # fmt: skip


def torch_codes(x, scale, zero_point):
    """Codes before the clamp: times the reciprocal, rounded to even, and only then plus the zero point."""
    return np.rint(x * (np.float32(1) / float32(scale))) + float32(zero_point)


def torch_fake_quantize(x, scale, zero_point, qmin, qmax):
    with np.errstate(over="ignore"):
        return dequantize(np.clip(torch_codes(x, scale, zero_point), qmin, qmax).astype(np.int64), scale, zero_point)


def torch_mask(x, scale, zero_point, qmin, qmax):
    with np.errstate(over="ignore"):
        codes = torch_codes(x, scale, zero_point)
    return (codes >= qmin) & (codes <= qmax)


def torch_rules(bits=8, *, signed=True):
    qmin, qmax = limits(bits, signed)
    return Quantizer.from_fake_quantize(
        f"PyTorch fake_quantize in NumPy, {qmin} .. {qmax}",
        lambda x, s, z: torch_fake_quantize(x, s, z, qmin, qmax),
        gradient=lambda x, upstream, s, z: np.where(torch_mask(x, s, z, qmin, qmax), upstream, 0),
        gradient_rule="clip", bits=bits, signed=signed, zero_point_added="after_rounding",
    )  # fmt: skip


def torch_live(bits=8, *, signed=True, axis=None, **claims):
    """The real one; raises ImportError without PyTorch."""
    import torch

    qmin, qmax = limits(bits, signed)

    def forward(x, scale, zero_point):
        if axis is None:
            return torch.fake_quantize_per_tensor_affine(x, float(scale), int(zero_point), qmin, qmax)
        scale, zero_point = torch.from_numpy(float32(scale)), torch.from_numpy(zero_point.astype(np.int32))
        return torch.fake_quantize_per_channel_affine(x, scale, zero_point, axis % x.ndim, qmin, qmax)

    def tensor(x):
        return torch.from_numpy(np.array(x))

    def gradient(x, upstream, scale, zero_point):
        leaf = tensor(x).requires_grad_(True)
        forward(leaf, scale, zero_point).backward(tensor(upstream))
        return leaf.grad.numpy()

    return Quantizer.from_fake_quantize(
        f"PyTorch {torch.__version__} fake_quantize {qmin} .. {qmax}" + ("" if axis is None else f" axis {axis}"),
        lambda x, s, z: forward(tensor(x), s, z).numpy(), gradient=gradient, gradient_rule="clip", bits=bits,
        signed=signed, zero_point_added="after_rounding", per_channel=axis is not None,
        axis=-1 if axis is None else axis, **claims,
    )  # fmt: skip


def onnx_quantize(x, scale, zero_point, qmin, qmax):
    """Saturate(round(x / scale) + zero_point); a true division, not the reciprocal."""
    with np.errstate(over="ignore"):
        return np.clip(np.rint(x / float32(scale)) + float32(zero_point), qmin, qmax).astype(np.int32)


def onnx_rules(bits=8, *, signed=True):
    qmin, qmax = limits(bits, signed)
    return Quantizer(
        name=f"ONNX QuantizeLinear in NumPy, {qmin} .. {qmax}",
        quantize=lambda x, s, z: onnx_quantize(x, s, z, qmin, qmax), dequantize=dequantize, bits=bits, signed=signed,
        zero_point_added="after_rounding",
    )  # fmt: skip


def onnx_session(op, bits, signed, axis):
    """A session of one node; inputs x, scale, zero_point."""
    import onnxruntime
    from onnx import TensorProto, helper

    kind = {(8, True): TensorProto.INT8, (8, False): TensorProto.UINT8, (16, False): TensorProto.UINT16}[bits, signed]
    shape = ["n"] if axis is None else ["n", "m"]
    ends = [] if axis is None else ["c"]
    kinds = (TensorProto.FLOAT, kind) if op == "QuantizeLinear" else (kind, TensorProto.FLOAT)
    inputs = [
        helper.make_tensor_value_info("x", kinds[0], shape),
        helper.make_tensor_value_info("s", TensorProto.FLOAT, ends), helper.make_tensor_value_info("z", kind, ends),
    ]  # fmt: skip
    attributes = {} if axis is None else {"axis": axis}
    node = helper.make_node(op, ["x", "s", "z"], ["y"], **attributes)
    graph = helper.make_graph([node], "one", inputs, [helper.make_tensor_value_info("y", kinds[1], shape)])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])


def onnx_live(bits=8, *, signed=True, axis=None):
    """The real ones; raises ImportError without onnx and ONNX Runtime."""
    import onnxruntime

    qmin, qmax = limits(bits, signed)
    codes = np.dtype(f"{'' if signed else 'u'}int{bits}")
    into, back = (onnx_session(op, bits, signed, axis) for op in ("QuantizeLinear", "DequantizeLinear"))

    def run(session, x, scale, zero_point):
        feed = {"x": np.ascontiguousarray(x), "s": float32(scale), "z": np.asarray(zero_point).astype(codes)}
        return session.run(None, feed)[0]

    return Quantizer(
        name=f"ONNX Runtime {onnxruntime.__version__} QuantizeLinear {qmin} .. {qmax}"
        + ("" if axis is None else f" axis {axis}"),
        quantize=lambda x, s, z: run(into, x, s, z),
        dequantize=lambda q, s, z: run(back, q.astype(codes), s, z), bits=bits, signed=signed,
        zero_point_added="after_rounding", per_channel=axis is not None, axis=-1 if axis is None else axis,
    )  # fmt: skip


def rules():
    """All of them in NumPy."""
    return [
        official(8), official(4), official(8, signed=False, gradient="ste"), torch_rules(8), torch_rules(4),
        torch_rules(8, signed=False), onnx_rules(8), onnx_rules(8, signed=False),
    ]  # fmt: skip


#: PyTorch 2.13 per channel: from 2**63 steps on, a positive value gets the lowest code (a cast to int64).
WITHIN_INT64 = {"max_steps": 2.0**62, "infinities": False}


def live_torch():
    channels = [torch_live(8, axis=axis, **WITHIN_INT64) for axis in (0, -1)]
    return [torch_live(8), torch_live(4, signed=False), *channels]


def live_onnx():
    return [onnx_live(8), onnx_live(8, signed=False), onnx_live(16, signed=False), onnx_live(8, axis=0)]
