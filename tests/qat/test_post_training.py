"""Post-training quantization: shares of weights, corrected biases, and the whole of it, up to verified programs."""

import itertools

import numpy as np
import pytest
from small_models import BITS, MODELS, build, random_batch, random_graph

import dqnumba as dq
from dqnumba.errors import ConfigError, GraphError
from dqnumba.qat import QuantConfig, WeightQuantizer, correct_biases, prepare, quantize_trained, search_weight_ranges
from dqnumba.qat.bias_correction import _biases, _sums, _trimmed_mean
from dqnumba.qat.taps import float_twin, observed
from dqnumba.quant import fake_quantize

LAYOUTS = ("fused", "paper")


def float_model(kind, seed=3, **options):
    """A float model whose biases are not zero."""
    model = build(kind, **options).model
    rng = np.random.default_rng(seed)
    for name, tensor in model.parameters().items():
        if name.endswith("bias"):
            tensor.data += rng.normal(0, 0.2, tensor.data.shape).astype(np.float32)
    again = dq.nn.build_model(model.config)
    again.load_state_dict(model.state_dict())
    return again


def ready(kind, data, bits=4, sites="fused", **options):
    config = {name: options.pop(name) for name in ("learned_range",) if name in options}
    qmodel = prepare(float_model(kind, **options), QuantConfig.ptq(bits, sites=sites, **config))
    return dq.calibrate(qmodel, data)


def mean_errors(qmodel, twin, graph, trim):
    return {
        name: _trimmed_mean(_sums(qmodel.model, graph, name) - _sums(twin, graph, name), trim)
        for name in _biases(qmodel.model)
    }


@pytest.mark.parametrize("trim", [0.0, 0.25])
@pytest.mark.parametrize(("kind", "hidden"), list(itertools.product(MODELS, (4, 16))))
def test_corrected_sums_have_no_mean_error_left(kind, hidden, trim):
    """A later correction changes no earlier layer: at the end every mean error is gone, up to the biases' own grid."""
    graph = random_graph(5, nodes=60)
    qmodel = ready(kind, graph, hidden=hidden, norm="batch")
    twin, before = float_twin(qmodel), qmodel.state_dict()
    wrong = mean_errors(qmodel, twin, graph, trim)
    report = correct_biases(qmodel, lambda: [graph], trim=trim)
    left = mean_errors(qmodel, twin, graph, trim)
    assert list(report) == list(left)
    for name, error in left.items():
        rounder = qmodel.quantizers.get(name)  # the bias of a product starts its accumulators, on their grid
        step = 0.0 if rounder is None else rounder.step()
        assert np.all(np.abs(error) <= 0.5 * step + 1e-4), name
        assert np.abs(wrong[name]).max() > 1e-3
    after = qmodel.state_dict()
    assert {name for name in after if not np.array_equal(before[name], after[name])} <= set(report)


@pytest.mark.parametrize("kind", MODELS)
def test_the_layout_of_the_paper_rounds_behind_the_bias(kind):
    """There the corrected sum is rounded again, so a part of a code may stay."""
    graph = random_graph(5, nodes=60)
    qmodel = ready(kind, graph, bits=8, sites="paper")
    twin = float_twin(qmodel)
    wrong = mean_errors(qmodel, twin, graph, 0.25)
    correct_biases(qmodel, lambda: [graph])
    left = mean_errors(qmodel, twin, graph, 0.25)
    assert sum(np.abs(e).sum() for e in left.values()) < sum(np.abs(e).sum() for e in wrong.values())


def test_taps_leave_nothing_behind():
    graph = random_graph(6)
    for kind in MODELS:
        qmodel = ready(kind, graph)
        hooks = {name: dict(module.hooks) for name, module in qmodel.model.modules()}
        correct_biases(qmodel, lambda: [graph])
        assert {name: module.hooks for name, module in qmodel.model.modules()} == hooks
        assert not any("propagate" in vars(conv) for conv in qmodel.model.convs)


def test_a_hub_that_is_clipped_moves_nobody_else():
    errors = np.full((100, 2), 0.5)
    errors[:3] = -1000.0
    np.testing.assert_allclose(_trimmed_mean(errors, 0.25), 0.5)
    assert (_trimmed_mean(errors, 0.0) < -20).all()
    assert _trimmed_mean(np.zeros((0, 2)), 0.25).tolist() == [0.0, 0.0]
    with pytest.raises(ConfigError, match=r"trim=0\.5"):
        correct_biases(ready("gcn", random_graph(1)), list, trim=0.5)


@pytest.mark.parametrize(("kind", "sites"), list(itertools.product(MODELS, LAYOUTS)))
def test_every_weight_gets_a_share(kind, sites):
    graph = random_graph(9, nodes=50)
    qmodel = ready(kind, graph, bits=3, sites=sites, hidden=16, learned_range=True)
    shares = search_weight_ranges(qmodel, lambda: [graph])
    factors = {
        name: quantizer.log_factor.data for name, quantizer in qmodel.quantizers.items()
        if isinstance(quantizer, WeightQuantizer) and quantizer.log_factor is not None
    }  # fmt: skip
    assert shares.keys() == factors.keys() and len(shares) >= 3
    for name, share in shares.items():
        np.testing.assert_allclose(np.exp(factors[name]).mean(), share, rtol=1e-6)
        assert np.all(np.exp(factors[name]) > 0.29) and np.all(factors[name] <= 0.0)
    assert min(shares.values()) < 1.0


@pytest.mark.parametrize("hidden", [4, 16])  # the product first, and the neighbours first
@pytest.mark.parametrize("kind", ["gcn", "sage"])
def test_searched_weights_disturb_their_product_less(kind, hidden):
    """Held against the error of the product itself, on inputs that are not correlated."""
    graph = random_graph(9, nodes=400)
    qmodel = ready(kind, graph, bits=3, hidden=hidden, learned_range=True)
    conv = qmodel.model.convs[0]
    inputs = []
    twin_model = float_twin(qmodel)
    twin = twin_model.convs[0]
    source = "aggregate" if conv.plan == "aggregate_first" else "input"
    observed(twin_model, graph, [(twin, source, lambda x, ctx: inputs.append(np.array(getattr(x, "data", x))))])
    if kind == "sage" and source == "aggregate":
        inputs[0] = np.concatenate([inputs[0], graph.x], axis=1)
    weight = conv.product_weight()
    quantizer = qmodel.quantizers["conv1.weight"]

    def error():
        return np.square(inputs[0] @ (fake_quantize(weight, quantizer.qparams(weight)) - weight)).sum()

    full = error()
    search_weight_ranges(qmodel, lambda: [graph])
    assert error() < 0.95 * full


def test_search_needs_factors():
    graph = random_graph(2)
    with pytest.raises(ConfigError, match="learned_range=True"):
        search_weight_ranges(ready("gcn", graph), lambda: [graph])


@pytest.mark.parametrize("kind", MODELS)
def test_any_choice_gives_a_program_that_verifies(kind):
    graph = random_graph(11, nodes=40)
    model = float_model(kind, norm="batch")
    before = model.state_dict()
    choices = itertools.product(("percentile", "ema", "minmax", "mse"), ("full", "mse"), LAYOUTS)
    for i, (ranges, weights, sites) in enumerate(choices):
        weight_bits, activation_bits = BITS[i % len(BITS)]
        qmodel = quantize_trained(
            model, graph, weight_bits=weight_bits, activation_bits=activation_bits, ranges=ranges, weights=weights,
            sites=sites, bias_correction=i % 3 > 0,
        )  # fmt: skip
        levels = dq.verify(dq.convert(qmodel), qmodel, graph).levels
        assert levels["kernels"] and levels["sites"], (ranges, weights, sites)
    assert all(np.array_equal(before[name], array) for name, array in model.state_dict().items())


def test_data_sets_of_graphs():
    _, parts = random_batch(3, sizes=(9, 7, 17, 6, 5, 8))
    data = dq.GraphDataset.from_graphs([g.replace(y=np.array([i % 3])) for i, g in enumerate(parts)])
    model = float_model("gin", readout="mean")
    whole = quantize_trained(model, data, ranges="mse", weights="mse", batch_size=6)
    parts = quantize_trained(model, data, ranges="mse", weights="mse", batch_size=2)
    assert whole.state_dict().keys() == parts.state_dict().keys()
    integer = dq.convert(parts)
    assert dq.verify(integer, parts, data).levels["sites"]
    assert quantize_trained(model, data, indices=np.array([1, 2])).quantizers["conv1.input"].qparams().scale > 0


def test_options_and_data_that_do_not_fit():
    model, graph = float_model("gcn"), random_graph(1)
    for options, says in (({"ranges": "median"}, "percentile"), ({"weights": "none"}, "full"), ({"bits": 9}, "bits")):
        with pytest.raises(ConfigError, match=says):
            quantize_trained(model, graph, **options)
    with pytest.raises(GraphError, match="features"):
        quantize_trained(model, dq.data.load("synthetic"))
