"""`check`, its report, and the claims."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from dqnumba import testing
from dqnumba.errors import ConfigError
from dqnumba.testing import PROPERTIES, Quantizer, QuantizerFault, check
from dqnumba.testing.ours import ours
from dqnumba.testing.planted import PLANTED, right


@pytest.mark.parametrize("quantizer", ours(), ids=lambda q: q.name)
def test_our_quantizers_hold(quantizer):
    report = check(quantizer, max_examples=15)
    assert report and not report.failures
    assert set(report.held) | set(report.left_out) == set(PROPERTIES)


@pytest.mark.parametrize(
    "claims",
    [
        {}, {"symmetric": True, "narrow": True}, {"signed": False, "symmetric": True, "bits": 4}, {"signed": False},
        {"per_channel": True}, {"bits": 2}, {"bits": 12},
    ],
    ids=str,
)  # fmt: skip
def test_a_right_quantizer_is_not_accused(claims):
    assert check(right(**claims), max_examples=15)


@pytest.mark.parametrize("rounding", ["half_up", "half_away"])
@pytest.mark.parametrize("added", ["before_rounding", "after_rounding"])
@pytest.mark.parametrize("rule", ["clip", "range"])
def test_other_roundings_and_rules_are_known(rounding, added, rule):
    """Written with exact decisions, in float64."""

    def up(value):
        return np.floor(value) + (value - np.floor(value) >= 0.5)

    def grid(x, scale, zero_point):
        steps = x.astype(np.float64) / scale
        shifted = steps + zero_point if added == "before_rounding" else steps
        whole = up(shifted) if rounding == "half_up" else np.sign(shifted) * up(np.abs(shifted))
        return whole if added == "before_rounding" else whole + zero_point

    def gradient(x, upstream, scale, zero_point):
        if rule == "clip":
            codes = grid(x, scale, zero_point)
            return np.where((codes >= -128) & (codes <= 127), upstream, 0)
        return np.where((x >= (-128 - zero_point) * scale) & (x <= (127 - zero_point) * scale), upstream, 0)

    quantizer = right(
        rounding, quantize=lambda x, s, z: np.clip(grid(x, s, z), -128, 127).astype(int), rounding=rounding,
        zero_point_added=added, gradient=gradient, gradient_rule=rule,
    )  # fmt: skip
    asked = {"properties": ["bounded_error", "rounding", "gradient"], "max_examples": 40, "shrink": False}
    assert check(quantizer, **asked)
    wrong = "half_even" if rounding == "half_up" else "half_up"
    assert "rounding" in check(replace(quantizer, rounding=wrong), raises=False, **asked).failed


def test_the_report_names_the_property_and_the_smallest_case():
    quantizer = PLANTED["floor"].quantizer
    with pytest.raises(QuantizerFault, match=r"FAILED bounded_error") as caught:
        check(quantizer, properties=["zero_exact", "symmetric", "bounded_error"])
    report = caught.value.report
    assert isinstance(caught.value, AssertionError) and not report.passed and not report
    failure = next(f for f in report.failures if f.name == "bounded_error")
    # The smallest: one value, three quarters of a step from its code, at scale 1 and zero point 0.
    assert failure.case["x"].shape == (1,) and failure.case["scale"] == 1.0 and failure.case["zero_point"] == 0
    assert 0.5 < failure.case["x"][0] % 1 < 1
    assert "smallest case: x=[" in str(report) and str(report) == str(caught.value)
    assert report.failed == ["bounded_error"] and list(report.held) == ["zero_exact"]
    assert report.left_out == {"symmetric": "symmetric is not claimed"}


def test_the_same_seed_finds_the_same():
    quantizer = PLANTED["half_away"].quantizer
    first, second = (check(quantizer, raises=False, seed=3, properties=["rounding"]) for _ in range(2))
    assert str(first) == str(second) and first.failures[0].examples == second.failures[0].examples
    assert check(right(), seed=None, max_examples=5)


def test_properties_can_be_chosen_and_misspelt():
    report = check(PLANTED["half_up"].quantizer, properties=["monotone", "idempotent"])
    assert list(report.held) == ["monotone", "idempotent"] and not report.left_out
    with pytest.raises(ConfigError, match="no property is named 'monotonic'; there are zero_exact"):
        check(right(), properties=["monotonic"])


def test_exceptions_of_the_quantizer_are_its_failures():
    def picky(x, scale, zero_point):
        raise KeyError("no such tensor")

    report = check(right(quantize=picky), raises=False, max_examples=5, shrink=False)
    assert report.failures[0].message.startswith("KeyError: ")
    assert {"zero_exact", "clamp", "channels"} & set(report.failed) == {"zero_exact", "clamp"}


def test_fixed_parameters():
    quantizer = Quantizer.with_fixed_parameters(
        "one tensor", lambda x: np.clip(np.rint(x * np.float32(4) + 3), -128, 127).astype(np.int8),
        lambda q: (q.astype(np.float32) - 3) * np.float32(0.25), scale=0.25, zero_point=3,
    )  # fmt: skip
    report = check(quantizer, max_examples=30)
    assert report.left_out["scale_equivariant"] == "the parameters are fixed"
    assert "zero_exact" in check(replace(quantizer, fixed=(0.25, 4)), raises=False, shrink=False).failed


def test_a_limit_that_is_claimed_is_kept_to():
    """The planted overflow before the clamp is no fault of who claims no more than int32 holds."""
    planted = PLANTED["int_before_clip"].quantizer
    honest = replace(
        planted,
        max_steps=2.0**30,
        infinities=False,
        zero_point_added="after_rounding",
        gradient=None,
        gradient_rule=None,
    )
    assert check(honest, max_examples=30)


@pytest.mark.parametrize(
    ("claims", "match"),
    [
        ({"bits": 1}, "bits=1; allowed are 2 to 16"),
        ({"signed": False, "narrow": True}, "narrow=True needs signed=True"),
        ({"rounding": "nearest"}, "rounding='nearest'; allowed are 'half_even'"),
        ({"gradient_rule": None}, "give gradient with gradient_rule"),
        ({"axis": 1}, "axis=1; allowed are -1, 0"),
        ({"precision": 8}, "precision=8 cannot tell 8-bit codes"),
        ({"fixed": (1.0, 0), "per_channel": True}, "fixed parameters"),
    ],
)
def test_claims_that_make_no_sense_are_refused(claims, match):
    with pytest.raises(ConfigError, match=match):
        right(**claims)


def test_import_without_hypothesis_names_the_extra():
    code = (
        "import sys; sys.modules['hypothesis'] = None\n"
        "import dqnumba\n"
        "from dqnumba import MissingExtraError\n"
        "try:\n    import dqnumba.testing\n"
        "except MissingExtraError as error:\n    print(error)\n"
        "from dqnumba import *\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert 'pip install "dqnumba[testing]"' in done.stdout


def test_all_names_of_the_room_exist():
    assert all(getattr(testing, name) is not None for name in testing.__all__)
