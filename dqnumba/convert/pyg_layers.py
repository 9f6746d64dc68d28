"""One PyG convolution of each kind as the arrays and options of ours."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import ConfigError, DataError
from .foreign_file import Tensors
from .pyg_mlp import Affine, take_mlp
from .pyg_names import at
from .pyg_options import ImportOptions

__all__ = ["Conv", "take_conv"]

_BIAS = "If the layer was built with bias=False, say so: bias=False (--no-bias)."


@dataclass
class Conv:
    """A convolution: its width at both ends, the arrays of its layer here by name, and what its model has to know.

    Attributes
    ----------
    inputs, channels : int
    arrays : dict of arrays
    options : dict
        ``heads`` and ``concat`` of GAT, ``mlp`` of GIN.
    trailing : Affine or None
        A normalization behind the activation that closes GIN's MLP.
    """

    inputs: int
    channels: int
    arrays: dict[str, NDArray]
    options: dict[str, Any] = field(default_factory=dict)
    trailing: Affine | None = None


def take_conv(tensors: Tensors, kind: str, prefix: str, options: ImportOptions, following: int | None) -> Conv:
    """The convolution ``prefix``; ``following`` is the width that the next layer reads, None where there is none."""
    return _RULES[kind](tensors, prefix, options, following)


def _bias(tensors: Tensors, name: str, channels: int, options: ImportOptions) -> NDArray:
    if not options.bias:
        return np.zeros(channels, np.float32)
    return tensors.take(name, (channels,), why=_BIAS)


def _gcn(tensors: Tensors, prefix: str, options: ImportOptions, following: int | None) -> Conv:
    if at(prefix, "weight") in tensors:  # before PyG 2.0: not transposed
        weight = tensors.take(at(prefix, "weight"), (None, None))
    else:
        weight = tensors.take(at(prefix, "lin.weight"), (None, None)).T
    channels = weight.shape[1]
    return Conv(
        weight.shape[0], channels, {"weight": weight, "bias": _bias(tensors, at(prefix, "bias"), channels, options)}
    )


def _gat(tensors: Tensors, prefix: str, options: ImportOptions, following: int | None) -> Conv:
    source = tensors.take(at(prefix, "att_src"), (1, None, None))
    _, heads, width = source.shape
    target = tensors.take(at(prefix, "att_dst"), source.shape)
    # Until 2.4 one linear stood under two names; a file may hold both or, with shared tensors removed, either.
    names = [name for name in ("lin.weight", "lin_src.weight", "lin_dst.weight") if at(prefix, name) in tensors]
    weights = [tensors.take(at(prefix, name), (heads * width, None)) for name in names or ["lin.weight"]]
    for name, weight in zip(names[1:], weights[1:], strict=True):
        if not np.array_equal(weight, weights[0]):
            raise DataError(
                f"{tensors.source}: {at(prefix, names[0])!r} and {at(prefix, name)!r} differ: the layer transforms "
                "sources and targets differently (bipartite), which dqnumba's GATConv does not."
            )
    concat = _concat(tensors, prefix, heads, width, options, following)
    channels = heads * width if concat else width
    arrays = {
        "weight": weights[0].T,
        "attention": np.stack([source.reshape(-1), target.reshape(-1)]),
        "bias": _bias(tensors, at(prefix, "bias"), channels, options),
    }
    return Conv(weights[0].shape[1], channels, arrays, {"heads": heads, "concat": concat})


def _concat(
    tensors: Tensors, prefix: str, heads: int, width: int, options: ImportOptions, following: int | None
) -> bool:
    """Whether the heads stand side by side or are averaged: from the length of the bias, else from the next layer."""
    out = tensors.take(at(prefix, "bias"), (None,), why=_BIAS).size if options.bias else following
    if heads == 1:
        return following is not None
    if out in (heads * width, width):
        return out == heads * width
    if out is None:
        if options.concat is not None:
            return options.concat
        raise ConfigError(
            f"{prefix} has {heads} heads and no bias: nothing says whether they stand side by side or are averaged. "
            "Give concat=True or concat=False (--concat yes or no)."
        )
    raise DataError(f"{tensors.source}: {prefix} has {heads} heads of {width}, which do not fit a width of {out}.")


def _gin(tensors: Tensors, prefix: str, options: ImportOptions, following: int | None) -> Conv:
    scalar = np.ndim(tensors.arrays.get(at(prefix, "eps"), [0])) == 0
    eps = tensors.take(at(prefix, "eps"), () if scalar else (1,))
    mlp = at(prefix, "nn")
    first = [n for n in tensors.arrays if n.startswith(f"{mlp}.") and n.endswith(".weight")]
    layers, trailing = take_mlp(
        tensors, mlp, None, act_first=options.act_first, bias=options.bias, eps=options.norm_eps
    )  # fmt: skip
    if len(layers) != 2:
        raise DataError(
            f"{tensors.source}: {mlp} has {len(layers)} linear layers ({', '.join(sorted(first)[:4])}); a GINConv of "
            "dqnumba has two with a ReLU between them."
        )
    arrays = {"eps": eps.reshape(1)}
    for name, layer in zip(("lin1", "lin2"), layers, strict=True):
        arrays[f"{name}.weight"], arrays[f"{name}.bias"] = layer.weight, layer.bias
    return Conv(layers[0].weight.shape[0], layers[1].bias.size, arrays, {"mlp": layers[0].bias.size}, trailing)


def _sage(tensors: Tensors, prefix: str, options: ImportOptions, following: int | None) -> Conv:
    left = tensors.take(at(prefix, "lin_l.weight"), (None, None)).T
    why = "dqnumba's SAGEConv adds the node itself (root_weight=True)."
    right = tensors.take(at(prefix, "lin_r.weight"), left.shape[::-1], why=why).T
    bias = _bias(tensors, at(prefix, "lin_l.bias"), left.shape[1], options)
    return Conv(left.shape[0], left.shape[1], {"weight_l": left, "weight_r": right, "bias": bias})


_RULES: dict[str, Callable[[Tensors, str, ImportOptions, int | None], Conv]] = {
    "GCN": _gcn,
    "GAT": _gat,
    "GIN": _gin,
    "GraphSAGE": _sage,
}
