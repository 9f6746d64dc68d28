"""A program has the codes of fake quantization: at every site of small models, not only to within one.

``verify`` allows one code, which a right rounding needs only where a value lies within about 2**-17 of a code of a
tie. On graphs of a dozen nodes that hardly happens, so here codes of up to 8 bits are held to be equal. Those of 15 and
16 bits meet the float32 noise of training, some 2**-8 of such a code: of them a few may differ by one.
"""

from __future__ import annotations

import numpy as np
import pytest
from small_models import MODELS, build, random_batch, random_graph

import dqnumba as dq
from dqnumba.convert.compare import compare_sites
from dqnumba.infer import load

CASES = {
    "nodes": {},
    "new": {},  # its biases are zero, so that nothing but the sums says how fine the exit may be
    "wide": {"hidden": 12, "out": 12, "norm": "batch", "residual": True, "kind": "sparse"},
    "mean": {"readout": "mean", "norm": "batch", "residual": True, "kind": "embedding", "bits": (4, 8)},
    "max": {"readout": "max", "residual": True, "hidden": 12, "bits": (8, 4)},
    "sum": {"readout": "sum", "norm": "batch"},
}


def lively(qmodel, data):
    """Calibrated with biases, batch norms and epsilons that are not those of a new model."""
    rng = np.random.default_rng(2)
    for name, tensor in qmodel.model.parameters().items():
        if name.endswith(("bias", "beta", "gamma", "eps")):
            tensor.data += rng.normal(0, 0.3, tensor.data.shape).astype(np.float32)
    for norm in qmodel.model.norms:
        norm.running_mean[:] = rng.normal(0, 0.5, norm.channels)
        norm.running_var[:] = rng.uniform(0.5, 2, norm.channels)
    dq.calibrate(qmodel, data)
    return qmodel


@pytest.mark.filterwarnings("ignore:.*collapse")
@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("sites", ["fused", "paper"])
@pytest.mark.parametrize("model", MODELS)
def test_every_code_is_that_of_fake_quantization(model, sites, case, tmp_path):
    options = CASES[case]
    kind = options.get("kind", "dense")
    data = random_batch(3, kind, sizes=(5, 1, 7))[0] if "readout" in options else random_graph(5, 11, kind)
    qmodel = build(model=model, sites=sites, **options)
    if case == "new":
        dq.calibrate(qmodel, data)
    else:
        lively(qmodel, data)
    imodel = dq.convert(qmodel)
    bound = imodel.bind(data, backend="reference")
    logits = bound()
    codes = bound.site_codes()
    found = {s["site"]: s for s in compare_sites(imodel, qmodel, data, codes, logits)}
    assert all(s["max_difference"] <= s["allowed"] for s in found.values()), found
    for site, array in codes.items():
        assert found[site]["differing"] * array.size <= (0 if found[site]["bits"] <= 8 else 3.5), found[site]
    assert found["logits"]["differing"] == 0

    imodel.save(tmp_path / "m.safetensors")  # the reader holds every step against its table
    assert load(tmp_path / "m.safetensors").bind(data, backend="reference")().tobytes() == logits.tobytes()
    assert set(codes) >= {name for name in qmodel.quantizers if name.endswith(".coefficient")}
    scales = imodel.program.meta["scales"]
    assert set(scales) >= {site for site in codes if not site.endswith((".norm", ".coefficient"))}
    assert all(np.isfinite(np.asarray(scale)).all() for scale in scales.values())
