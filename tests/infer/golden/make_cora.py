"""Train eight small models on Cora and save their programs: ``PYTHONPATH=. python tests/infer/golden/make_cora.py``.

It needs the data set (``DQNUMBA_DATA``). Beside this file it writes one ``cora_KIND_BITS.safetensors`` a model and
``cora.json`` with what the reference backend gives for each on Cora whole: SHA-256 of the logits' bytes, and of the
codes at all sites. Training may end in other weights on another processor, hence the files are kept; a program must
give these bits everywhere.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import dqnumba as dq
from bench.reliability.cpu_probe import hash_codes, hash_logits

HERE = Path(__file__).parent
MODELS = {
    "gcn": (dq.nn.GCN, {"hidden_channels": 16}),
    "gat": (dq.nn.GAT, {"hidden_channels": 16, "heads": 4}),
    "gin": (dq.nn.GIN, {"hidden_channels": 16}),
    "sage": (dq.nn.GraphSAGE, {"hidden_channels": 8}),
}


def main() -> None:
    graph = dq.data.load("cora")
    hashes = {}
    for kind, (net, options) in MODELS.items():
        for bits in (8, 4):
            model = net(graph.num_features, out_channels=graph.num_classes, dropout=0.5, seed=0, **options)
            qmodel = dq.prepare(model, dq.QuantConfig.degree_quant(bits=bits))
            dq.fit(qmodel, graph, epochs=40, seed=0)
            imodel = dq.convert(qmodel)
            name = f"cora_{kind}_{bits}"
            size = imodel.save(HERE / f"{name}.safetensors")
            bound = imodel.bind(graph, backend="reference")
            logits = bound()
            hashes[name] = {"logits": hash_logits(logits), "codes": hash_codes(bound.site_codes())}
            accuracy = float((logits.argmax(axis=1) == graph.y)[graph.test_mask].mean())
            sys.stdout.write(f"{name}: {size} bytes, test accuracy {accuracy:.3f}\n")
    (HERE / "cora.json").write_text(json.dumps(hashes, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
