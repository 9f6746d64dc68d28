"""A quantized model evaluated in float64: what it means, without float32's own rounding noise."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import autograd as ag
from ..graph import SparseFeatures
from ..nn import Context, EdgeBlocks
from ..quant import quantize
from .fake_quantizer import ActivationQuantizer, WeightQuantizer
from .prepare import QuantizedModel, Shared

__all__ = ["ExactModel"]

_DENSE_LIMIT = 1 << 27  # entries of a feature matrix that are written out; beyond it sparse values stay float32


class ExactModel:
    """Fake quantization with every sum between two roundings in float64.

    In float32 a value within about 1e-5 of the border between two codes falls on a side of chance. Where inputs are
    discrete (atom types) such a value can be that of a whole pattern, carbon between two carbons say, and then most
    graphs hold it. An integer program has no such noise, so it is compared with this. Weights and the entry are rounded
    in float32, as the program's are.

    Parameters
    ----------
    qmodel : QuantizedModel
        Not changed.
    """

    def __init__(self, qmodel: QuantizedModel) -> None:
        self.qmodel = copy.deepcopy(qmodel)
        for tensor in self.qmodel.parameters().values():
            tensor.data = tensor.data.astype(np.float64)
        for prefix, module in self.qmodel.model.modules():
            for leaf, hook in module.hooks.items():
                if isinstance(hook, WeightQuantizer):
                    module.hooks[leaf] = _exact_weight(hook)
                elif isinstance(hook, (ActivationQuantizer, Shared)):
                    module.hooks[leaf] = _exact_activation(hook, entry=f"{prefix}.{leaf}" == "conv1.input")

    def __call__(self, graph: Any) -> NDArray[np.float64]:
        """Outputs for ``graph``, float64; evaluation only."""
        self.qmodel.model.check_graph(graph)
        with ag.no_grad(), ag.reuse_memory():
            return self.qmodel.model.forward(Context(graph)).data


def _reals(codes: NDArray, qparams: Any) -> ag.Tensor:
    return ag.Tensor((codes - np.asarray(qparams.zero_point)) * np.asarray(qparams.scale, np.float64))


def _exact_weight(quantizer: WeightQuantizer) -> Any:
    def hook(weight: ag.Tensor, ctx: Context, rows: str | None) -> ag.Tensor:
        narrow = weight.data.astype(np.float32)
        qparams = quantizer.qparams(narrow)
        return _reals(quantize(narrow, qparams), qparams)

    return hook


def _exact_activation(hook: ActivationQuantizer | Shared, *, entry: bool) -> Any:
    nudge = hook.nudge if isinstance(hook, Shared) else 0.0
    quantizer = hook.quantizer if isinstance(hook, Shared) else hook

    def exact(x: Any, ctx: Context, rows: str | None) -> Any:
        qparams = quantizer.qparams()
        if isinstance(x, SparseFeatures):
            if x.shape[0] * x.shape[1] > _DENSE_LIMIT:
                return quantizer.round(x)
            x = x.toarray()

        def rounded(values: NDArray) -> ag.Tensor:
            codes = np.rint(values / qparams.scale + (qparams.zero_point + nudge))
            return _reals(np.clip(codes, qparams.spec.qmin, qparams.spec.qmax), qparams)

        if isinstance(x, EdgeBlocks):
            return x.map(lambda block: rounded(block).data)
        values = x.data if isinstance(x, ag.Tensor) else x
        if entry:
            return _reals(quantize(values.astype(np.float32), qparams), qparams)
        return rounded(values)

    exact.takes_blocks = True
    return exact
