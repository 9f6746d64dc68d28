"""The scale at which numbers enter a program: its reciprocal is finite, or the file is refused."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from small_models import random_graph, trained

import dqnumba as dq
from dqnumba.infer import IntegerModel, load

BACKENDS = ("reference", "numba", "dot")


def saved_with_scale(imodel, op, scale, path):
    """The program with another scale at its steps ``op``, as a file."""
    steps = [replace(s, attributes=s.attributes | {"scale": scale}) if s.op == op else s for s in imodel.program.steps]
    IntegerModel(replace(imodel.program, steps=tuple(steps))).save(path)
    return path


@pytest.mark.parametrize(("op", "sites"), [("quantize", "fused"), ("edge_norm", "paper")])
def test_a_scale_without_a_finite_reciprocal_is_refused(op, sites, tmp_path):
    """0 times an infinite reciprocal would be no number, and its code another on every backend."""
    graph = random_graph(41)
    graph = graph.replace(x=np.where(graph.x < 0, np.float32(0), graph.x))
    imodel = trained(graph, epochs=0, sites=sites)[1]
    for scale in (2.0**-128, 2.0**-140, 2.0**-147):
        with pytest.raises(dq.ModelFormatError, match="scale is no positive float32"):
            load(saved_with_scale(imodel, op, scale, tmp_path / "m.safetensors"))
    smallest = load(saved_with_scale(imodel, op, 2.0**-128 + 2.0**-149, tmp_path / "m.safetensors"))
    logits = [smallest.bind(graph, backend=backend)() for backend in BACKENDS]
    assert all(found.tobytes() == logits[0].tobytes() for found in logits)
