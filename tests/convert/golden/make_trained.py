"""Train PyG's own GCN on a Planetoid data set and save its state dict as float16, which keeps the file small.

Run ``python tests/convert/golden/make_trained.py cora OUT.safetensors [SEED]`` where torch and torch_geometric are
installed and ``DQNUMBA_DATA`` has the data. ``trained_cora.safetensors`` beside this file is that of seed 0; the test
accuracy that PyG measured with the rounded weights stands in the metadata.
"""

from __future__ import annotations

import sys

import numpy as np
import torch
import torch_geometric
from safetensors.torch import save_file
from torch_geometric.nn import GCN

import dqnumba as dq


def main(name: str, out: str, seed: str = "0") -> None:
    torch.manual_seed(int(seed))
    graph = dq.data.load(name)
    adjacency = graph.adjacency()
    edges = torch.from_numpy(np.stack([adjacency.indices, adjacency.targets]).astype(np.int64))
    x, y = torch.from_numpy(graph.x.toarray()), torch.from_numpy(np.array(graph.y))
    masks = [torch.from_numpy(np.array(m)) for m in (graph.train_mask, graph.val_mask, graph.test_mask)]
    model = GCN(graph.num_features, 16, 2, graph.num_classes, dropout=0.5)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01, weight_decay=1e-2)
    best = (np.inf, None)
    for _ in range(200):
        model.train()
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(model(x, edges)[masks[0]], y[masks[0]]).backward()
        optimizer.step()
        model.eval()
        with torch.no_grad():
            loss = float(torch.nn.functional.cross_entropy(model(x, edges)[masks[1]], y[masks[1]]))
        if loss < best[0]:
            best = loss, {key: tensor.half() for key, tensor in model.state_dict().items()}
    model.load_state_dict({key: tensor.float() for key, tensor in best[1].items()})
    with torch.no_grad():
        outputs = model(x, edges)
    accuracy = float((outputs.argmax(dim=1) == y)[masks[2]].float().mean())
    made = {"torch_geometric": torch_geometric.__version__, "test_accuracy": f"{accuracy:.4f}"}
    save_file(best[1], out, metadata=made)
    np.save(out.removesuffix(".safetensors") + ".npy", outputs.numpy())
    sys.stdout.write(f"{name} seed {seed}: test accuracy {accuracy:.4f}\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
