"""One byte of a model file changed: refused, or the answer is the same.

Every position of a tiny model, one change each; ``python -m bench.reliability corruption`` makes ten at each position
of eight models.
"""

from __future__ import annotations

import numpy as np
import pytest
from small_models import random_graph, trained

import dqnumba as dq
from dqnumba.infer import load


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    graph = random_graph(5, nodes=8)
    imodel = trained(graph, epochs=0, bits=(4, 4), hidden=2, num_layers=2)[1]
    path = tmp_path_factory.mktemp("model") / "m.safetensors"
    imodel.save(path)
    return path, graph, imodel(graph, backend="reference").tobytes()


def test_every_position(saved):
    path, graph, logits = saved
    payload, rng = path.read_bytes(), np.random.default_rng(0)
    harmless = []
    with path.open("r+b", buffering=0) as file:
        for place, byte in enumerate(payload):
            file.seek(place)
            file.write(bytes([byte ^ int(rng.choice([1, 2, 4, 8, 16, 32, 64, 128, 255]))]))
            try:
                model = load(path)
            except dq.ModelFormatError as error:
                assert str(error).count("\n") == 0
            else:
                assert model(graph, backend="reference").tobytes() == logits, place
                harmless.append(place)
            file.seek(place)
            file.write(bytes([byte]))
    assert path.read_bytes() == payload
    # Only the name and number of the version that wrote the file are outside the checksum, and blanks at the end.
    start = payload.index(b'"dqnumba_version"')
    end = payload.index(b",", start)
    header = 8 + int.from_bytes(payload[:8], "little")
    blanks = range(len(payload[:header].rstrip(b" ")), header)
    assert [k for k in harmless if not start <= k < end and k not in blanks] == []
    assert harmless
