"""A builder without a model, and what its roundings and values come to in numbers."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np

from dqnumba.convert.builder import Builder
from dqnumba.quant import QParams, QuantSpec, quantize_multiplier, requantize

RNG = np.random.default_rng(0)
ROWS = RNG.uniform(0.05, 1.0, (6000, 1))
SUMS = RNG.integers(-(2**17), 2**17, (6000, 3))
CHANNELS = np.array([0.7, -0.011, 0.3]) * 2.0**-9
BIAS = np.array([5.0, -0.3, 0.01])


class Bench(Builder):
    """A builder with sites of given parameters."""

    def __init__(self, weights=None, **sites):
        super().__init__(SimpleNamespace(quantizers=weights or {}))
        self.sites = sites

    def qparams(self, site):
        return self.sites[site]


def site(bits=8, signed=True, scale=0.5, zero=3):
    return QParams(scale, zero, QuantSpec(bits, signed=signed))


def run(step, tensors, sums, rows=ROWS):
    """The codes of a requantize step; a row factor is folded into its stage as binding does it."""
    a, stages = step.attributes, []
    for i, s in enumerate(a["stages"]):
        if s["multiplier"] is None:
            m, shift = (
                tensors[step.tensors[f"{name}{i}"]].astype(np.int64)[None] for name in ("multipliers", "shifts")
            )
        else:
            factor = {None: 1.0, "gcn": rows, "gcn2": rows**2, "mean": rows}[s["row_factor"]]
            m, shift = quantize_multiplier(np.ldexp(float(s["multiplier"]), -s["shift"]) * factor)
        stages.append((m, shift, tensors[step.tensors[f"bias{i}"]][None] if s["bias"] else None))
    return requantize(sums, stages, zero_in=a["zero_in"], zero_point=a["zero_point"], low=a["low"], high=a["high"])


def reals(value, sums, rows=ROWS):
    """What the head of the module says that a value means."""
    real = value.scale * (1.0 if value.row is None else rows) * (sums - value.zero)
    real = real + (0.0 if value.bias is None else value.bias)
    return np.maximum(real, 0.0) if value.relu else real


def weights(scale, zero=0, signed=True, per_channel=False):
    spec = QuantSpec(8, signed=signed, granularity="per_channel" if per_channel else "per_tensor")
    return {"w": SimpleNamespace(qparams=lambda weight: QParams(scale, zero, spec))}
