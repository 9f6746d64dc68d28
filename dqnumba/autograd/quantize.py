"""Fake quantization as an operation: forward rounds, backward pretends that it did not."""

from __future__ import annotations

import numpy as np

from ..errors import ConfigError
from ..kernels import fake_quant as kernels
from ..kernels.fake_quant_learned import CHUNK_ROWS, learned_gradient
from . import memory
from .recording import is_recording
from .tensor import Tensor, record

__all__ = ["fake_quantize", "fake_quantize_learned"]

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
    last_use: bool = False,
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
    last_use : bool
        Nothing else is made of ``x``: a recorded result may take over its memory (see `Tensor`). Behind a ReLU, one
        mask then serves both gradients.

    Returns
    -------
    Tensor of x's shape
        float32 in the exact order of operations of `dqnumba.quant.affine`; float64 tensors take the same formula in
        NumPy.
    """
    if rule not in _RULES:
        raise ConfigError(f"gradient rule {rule!r}; allowed are {', '.join(map(repr, _RULES))}")
    wanted = x.requires_grad and is_recording()
    if last_use and wanted and (x.spare or x.before_relu is not None) and _fits_in_place(x, scale):
        return _in_place(x, scale, zero_point, qmin, qmax, protected, _RULES[rule])
    out, passed = (_in_float32 if x.dtype == np.float32 else _in_numpy)(
        x.data, scale, zero_point, qmin, qmax, protected, _RULES[rule], wanted
    )

    def backward(grad):
        return (grad if rule == "ste" else _masked(grad, passed),)

    return record(out, (x,), backward, spare=True)


def fake_quantize_learned(
    x: Tensor,
    log_scale: Tensor,
    scale: float | np.ndarray,
    zero_point: float | np.ndarray,
    qmin: int,
    qmax: int,
    *,
    protected: np.ndarray | None = None,
    rule: str = "clip",
) -> Tensor:
    """`fake_quantize` with a scale that is trained through its logarithm (LSQ; Esser et al., ICLR 2020).

    Parameters
    ----------
    x : Tensor (N, C)
        It must keep its values until the gradient has been taken.
    log_scale : Tensor (1,) or (C,)
        ``scale`` has been made with it already; it is given for its gradient: grad * (x^ - x) summed over values within
        the range, grad * x^ over clipped ones.
    scale, zero_point, qmin, qmax, protected
        As for `fake_quantize`; one scale, or one for each channel.
    rule : {"clip", "ste"}

    Returns
    -------
    Tensor of x's shape
    """
    if rule not in ("clip", "ste"):
        raise ConfigError(f"gradient rule {rule!r} with a learned range; allowed are 'clip' and 'ste'")
    in_float32 = x.dtype == np.float32
    make = _in_float32 if in_float32 else _in_numpy
    out, _ = make(x.data, scale, zero_point, qmin, qmax, protected, kernels.RULE_CLIP, not in_float32)
    kept = x.data

    def backward(grad):
        one_scale = in_float32 and np.ndim(scale) == 0 and kept.ndim == 2
        gradients = _learned_in_kernel if one_scale else _learned_in_numpy
        return gradients(grad, kept, scale, zero_point, qmin, qmax, protected, rule, log_scale)

    return record(out, (x, log_scale), backward, spare=True)


def _learned_in_kernel(grad, x, scale, zero_point, qmin, qmax, protected, rule, log_scale):
    result = memory.empty(x.shape, np.float32)
    sums = np.empty(-(-x.shape[0] // CHUNK_ROWS), np.float64)
    mask = np.empty(0, np.bool_) if protected is None else protected
    scale = np.float32(scale)
    learned_gradient(
        np.ascontiguousarray(grad), np.ascontiguousarray(x), scale, np.float32(1) / scale, np.float32(zero_point),
        np.float32(qmin), np.float32(qmax), mask, int(rule == "ste"), result, sums,
    )  # fmt: skip
    return result, np.full(log_scale.shape, sums.sum(), log_scale.dtype)


def _learned_in_numpy(grad, x, scale, zero_point, qmin, qmax, protected, rule, log_scale):
    scale = np.asarray(scale, x.dtype)
    q = np.rint(x * (1 / scale) + np.asarray(zero_point, x.dtype))
    inside = (q >= qmin) & (q <= qmax)
    rounded = (np.clip(q, qmin, qmax) - zero_point) * scale
    part = grad * np.where(inside, rounded - x, rounded)
    passed = inside | (rule == "ste")
    if protected is not None:
        part[protected] = 0
        passed[protected] = True
    sums = part.sum(axis=tuple(range(part.ndim - 1)) if log_scale.size > 1 else None, dtype=np.float64)
    return np.where(passed, grad, 0).astype(grad.dtype), sums.reshape(log_scale.shape).astype(log_scale.dtype)


def _fits_in_place(x: Tensor, scale: float | np.ndarray) -> bool:
    return x.dtype == np.float32 and x.data.flags.c_contiguous and x.ndim == 2 and np.ndim(scale) == 0


def _in_place(x, scale, zero_point, qmin, qmax, protected, rule) -> Tensor:
    parent = x if x.before_relu is None else x.before_relu
    mask = np.empty(0, np.bool_) if protected is None else protected
    passed = memory.empty(x.shape, np.uint8)
    scale = np.float32(scale)
    kernels.fake_quantize_in_place(
        scale, np.float32(1) / scale, np.float32(zero_point), np.float32(qmin), np.float32(qmax), mask, rule,
        int(parent is not x), x.data, passed,
    )  # fmt: skip
    return record(x.data, (parent,), lambda grad: (_masked(grad, passed),), spare=True)


def _masked(grad: np.ndarray, passed: np.ndarray) -> np.ndarray:
    result = memory.empty(grad.shape, grad.dtype)
    kernels.masked_gradient(np.ascontiguousarray(grad).reshape(-1), passed.reshape(-1), result.reshape(-1))
    return result


def _in_float32(x, scale, zero_point, qmin, qmax, protected, rule, wanted):
    scale, zero_point = np.float32(scale), np.float32(zero_point)
    if scale.ndim:
        zero_point = np.broadcast_to(zero_point, scale.shape).copy()
    inverse = np.float32(1) / scale
    channels = x.shape[-1]
    rows = np.ascontiguousarray(x).reshape(x.size // max(channels, 1), channels)
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
