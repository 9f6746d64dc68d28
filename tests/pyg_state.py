"""The state dict that PyG would have for a float model of ours, in the names of its current release or of 2.0."""

from __future__ import annotations

import numpy as np

from dqnumba import nn


def state_of(model):
    """Names of the current release (2.5 and later): ``convs.0``, ``norms.0``, ``lin1`` and ``lin2`` of a graph task."""
    state = {}

    def linear(prefix, layer):
        state[f"{prefix}.weight"] = np.ascontiguousarray(layer.weight.data.T)
        state[f"{prefix}.bias"] = layer.bias.data

    for i, conv in enumerate(model.convs):
        p = f"convs.{i}"
        if isinstance(conv, nn.GINConv):
            state[f"{p}.eps"] = conv.eps.data
            linear(f"{p}.nn.lins.0", conv.lin1)
            linear(f"{p}.nn.lins.1", conv.lin2)
        elif isinstance(conv, nn.SAGEConv):
            state[f"{p}.lin_l.weight"] = np.ascontiguousarray(conv.weight_l.data.T)
            state[f"{p}.lin_l.bias"] = conv.bias.data
            state[f"{p}.lin_r.weight"] = np.ascontiguousarray(conv.weight_r.data.T)
        else:
            state[f"{p}.lin.weight"] = np.ascontiguousarray(conv.weight.data.T)
            state[f"{p}.bias"] = conv.bias.data
        if isinstance(conv, nn.GATConv):
            shape = (1, conv.heads, conv.out_channels)
            state[f"{p}.att_src"] = conv.attention.data[0].reshape(shape)
            state[f"{p}.att_dst"] = conv.attention.data[1].reshape(shape)
    for i, norm in enumerate(model.norms):
        p = f"norms.{i}.module"
        state |= {f"{p}.weight": norm.gamma.data, f"{p}.bias": norm.beta.data, f"{p}.running_mean": norm.running_mean}
        state |= {f"{p}.running_var": norm.running_var, f"{p}.num_batches_tracked": np.array(3)}
    if model.config["readout"]:
        linear("lin1", model.head1)
        linear("lin2", model.head2)
    return {name: np.array(array) for name, array in state.items()}


def renamed_to_2_0(state):
    """Names of PyG 2.0, by its source: GATConv's one linear under two names, plain BatchNorm1d in MLPs."""
    old = {}
    gat = {name.rpartition(".")[0] for name in state if name.endswith(".att_src")}
    for name, array in state.items():
        owner = name.removesuffix(".lin.weight")
        if owner in gat:
            old[f"{owner}.lin_src.weight"] = old[f"{owner}.lin_dst.weight"] = array
        else:
            old[name.replace(".module.", ".") if ".nn." in name else name] = array
    return old
