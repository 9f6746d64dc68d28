"""The exit of a program: what is pending becomes sums of int32, and those floats."""

from __future__ import annotations

import numpy as np
import pytest
from builder_bench import BIAS, CHANNELS, SUMS, Bench, reals, run
from small_models import build

from dqnumba.convert.builder import Value


@pytest.mark.parametrize(
    ("options", "guard"),
    [
        ({"scale": 0.75, "relu": True}, 14),
        ({"scale": CHANNELS, "bias": BIAS}, None),
        ({"scale": 0.01, "row": "gcn", "bias": BIAS, "step": 0.5}, None),
        ({"scale": 0.75, "relu": True, "reach": np.full(3, 2.0**16)}, 12),
        ({"scale": 0.75, "bias": np.full(3, 0.75 * 2.0**20)}, 9),
        ({"scale": 0.75 * 2.0**-14, "row": "gcn", "step": 0.75}, 14),
        ({"scale": 8.0 * 2.0**20, "relu": True, "step": 8.0}, 9),
        ({"scale": 8.0, "bias": np.full(3, 8.0 * 2.0**20), "step": 8.0}, 9),
    ],
)  # fmt: skip
def test_the_exit_keeps_what_is_pending_as_int32_sums(options, guard):
    qmodel = build()
    b = Bench()
    b.qmodel, b.scales = qmodel, {"s": 1.0}
    value = Value("x", "node", 3, zero=2, **options)
    program = b.finish(value)
    rounding, exit_ = program.steps
    unit = np.array(exit_.attributes["scale"], np.float64)
    step = np.asarray(value.scale if value.step is None else value.step)
    if guard is not None:
        assert np.array_equal(np.broadcast_to(unit, step.shape), step / 2.0**guard)
    largest = min(2**16, int(np.min(2.0**30 * unit / np.abs(value.scale))))  # what int32 holds
    sums = np.clip(SUMS, -largest, largest)
    got = run(rounding, program.tensors, sums) * unit
    assert np.abs(got - reals(value, sums)).max() <= 1.01 * unit.max() + 2.0**-23 * np.abs(reals(value, sums)).max()
    a = rounding.attributes
    assert (a["zero_in"], a["zero_point"], a["bits"], a["high"]) == (2, 0, 32, 2**31 - 1)
    assert a["low"] == (0 if value.relu else -(2**31)) and rounding.site is None
    assert exit_.op == "dequantize" and exit_.inputs == (rounding.output,) and exit_.attributes["zero_in"] == 0
    assert (rounding.rows, rounding.channels, exit_.rows, exit_.channels) == ("node", 3, "node", 3)
    meta, config = program.meta, qmodel.model.config
    assert meta["scales"] == {"s": 1.0} and meta["model"] == config and meta["model"] is not config
    assert meta["quantization"] == qmodel.config.to_dict()
    assert (meta["num_features"], meta["out_channels"]) == (config["in_channels"], config["out_channels"])
    assert meta["task_rows"] == "node" and meta["embedding"] is False


def test_the_exit_of_sums_is_one_product():
    b = Bench()
    b.qmodel = build(readout="mean", kind="embedding")
    program = b.finish(Value("x", "graph", 2, scale=np.array([0.1, 0.3]), zero=5))
    (step,) = program.steps
    assert step.attributes == {"zero_in": 5, "scale": np.float32([0.1, 0.3]).tolist()} and step.rows == "graph"
    assert program.meta["task_rows"] == "graph" and program.meta["embedding"] is True
