"""Learned factors of ranges, and the delay before quantization."""

from __future__ import annotations

import itertools

import naive_site as site
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from small_models import CLASSES, FEATURES, MODELS, random_graph

import dqnumba as dq
from dqnumba import autograd as ag
from dqnumba.autograd import Tensor
from dqnumba.errors import ConfigError
from dqnumba.kernels.fake_quant_learned import CHUNK_ROWS, learned_gradient
from dqnumba.nn import Context
from dqnumba.qat import QuantConfig, WeightQuantizer
from dqnumba.quant import QuantSpec, choose_qparams

F = np.float32


def naive_gradient(grad, x, scale, zero, qmin, qmax, protected, ste):
    """One value at a time: gradient of x, and the sum that the logarithm of the scale gets."""
    out, total = np.zeros_like(x), 0.0
    for i, j in np.ndindex(*x.shape):
        q = np.rint(F(x[i, j] * (F(1) / scale)) + zero)
        code = min(max(q, qmin), qmax)
        if protected is not None and protected[i]:
            out[i, j] = grad[i, j]
            continue
        inside = code == q
        real = F((code - zero) * scale)
        total += float(grad[i, j]) * float(real - x[i, j] if inside else real)
        out[i, j] = grad[i, j] if inside or ste else 0
    return out, total


@pytest.mark.parametrize("form", ["serial", "parallel"])
@pytest.mark.parametrize(("rows", "columns"), [(1, 1), (7, 3), (CHUNK_ROWS + 5, 9), (3 * CHUNK_ROWS, 6)])
@pytest.mark.parametrize("ste", [0, 1])
@pytest.mark.parametrize("masked", [False, True])
def test_kernel_against_a_loop(form, rows, columns, ste, masked):
    rng = np.random.default_rng(rows + ste)
    x, grad = (rng.standard_normal((rows, columns)).astype(F) for _ in range(2))
    protected = rng.random(rows) < 0.3 if masked else None
    scale, zero = F(0.11), F(-3)
    wanted, total = naive_gradient(grad, x, scale, zero, -8, 7, protected, ste)
    out, sums = np.full(x.shape, np.nan, F), np.full(-(-rows // CHUNK_ROWS), np.nan)
    mask = np.empty(0, bool) if protected is None else protected
    getattr(learned_gradient, form)(grad, x, scale, F(1) / scale, zero, F(-8), F(7), mask, ste, out, sums)
    assert np.array_equal(out, wanted)
    assert sums.sum() == pytest.approx(total, rel=1e-4, abs=1e-4)


MATRICES = hnp.arrays(np.float32, hnp.array_shapes(min_dims=2, max_dims=2, max_side=6),
                      elements=st.floats(-4, 4, width=32))  # fmt: skip


@given(MATRICES, st.sampled_from(["clip", "ste"]), st.booleans())
def test_the_two_ways_of_the_operation_agree(x, rule, masked):
    protected = np.arange(len(x)) % 2 == 0 if masked else None
    found = []
    for kind in (np.float32, np.float64):  # the kernel, and NumPy
        leaf, log_scale = Tensor(x.astype(kind), requires_grad=True), Tensor(np.zeros(1, F), requires_grad=True)
        out = ag.fake_quantize_learned(leaf, log_scale, 0.25, 1, -8, 7, protected=protected, rule=rule)
        plain = ag.fake_quantize(Tensor(x.astype(kind)), 0.25, 1, -8, 7, protected=protected)
        assert np.array_equal(out.data, plain.data)
        out.backward(np.linspace(-1, 2, x.size).reshape(x.shape).astype(kind))
        found.append((leaf.grad, log_scale.grad))
    # A quarter is a power of two: both kinds round alike.
    np.testing.assert_allclose(found[0][0], found[1][0], rtol=1e-6)
    np.testing.assert_allclose(found[0][1], found[1][1], rtol=1e-4, atol=1e-4)


def test_a_scale_a_channel_gets_its_own_gradient():
    rng = np.random.default_rng(0)
    x, grad = (rng.standard_normal((5, 3)).astype(F) for _ in range(2))
    scale = np.array([0.1, 0.2, 0.4], F)
    leaf, log_scale = Tensor(x, requires_grad=True), Tensor(np.zeros(3, F), requires_grad=True)
    ag.fake_quantize_learned(leaf, log_scale, scale, np.zeros(3, int), -7, 7).backward(grad)
    for j in range(3):
        wanted, total = naive_gradient(grad[:, j : j + 1], x[:, j : j + 1], scale[j], F(0), -7, 7, None, 0)
        assert np.array_equal(leaf.grad[:, j : j + 1], wanted)
        assert log_scale.grad[j] == pytest.approx(total, rel=1e-5)
    with pytest.raises(ConfigError, match="allowed are 'clip' and 'ste'"):
        ag.fake_quantize_learned(leaf, log_scale, scale, np.zeros(3, int), -7, 7, rule="clip_inclusive")


def test_far_from_the_codes_it_is_the_slope_of_the_clipped_value():
    """Everything clipped: x^ is proportional to the scale, so the gradient is exact there."""
    quantizer = site.quantizer(bits=4, low=-1.0, high=3.0, learned=True)
    x = Tensor(np.array([[-50.0, 60.0, 70.0]], F), requires_grad=True)

    def total(log_factor):
        quantizer.log_factor.data[:] = log_factor
        return float(quantizer.round(x).data.sum())

    quantizer.log_factor.data[:] = 0.3
    quantizer.round(x).sum().backward()
    slope = (total(0.301) - total(0.299)) / 0.002
    assert quantizer.log_factor.grad[0] == pytest.approx(slope, rel=1e-3)
    assert not x.grad.any()


def test_the_factor_scales_the_range_and_keeps_the_zero_point():
    quantizer = site.quantizer(bits=4, low=-1.0, high=3.0, learned=True)
    before = quantizer.qparams()
    quantizer.log_factor.data[:] = np.log(0.5)
    after = quantizer.qparams()
    assert after.scale == pytest.approx(before.scale / 2) and after.zero_point == before.zero_point
    assert tuple(quantizer.state) == (-1.0, 3.0)
    quantizer.log_factor.data[:] = -90.0  # never to nothing
    assert quantizer.qparams().scale == pytest.approx(before.scale * np.exp(-4))

    spec = QuantSpec(bits=4, symmetric=True, narrow=True, granularity="per_channel")
    weights = WeightQuantizer("w", spec, None, gradient="clip", learned=2)
    weight = np.array([[1.0, -2.0], [-0.5, 4.0]], F)
    weights.log_factor.data[:] = np.log([0.5, 0.25])
    wanted = choose_qparams(weight.min(axis=0) * [0.5, 0.25], weight.max(axis=0) * [0.5, 0.25], spec)
    np.testing.assert_allclose(weights.qparams(weight).scale, wanted.scale, rtol=1e-6)


def prepared(kind, sites, **options):
    model = MODELS[kind](
        FEATURES, 6, CLASSES, num_layers=3, seed=1, dropout=0.2, **({"heads": 2} if kind == "gat" else {})
    )
    gradient = {"gradient": "clip"} if sites == "paper" else {}
    return dq.prepare(model, QuantConfig.degree_quant(4, sites=sites, **gradient, **options))


@pytest.mark.parametrize(("kind", "sites"), list(itertools.product(MODELS, ["fused", "paper"])))
def test_all_factors_are_trained_and_converted(kind, sites):
    graph = random_graph(1)
    qmodel = prepared(kind, sites, learned_range=True)
    factors = {name for name in qmodel.parameters() if name.startswith("quantizer.")}
    assert len(factors) == len({id(qmodel.parameters()[name]) for name in factors}) > 5
    assert "quantizer.conv1.input.log_factor" not in factors
    rounded = {name for name, row in qmodel.sites.items() if row.role in ("weight", "activation", "input")
               and not row.share and (row.bits or 4) <= 8 and name != "conv1.input"}  # fmt: skip
    assert factors == {f"quantizer.{name}.log_factor" for name in rounded}
    dq.fit(qmodel, graph, epochs=6, lr=0.02, weight_decay=0.1, seed=0, splits={"train": np.arange(24)})
    still = [name for name in factors if not qmodel.parameters()[name].data.any()]
    assert not still, "no gradient reached them"
    report = dq.verify(dq.convert(qmodel), qmodel, graph)
    assert report.predictions["agreement"] >= 0.95 and all(s["max_difference"] <= s["allowed"] for s in report.sites)


def test_factors_are_part_of_the_state():
    graph = random_graph(1)
    qmodel = prepared("gin", "fused", learned_range=True)
    dq.fit(qmodel, graph, epochs=3, lr=0.05, seed=0, splits={"train": np.arange(24)})
    twin = prepared("gin", "fused", learned_range=True)
    twin.load_state_dict(qmodel.state_dict())
    assert np.array_equal(twin(graph).data, qmodel(graph).data)
    twin.parameters()["quantizer.conv2.lin2.input.log_factor"].data[:] -= 1.0
    assert not np.array_equal(twin(graph).data, qmodel(graph).data)
    assert not [name for name in prepared("gin", "fused").parameters() if name.startswith("quantizer.")]


@pytest.mark.parametrize("sites", ["fused", "paper"])
@pytest.mark.parametrize("kind", MODELS)
def test_during_the_delay_training_passes_are_float_and_ranges_are_watched(kind, sites):
    graph = random_graph(2)
    qmodel = prepared(kind, sites, delay=2)
    floats = {name: parameter.data for name, parameter in qmodel.parameters().items()}
    plain = MODELS[kind](
        FEATURES, 6, CLASSES, num_layers=3, seed=1, dropout=0.2, **({"heads": 2} if kind == "gat" else {})
    )
    plain.load_state_dict(floats)
    # As the prepared one multiplies and drops; the grids of eps and of attention coefficients stay, they are fine ones.
    undropped = [module for _, module in qmodel.model.modules()]
    for module in [qmodel.model, *undropped]:
        for name in ("input_dropout", "dropout"):
            if hasattr(module, name):
                setattr(module, name, 0.0)
    seen = [qmodel(graph, training=True, rng=np.random.default_rng(k)).data for k in range(3)]
    wanted = plain(graph).data
    for out in seen[:2]:
        np.testing.assert_allclose(out, wanted, atol=2e-3)
    assert np.abs(seen[2] - wanted).max() > 1e-2
    assert all(not q.observer.is_empty for q in qmodel.quantizers.values() if getattr(q, "observer", None))
    ctx = Context(graph)
    assert ctx.rounding, "an evaluation pass rounds, also during the delay"


def test_the_delay_counts_on_after_a_break():
    graph = random_graph(2)
    qmodel = prepared("gcn", "fused", delay=3)
    rng = np.random.default_rng(0)
    qmodel(graph, training=True, rng=rng)
    state = qmodel.state_dict()
    assert state["quantizer.passes"].tolist() == [1]
    twin = prepared("gcn", "fused", delay=3)
    twin.load_state_dict(state)
    for k in range(4):
        ctx = twin._context(graph, True, rng, observe=True)
        assert ctx.rounding == (k >= 2)
    assert twin.state_dict()["quantizer.passes"].tolist() == [5]
    assert "quantizer.passes" not in prepared("gcn", "fused").state_dict()
