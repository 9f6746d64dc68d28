"""What ``verify`` reports where two things cannot be compared: a site that one lacks, other sizes, no numbers."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from small_models import random_batch, random_graph, trained

import dqnumba as dq
from dqnumba.convert.compare import HOPELESS, compare_sites
from dqnumba.convert.verify import agreement, output_step
from dqnumba.infer import IntegerModel
from dqnumba.kernels import integer

GRAPH = random_graph(40, 30)


@pytest.fixture(scope="module", params=["gcn", "gat"])
def case(request):
    return trained(GRAPH, epochs=0, model=request.param, num_layers=2)


def renamed(imodel, old, new):
    """The program with another name, or none, at the site ``old``."""
    steps = tuple(replace(step, site=new) if step.site == old else step for step in imodel.program.steps)
    return IntegerModel(replace(imodel.program, steps=steps))


def entries(report):
    return {entry["site"]: entry for entry in report.sites}


def test_a_site_that_only_one_of_them_has(case):
    qmodel, imodel = case
    site = "conv2.input"
    report = dq.verify(renamed(imodel, site, "conv2.other"), qmodel, GRAPH)
    found = entries(report)
    assert site not in found and "conv2.other" not in found
    for name in (f"{site} (not in the program)", "conv2.other (not in the trained model)"):
        assert found[name]["max_difference"] == HOPELESS and found[name]["differing"] == 1.0
        assert name in report.to_text()
    assert report.levels["sites"] is False and not report.passed
    assert report.levels["kernels"], "the codes are the same"
    unnamed = entries(dq.verify(renamed(imodel, site, None), qmodel, GRAPH))
    assert f"{site} (not in the program)" in unnamed and not any("(not in the trained" in name for name in unnamed)


def test_codes_of_another_size_are_not_compared(case):
    """Neither stretched nor cut: the site fails, and training's own values go on behind it."""
    qmodel, imodel = case
    bound = imodel.bind(GRAPH)
    logits, codes = bound(), bound.site_codes()
    good = compare_sites(imodel, qmodel, GRAPH, codes, logits)
    assert all(entry["max_difference"] <= entry["allowed"] for entry in good)
    found = compare_sites(imodel, qmodel, GRAPH, codes | {"conv2.input": codes["conv2.input"][:-1]}, logits)
    bad = {entry["site"] for entry in found if entry["max_difference"] > entry["allowed"]}
    assert "conv2.input" in bad and "conv1.input" not in bad
    entry = next(entry for entry in found if entry["site"] == "conv2.input")
    assert (entry["max_difference"], entry["differing"], entry["saturated"]) == (HOPELESS, 1.0, 0.0)


@pytest.mark.parametrize("wrong", [np.nan, np.inf, "shape"])
def test_outputs_that_cannot_be_compared(case, wrong):
    qmodel, imodel = case
    bound = imodel.bind(GRAPH)
    logits, codes = bound(), bound.site_codes()
    if wrong == "shape":
        logits = logits[:, :-1]
    else:
        logits[3, 1] = wrong
    last = compare_sites(imodel, qmodel, GRAPH, codes, logits)[-1]
    assert last["site"] == "logits" and last["max_difference"] == HOPELESS > last["allowed"]


def test_every_site_has_its_own_quantizer_again(case, monkeypatch):
    """The probes are taken out, also where Ctrl-C comes in the middle."""
    qmodel, imodel = case
    hooks = {(p, leaf): hook for p, module in qmodel.model.modules() for leaf, hook in module.hooks.items()}
    dq.verify(imodel, qmodel, GRAPH)
    bound = imodel.bind(GRAPH)
    bound()

    def stop(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr(qmodel.model.convs[1], "propagate", stop)
    with pytest.raises(KeyboardInterrupt):
        compare_sites(imodel, qmodel, GRAPH, bound.site_codes(), bound())
    for prefix, module in qmodel.model.modules():
        for leaf, hook in module.hooks.items():
            assert hook is hooks[prefix, leaf]


def test_sums_over_no_edge_do_not_differ():
    """The smallest graphs: a node, or some, and nothing between them."""
    qmodel, imodel = trained(GRAPH, epochs=0, model="gin", sites="paper", num_layers=2)
    for nodes in (1, 4):
        bare = dq.Graph.from_edge_index(np.zeros((2, 0), int), x=GRAPH.x[:nodes], num_nodes=nodes)
        report = dq.verify(imodel, qmodel, bare)
        assert report.levels["kernels"] and report.levels["sites"], report.to_text()
        assert report.predictions["count"] == nodes


def test_a_backend_whose_outputs_differ_is_named(case, monkeypatch):
    """Also where all codes of its sites are right."""
    _, imodel = case
    right = integer.requantize

    def wrong(acc, zero_in, m, s, b, zero_point, low, high, out):
        right(acc, zero_in, m, s, b, zero_point, low, high, out)
        if high > 1 << 20:  # the exit alone has no site
            out[0, 0] += 1 << 12

    monkeypatch.setattr(integer, "requantize", wrong)
    report = dq.verify(imodel, None, GRAPH)
    assert report.kernels == {"backend": "numba", "equal": False, "sites": ["logits"]}
    assert "kernels equal the reference bit for bit (numba): FAILED" in report.to_text()


def test_data_and_backends_that_are_refused(case):
    qmodel, imodel = case
    with pytest.raises(dq.ConfigError, match="verify takes a Graph or a GraphDataset, not dict"):
        dq.verify(imodel, qmodel, {})
    with pytest.raises(dq.ConfigError, match="the reference equals itself"):
        dq.verify(imodel, qmodel, GRAPH, backend="reference")
    with pytest.raises(dq.ConfigError, match=r"verify compares with the result of dqnumba\.prepare, not with GCN"):
        dq.verify(imodel, dq.nn.GCN(10, 6, 3), GRAPH)
    other = trained(GRAPH, epochs=0, model=qmodel.model.kind.lower(), num_layers=2, bits=(8, 4))[0]
    with pytest.raises(dq.ConfigError, match=r"differ in quantization\.activation_bits: 8 and 4\. Compare a program"):
        dq.verify(imodel, other, GRAPH)


class Graphs:
    """What verify asks of a data set: its length and batches."""

    def __init__(self, parts):
        self.parts, self.asked = parts, []

    def __len__(self):
        return len(self.parts)

    def batch(self, indices):
        self.asked.append(indices.tolist())
        return dq.graph.batch([self.parts[k] for k in indices])


@pytest.mark.parametrize(
    ("limit", "batches"), [(None, [[0, 1], [2, 3], [4]]), (3, [[0, 1], [2]]), (99, [[0, 1], [2, 3], [4]])]
)
def test_a_data_set_is_looked_at_in_batches(limit, batches):
    whole, parts = random_batch(41)
    qmodel, imodel = trained(whole, epochs=0, readout="mean", num_layers=2)
    data = Graphs(parts)
    report = dq.verify(imodel, qmodel, data, batch_size=2, limit=limit)
    assert report.levels["sites"] and report.predictions["count"] == sum(map(len, batches))
    assert data.asked[0] == [0, 1] and data.asked[1:] == batches, "the first for the sites, then all of them"
    for empty in (Graphs([]), Graphs(parts)):
        with pytest.raises(dq.ConfigError, match="nothing to verify on"):
            dq.verify(imodel, qmodel, empty, limit=0 if empty.parts else None)


def test_agreement_by_hand():
    fake = np.array([[1.0, 2.0], [3.0, 0.0], [np.nan, 1.0], [0.0, np.inf]], np.float32)
    integer = np.array([[0.0, 9.0], [0.0, 1.0], [0.0, 1.0], [0.0, 1.0]], np.float32)
    assert agreement(fake, integer, None) == 0.25
    assert agreement(fake[:0], integer[:0], None) == 0.0
    values = np.array([[1.0], [2.0], [3.0], [4.0]], np.float32)
    assert agreement(values, values + np.float32([[0.0], [0.5], [-0.75], [0.25]]), 0.5) == 0.75
    assert output_step(np.array([[-1.0], [4.1]], np.float32)) == pytest.approx(5.1 / 255)
    assert output_step(np.array([[3.0]], np.float32)) == pytest.approx(3 / 255), "zero is in every range"
