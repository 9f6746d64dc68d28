"""What a property draws for a quantizer: parameters that its claims allow, and values where quantizers go wrong."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import strategies as st

from .quantizer import Quantizer
from .strategies.values import HOSTILE_VALUES, ranges

__all__ = ["accumulators", "codes", "observed_ranges", "rescaled", "values"]

_FLOAT32_MAX = float(np.finfo(np.float32).max)
_EVERYDAY_SCALES = (1.0, 0.5, 2.0, 0.1, 1 / 255, 1 / 3, 0.0371, 100.0, 2.0**-23, 1e-12, 1e12, 2.0**-100, 2.0**100)


class _Absolute(float):
    """A value as it is, not a position on the grid of codes."""


def _float32(value: float) -> float:
    return float(np.float32(value))


def _scales(exact: bool) -> st.SearchStrategy[float]:
    powers = st.integers(-40, 40).map(lambda k: 2.0**k)
    if exact:
        return powers
    return st.one_of(
        st.sampled_from([_float32(s) for s in _EVERYDAY_SCALES]), powers, st.floats(2.0**-20, 2.0**10, width=32),
        st.floats(2.0**-100, 2.0**100, width=32),
    )  # fmt: skip


def _parameters(q: Quantizer, exact: bool) -> st.SearchStrategy[Any]:
    """(scale, zero_point), or of a quantizer per channel a list of one to three such pairs."""
    if q.fixed is not None:
        return st.just(q.fixed)
    zero_points = st.just(q.center) if q.symmetric else st.integers(q.qmin, q.qmax)
    pairs = st.tuples(_scales(exact), zero_points)
    return st.lists(pairs, min_size=1, max_size=3) if q.per_channel else pairs


def _positions(q: Quantizer, exact: bool, beyond: bool) -> st.SearchStrategy[list[float]]:
    """One to twelve places on the axis of codes, half of the lists around the two ends; and absolute values."""
    reach = 3 if beyond else 0
    low, high = q.qmin - reach, q.qmax + reach
    part = 16 if q.precision >= q.bits + 6 else 2  # fractions of a step that the arithmetic represents exactly
    around = (0.0, -0.5, 0.5, -1 / part, 1 / part, -1.0, 1.0, -1.5, 1.5)
    ends = [min(max(end + off, low), high) for end in (q.qmin, q.qmax) for off in around]
    choices = [
        st.integers(low, high).map(float),
        st.integers(2 * low, 2 * high).map(lambda k: k / 2),
        st.integers(part * low, part * high).map(lambda k: k / part),
    ]
    if not exact:
        choices.append(st.floats(low, high))
        choices.append(st.integers(4 * low, 4 * high).map(lambda k: (k // 2) / 2 + (0.5 - k % 2) * 2.0**-12))
    if beyond:
        infinite = (np.inf, -np.inf) if q.infinities and not exact else ()
        # Of what is far outside, the sign alone decides: exact expectations hold there too.
        far = [v for v in HOSTILE_VALUES if abs(v) > 1e29] if exact else HOSTILE_VALUES
        choices.append(st.sampled_from([_Absolute(v) for v in (*far, *infinite)]))
        ends += [_Absolute(v) for v in (1e30, -1e30, *infinite)]
    longest = 4 if q.per_channel else 12
    anywhere, at_ends = (
        st.lists(one, min_size=1, max_size=longest) for one in (st.one_of(choices), st.sampled_from(ends))
    )
    return st.one_of(anywhere, at_ends)


def _value(q: Quantizer, position: float, scale: float, zero_point: int, beyond: bool) -> float:
    value = float(position) if isinstance(position, _Absolute) else (position - zero_point) * scale
    if not beyond:
        value = min(max(value, (q.qmin - zero_point) * scale), (q.qmax - zero_point) * scale)
    if np.isfinite(q.max_steps):
        value = min(max(value, -q.max_steps * scale), q.max_steps * scale)
    return value if np.isinf(value) else min(max(value, -_FLOAT32_MAX), _FLOAT32_MAX)


def values(q: Quantizer, *, exact: bool = False, beyond: bool = True) -> st.SearchStrategy[dict[str, Any]]:
    """Cases ``{x, scale, zero_point}``.

    Parameters
    ----------
    q : Quantizer
    exact : bool
        Scales are powers of two and positions sixteenths of a step (or far outside), so that every float operation on
        the way to the code is exact and the right code is known without doubt.
    beyond : bool
        Values also outside the range, up to the largest float and, if claimed, infinity.
    """

    def build(parameters, positions):
        if not q.per_channel:
            scale, zero_point = parameters
            row = [_value(q, p, scale, zero_point, beyond) for p in positions]
            return {"x": np.array(row, np.float32), "scale": scale, "zero_point": zero_point}
        n = len(positions)
        x = [[_value(q, positions[(i + j) % n], s, z, beyond) for j, (s, z) in enumerate(parameters)] for i in range(n)]
        scale = np.array([s for s, _ in parameters])
        zero_point = np.array([z for _, z in parameters], np.int64)
        return {"x": np.array(x, np.float32), "scale": scale, "zero_point": zero_point}

    return st.builds(build, _parameters(q, exact), _positions(q, exact, beyond))


def rescaled(q: Quantizer) -> st.SearchStrategy[dict[str, Any]]:
    """Cases ``{x, scale, zero_point, power}``; scale * 2**power is a scale that :func:`values` could draw, too."""

    def build(case, power):
        exponents = np.frexp(np.atleast_1d(case["scale"]))[1]
        return {**case, "power": min(max(power, -99 - int(exponents.min())), 100 - int(exponents.max()))}

    powers = st.one_of(st.sampled_from((1, -1)), st.integers(-60, 60))
    return st.builds(build, values(q, beyond=False), powers)


def codes(q: Quantizer) -> st.SearchStrategy[dict[str, Any]]:
    """Cases ``{codes, scale, zero_point}``: one to four codes, the ends among them often."""

    def build(parameters, drawn):
        array = np.array(drawn, np.int64)
        if not q.per_channel:
            return {"codes": array, "scale": parameters[0], "zero_point": parameters[1]}
        scale = np.array([s for s, _ in parameters])
        zero_point = np.array([z for _, z in parameters], np.int64)
        return {"codes": np.repeat(array[:, None], len(scale), axis=1), "scale": scale, "zero_point": zero_point}

    one = st.one_of(st.integers(q.qmin, q.qmax), st.sampled_from((q.qmin, q.qmax)))
    return st.builds(build, _parameters(q, False), st.lists(one, min_size=1, max_size=4))


def observed_ranges(q: Quantizer) -> st.SearchStrategy[dict[str, Any]]:
    """Cases ``{low, high}``; floats that float32 has, or arrays (C,) of a quantizer per channel."""
    one = ranges().map(lambda pair: (_float32(pair[0]), _float32(pair[1])))
    if not q.per_channel:
        return one.map(lambda pair: {"low": pair[0], "high": pair[1]})
    return st.lists(one, min_size=1, max_size=3).map(
        lambda pairs: {"low": np.array([low for low, _ in pairs]), "high": np.array([high for _, high in pairs])}
    )


def accumulators(q: Quantizer, *, exact: bool) -> st.SearchStrategy[dict[str, Any]]:
    """Cases ``{acc, factor, zero_point}``; with ``exact`` the factor's mantissa has at most ``multiplier_bits`` bits.

    Half of the accumulators are put next to the middle between two codes.
    """
    bits = q.multiplier_bits
    top = int(np.floor(np.log2(q.max_factor)))
    # Usual factors; and those so small that the accumulator needs all its bits, where a short multiplier shows.
    exponents = st.one_of(st.integers(-31, top - 1), st.integers(-23, -16))
    powers = st.integers(-24, top - 1).map(lambda k: 2.0**k)
    mantissas = st.integers(1 << (bits - 1), (1 << bits) - 1)
    dyadic = st.tuples(mantissas, exponents).map(lambda p: float(np.ldexp(float(p[0]), p[1] - bits + 1)))
    reals = st.tuples(st.floats(1, 2, exclude_max=True), exponents).map(lambda p: float(np.ldexp(*p)))
    factors = st.one_of(powers, dyadic, dyadic) if exact else reals
    anything = st.one_of(st.integers(-300, 300), st.integers(-(2**31), 2**31 - 1))
    near_tie = st.tuples(st.integers(2 * q.qmin - 3, 2 * q.qmax + 3), st.integers(-1, 1))

    def build(factor, zero_point, drawn):
        acc = [a if isinstance(a, int) else round((a[0] / 2 - zero_point) / factor) + a[1] for a in drawn]
        return {
            "acc": np.clip(np.array(acc, dtype=object), -(2**31), 2**31 - 1).astype(np.int32), "factor": factor,
            "zero_point": zero_point,
        }  # fmt: skip

    zero_points = st.just(q.center) if q.symmetric else st.integers(q.qmin, q.qmax)
    return st.builds(build, factors, zero_points, st.lists(st.one_of(near_tie, anything), min_size=1, max_size=6))
