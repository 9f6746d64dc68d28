"""A training step that takes memory over has the bits of one that does not: outputs, gradients, ranges, the graph."""

import naive_graphs as many
import numpy as np
import pytest
from test_prepare import MODELS, model_of

from dqnumba import autograd as ag
from dqnumba import qat
from dqnumba.autograd import activations, quantize


def step(kind, options, sites, config):
    graph = many.batch_of_three(y=None) if options["readout"] else many.graph()
    before = graph.x.copy()
    model = model_of(kind, **options)
    if sites:
        model = qat.prepare(model, qat.QuantConfig.preset(config, 8, sites=sites, mask_low=0.2, mask_high=0.5))
    rng = np.random.default_rng(3)
    results = {}
    for turn in range(2):
        out = model(graph, training=True, rng=rng)
        results[f"out {turn}"] = out.data.copy()
        (out * out).sum().backward()
    gradients = {f"gradient of {name}": tensor.grad for name, tensor in model.parameters().items()}
    results |= {name: grad for name, grad in gradients.items() if grad is not None}
    assert np.array_equal(graph.x, before)
    return results | model.state_dict()


@pytest.mark.parametrize("config", ["dq", "qat", "dq-plus"])
@pytest.mark.parametrize("sites", [None, "fused", "paper"])
@pytest.mark.parametrize(("kind", "options"), MODELS)
def test_same_bits(kind, options, sites, config, monkeypatch):
    if sites is None and config != "dq":
        pytest.skip("a float model has no preset")
    with ag.reuse_memory():
        got = step(kind, options, sites, config)
    monkeypatch.setattr(quantize, "_fits_in_place", lambda x, scale: False)
    monkeypatch.setattr(activations, "is_recording", lambda: False)
    wanted = step(kind, options, sites, config)
    assert got.keys() == wanted.keys() and len(got) > 12
    different = [name for name in wanted if not np.array_equal(got[name], wanted[name], equal_nan=True)]
    assert not different


def test_the_rounding_behind_a_relu_goes_into_its_memory():
    x = ag.Tensor(np.linspace(-1, 1, 40, dtype=np.float32).reshape(10, 4), requires_grad=True)
    weight = ag.Tensor(np.eye(4, dtype=np.float32))
    y = ag.linear(x, weight, relu=True)
    out = ag.fake_quantize(y, 0.1, 0, 0, 5, last_use=True)
    assert out.data is y.data and np.allclose(out.data, np.clip(np.rint(np.maximum(x.data, 0) * 10), 0, 5) / 10)
    out.backward(np.ones((10, 4), np.float32))
    assert np.array_equal(x.grad, (x.data > 0) & (np.rint(x.data * 10) <= 5))


def test_what_is_kept_stays():
    x = ag.Tensor(np.linspace(-1, 1, 40, dtype=np.float32).reshape(10, 4), requires_grad=True)
    for y in (ag.relu(x + 0.0), x + 0.0, x):
        before = y.data.copy()
        ag.fake_quantize(y.keep(), 0.1, 0, -5, 5, last_use=True)
        assert np.array_equal(y.data, before)
