"""``load_pyg``: a model trained with PyTorch Geometric, from its state dict, without PyTorch."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import nn
from ..errors import ConfigError, DataError
from .foreign_file import Tensors, read_tensors
from .pyg_layers import Conv, take_conv
from .pyg_mlp import Affine, Dense, take_linear, take_mlp, take_norm
from .pyg_names import Layout, at, find_layers, left_over
from .pyg_options import ImportOptions

__all__ = ["load_pyg"]

_OWN_EPS = 1e-5  # of nn.BatchNorm
_WIDEST_IDENTITY = 1 << 12


def load_pyg(weights: str | Path | Mapping[str, Any], **options: Any) -> nn.GNN:
    """The float model that a PyG state dict holds: a GCN, GAT, GIN or GraphSAGE of this library.

    Kind, depth, widths, heads and normalizations are read from names and shapes; see
    :class:`~dqnumba.convert.pyg_options.ImportOptions` for what is not in them. Assumed are PyG's defaults where no
    tensor tells: GCNConv normalizes and adds self-loops, GATConv adds them and has ``negative_slope=0.2``, SAGEConv
    averages, and an activation stands between layers.

    Parameters
    ----------
    weights : path or mapping of arrays
        A file of ``safetensors.torch.save_file(model.state_dict(), path)``, or its tensors as arrays by name.
    **options
        Fields of ``ImportOptions``.

    Returns
    -------
    GNN

    Raises
    ------
    DataError
        The file cannot be read, or a tensor is missing, unknown, left over or of an unexpected shape; its name is in
        the message.
    ConfigError
        An option is needed or unknown.
    """
    try:
        chosen = ImportOptions(**options)
    except TypeError:
        known = ", ".join(ImportOptions.__dataclass_fields__)
        unknown = sorted(options.keys() - ImportOptions.__dataclass_fields__.keys())
        raise ConfigError(f"load_pyg has no option {unknown[0]!r}; allowed are {known}.") from None
    if isinstance(weights, Mapping):
        tensors = Tensors(weights, "The state dict")
    else:
        tensors = Tensors(read_tensors(weights), str(weights))
    layout = find_layers(tensors, chosen.order)
    convs = _take_convs(tensors, layout, chosen)
    norms = _take_norms(tensors, layout, convs, chosen)
    # GIN normalizes behind the ReLU here: what is pooled may be negative then.
    head = _take_head(tensors, layout, convs[-1].channels, chosen, signed=layout.kind == "GIN" and bool(norms))
    left_over(tensors)
    return _assemble(layout.kind, convs, norms, head, chosen)


def _take_convs(tensors: Tensors, layout: Layout, options: ImportOptions) -> list[Conv]:
    """All convolutions, from the last to the first: a layer's width may have to be read from the next one."""
    convs: list[Conv] = []
    following = None
    if layout.linears and options.readout is not None:
        first = tensors.arrays.get(at(layout.linears[0], "weight"))
        following = first.shape[1] if first is not None and first.ndim == 2 else None
    for prefix in reversed(layout.convs):
        conv = take_conv(tensors, layout.kind, prefix, options, following)
        if convs and conv.channels != convs[0].inputs:
            later = layout.convs[len(layout.convs) - len(convs)]
            raise DataError(
                f"{tensors.source}: {prefix} gives {conv.channels} channels and {later} reads {convs[0].inputs}. If "
                "they are not in the order of execution, give it with order=[...] (--order A,B,...)."
            )
        convs.insert(0, conv)
        following = conv.inputs
    return convs


def _take_norms(tensors: Tensors, layout: Layout, convs: list[Conv], options: ImportOptions) -> list[Affine]:
    """The normalization of each hidden convolution, or none; GIN's are folded into its MLP where that is exact."""
    hidden = convs if options.readout else convs[:-1]
    names = [name for name in layout.norms if name not in _head_group(layout)[1]]
    trailing = [conv.trailing for conv in convs]
    if names and any(trailing):
        raise DataError(
            f"{tensors.source}: {names[0]} follows convolutions whose MLPs end in a normalization already; only one "
            "of the two can be read."
        )
    if not names:
        found = [norm for norm in trailing if norm is not None]
        if found and (len(found) != len(hidden) or any(norm is None for norm in trailing[: len(hidden)])):
            raise DataError(
                f"{tensors.source}: some MLPs end in a normalization behind an activation and others do not. Give all "
                "hidden convolutions one, and the last of a node task none."
            )
        return found
    if len(names) != len(hidden):
        raise DataError(
            f"{tensors.source}: {len(names)} normalizations ({', '.join(names)}) do not fit {len(hidden)} hidden "
            f"convolutions. Each has one, the last of a node task has none{'' if options.readout else _TASK}."
        )
    norms = [take_norm(tensors, n, conv.channels, options.norm_eps) for n, conv in zip(names, hidden, strict=True)]
    if layout.kind == "GIN" and not options.act_first:
        for conv, norm in zip(hidden, norms, strict=True):
            last = Dense(conv.arrays["lin2.weight"], conv.arrays["lin2.bias"]).then(norm)
            conv.arrays["lin2.weight"], conv.arrays["lin2.bias"] = last.weight, last.bias
        return []
    if layout.kind != "GIN" and options.act_first:
        raise ConfigError(
            f"act_first=True: {names[0]} stands behind an activation. A {layout.kind} of dqnumba normalizes before "
            "it; train with act_first=False."
        )
    return norms


_TASK = "; for a graph task give readout (--readout sum, mean or max)"


def _head_group(layout: Layout) -> tuple[str, tuple[str, ...]]:
    """A module of numbered linears (an MLP or a Sequential) that holds normalizations too, and these; or nothing."""
    for prefix in layout.linears:
        parent, _, number = prefix.rpartition(".")
        group = parent.removesuffix(".lins")
        inside = tuple(name for name in layout.norms if name.startswith(f"{group}."))
        if number.isdigit() and inside and not any(conv.startswith(f"{group}.") for conv in layout.convs):
            return group, inside
    return "", ()


def _take_head(tensors: Tensors, layout: Layout, width: int, options: ImportOptions, *, signed: bool) -> list[Dense]:
    """The two linear layers behind the pooling of a graph task; ``signed`` if what is pooled may be negative."""
    if options.readout is None:
        if layout.linears:
            raise ConfigError(
                f"{tensors.source}: {layout.linears[0]} is a linear layer outside the convolutions. For a graph task "
                'give readout="sum", "mean" or "max" (--readout). A node task ends with a convolution here, without '
                "jk and without a linear behind it."
            )
        return []
    group, inside = _head_group(layout)
    if inside:
        others = [prefix for prefix in layout.linears if not prefix.startswith(f"{group}.")]
        if others:
            raise DataError(f"{tensors.source}: {others[0]} is a linear layer beside {group}; one head is needed.")
        layers, trailing = take_mlp(
            tensors, group, width, act_first=options.act_first, bias=options.bias, eps=options.norm_eps
        )
        if trailing is not None:
            raise DataError(f"{tensors.source}: {group} ends in a normalization; a graph task ends with a linear here.")
    else:
        layers = []
        for prefix in layout.linears:
            layers.append(take_linear(tensors, prefix, layers[-1].bias.size if layers else width, bias=options.bias))
    if len(layers) == 1 and width > _WIDEST_IDENTITY:
        raise DataError(
            f"{tensors.source}: one linear layer behind a pooling of {width} channels is read as two, and the first "
            f"has {width} x {width} weights, for at most {_WIDEST_IDENTITY} channels."
        )
    if len(layers) == 1:  # x = relu(x) where x is not negative, else relu(x) - relu(-x)
        signs = np.array([1.0, -1.0] if signed else [1.0])
        layers[0] = Dense(np.kron(signs[:, None], layers[0].weight), layers[0].bias)
        layers.insert(0, Dense(np.kron(signs, np.eye(width)), np.zeros(width * signs.size)))
    if len(layers) != 2:
        raise DataError(
            f"{tensors.source}: {len(layers)} linear layers ({', '.join(layout.linears) or 'none'}) follow the "
            "convolutions. A graph task has one or two behind its pooling here."
        )
    return layers


def _assemble(kind: str, convs: list[Conv], norms: list[Affine], head: list[Dense], options: ImportOptions) -> nn.GNN:
    outputs = head[1].bias.size if head else convs[-1].channels
    widths = [conv.channels for conv in convs]
    config: dict[str, Any] = {
        "kind": kind, "in_channels": convs[0].inputs, "out_channels": outputs, "num_layers": len(convs),
        "hidden_channels": head[0].bias.size if head else widths[0], "norm": "batch" if norms else None,
        "readout": options.readout, "dropout": options.dropout, "attention_dropout": options.attention_dropout,
        "head_dropout": options.head_dropout, "heads": convs[0].options.get("heads", 1),
    }  # fmt: skip
    own = [_differs(config, conv, last=not head and i == len(convs) - 1) for i, conv in enumerate(convs)]
    if any(own):
        config["layers"] = own
    model = nn.build_model(config)
    state: dict[str, NDArray] = {}
    for i, conv in enumerate(convs, start=1):
        state |= {f"conv{i}.{name}": array for name, array in conv.arrays.items()}
    for i, norm in enumerate(norms, start=1):
        # Our eps is fixed; another one is the same as another variance.
        var = norm.var.astype(np.float64) + (norm.eps - _OWN_EPS)
        named = {"gamma": norm.gamma, "beta": norm.beta, "running_mean": norm.mean, "running_var": var}
        state |= {f"norm{i}.{name}": array for name, array in named.items()}
    for i, layer in enumerate(head, start=1):
        state |= {f"head{i}.weight": layer.weight, f"head{i}.bias": layer.bias}
    model.load_state_dict(state)
    return model


def _differs(config: dict[str, Any], conv: Conv, *, last: bool) -> dict[str, Any]:
    """What a convolution has otherwise than the pattern of the model."""
    usual = {
        "channels": config["out_channels"] if last else config["hidden_channels"],
        "heads": config["heads"], "concat": not last, "mlp": config["hidden_channels"],
    }  # fmt: skip
    given = {"channels": conv.channels} | conv.options
    return {name: value for name, value in given.items() if value != usual[name]}
