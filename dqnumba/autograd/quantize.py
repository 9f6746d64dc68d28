"""Fake quantization as an operation: forward rounds, backward pretends that it did not."""

from __future__ import annotations

import numpy as np

from ..errors import ConfigError
from ..kernels import fake_quant as kernels
from . import memory
from .recording import is_recording
from .tensor import Tensor, record

__all__ = ["fake_quantize"]

_RULES = {
    "ste": kernels.RULE_STE,
    "clip": kernels.RULE_CLIP,
    "clip_inclusive": kernels.RULE_CLIP_INCLUSIVE,
}


def fake_quantize(
    x: Tensor,
    scale: float | np.ndarray,
    zero_point: float | np.ndarray,
    qmin: int,
    qmax: int,
    *,
    protected: np.ndarray | None = None,
    rule: str = "clip",
) -> Tensor:
    """(clip(rint(x / scale + zero_point), qmin, qmax) - zero_point) * scale, with a gradient that passes the rounding.

    Parameters
    ----------
    x : Tensor (N, C) or (C,)
    scale, zero_point : number or array (C,)
        One for the tensor, or one for each channel (last axis).
    qmin, qmax : int
    protected : bool (N,), optional
        Rows that stay float, as does their gradient: the protective mask of Degree-Quant (section 3.1 of the paper).
    rule : {"clip", "ste", "clip_inclusive"}
        Where the gradient passes: where the code is within qmin .. qmax before clipping; everywhere; strictly within.

    Returns
    -------
    Tensor of x's shape
        float32 in the exact order of operations of `dqnumba.quant.affine`; float64 tensors take the same formula in
        NumPy.
    """
    if rule not in _RULES:
        raise ConfigError(f"gradient rule {rule!r}; allowed are {', '.join(map(repr, _RULES))}")
    wanted = x.requires_grad and is_recording()
    out, passed = (_in_float32 if x.dtype == np.float32 else _in_numpy)(
        x.data, scale, zero_point, qmin, qmax, protected, _RULES[rule], wanted
    )

    def backward(grad):
        if rule == "ste":
            return (grad,)
        result = memory.empty(grad.shape, grad.dtype)
        kernels.masked_gradient(np.ascontiguousarray(grad).reshape(-1), passed.reshape(-1), result.reshape(-1))
        return (result,)

    return record(out, (x,), backward)


def _in_float32(x, scale, zero_point, qmin, qmax, protected, rule, wanted):
    scale, zero_point = np.float32(scale), np.float32(zero_point)
    if scale.ndim:
        zero_point = np.broadcast_to(zero_point, scale.shape).copy()
    inverse = np.float32(1) / scale
    rows = np.ascontiguousarray(x).reshape(-1, x.shape[-1])
    out = memory.empty(rows.shape, np.float32)
    passed = memory.empty(rows.shape if wanted and rule != kernels.RULE_STE else (0, 0), np.uint8)
    mask = np.empty(0, np.bool_) if protected is None else protected
    function = kernels.fake_quantize_channels if scale.ndim else kernels.fake_quantize
    function(rows, scale, inverse, zero_point, np.float32(qmin), np.float32(qmax), mask, out, passed, rule)
    return out.reshape(x.shape), passed


def _in_numpy(x, scale, zero_point, qmin, qmax, protected, rule, wanted):
    q = np.rint(x * (1 / np.asarray(scale, x.dtype)) + zero_point)
    out = (np.clip(q, qmin, qmax) - zero_point) * np.asarray(scale, x.dtype)
    passed = (q >= qmin) & (q <= qmax) if rule == kernels.RULE_CLIP else (q > qmin) & (q < qmax)
    if protected is not None:
        out[protected] = x[protected]
        passed[protected] = True
    return out, passed.astype(np.uint8)
