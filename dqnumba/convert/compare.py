"""Level 2 of ``verify``: the program beside fake quantization, site by site, each fed with the program's own codes."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import autograd as ag
from ..errors import ConfigError
from ..graph import Graph, SparseFeatures
from ..infer import IntegerModel
from ..nn import Context
from ..qat import ActivationQuantizer, BiasRounder, GridRounder, QuantizedModel, WeightQuantizer
from ..quant import from_storage, quantize, to_storage

__all__ = ["check_same_model", "compare_sites"]

#: What stands for "cannot be compared": far beyond any allowed difference.
HOPELESS = 2**31


def check_same_model(imodel: IntegerModel, qmodel: QuantizedModel) -> None:
    """Raise ConfigError unless both are of one configuration; comparing others would compare shapes, not roundings."""
    meta = imodel.program.meta
    for what, ours, theirs in (
        ("model", meta["model"], qmodel.model.config), ("quantization", meta["quantization"], qmodel.config.to_dict()),
    ):  # fmt: skip
        differ = sorted(name for name in ours.keys() | theirs.keys() if ours.get(name) != theirs.get(name))
        if differ:
            name = differ[0]
            raise ConfigError(
                f"The integer program and the trained model differ in {what}.{name}: {ours.get(name)!r} and "
                f"{theirs.get(name)!r}. Compare a program with the model that it was converted from."
            )


def compare_sites(
    imodel: IntegerModel, qmodel: QuantizedModel, graph: Graph, codes: dict[str, NDArray], logits: NDArray
) -> list[dict[str, Any]]:
    """Run fake quantization with each site's input taken from the program; every site of either must be met.
    The graph has a node.

    Activations may differ by one code. Weights and biases are constants made from the same numbers: they must be equal.
    """
    found: list[dict[str, Any]] = []
    hooks = {}
    constants = _constants(imodel)
    for prefix, module in qmodel.model.modules():
        for leaf, hook in module.hooks.items():
            name = f"{prefix}.{leaf}"
            quantizer = qmodel.quantizers[name]
            label = quantizer.weight.name if isinstance(quantizer, BiasRounder) else name
            if name in codes:
                probe = _Probe(name, hook, quantizer, codes[name], found)
            elif label in constants:
                probe = _ConstantProbe(name, hook, quantizer, constants[label], found)
            else:
                continue
            hooks[(module, leaf)] = hook
            module.hooks[leaf] = probe
    try:
        with ag.no_grad():
            floats = qmodel.model.forward(Context(graph)).data
    finally:
        for (module, leaf), hook in hooks.items():
            module.hooks[leaf] = hook
    met = {f["site"] for f in found}
    compared = (ActivationQuantizer, WeightQuantizer, BiasRounder)
    missed = [n for n, q in qmodel.quantizers.items() if isinstance(q, compared) and n not in met]
    for name in sorted(missed):  # a site of training that the program does not have breaks the contract
        found.append(_entry(f"{name} (not in the program)", 0, HOPELESS, 1.0, 0.0, 0))
    for name in sorted(codes.keys() - met):
        found.append(_entry(f"{name} (not in the trained model)", 0, HOPELESS, 1.0, 0.0, 0))
    found.append(_compare_outputs(imodel, graph, floats, logits))
    return found


def _entry(site: str, bits: int, largest: int, differing: float, saturated: float, allowed: int) -> dict[str, Any]:
    return {
        "site": site, "bits": bits, "max_difference": largest, "differing": differing, "saturated": saturated,
        "allowed": allowed,
    }  # fmt: skip


def _compare(
    name: str, bits: int, codes: NDArray, expected: NDArray, ends: tuple[int, int], allowed: int
) -> dict[str, Any]:
    if codes.size != expected.size:
        return _entry(name, bits, HOPELESS, 1.0, 0.0, allowed)
    difference = np.abs(codes.reshape(expected.shape) - expected)
    largest = min(int(difference.max()), HOPELESS)
    saturated = float(np.mean((codes == ends[0]) | (codes == ends[1])))
    return _entry(name, bits, largest, float(np.mean(difference > 0)), saturated, allowed)


def _compare_outputs(imodel: IntegerModel, graph: Graph, floats: NDArray, logits: NDArray) -> dict[str, Any]:
    """The exit is not rounded in training: its int32 step must hide behind float32's own error, which grows with
    the sums.
    """
    if floats.shape != logits.shape or not np.isfinite(floats).all() or not np.isfinite(logits).all():
        return _entry("logits", 32, HOPELESS, 1.0, 0.0, 1)
    step = np.asarray(imodel.program.steps[-1].attributes["scale"], np.float64)
    longest = float(graph.adjacency("add").in_degree.max(initial=1))
    noise = 2.0**-23 * (16.0 + np.sqrt(longest)) * float(np.abs(floats).max(initial=1e-30))
    difference = np.abs(floats.astype(np.float64) - logits) / (step + noise)
    largest = min(int(np.ceil(difference.max() - 1e-9)), HOPELESS)
    return _entry("logits", 32, largest, float(np.mean(difference > 0.5)), 0.0, 1)


def _constants(imodel: IntegerModel) -> dict[str, list[tuple[NDArray, NDArray]]]:
    """Weights and biases of the products by the site of the weight (attention has two products)."""
    found: dict[str, list[tuple[NDArray, NDArray]]] = {}
    tensors = imodel.program.tensors
    for step in imodel.program.steps:
        if step.op == "matmul":
            label = step.output.partition(":")[2]
            found.setdefault(label, []).append((tensors[step.tensors["weight"]], tensors[step.tensors["bias"]]))
    return found


class _Probe:
    """Stands at a site instead of its quantizer: compares codes, then hands on the integer program's codes as reals."""

    def __init__(self, name: str, hook: Any, quantizer: Any, codes: NDArray, found: list[dict[str, Any]]) -> None:
        self.name, self.quantizer, self.codes, self.found = name, quantizer, codes, found
        self.nudge = getattr(hook, "nudge", 0.0)

    def __call__(self, x: Any, ctx: Context, rows: str | None) -> Any:
        values = x.toarray() if isinstance(x, SparseFeatures) else (x.data if isinstance(x, ag.Tensor) else x)
        if isinstance(self.quantizer, GridRounder):
            step, offset, zero, bits = self.quantizer.step, 0, 0, -int(np.log2(self.quantizer.step))
            expected, low, high = np.floor(values / step + 0.5).astype(np.int64), 0, round(1 / step)
        else:
            weight = isinstance(self.quantizer, WeightQuantizer)
            qparams = self.quantizer.qparams(values) if weight else self.quantizer.qparams()
            step, offset, bits = float(qparams.scale), qparams.spec.storage_offset, qparams.spec.bits
            values = values + np.float32(self.nudge * step)
            expected = to_storage(quantize(values, qparams), qparams.spec).astype(np.int64)
            zero, low, high = int(qparams.zero_point), qparams.spec.qmin - offset, qparams.spec.qmax - offset
        codes = self.codes.astype(np.int64)
        self.found.append(_compare(self.name, bits, codes, expected, (low, high), 1))
        if codes.size != expected.size:
            return x
        reals = ((codes.reshape(expected.shape) + offset - zero) * step).astype(np.float32)
        if isinstance(x, SparseFeatures):
            return x.with_data(reals[x.row_ids, x.indices])
        return ag.Tensor(reals)


class _ConstantProbe:
    """Stands at a weight or a bias: compares it with the program's constant, then rounds it as in training."""

    def __init__(self, name: str, hook: Any, quantizer: Any, pairs: list, found: list[dict[str, Any]]) -> None:
        self.name, self.hook, self.quantizer, self.pairs, self.found = name, hook, quantizer, pairs, found

    def __call__(self, x: ag.Tensor, ctx: Context, rows: str | None) -> Any:
        rounded = self.hook(x, ctx, rows)
        if isinstance(self.quantizer, BiasRounder):
            codes, ends, bits = self.pairs[0][1].astype(np.int64), (-HOPELESS, HOPELESS - 1), 32
            expected = np.floor(x.data.astype(np.float64) / self.quantizer.step() + 0.5).astype(np.int64)
        else:
            qparams = self.quantizer.qparams(x.data)
            spec, bits = qparams.spec, qparams.spec.bits
            expected, ends = quantize(x.data, qparams).astype(np.int64), (spec.qmin, spec.qmax)
            codes = from_storage(self._matrix(x.data.shape), spec).astype(np.int64)
        self.found.append(_compare(self.name, bits, codes, expected, ends, 0))
        return rounded

    def _matrix(self, shape: tuple[int, ...]) -> NDArray:
        """The program's codes in the shape of the weight; attention's rows are blocks of two matrices, target
        before source.
        """
        if len(self.pairs) == 1:
            return self.pairs[0][0]
        target, source = (weight for weight, _ in self.pairs)
        rows = np.arange(target.shape[0])
        heads = rows // max(1, shape[1] // target.shape[1])
        return np.stack([source[rows, heads], target[rows, heads]])
