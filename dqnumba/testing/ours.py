"""The quantizers of dqnumba as the kit sees them: :mod:`dqnumba.quant`, and the operation on the tape."""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import quant
from ..autograd import Tensor
from ..autograd import fake_quantize as fake_quantize_on_tape
from ..quant.qparams import QParams
from ..quant.spec import QuantSpec
from .quantizer import Quantizer

__all__ = ["on_tape", "ours", "plain"]


def plain(**fields: Any) -> Quantizer:
    """:mod:`dqnumba.quant` for a `QuantSpec` with these fields: quantize, dequantize, choose_qparams, requantize."""
    spec = QuantSpec(**fields)

    def qparams(low, high):
        chosen = quant.choose_qparams(low, high, spec)
        return chosen.scale, chosen.zero_point

    def requantize(acc, factor, zero_point):
        stage = (*quant.quantize_multiplier(factor), None)
        return quant.requantize(acc, [stage], zero_point=zero_point, low=spec.qmin, high=spec.qmax)

    return Quantizer(
        name=f"quant {_words(spec)}",
        quantize=lambda x, scale, zero_point: quant.quantize(x, QParams(scale, zero_point, spec)),
        dequantize=lambda q, scale, zero_point: quant.dequantize(q, QParams(scale, zero_point, spec)),
        fake_quantize=lambda x, scale, zero_point: quant.fake_quantize(x, QParams(scale, zero_point, spec)),
        qparams=qparams, requantize=requantize, **_claims(spec),
    )  # fmt: skip


def on_tape(rule: str = "clip", **fields: Any) -> Quantizer:
    """:func:`dqnumba.autograd.fake_quantize` with one of its gradient rules; codes are read off its result."""
    spec = QuantSpec(**fields)

    def forward(x, scale, zero_point, requires_grad=False):
        rows = x if spec.per_channel else x.reshape(-1, 1)  # as layers call it: (N, C)
        tensor = Tensor(np.array(rows), requires_grad=requires_grad)
        return tensor, fake_quantize_on_tape(tensor, scale, zero_point, spec.qmin, spec.qmax, rule=rule)

    def gradient(x, upstream, scale, zero_point):
        tensor, out = forward(x, scale, zero_point, requires_grad=True)
        out.backward(upstream.reshape(out.shape))
        return tensor.grad.reshape(x.shape)

    return Quantizer.from_fake_quantize(
        f"autograd.fake_quantize rule={rule!r} {_words(spec)}",
        lambda x, scale, zero_point: forward(x, scale, zero_point)[1].data.reshape(x.shape),
        gradient=gradient, gradient_rule=rule, **_claims(spec),
    )  # fmt: skip


def ours() -> list[Quantizer]:
    """Every kind that dqnumba has, at several widths."""
    tensors = [
        {"bits": 8}, {"bits": 4}, {"bits": 2}, {"bits": 16}, {"bits": 8, "signed": False},
        {"bits": 4, "symmetric": True, "signed": False}, {"bits": 8, "symmetric": True, "narrow": True},
        {"bits": 4, "symmetric": True},
    ]  # fmt: skip
    channels = {"bits": 8, "symmetric": True, "narrow": True, "granularity": "per_channel"}
    asymmetric = {"bits": 4, "granularity": "per_channel"}
    tape = [
        on_tape("clip", bits=8), on_tape("ste", bits=4), on_tape("clip_inclusive", bits=4), on_tape("clip", **channels),
    ]  # fmt: skip
    return [*(plain(**fields) for fields in (*tensors, channels, asymmetric)), *tape]


def _claims(spec: QuantSpec) -> dict[str, Any]:
    return {
        "bits": spec.bits, "signed": spec.signed, "symmetric": spec.symmetric, "narrow": spec.narrow,
        "per_channel": spec.per_channel,
    }  # fmt: skip


def _words(spec: QuantSpec) -> str:
    words = ["signed" if spec.signed else "unsigned"]
    words += [word for word in ("symmetric", "narrow") if getattr(spec, word)]
    return f"{spec.bits}-bit {' '.join(words)}{' per channel' if spec.per_channel else ''}"
