"""The PyG models of the import tests, made with the real library; imports torch and torch_geometric when called."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

IN, OUT = 9, 4


def graph_arrays(seed=7, nodes=30):
    """A graph with a hub, an isolated node, a self-loop and an edge that is there twice; two graphs in one."""
    rng = np.random.default_rng(seed)
    half = nodes // 2
    parts = [rng.integers(start, start + half, (2, 3 * half)) for start in (0, half)]
    edges = np.concatenate(parts, axis=1)
    edges[1, : half // 2] = 0  # a hub
    edges = edges[:, (edges != nodes - 1).all(axis=0) & (edges[0] != edges[1])]
    edges = np.concatenate([edges, [[3], [3]], edges[:, 5:6]], axis=1)
    x = rng.standard_normal((nodes, IN)).astype(np.float32)
    return {"edge_index": edges.astype(np.int64), "x": x, "graph_ptr": np.array([0, half, nodes])}


def edges_for(name, edge_index):
    """Without self-loops for GIN: PyG's GINConv counts such a node twice, ours removes the loop."""
    return edge_index[:, edge_index[0] != edge_index[1]] if "gin" in name else edge_index


def build(name):
    """``(module, options)``: a torch module called with (x, edge_index, batch), and what load_pyg has to be told."""
    import torch
    from torch import nn
    from torch_geometric import nn as pyg

    torch.manual_seed(sum(map(ord, name)))

    class Nodes(nn.Module):
        def forward(self, x, edge_index, batch):
            x = self.conv1(x, edge_index).relu()
            return self.conv2(x, edge_index)

    class Graphs(nn.Module):
        def forward(self, x, edge_index, batch):
            for conv in self.convs:
                x = conv(x, edge_index).relu()
            pool = {"sum": pyg.global_add_pool, "mean": pyg.global_mean_pool, "max": pyg.global_max_pool}
            return self.head(pool[self.readout](x, batch))

        def head(self, x):
            if hasattr(self, "mlp"):
                return self.mlp(x)
            return self.lin2(self.lin1(x).relu()) if hasattr(self, "lin1") else self.lin(x)

    class Basic(nn.Module):  # BasicGNN's forward takes the batch by name
        def __init__(self, model):
            super().__init__()
            self.model = model

        def forward(self, x, edge_index, batch):
            return self.model(x, edge_index)

        def state_dict(self, *args, **kwargs):
            return self.model.state_dict(*args, **kwargs)

    def mlp(*sizes, norm=None, closed=False):
        layers = []
        for i, (a, b) in enumerate(pairwise(sizes)):
            layers.append(nn.Linear(a, b))
            if norm == "before":
                layers.append(nn.BatchNorm1d(b))
            if i < len(sizes) - 2 or closed:
                layers.append(nn.ReLU())
                if norm == "after":
                    layers.append(nn.BatchNorm1d(b))
        return nn.Sequential(*layers)

    if name.startswith("basic_"):
        _, kind, *rest = name.split("_")
        kinds = {"gcn": pyg.GCN, "gat": pyg.GAT, "gin": pyg.GIN, "sage": pyg.GraphSAGE}
        options = {"norm": "batch_norm"} if "bn" in rest else {}
        if kind == "gat":
            options["heads"] = 3
        if "first" in rest:
            options["act_first"] = True
        if "nobias" in rest:
            options["bias"] = False
        model = Basic(kinds[kind](IN, 12, 3 if "deep" not in rest else 4, OUT, **options))
        told = {"act_first": True} if "first" in rest else {}
        return model, told | ({"bias": False} if "nobias" in rest else {})
    model, told = Nodes(), {}
    if name == "hand_gcn":  # widths that shrink
        model.conv1, model.conv2 = pyg.GCNConv(IN, 6), pyg.GCNConv(6, OUT)
    elif name == "hand_gat":  # the layout of the paper's model: one head of the output
        model.conv1, model.conv2 = pyg.GATConv(IN, 3, heads=4), pyg.GATConv(12, OUT, heads=1, concat=False)
    elif name == "hand_gat_side":  # the last layer's heads side by side, no biases
        model.conv1 = pyg.GATConv(IN, 3, heads=2, bias=False)
        model.conv2 = pyg.GATConv(6, OUT // 2, heads=2, bias=False)
        told = {"bias": False, "concat": True}
    elif name == "hand_sage":
        model.conv1, model.conv2 = pyg.SAGEConv(IN, 5), pyg.SAGEConv(5, OUT)
    elif name == "hand_gin":
        model.conv1 = pyg.GINConv(mlp(IN, 7, 6, norm="before"), eps=0.3, train_eps=True)
        model.conv2 = pyg.GINConv(mlp(6, 5, OUT, norm="after"), eps=-0.2)
    else:
        model = Graphs()
        model.readout = name.rpartition("_")[2]
        told = {"readout": model.readout}
        if name == "graphs_gin_sum":  # MLPs that end in ReLU and normalization, a head of two linears
            nets = [mlp(IN, 8, 8, norm="after", closed=True), mlp(8, 8, 8, norm="after", closed=True)]

            class Closed(Graphs):
                def forward(self, x, edge_index, batch):
                    for conv in self.convs:
                        x = conv(x, edge_index)
                    return self.head(pyg.global_add_pool(x, batch))

            model = Closed()
            model.convs = nn.ModuleList([pyg.GINConv(net, train_eps=True) for net in nets])
            model.lin1, model.lin2 = nn.Linear(8, 10), nn.Linear(10, OUT)
        elif name == "graphs_gcn_mean":  # one linear behind the pooling
            model.convs = nn.ModuleList([pyg.GCNConv(IN, 8), pyg.GCNConv(8, 6)])
            model.lin = nn.Linear(6, OUT)
        elif name == "graphs_sage_max":  # PyG's MLP, with its normalization, behind the pooling
            model.convs = nn.ModuleList([pyg.SAGEConv(IN, 8), pyg.SAGEConv(8, 8)])
            model.mlp = pyg.MLP([8, 7, OUT])
        else:
            raise ValueError(name)
    return model, told


def settle(model, seed=0):
    """Evaluation mode, with weights, biases and statistics that a training might have left."""
    import torch

    generator = torch.Generator().manual_seed(seed)
    for name, tensor in model.state_dict().items():
        if name.endswith("running_var"):
            tensor.copy_(0.5 + torch.rand(tensor.shape, generator=generator))
        elif tensor.dtype == torch.float32 and tensor.ndim == 1 and not name.endswith("eps"):
            tensor.copy_(tensor + 0.3 * torch.randn(tensor.shape, generator=generator))
    return model.eval()


NAMES = [
    "basic_gcn", "basic_gcn_bn", "basic_gat_bn", "basic_gat_deep", "basic_gin_bn", "basic_gin_bn_first",
    "basic_gin", "basic_sage_bn", "basic_sage_nobias", "hand_gcn", "hand_gat", "hand_gat_side", "hand_sage", "hand_gin",
    "graphs_gin_sum", "graphs_gcn_mean", "graphs_sage_max",
]  # fmt: skip
