"""The named list of properties: what each says, when it applies, what it draws, and how it is held.

A property is held on one drawn case at a time and raises AssertionError when the case breaks it. `PROPERTIES` is in the
order in which `check` goes through it, the simplest first.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from hypothesis import strategies as st

from . import cases
from .held import gradients, integers, parameters, values
from .quantizer import Quantizer

__all__ = ["PROPERTIES", "Property"]


@dataclass(frozen=True)
class Property:
    """One thing that a quantizer is held to.

    Attributes
    ----------
    name : str
    says : str
        In one line.
    missing : callable
        Of a quantizer: why the property does not apply to it, or None if it does.
    draws : callable
        Of a quantizer: the strategy of its cases, dictionaries of named values.
    holds : callable
        Of a quantizer and the values of a case: raises AssertionError if the case breaks the property.
    """

    name: str
    says: str
    missing: Callable[[Quantizer], str | None]
    draws: Callable[[Quantizer], st.SearchStrategy[dict[str, Any]]]
    holds: Callable[..., None]


def _always(q: Quantizer) -> str | None:
    return None


def _given(name: str) -> Callable[[Quantizer], str | None]:
    return lambda q: f"no {name} is given" if getattr(q, name) is None else None


def _claimed(name: str) -> Callable[[Quantizer], str | None]:
    return lambda q: None if getattr(q, name) else f"{name} is not claimed"


def _unless_fixed(q: Quantizer) -> str | None:
    return "the parameters are fixed" if q.fixed is not None else None


def _anywhere(q: Quantizer) -> st.SearchStrategy[dict[str, Any]]:
    return cases.values(q)


def _inside(q: Quantizer) -> st.SearchStrategy[dict[str, Any]]:
    return cases.values(q, beyond=False)


def _exact(q: Quantizer) -> st.SearchStrategy[dict[str, Any]]:
    return cases.values(q, exact=True)


def _exact_inside(q: Quantizer) -> st.SearchStrategy[dict[str, Any]]:
    return cases.values(q, exact=True, beyond=False)


def _with_upstream(q: Quantizer) -> st.SearchStrategy[dict[str, Any]]:
    upstream = st.sampled_from((1.0, -2.0, 0.375, 3e4))
    either = st.one_of(cases.values(q, exact=True), cases.values(q)) if q.fixed is None else cases.values(q)
    return st.builds(lambda case, u: {**case, "upstream": u}, either, upstream)


def _exact_products(q: Quantizer) -> st.SearchStrategy[dict[str, Any]]:
    return cases.accumulators(q, exact=True)


def _any_products(q: Quantizer) -> st.SearchStrategy[dict[str, Any]]:
    return cases.accumulators(q, exact=False)


_LIST = (
    Property("zero_exact", "real 0, of either sign, has a code of its own and comes back as 0",
             _always, _inside, values.zero_exact),
    Property("codes_in_range", "codes are integers of the values' shape, from qmin to qmax",
             _always, _anywhere, values.codes_in_range),
    Property("clamp", "what lies beyond the range, however far, gets the end code of its side",
             _always, _anywhere, values.clamp),
    Property("monotone", "a larger value never gets a smaller code",
             _always, _anywhere, values.monotone),
    Property("bounded_error", "a value within the range comes back at most half a step away",
             _always, _inside, values.bounded_error),
    Property("rounding", "where no float rounding interferes, the code is the one that the claimed rounding gives",
             _unless_fixed, _exact, values.rounding),
    Property("idempotent", "quantizing what was quantized changes nothing",
             _always, _anywhere, values.idempotent),
    Property("codes_kept", "every code is the code of its own real value",
             _always, cases.codes, values.codes_kept),
    Property("symmetric", "the zero point is the middle code, and -x gets the mirrored code of x",
             _claimed("symmetric"), _exact_inside, values.symmetric),
    Property("scale_equivariant", "values and scale times a power of two: the same codes, the reals times that power",
             _unless_fixed, cases.rescaled, values.scale_equivariant),
    Property("elementwise", "the code of a value depends on nothing but the value; inputs are left as they are",
             _always, _anywhere, values.elementwise),
    Property("channels", "each channel is quantized with its own parameters, as if it were alone",
             _claimed("per_channel"), _anywhere, values.channels),
    Property("fake_quantize", "fake_quantize is dequantize after quantize",
             _given("fake_quantize"), _anywhere, values.fake_quantize),
    Property("gradient", "the gradient is the upstream one where the claimed rule lets it pass, else 0",
             _given("gradient"), _with_upstream, gradients.gradient),
    Property("qparams_valid", "for every range the scale is positive and finite and the zero point is a code",
             _given("qparams"), cases.observed_ranges, parameters.qparams_valid),
    Property("range_covered", "both ends of the range, and 0, come back at most half a step away",
             _given("qparams"), cases.observed_ranges, parameters.range_covered),
    Property("range_tight", "the scale is no larger than the range needs",
             _given("qparams"), cases.observed_ranges, parameters.range_tight),
    Property("requantize_exact", "a product that the multiplier holds exactly is rounded once, as claimed",
             _given("requantize"), _exact_products, integers.requantize_exact),
    Property("requantize_close", "any product is within half a code, and what the multiplier's bits leave",
             _given("requantize"), _any_products, integers.requantize_close),
)  # fmt: skip

PROPERTIES = {each.name: each for each in _LIST}
"""Name -> `Property`, nineteen of them."""
