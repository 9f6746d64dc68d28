"""Models of one feature a node (the degree, say), whose first layer keeps 16 bits: converted as they were trained."""

from __future__ import annotations

import numpy as np
import pytest
from small_models import MODELS, random_batch, random_graph

import dqnumba as dq


@pytest.mark.parametrize("readout", [None, "sum"])
@pytest.mark.parametrize("sites", ["fused", "paper"])
@pytest.mark.parametrize("model", MODELS)
def test_codes_are_those_of_training(model, sites, readout):
    """The paper's GIN then has no site behind its first linear layer, which is a float one in the official code."""
    data = random_batch(70)[0] if readout else random_graph(70, 40)
    data = data.replace(x=data.in_degree[:, None].astype(np.float32))
    net = MODELS[model](1, 8, 3, num_layers=2, readout=readout, seed=0)
    qmodel = dq.calibrate(dq.prepare(net, dq.QuantConfig.degree_quant(4, sites=sites)), data)
    if (model, sites) == ("gin", "paper"):
        assert "conv1.lin1.feature" not in qmodel.quantizers and "conv2.lin1.feature" in qmodel.quantizers
    imodel = dq.convert(qmodel)
    assert imodel.program.steps[0].attributes["qmax"] == 32767
    report = dq.verify(imodel, qmodel, data)
    assert report.levels["kernels"] and report.levels["sites"], report.to_text()
    far = data.replace(x=data.x * np.float32(50))
    assert imodel(far).tobytes() == imodel(far, backend="reference").tobytes()
