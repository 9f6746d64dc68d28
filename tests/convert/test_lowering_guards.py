"""What the lowering refuses: numbers that no integer holds, and rules (of a new layer, say) that would not be exact."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from small_models import build, random_graph, trained

import dqnumba as dq
from dqnumba.convert.builder import Builder, Value
from dqnumba.convert.stages import collect

GRAPH = random_graph(60)


@pytest.fixture
def b():
    """A builder for a calibrated GCN, nothing emitted."""
    return Builder(trained(GRAPH, epochs=0, residual=True)[0])


def codes(**fields):
    return replace(Value("r0", "node", 6, scale=0.5, zero=3, codes=(-128, 127)), **fields)


def refused(says):
    return pytest.raises(dq.ConversionError, match=says)


def test_a_batch_norm_behind_a_relu_has_a_site_between():
    scale, shift = np.array([2.0, 3.0]), np.array([0.5, -1.0])
    merged = codes(bias=np.array([1.0, 1.0])).affine(scale, shift)
    assert merged.scale.tolist() == [1.0, 1.5] and merged.bias.tolist() == [2.5, 2.0]
    with refused("A batch norm behind a ReLU needs a site of its own before it"):
        codes().with_relu().affine(scale, shift)


def test_a_site_of_weights_rounds_no_values(b):
    assert b.qparams("conv1.input").spec.bits == 8
    with refused(r"Site conv1\.weight is no activation"):
        b.round_at("conv1.weight", codes())
    assert b.steps == []


@pytest.mark.parametrize(("row", "value"), [("gcn", codes()), (None, codes(relu=True))])
def test_a_residual_sum_is_rounded_as_it_is(b, row, value):
    with refused(r"conv2\.input: a residual sum cannot be scaled by rows"):
        b.round_at("conv2.input", replace(value, plus=codes()), row=row)
    b.round_at("conv2.input", codes(plus=codes()))
    assert [step.op for step in b.steps] == ["add"]


def test_two_values_that_meet_at_a_far_finer_scale(b):
    scale = float(b.qparams("conv2.input").scale)
    with refused(r"conv2\.input: its scale is too small for the two values that meet there"):
        b.add("conv2.input", codes(), codes(scale=scale * 2.0**30))
    for exponent in (-40, 0, 29):
        value = b.add("conv2.input", codes(scale=scale), codes(scale=scale * 2.0**exponent))
        a = b.steps[-1].attributes
        assert max(a["multiplier1"], a["multiplier2"]) < 1 << 31 and value.scale == scale
        largest = max(1.0, 2.0**exponent)
        assert max(a["multiplier1"], a["multiplier2"]) == largest * 2.0 ** a["shift"] >= 2**30


def test_an_embedding_is_not_scaled_by_rows(b):
    table = codes(entry=True, table=np.ones((4, 6), np.float32))
    with refused("An embedding cannot be scaled by rows at the entry"):
        b.round_at("conv1.input", table, row="gcn")
    assert b.round_at("conv1.input", table).register == "r0:conv1.input"
    assert b.steps[0].op == "lookup"


@pytest.mark.parametrize("value", [codes(relu=True), codes(codes=None)])
def test_a_product_reads_codes(b, value):
    weight = np.ones((6, 6), np.float32)
    with refused(r"conv2\.weight: a product reads codes"):
        b.matmul("conv2.weight", value, weight)
    assert b.matmul("conv2.weight", codes(), weight).channels == 6


def test_a_row_factor_and_a_channel_factor_are_rounded_apart():
    with refused("A row factor and a channel factor meet in one rounding"):
        collect([(np.ones(3), "gcn", None)])
    attributes, tensors = collect([(np.ones(3), None, None), (0.5, "gcn", np.array([1.5, -0.5]))])
    assert [stage["row_factor"] for stage in attributes] == [None, "gcn"]
    assert tensors["bias1"].tolist() == [2, 0]


@pytest.mark.parametrize(("model", "site"), [("gin", "conv1.lin2.weight"), ("sage", "conv1.weight")])
def test_a_bias_beyond_int32_is_named_with_its_channel(model, site):
    """In units of scale_in * scale_w; one that would be clipped could not cancel against a sum any more."""
    qmodel = build(model, hidden=16)
    dq.calibrate(qmodel, GRAPH)
    bias = qmodel.model.convs[0].lin2.bias if model == "gin" else qmodel.model.convs[0].bias
    dq.convert(qmodel)
    bias.data[2] = -3e8
    with refused(rf"{site}: the bias of channel 2 is -\d.*e\+\d+ steps of its scale, beyond int32"):
        dq.convert(qmodel)


def test_a_pending_relu_of_codes_is_carried_out_exactly(b):
    """A maximum with the zero point, whatever the width of the codes."""
    assert b.clamped(codes()) == codes() and b.steps == []
    for low, high, bits in ((-128, 127, 8), (-2048, 2047, 16)):
        value = b.clamped(codes(codes=(low, high), relu=True))
        a = b.steps[-1].attributes
        assert (value.codes, value.relu, value.zero, value.scale) == ((3, high), False, 3, 0.5)
        assert (a["low"], a["high"], a["zero_in"], a["zero_point"], a["bits"]) == (3, high, 3, 3, bits)
        assert [(s["multiplier"], s["shift"]) for s in a["stages"]] == [(1 << 30, 30)]
