"""Values and roundings by themselves: each against the real number that it stands for."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from builder_bench import BIAS, CHANNELS, ROWS, SUMS, Bench, reals, run, site, weights
from small_models import build, random_graph

import dqnumba as dq
from dqnumba.convert.builder import Builder, Value
from dqnumba.errors import ConversionError


@pytest.mark.parametrize("bits", [4, 8, 16])
@pytest.mark.parametrize("signed", [True, False])
@pytest.mark.parametrize(
    ("options", "row", "stages", "error"),
    [
        ({"scale": 3.1e-4}, None, 1, 2.0**-20),
        ({"scale": CHANNELS}, None, 1, 2.0**-20),
        ({"scale": 3.1e-4, "row": "gcn"}, None, 1, 2.0**-20),
        ({"scale": 3.1e-4}, "gcn", 1, 2.0**-20),
        ({"scale": 3.1e-4, "row": "gcn"}, "gcn", 1, 2.0**-20),
        ({"scale": 3.1e-4, "bias": BIAS}, None, 2, 2.0**-15),
        ({"scale": CHANNELS, "bias": BIAS, "relu": True}, None, 2, 2.0**-15),
        ({"scale": 3.1e-4, "row": "gcn", "bias": BIAS}, None, 2, 2.0**-15),
        ({"scale": 3.1e-4, "row": "gcn", "bias": BIAS}, "gcn", 2, 2.0**-14),
        ({"scale": 3.1e-4, "row": "mean"}, "gcn", 2, 2.0**-14),
        ({"scale": CHANNELS}, "gcn", 2, 2.0**-14),
        ({"scale": CHANNELS, "bias": BIAS, "row": "gcn"}, "gcn", 3, 2.0**-13),
        ({"scale": CHANNELS, "row": "mean"}, None, 3, 2.0**-13),
        ({"scale": CHANNELS, "row": "gcn"}, "gcn", 3, 2.0**-13),
    ],
)  # fmt: skip
def test_a_rounding_is_the_nearest_code(bits, signed, options, row, stages, error):
    """To within the guard bits: where the real number is further from a tie, the code is that of exact arithmetic."""
    value = Value("x", "node", 3, zero=-7, **options)
    span = np.abs(reals(value, SUMS)).max() / 2 ** (bits - 1)
    qparams = site(bits, signed, float(np.float32(span)), 1 if signed else 2 ** (bits - 1) - 3)
    b = Bench(s=qparams)
    result = b.round_at("s", value, row=row)
    (step,) = b.steps
    assert len(step.attributes["stages"]) == stages and step.attributes["bits"] == bits
    wanted = reals(value, SUMS) * (1.0 if row is None else ROWS) / qparams.scale + qparams.stored_zero_point
    low, high = (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)
    assert (result.codes, result.zero, result.scale) == ((low, high), qparams.stored_zero_point, qparams.scale)
    assert (step.attributes["low"], step.attributes["high"]) == (result.zero if value.relu else low, high)
    codes = run(step, b.tensors, SUMS)
    assert np.abs(codes - np.clip(wanted, low, high)).max() <= 0.5 + error
    assert codes.std() > 2 ** (bits - 4), "the codes are spread"
    assert (result.register, result.rows, result.channels) == (step.output, "node", 3) and not result.relu
    assert result.bias is None and result.row is None and b.scales == {"s": qparams.scale}


@pytest.mark.parametrize(
    ("bits", "row", "bias", "reach", "guard"),
    [(8, None, 0, None, 16), (14, None, 0, None, 16), (15, None, 0, None, 15), (16, None, 0, None, 14),
     (8, "gcn", 0, None, 14), (16, "gcn", 0, None, 14), (8, None, 0, 2.0**14, 14), (8, None, 0, 2.0**20, 10),
     (8, None, 2.0**20, None, 9), (8, None, -(2.0**17), 0.0, 11)],
)  # fmt: skip
def test_guard_bits_of_a_rounding(bits, row, bias, reach, guard):
    """16, within 30 with the code; 14 where a row factor follows; fewer for large biases and sums known to be large."""
    b = Bench(s=site(bits, scale=1.0))
    value = Value("x", "node", 1, bias=np.full(1, bias), reach=None if reach is None else np.array([reach]))
    b.round_at("s", value, row=row)
    first, last = b.steps[0].attributes["stages"]
    assert first == {"multiplier": 2**30, "shift": 30 - guard, "row_factor": None, "bias": True}
    assert last == {"multiplier": 2**30, "shift": 30 + guard, "row_factor": row, "bias": False}


def test_a_row_factor_and_channels_have_guard_bits_of_their_own():
    b = Bench(s=site(8, scale=1.0))
    b.round_at("s", Value("x", "node", 2, scale=np.array([1.0, 0.5]), row="mean"))
    first, middle, last = b.steps[0].attributes["stages"]
    assert (first["shift"], first["row_factor"]) == (30 - 14, "mean") and middle["multiplier"] is None
    assert b.tensors[b.steps[0].tensors["shifts1"]].tolist() == [30 - 16 + 14, 31 - 16 + 14]
    assert (last["shift"], last["row_factor"]) == (30 + 16, None)


def test_a_rounding_may_have_another_name():
    b = Bench(s=site())
    result = b.round_at("s", Value("x", "edge", 1), name="t")
    assert b.steps[0].site == "t" and b.scales == {"t": 0.5} and result.register == b.steps[0].output == "r0:t"


@pytest.mark.parametrize("bits", [4, 8])
def test_codes_of_unsigned_sites_are_stored_signed(bits):
    b = Bench(s=site(bits, signed=False, zero=2))
    half = 2 ** (bits - 1)
    value = Value("x", "node", 1, codes=(-8, 7))
    for result in (b.add("s", value, value), b.round_at("s", value)):
        assert result.codes == (-half, half - 1) and result.zero == 2 - half
        a = b.steps[-1].attributes
        assert (a["low"], a["high"], a["zero_point"]) == (-half, half - 1, 2 - half)


@pytest.mark.parametrize("table", [False, True])
def test_features_enter_at_their_site(table):
    qparams = site(4, signed=False, scale=0.25, zero=5)
    rows = np.array([[0.0, 1.0], [-9.0, 9.0]], np.float32)
    b = Bench(s=qparams)
    result = b.round_at("s", Value("x", "node", 2, entry=True, table=rows if table else None), row=None)
    (step,) = b.steps
    assert (step.site, step.rows, step.channels, step.inputs) == ("s", "node", 2, ("x",))
    assert (result.register, result.codes, result.zero, result.scale) == (step.output, (-8, 7), -3, 0.25)
    assert not result.entry and result.table is None
    if table:
        assert step.op == "lookup" and step.attributes == {"zero_point": -3, "low": -8, "high": 7}
        codes = b.tensors[step.tensors["table"]]
        assert codes.tolist() == [[-3, 1], [-8, 7]] and codes.dtype == np.int8
        with pytest.raises(ConversionError, match="embedding cannot be scaled"):
            b.round_at("s", Value("x", "node", 2, entry=True, table=rows), row="gcn")
    else:
        assert step.op == "quantize" and step.attributes == {
            "scale": 0.25, "zero_point": 5, "qmin": 0, "qmax": 15, "offset": 8, "row_factor": None,
        }  # fmt: skip
        b.round_at("s", Value("x", "node", 2, entry=True), row="gcn")
        assert b.steps[1].attributes["row_factor"] == "gcn"


@pytest.mark.parametrize(
    ("first", "second", "gain", "shift"),
    [(1.0, 1.0, 1.0, 30), (1.0, 0.3, 1.0, 30), (0.3, 1.01, 1.0, 29), (1.0, 0.001, -3.0, 28),
     (2.0**-40, 2.0**-41, 1.0, 62), (2.0**29, 1.0, 1.0, 1), (2.0**30 - 0.5, 1.0, 1.0, 1)],
)  # fmt: skip
def test_two_sets_of_codes_are_added_with_one_rounding(first, second, gain, shift):
    """At the finest grid on which both factors have 31 bits."""
    b = Bench(s=site(8, scale=1.0, zero=4))
    one = Value("a", "node", 3, scale=first, zero=2, codes=(-128, 127))
    two = Value("b", "node", 3, scale=second, zero=-5, codes=(-8, 7))
    result = b.add("s", one, two, gain=gain)
    (step,) = b.steps
    a = step.attributes
    assert (
        step.op == "add"
        and step.inputs == ("a", "b")
        and step.site == "s"
        and (step.rows, step.channels) == ("node", 3)
    )
    assert a["shift"] == shift and b.scales == {"s": 1.0}
    for factor, m in ((gain * first, a["multiplier1"]), (second, a["multiplier2"])):
        assert type(m) is int and abs(m - factor * 2.0**shift) <= 0.5
    assert {k: a[k] for k in ("zero1", "zero2", "zero_point", "low", "high", "bits")} == {
        "zero1": 2, "zero2": -5, "zero_point": 4, "low": -128, "high": 127, "bits": 8,
    }  # fmt: skip
    wanted = Value(step.output, "node", 3, scale=1.0, zero=4, codes=(-128, 127))
    assert result == wanted


def test_sums_of_codes_far_beyond_their_site_are_refused():
    b = Bench(s=site(8, scale=1.0))
    for factors in ((2.0**30, 1.0), (1.0, -(2.0**30)), (2.0**30 * (1 - 2.0**-40), 1.0), (1e30, 1.0)):
        one, two = (Value("a", "node", 1, scale=f, codes=(-8, 7)) for f in factors)
        with pytest.raises(ConversionError, match=r"^s: .*too small"):
            b.add("s", one, two)


def test_a_residual_is_added_where_it_is_rounded():
    b = Bench(s=site(8, scale=0.5, zero=0))
    branch = Value(
        "a", "node", 2, scale=0.25, zero=1, codes=(-8, 7), plus=Value("b", "node", 2, scale=0.5, codes=(-8, 7))
    )
    result = b.round_at("s", branch)
    (step,) = b.steps
    assert (step.op, step.inputs, step.site) == ("add", ("a", "b"), "s") and result.plus is None
    for value, row in ((branch, "gcn"), (branch.with_relu(), None)):
        with pytest.raises(ConversionError, match=r"^s: .*residual"):
            b.round_at("s", value, row=row)


@pytest.mark.parametrize(
    ("codes", "zero", "bits"),
    [((-128, 127), 5, 8), ((-32768, 32767), 0, 16), ((0, 255), 3, 8), ((0, 256), 3, 16), ((-8, 7), -8, 8)],
)  # fmt: skip
def test_a_relu_of_codes_is_a_maximum_with_their_zero(codes, zero, bits):
    b = Bench()
    value = Value("x", "edge", 2, scale=0.5, zero=zero, codes=codes, relu=True)
    result = b.clamped(value)
    (step,) = b.steps
    assert result == replace(value, register=step.output, relu=False, codes=(max(codes[0], zero), codes[1]))
    assert (step.rows, step.channels, step.site) == ("edge", 2, None) and step.attributes["bits"] == bits
    inputs = np.arange(codes[0], codes[1] + 1)[:, None]
    assert run(step, b.tensors, inputs).tolist() == np.maximum(inputs, zero).tolist()
    assert b.clamped(result) is result and len(b.steps) == 1


def test_a_batch_norm_merges_into_a_value():
    scale, shift = np.array([2.0, -0.5]), np.array([1.0, 3.0])
    value = Value("x", "node", 2, scale=0.25, zero=3)
    once = value.affine(scale, shift)
    twice = once.affine(scale, shift)
    sums = np.array([[5, 6]])
    assert reals(once, sums).tolist() == (reals(value, sums) * scale + shift).tolist()
    assert reals(twice, sums).tolist() == (reals(once, sums) * scale + shift).tolist()
    assert once.register == "x" and once.zero == 3 and twice.with_relu().relu and not twice.relu
    with pytest.raises(ConversionError, match=r"ReLU .* site"):
        value.with_relu().affine(scale, shift)


@pytest.mark.parametrize(
    ("scale", "zero", "signed"), [(0.5, 0, True), (0.5, 7, True), (0.5, 130, False), ([0.5, 0.25], [0, 0], True)]
)
def test_a_product_with_its_bias(scale, zero, signed):
    b = Bench(weights(scale, zero, signed, per_channel=isinstance(scale, list)))
    weight = np.array([[1.0, -2.0], [3.0, 0.5], [0.0, 1.0]], np.float32)
    value = Value("x", "node", 3, scale=0.125, zero=-3, codes=(-8, 7))
    bias = np.array([1.0, -1.0], np.float32)
    result = b.matmul("w", value, weight, bias)
    (step,) = b.steps
    codes, integers = (b.tensors[step.tensors[name]] for name in ("weight", "bias"))
    w = (codes.astype(int) - step.attributes["weight_zero"]) * np.asarray(scale)
    assert np.abs(w - weight).max() <= 0.25 and codes.dtype == np.int8
    assert step.op == "matmul" and step.inputs == ("x",) and step.attributes["zero_in"] == -3
    assert (step.rows, step.channels, step.site, step.output) == ("node", 2, None, "r0:w")
    assert integers.dtype == np.int32 and integers.tolist() == np.rint(bias / (0.125 * np.asarray(scale))).tolist()
    assert b.scales == {"w": scale} and type(step.attributes["weight_zero"]) is int
    assert np.array_equal(result.scale, 0.125 * np.asarray(scale)) and result.zero == 0 and result.codes is None
    assert (result.register, result.rows, result.channels) == ("r0:w", "node", 2)
    # The reach is attained: all inputs at the code that is further from zero, with the signs of a column.
    centred = codes.astype(int) - step.attributes["weight_zero"]
    assert result.reach.tolist() == (np.abs(centred).sum(axis=0) * 10 + np.abs(integers)).tolist()
    free = b.matmul("w", replace(value, zero=6), weight)
    assert b.tensors[b.steps[1].tensors["bias"]].tolist() == [0, 0]
    assert free.reach.tolist() == (np.abs(centred).sum(axis=0) * 14).tolist()


def test_the_reach_of_wide_codes_does_not_wrap():
    b = Bench()
    codes = np.array([[-128, 127], [127, -128]], np.int8)
    result = b.matmul_codes(Value("x", "node", 2, zero=127, codes=(-128, 127)), codes, 0.5, 100, None, "w")
    assert result.reach.tolist() == [255 * (228 + 27)] * 2


def test_a_product_with_one_channel():
    b = Bench(weights([0.5], [0], per_channel=True))
    result = b.matmul("w", Value("x", "node", 1, scale=2.0, codes=(-8, 7)), np.ones((1, 1), np.float32))
    assert result.scale.tolist() == [1.0] and b.steps[0].attributes["weight_zero"] == 0


def test_a_bias_goes_to_the_nearest_step_half_up_and_fits_int32():
    b = Bench(weights(1.0))
    value, weight = Value("x", "node", 1, codes=(-8, 7)), np.ones((1, 4), np.float32)
    b.matmul("w", value, weight, np.array([0.5, 1.5, -0.5, -1.5]))
    assert b.tensors[b.steps[0].tensors["bias"]].tolist() == [1, 2, 0, -1]
    b.matmul("w", value, weight, np.array([2.0**31 - 1, 1 - 2.0**31, 0, 0]))
    assert b.tensors[b.steps[1].tensors["bias"]].tolist() == [2**31 - 1, 1 - 2**31, 0, 0]
    for large in (2.0**31, -(2.0**31), 1e30):
        with pytest.raises(ConversionError, match=r"^w: the bias of channel 2 is ") as caught:
            b.matmul("w", value, weight, np.array([5.0, -6.0, large, 7.0]))
        assert f"{large:.3g} steps" in str(caught.value)


def test_a_product_reads_codes():
    b = Bench(weights(1.0))
    weight = np.ones((1, 1), np.float32)
    for value in (Value("x", "node", 1), Value("x", "node", 1, codes=(-8, 7), relu=True)):
        with pytest.raises(ConversionError, match=r"^w: a product reads codes"):
            b.matmul("w", value, weight)


def test_sites_that_cannot_be_used_are_named():
    qmodel = build()
    dq.calibrate(qmodel, random_graph(1))
    b = Builder(qmodel)
    assert b.qparams("conv1.input") == qmodel.quantizers["conv1.input"].qparams()
    with pytest.raises(ConversionError, match=r"^Site conv1\.weight is no activation"):
        b.qparams("conv1.weight")
    b = Bench(s=site(8, scale=2.0**-30))
    with pytest.raises(ConversionError, match=r"^t: its scale 9\.31e-10 .*2\*\*30.*collapse_fallback") as caught:
        b.round_at("s", Value("x", "node", 1, scale=2.0**10), name="t")
    assert isinstance(caught.value.__cause__, dq.ConfigError)


def test_registers_are_named_and_constants_lie_in_rows():
    b = Bench()
    tensor = np.arange(6).reshape(2, 3).T
    names = [
        b.emit("concat", ("a", "b"), "node", np.int64(3), site="s", label="l", tensors={"t": tensor}, start=1),
        b.emit("concat", (), "edge", 3, label="l"),
        b.emit("concat", (), "edge", 3),
    ]
    assert names == ["r0:s", "r1:l", "r2:concat"] == [s.output for s in b.steps]
    assert b.steps[0].tensors == {"t": "r0:s.t"} and b.steps[0].attributes == {"start": 1} and b.steps[1].tensors == {}
    assert b.tensors["r0:s.t"].flags.c_contiguous and np.array_equal(b.tensors["r0:s.t"], tensor)
    assert type(b.steps[0].channels) is int and b.steps[0].inputs == ("a", "b") and b.steps[0].op == "concat"
    assert [s.site for s in b.steps] == ["s", None, None] and [s.rows for s in b.steps] == ["node", "edge", "edge"]
