"""The lowering rules by themselves: what they say of the registers that they make, and what they refuse."""

from __future__ import annotations

import numpy as np
import pytest
from builder_bench import Bench, run, weights
from small_models import MODELS, build, random_batch, random_graph

import dqnumba as dq
from dqnumba.convert import builder, layers, lowering
from dqnumba.convert.builder import Value

SMALL = (
    ("fused", {}),
    ("paper", {}),
    ("paper", {"heads": 3, "num_layers": 2, "out": 5}),
    ("fused", {"hidden": 12, "out": 16}),
)


@pytest.fixture
def noted(monkeypatch):
    """Every value that a rule makes."""
    found = []

    class Noted(Value):
        def __init__(self, *args, **options):
            super().__init__(*args, **options)
            found.append(self)

    for module in (builder, layers, lowering):
        monkeypatch.setattr(module, "Value", Noted)
    return found


@pytest.mark.parametrize("readout", [None, "max", "mean"])
@pytest.mark.parametrize(("sites", "options"), SMALL)
@pytest.mark.parametrize("model", MODELS)
def test_values_say_what_their_steps_say(model, sites, options, readout, noted):
    """Rows, channels and codes of a value are those of the step that wrote its register."""
    data = random_batch(2, sizes=(4, 5))[0] if readout else random_graph(2, 9)
    qmodel = build(model=model, sites=sites, readout=readout, residual=True, **options)
    dq.calibrate(qmodel, data)
    steps = {step.output: step for step in dq.convert(qmodel).program.steps}
    made = {value.register: value for value in noted}
    assert set(steps) - set(made) <= {list(steps)[-1]}, "all but the exit's are told as values"
    for value in noted:
        if value.register not in steps:
            assert value.entry and value.register == "x" and value.rows == "node"
            continue
        step = steps[value.register]
        assert (value.rows, value.channels) == (step.rows, step.channels), step
        a = step.attributes
        if step.op in ("add", "lookup", "requantize") and a.get("bits") != 32:
            assert (
                value.codes[1] == a["high"]
                and a["low"] in (value.codes[0], value.zero)
                and value.zero == a["zero_point"]
            )
        elif step.op in ("quantize", "edge_norm"):
            assert value.zero == a["zero_point"] - a["offset"]
            assert step.op == "edge_norm" or value.codes == (a["qmin"] - a["offset"], a["qmax"] - a["offset"])
        elif step.op in ("pool_max", "columns", "concat"):
            assert value.codes == made[step.inputs[0]].codes and value.zero == made[step.inputs[0]].zero
        else:
            assert value.codes is None and value.zero == 0


def test_every_step_reads_what_is_there(noted):
    qmodel = build(model="sage", residual=True)
    dq.calibrate(qmodel, random_graph(2, 9))
    known = {"x"}
    for step in dq.convert(qmodel).program.steps:
        assert set(step.inputs) <= known
        known.add(step.output)


@pytest.mark.parametrize(("codes", "zero"), [((-128, 127), 5), ((-8, 7), -8), ((-32768, 32767), 32767)])
def test_codes_are_centred_exactly(codes, zero):
    b = Bench()
    value = Value("x", "node", 1, scale=0.5, zero=zero, codes=codes, step=2.0)
    result = layers._centred(b, value)
    (step,) = b.steps
    assert (result.register, result.zero, result.scale, result.step) == (step.output, 0, 0.5, 2.0)
    assert result.codes == (codes[0] - zero, codes[1] - zero) == (step.attributes["low"], step.attributes["high"])
    assert step.attributes["bits"] == 16 and (step.rows, step.channels, step.inputs) == ("node", 1, ("x",))
    inputs = np.arange(codes[0], codes[1] + 1, 7 if codes[1] > 127 else 1)[:, None]
    assert run(step, b.tensors, inputs).tolist() == (inputs - zero).tolist()
    assert layers._centred(b, result) is result and len(b.steps) == 1


@pytest.mark.parametrize("heads", [1, 2, 3])
@pytest.mark.parametrize("zero", [0, 7])
def test_scores_are_products_with_blocks(heads, zero):
    """Each head's score sums its own channels only."""
    b = Bench(weights(1.0))
    rng = np.random.default_rng(heads)
    codes = rng.integers(-128, 128, 4 * heads).astype(np.int8)
    h = Value("x", "node", 4 * heads, scale=0.5, zero=3, codes=(-128, 127))
    value = layers._scores(b, h, codes, 0.25, zero, heads, "s")
    x = rng.integers(-128, 128, (5, 4 * heads))
    matrix = b.tensors[b.steps[0].tensors["weight"]].astype(int) - zero
    wanted = (x * (codes.astype(int) - zero)).reshape(5, heads, 4).sum(axis=2)
    assert (x @ matrix).tolist() == wanted.tolist() and matrix.shape == (4 * heads, heads)
    assert value.scale == 0.125 and b.steps[0].attributes["weight_zero"] == zero
    assert b.tensors[b.steps[0].tensors["weight"]].dtype == np.int8


def test_what_is_no_quantized_model_is_named():
    with pytest.raises(dq.ConversionError, match=r"dqnumba\.prepare, not GCN\."):
        dq.convert(build().model)
    with pytest.raises(dq.ConversionError, match="not int"):
        dq.convert(3)
