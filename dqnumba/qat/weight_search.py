"""The range of each weight that disturbs its product least, channel by channel."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import autograd as ag
from .. import nn
from ..errors import ConfigError
from ..graph import SparseFeatures
from ..quant import fake_quantize
from .fake_quantizer import WeightQuantizer
from .prepare import QuantizedModel
from .taps import Tap, float_twin, observed

__all__ = ["search_weight_ranges"]

#: Shares of the full range that are tried; the full range first, so that it wins a tie.
_SHARES = np.linspace(0.30, 1.0, 71)[::-1]


def search_weight_ranges(qmodel: QuantizedModel, batches: Callable[[], Iterable[Any]]) -> dict[str, float]:
    """Shrink the range of each weight to the share with the least squared error, per channel if it has scales per
    channel.

    The error of weight w_k counts with the mean square of the input x_k that it is multiplied with, as the float model
    has it on the data: the error of the product, as far as inputs are not correlated. The bare error of the weights
    would clip the large weights, which often belong to the large inputs. The shares are kept as the factors of learned
    ranges.

    Parameters
    ----------
    qmodel : QuantizedModel
        Prepared with ``learned_range=True``; its factors are set in place.
    batches : callable
        Gives the graphs to look at, anew at each call.

    Returns
    -------
    dict of float
        Mean share by site.

    Raises
    ------
    ConfigError
        The model was prepared without ``learned_range=True``.
    """
    if not qmodel.config.learned_range:
        raise ConfigError(
            "search_weight_ranges keeps its result as factors of the ranges; prepare the model with learned_range=True."
        )
    layers = dict(qmodel.model.modules())
    squares = _mean_squares(float_twin(qmodel), batches)
    shares = {}
    for site, quantizer in qmodel.quantizers.items():
        if isinstance(quantizer, WeightQuantizer) and quantizer.log_factor is not None:
            owner, _, leaf = site.rpartition(".")
            parameter = getattr(layers[owner], leaf, None)  # or several, as the layer joins them
            weight = layers[owner].product_weight() if parameter is None else parameter.data
            importance = np.concatenate([squares[source] for source in _sources(layers, owner, leaf)])
            shares[site] = _search(quantizer, weight, importance[:, None])
    return shares


def _sources(layers: dict[str, nn.Module], owner: str, leaf: str) -> list[tuple[str, str]]:
    """Layer and site that the rows of a weight are multiplied with."""
    layer = layers[owner]
    if isinstance(layer, nn.SAGEConv) and layer.plan == "edgewise":
        return [(owner, "aggregate" if leaf == "weight_l" else "input")]
    if isinstance(layer, nn.SAGEConv) and layer.plan == "aggregate_first":
        return [(owner, "aggregate"), (owner, "input")]
    if isinstance(layer, nn.GCNConv) and layer.plan == "aggregate_first":
        return [(owner, "aggregate")]
    conv = owner.rpartition(".")[0]
    if owner.endswith(".lin1") and layers[conv].plan == "transform_first":
        return [(conv, "input")]
    return [(owner, "input")]


def _mean_squares(twin: nn.GNN, batches: Callable[[], Iterable[Any]]) -> dict[tuple[str, str], NDArray[np.float64]]:
    """Mean square of each column of what passes the inputs of products, by layer and site."""
    sums: dict[tuple[str, str], NDArray[np.float64]] = {}

    def see(key: tuple[str, str]) -> Callable[[Any, nn.Context], None]:
        def add(x: Any, ctx: nn.Context) -> None:
            if isinstance(x, SparseFeatures):
                squared = np.bincount(x.indices, np.square(x.data, dtype=np.float64), minlength=x.shape[1])
            else:
                squared = np.square(x.data if isinstance(x, ag.Tensor) else x, dtype=np.float64).sum(axis=0)
            sums[key] = sums.get(key, 0.0) + squared

        return add

    kinds = (nn.GCNConv, nn.GATConv, nn.GINConv, nn.SAGEConv, nn.Linear)
    taps: list[Tap] = [
        (layer, site, see((name, site)))
        for name, layer in twin.modules() if isinstance(layer, kinds) for site in ("input", "aggregate")
    ]  # fmt: skip
    for graph in batches():
        observed(twin, graph, taps)
    return sums  # a common factor does not matter


def _search(quantizer: WeightQuantizer, weight: NDArray[np.float32], importance: NDArray[np.float64]) -> float:
    factor = quantizer.log_factor.data
    best, chosen = np.full(factor.size, np.inf), np.ones(factor.size)
    for share in _SHARES:
        factor[:] = np.log(share)
        error = fake_quantize(weight, quantizer.qparams(weight)).astype(np.float64) - weight
        columns = (importance * np.square(error)).sum(axis=0)
        error = columns if quantizer.spec.per_channel else columns.sum(keepdims=True)
        better = error < best
        best, chosen = np.where(better, error, best), np.where(better, share, chosen)
    factor[:] = np.log(chosen)
    return float(chosen.mean())
