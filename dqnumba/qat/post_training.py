"""Post-training quantization in one call: ranges, weights, biases, without an epoch of training."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from .. import nn
from ..errors import ConfigError
from ..graph import Graph
from .bias_correction import correct_biases
from .calibrate import calibrate
from .config import QuantConfig
from .prepare import QuantizedModel, prepare
from .weight_search import search_weight_ranges

__all__ = ["RULES", "quantize_trained"]

#: Range rules by the name a user gives: what a QuantConfig calls them.
RULES = {"percentile": "percentile_ema", "ema": "ema", "minmax": "minmax", "mse": "mse"}


def quantize_trained(
    model: nn.GNN,
    data: Any,
    *,
    bits: int = 8,
    weight_bits: int | None = None,
    activation_bits: int | None = None,
    ranges: str = "percentile",
    weights: str = "full",
    bias_correction: bool = True,
    sites: str = "fused",
    indices: np.ndarray | None = None,
    batch_size: int = 128,
    **overrides: Any,
) -> QuantizedModel:
    """Quantize a trained float model with what it does on ``data``; labels are not looked at.

    Parameters
    ----------
    model : GNN
        Not changed.
    data : Graph or GraphDataset
        As in :func:`~dqnumba.qat.calibrate.calibrate`.
    bits, weight_bits, activation_bits : int
        2 to 8.
    ranges : {"percentile", "ema", "minmax", "mse"}
        Activations: order statistics, moving average of the extremum, running extremum, or the range that rounds with
        the least squared error. One graph is one pass, where ``"ema"`` and ``"minmax"`` are the same.
    weights : {"full", "mse"}
        Weights, per output channel: the whole range, or the share of it whose product has the least squared error.
    bias_correction : bool
        See :func:`~dqnumba.qat.bias_correction.correct_biases`.
    sites : {"fused", "paper"}
    indices, batch_size
        Of a data set, as in ``calibrate``.
    **overrides
        Fields of ``QuantConfig``.

    Returns
    -------
    QuantizedModel
        Ready for ``convert``.

    Raises
    ------
    ConfigError
        An option that is not known.
    GraphError
        ``data`` does not fit the model.
    """
    if ranges not in RULES:
        raise ConfigError(f"ranges={ranges!r} is not known; use one of {', '.join(RULES)}.")
    if weights not in ("full", "mse"):
        raise ConfigError(f'weights={weights!r} is not known; use "full" or "mse".')
    options = {"range_rule": RULES[ranges], "learned_range": weights == "mse"} | overrides
    config = QuantConfig.ptq(bits, weight_bits=weight_bits, activation_bits=activation_bits, sites=sites, **options)
    qmodel = prepare(model, config)
    if weights == "mse":
        if sites == "paper":  # weights have ranges of their own there, seen in a pass
            calibrate(qmodel, data, indices=indices, batch_size=batch_size)
        search_weight_ranges(qmodel, lambda: _batches(data, indices, batch_size))
    calibrate(qmodel, data, indices=indices, batch_size=batch_size)
    if bias_correction:
        correct_biases(qmodel, lambda: _batches(data, indices, batch_size))
    return qmodel


def _batches(data: Any, indices: np.ndarray | None, batch_size: int) -> Iterator[Graph]:
    if isinstance(data, Graph):
        yield data
        return
    if indices is None:
        indices = data.splits["train"] if data.splits else np.arange(len(data))
    for start in range(0, len(indices), batch_size):
        yield data.batch(indices[start : start + batch_size])
