"""Hypothesis strategies for quantizers: specifications, ranges, parameters, tensors."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from ...quant.qparams import MAX_MAGNITUDE, QParams, choose_qparams
from ...quant.spec import MAX_BITS, MIN_BITS, QuantSpec

__all__ = ["HOSTILE_VALUES", "bounds", "hostile_tensors", "qparams", "ranges", "specs", "tensors"]

HOSTILE_VALUES = tuple(
    float(np.float32(sign * size))
    for size in (0.0, 1e-45, 1.1754942e-38, 1.1754944e-38, 1e-30, 2.0**-24, 2.0**31, 2.0**63, 1e30, 3.4028235e38)
    for sign in (1, -1)
)
"""Float32 values on which casts, reciprocals and clamps go wrong: both zeros, the smallest and the largest subnormal,
the smallest normal, integers that int32 and int64 do not hold, the largest float. No NaN and no infinity."""

_EDGE_VALUES = (
    0.0,
    -0.0,
    1.0,
    -1.0,
    5e-324,
    -5e-324,
    1.5e-45,
    1.1754944e-38,
    1.1920929e-07,
    1e-30,
    3.4e37,
    MAX_MAGNITUDE,
)
_FRACTIONS = st.floats(0.125, 1)


def bounds() -> st.SearchStrategy[float]:
    """One end of a range: everyday numbers, zeros, subnormals of both float types, and the largest allowed."""
    everyday = st.floats(-1e4, 1e4)
    anything = st.floats(-MAX_MAGNITUDE, MAX_MAGNITUDE)
    return st.one_of(everyday, anything, st.sampled_from(_EDGE_VALUES), st.just(-MAX_MAGNITUDE))


def ranges() -> st.SearchStrategy[tuple[float, float]]:
    """(low, high) with low <= high; equal ends, one-sided and huge ranges among them; 0 need not lie inside."""
    both_sides = st.builds(lambda a, b, e: (-a * 2.0**e, b * 2.0**e), _FRACTIONS, _FRACTIONS, st.integers(-20, 20))
    return st.one_of(st.tuples(bounds(), bounds()), bounds().map(lambda b: (b, b)), both_sides).map(
        lambda pair: tuple(sorted(pair))
    )


@st.composite
def specs(draw: st.DrawFn, *, granularity: str | None = None, max_bits: int = MAX_BITS) -> QuantSpec:
    """Any meaningful specification; ``granularity`` fixes that field."""
    signed = draw(st.booleans())
    return QuantSpec(
        bits=draw(st.integers(MIN_BITS, max_bits)),
        signed=signed,
        symmetric=draw(st.booleans()),
        narrow=signed and draw(st.booleans()),
        granularity=granularity or draw(st.sampled_from(("per_tensor", "per_channel"))),
    )


@st.composite
def qparams(draw: st.DrawFn, *, channels: int = 3, granularity: str | None = None) -> QParams:
    """Parameters chosen from a drawn range; per-channel ones have ``channels`` entries."""
    spec = draw(specs(granularity=granularity))
    if not spec.per_channel:
        return choose_qparams(*draw(ranges()), spec)
    pairs = draw(st.lists(ranges(), min_size=channels, max_size=channels))
    return choose_qparams([low for low, _ in pairs], [high for _, high in pairs], spec)


@st.composite
def tensors(draw: st.DrawFn, parameters: QParams, *, channels: int = 3, inside: bool = False) -> np.ndarray:
    """float32 (N, channels), 0 <= N <= 6, over the range of ``parameters`` and, unless ``inside``, far beyond.

    Values next to the middle between two codes, where rounding decides, are drawn often.
    """
    rows = draw(st.integers(0, 6))
    reach = 0.0 if inside else 4.0
    low, high = parameters.spec.qmin - reach, parameters.spec.qmax + reach
    positions = st.one_of(
        st.floats(low, high),
        st.integers(int(low), int(high)).map(float),
        st.integers(int(low), int(high) - 1).map(lambda q: q + 0.5),
    )
    grid = draw(hnp.arrays(np.float64, (rows, channels), elements=positions, fill=st.nothing()))
    x = (grid - parameters.zero_point) * parameters.scale
    if not inside and rows and draw(st.booleans()):
        x[0, 0] = draw(st.floats(-(2.0**127), 2.0**127, width=32))
    largest = float(np.finfo(np.float32).max)
    return np.clip(x, -largest, largest).astype(np.float32)


def hostile_tensors(
    shape: int | tuple[int, ...] | st.SearchStrategy[tuple[int, ...]] | None = None,
) -> st.SearchStrategy[np.ndarray]:
    """float32 arrays of everyday and hostile values, without NaN and infinities.

    Parameters
    ----------
    shape : int, tuple or strategy, optional
        By default one or two dimensions of 0 to 5.
    """
    shape = hnp.array_shapes(min_dims=1, max_dims=2, min_side=0, max_side=5) if shape is None else shape
    halves = st.integers(-20, 20).map(lambda k: k / 2)  # ties at scale 1
    elements = st.one_of(halves, st.floats(-100, 100, width=32), st.sampled_from(HOSTILE_VALUES))
    return hnp.arrays(np.float32, shape, elements=elements, fill=st.nothing())
