"""Stacks of linear layers in a PyG state dict, their batch normalizations folded into the linears beside them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..errors import DataError
from .foreign_file import Tensors
from .pyg_names import at, linear_prefixes, natural, norm_prefixes

__all__ = ["Affine", "Dense", "take_linear", "take_mlp", "take_norm"]


@dataclass(frozen=True)
class Affine:
    """A batch normalization at evaluation.

    Attributes
    ----------
    gamma, beta, mean, var : float32 arrays (C,)
        As the file has them.
    eps : float
    """

    gamma: NDArray
    beta: NDArray
    mean: NDArray
    var: NDArray
    eps: float

    @property
    def scale_shift(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Scale and shift, float64 (C,)."""
        scale = self.gamma.astype(np.float64) / np.sqrt(self.var.astype(np.float64) + self.eps)
        return scale, self.beta - scale * self.mean


@dataclass(frozen=True)
class Dense:
    """x @ weight + bias; weight (K, M), bias (M,), both float64 so that folding rounds once."""

    weight: NDArray[np.float64]
    bias: NDArray[np.float64]

    def then(self, norm: Affine) -> Dense:
        """This layer and a normalization directly behind it."""
        scale, shift = norm.scale_shift
        return Dense(self.weight * scale, self.bias * scale + shift)

    def after(self, norm: Affine) -> Dense:
        """A normalization (behind an activation) and this layer."""
        scale, shift = norm.scale_shift
        return Dense(self.weight * scale[:, None], self.bias + shift @ self.weight)


def take_linear(tensors: Tensors, prefix: str, inputs: int | None, *, bias: bool = True) -> Dense:
    """A ``torch.nn.Linear`` or PyG's own; with ``bias=False`` it has none."""
    weight = tensors.take(at(prefix, "weight"), (None, inputs)).T.astype(np.float64)
    shift = np.zeros(weight.shape[1])
    if bias:
        why = "If the layer was built with bias=False, say so: bias=False (--no-bias)."
        shift = tensors.take(at(prefix, "bias"), (weight.shape[1],), why=why).astype(np.float64)
    return Dense(weight, shift)


def take_norm(tensors: Tensors, prefix: str, channels: int, eps: float) -> Affine:
    """A batch normalization of torch or PyG. Its count of batches decides nothing at evaluation and is dropped."""
    why = "Only batch normalizations with affine=True and track_running_stats=True are read."
    names = ("weight", "bias", "running_mean", "running_var")
    gamma, beta, mean, var = (tensors.take(at(prefix, name), (channels,), why=why) for name in names)
    if (var < 0).any():
        raise DataError(f"{tensors.source}: tensor {at(prefix, 'running_var')!r} has a negative value.")
    tensors.drop(at(prefix, "num_batches_tracked"))
    return Affine(gamma, beta, mean, var, eps)


def take_mlp(
    tensors: Tensors, prefix: str, inputs: int | None, *, act_first: bool, bias: bool, eps: float
) -> tuple[list[Dense], Affine | None]:
    """The linears below ``prefix``: PyG's MLP (``lins.0``, ``norms.0``), a Sequential (``0``, ``1``, ...) or one layer.

    A normalization of an MLP stands before the activation, or behind it with ``act_first``. In a Sequential the numbers
    say it: one after a linear's number is directly behind the linear, two after it behind an activation.

    Returns
    -------
    layers : list of Dense
        Normalizations folded in.
    trailing : Affine or None
        A normalization behind the activation that follows the last linear, which no linear can take in.

    Raises
    ------
    DataError
        A tensor is missing or has an unexpected shape, or a normalization stands where the numbers say nothing.
    """
    inner = [name.removeprefix(at(prefix, "")) for name in tensors.arrays if name.startswith(at(prefix, ""))]
    if "weight" in inner or "bias" in inner:
        return [take_linear(tensors, prefix, inputs, bias=bias)], None
    norms = {name.removesuffix(".module"): name for name in norm_prefixes(inner)}
    linears = linear_prefixes(tensors, inner, inside=prefix)
    layers: list[Dense] = []
    places: list[tuple[int, bool]] = []  # linear before the normalization, and whether it is behind an activation
    order = sorted(norms, key=natural)
    for name in order:
        places.append(_place(tensors, prefix, name, linears, act_first))
    for name in linears:
        layers.append(take_linear(tensors, at(prefix, name), inputs, bias=bias))
        inputs = layers[-1].bias.size
    trailing = None
    for name, (k, behind) in zip(order, places, strict=True):
        norm = take_norm(tensors, at(prefix, norms[name]), layers[k].bias.size, eps)
        if not behind:
            layers[k] = layers[k].then(norm)
        elif k + 1 < len(layers):
            layers[k + 1] = layers[k + 1].after(norm)
        else:
            trailing = norm
    return layers, trailing


def _place(tensors: Tensors, prefix: str, norm: str, linears: tuple[str, ...], act_first: bool) -> tuple[int, bool]:
    group, _, number = norm.rpartition(".")
    if group == "norms" and number.isdigit() and int(number) < len(linears):
        return int(number), act_first
    if number.isdigit() and not group:
        before = [k for k, name in enumerate(linears) if name.isdigit() and int(name) < int(number)]
        gap = int(number) - int(linears[before[-1]]) if before else 0
        if gap in (1, 2):
            return before[-1], gap == 2
    raise DataError(
        f"{tensors.source}: where the normalization {at(prefix, norm)!r} stands cannot be told from its name. Build "
        "the layers as Linear, BatchNorm1d, ReLU or Linear, ReLU, BatchNorm1d, without others between, or as PyG's MLP."
    )
