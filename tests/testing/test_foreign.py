"""The kit on quantizers of other hands: none is accused, and what it would need to be told is told by the claims."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import foreign
import numpy as np
import pytest

from dqnumba.testing import check

VECTORS = Path(__file__).parent / "vectors"


def recorded(name):
    return json.loads((VECTORS / f"{name}.json").read_text(encoding="utf-8"))["cases"]


def floats(bits):
    return np.array(bits, np.uint32).view(np.float32)


@pytest.mark.parametrize("quantizer", foreign.rules(), ids=lambda q: q.name)
def test_rules_of_others_hold(quantizer):
    assert check(quantizer, max_examples=25)


@pytest.mark.parametrize("case", recorded("torch"), ids=lambda c: f"{c['bits']}-{c['signed']}-{c['scale']:.3g}")
def test_numpy_form_of_torch_gives_its_bits(case):
    x, ends = floats(case["x"]), foreign.limits(case["bits"], case["signed"])
    out = foreign.torch_fake_quantize(x, case["scale"], case["zero_point"], *ends)
    np.testing.assert_array_equal(out, floats(case["out"]))
    np.testing.assert_array_equal(foreign.torch_mask(x, case["scale"], case["zero_point"], *ends), case["gradient"])


@pytest.mark.parametrize("case", recorded("onnxruntime"), ids=lambda c: f"{c['bits']}-{c['signed']}-{c['scale']:.3g}")
def test_numpy_form_of_onnx_gives_its_bits(case):
    ends = foreign.limits(case["bits"], case["signed"])
    codes = foreign.onnx_quantize(floats(case["x"]), case["scale"], case["zero_point"], *ends)
    np.testing.assert_array_equal(codes, case["codes"])
    out = foreign.dequantize(codes, case["scale"], case["zero_point"])
    np.testing.assert_array_equal(out, floats(case["out"]))


def test_torch_itself_holds():
    pytest.importorskip("torch", reason="PyTorch is not installed; its recorded vectors were checked")
    for quantizer in foreign.live_torch():
        assert check(quantizer, max_examples=25)


def test_onnx_runtime_itself_holds():
    for module in ("onnx", "onnxruntime"):
        pytest.importorskip(module, reason=f"{module} is not installed; recorded vectors were checked")
    for quantizer in foreign.live_onnx():
        assert check(quantizer, max_examples=25)


@pytest.mark.parametrize("quantizer", [foreign.torch_rules(8), foreign.onnx_rules(8)], ids=lambda q: q.name)
def test_the_order_of_rounding_and_zero_point_tells_them_apart(quantizer):
    """Told that the zero point is added before rounding, as in the official code, the kit finds the odd zero points."""
    report = check(
        replace(quantizer, zero_point_added="before_rounding"), raises=False, properties=["monotone", "rounding"]
    )
    assert report.failed == ["rounding"]
    assert report.failures[0].case["zero_point"] % 2 == 1
