"""What stands at a site while training: fake quantization of activations and weights, and rounding to fixed grids."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import autograd as ag
from ..errors import NotCalibratedError
from ..graph import SparseFeatures
from ..nn import Context, EdgeBlocks
from ..quant import QParams, QuantSpec, choose_qparams, fake_quantize
from .observers import Observer

__all__ = ["TIE_GUARD", "ActivationQuantizer", "BiasRounder", "GridRounder", "WeightQuantizer"]

#: Ranges are widened by this share. The values at a site often lie on the grid of the site before it, and a range
#: observed on a grid makes ratios of two scales such as 15 / 6: then every other code sits exactly between two new
#: codes, and float32's last bit decides. A thousandth of the range moves them off the tie, to the same side in floats
#: and in integers.
TIE_GUARD = 2.0**-10
#: Bounds of the logarithm of a learned factor.
LOG_FACTOR_BOUNDS = (-4.0, 2.0)


class ActivationQuantizer:
    """Fake quantization of an activation; rows of protected nodes pass in float while training.

    The range is updated first and then used (official code); at evaluation it is frozen and every row is rounded.

    Parameters
    ----------
    name : str
        Dotted name of the site.
    spec : QuantSpec
    observer : Observer
    gradient : str
        ``"ste"``, ``"clip"`` or ``"clip_inclusive"``.
    masked : bool
        Whether the degree mask reaches this site.
    widen : float
        Share by which the range is widened; 0 at the entry, whose floats both worlds round alike.
    learned : bool
        Train a factor of the range: ``log_factor``, a Tensor (1,).
    """

    takes_blocks = True

    def __init__(
        self, name: str, spec: QuantSpec, observer: Observer, *, gradient: str, masked: bool, widen: float = TIE_GUARD,
        learned: bool = False,
    ) -> None:  # fmt: skip
        self.name, self.spec, self.observer, self.gradient, self.masked = name, spec, observer, gradient, masked
        self.widen = widen
        self.log_factor = _log_factor(1) if learned else None
        self._latest: tuple[tuple[float, float], QParams] | None = None  # of the range that was asked for last

    @property
    def state(self) -> NDArray[np.float64]:
        """Low and high of the range."""
        return self.observer.range

    def qparams(self) -> QParams:
        """Scale and zero point of the range so far.

        Raises
        ------
        NotCalibratedError
            If no tensor has been seen.
        """
        if self.observer.is_empty:
            raise NotCalibratedError(
                f"Site {self.name} has no range yet: the quantized model has seen no data. "
                "Run dqnumba.fit(qmodel, data) or dqnumba.calibrate(qmodel, data) first."
            )
        factor = 1.0 if self.log_factor is None else float(_factor(self.log_factor)[0])
        ends = float(self.state[0]) * factor, float(self.state[1]) * factor
        if self._latest is None or self._latest[0] != ends:
            low, high = (end * (1.0 + self.widen) for end in ends)
            self._latest = ends, choose_qparams(low, high, self.spec)
        return self._latest[1]

    def __call__(self, x: Any, ctx: Context, rows: str | None) -> Any:
        protected = self._protected(ctx, rows)
        if ctx.observe or self.observer.is_empty:
            copies = _messages_sent(ctx, rows)
            if ctx.observe:
                self.observer.update(x.data if isinstance(x, ag.Tensor) else x, protected, copies)
            if self.observer.is_empty and (ctx.observe or (copies is not None and not copies.any())):
                # Every row of the first batch was protected, or no edge carries a message: nothing to round, and
                # nothing learned about the range.
                return x
        return self.round(x, protected) if ctx.rounding else x

    def round(self, x: Any, protected: NDArray[np.bool_] | None = None) -> Any:
        """Fake-quantize ``x`` with the range as it stands; a recorded ``x`` may be overwritten."""
        qparams = self.qparams()
        if isinstance(x, EdgeBlocks):
            return x.map(lambda block: _fake_quantize(block, qparams, self.gradient, None).data)
        if isinstance(x, SparseFeatures):  # zero is a code of its own, so the pattern stays
            rounded = fake_quantize(x.data, qparams)
            return x.with_data(rounded if protected is None else np.where(protected[x.row_ids], x.data, rounded))
        return _fake_quantize(x, qparams, self.gradient, protected, last_use=True, log_factor=self.log_factor)

    def _protected(self, ctx: Context, rows: str | None) -> NDArray[np.bool_] | None:
        if ctx.protected is None or not self.masked or rows is None:
            return None
        return ctx.protected[ctx.graph.adjacency("add").indices] if rows == "edge" else ctx.protected


class WeightQuantizer:
    """Fake quantization of a weight, per tensor with a tracked range or per output channel with its current range.

    With ``noise`` only a fresh random share of the entries is rounded in a training pass (nQAT); a float entry passes
    its gradient unchanged. With ``learned`` channels (1 for the whole tensor) each range has a trained factor.
    """

    def __init__(
        self, name: str, spec: QuantSpec, observer: Observer | None, *, gradient: str, noise: float | None = None,
        learned: int = 0,
    ) -> None:  # fmt: skip
        self.log_factor = _log_factor(learned) if learned else None
        self.name, self.spec, self.observer, self.gradient, self.noise = name, spec, observer, gradient, noise
        self._state = np.empty(0)

    @property
    def state(self) -> NDArray[np.float64]:
        """Low and high of the tracked range; empty where the current range is used."""
        return self.observer.range if self.observer is not None else self._state

    def qparams(self, weight: NDArray[np.float32]) -> QParams:
        """Scales and zero points for ``weight`` (K, M), whose last axis is the output channel."""
        if self.observer is not None:
            if self.observer.is_empty:
                raise NotCalibratedError(
                    f"Site {self.name} has no range yet. "
                    "Run dqnumba.fit or dqnumba.calibrate on the quantized model first."
                )
            low, high = float(self.state[0]), float(self.state[1])
        else:
            axis = tuple(range(weight.ndim - 1)) if self.spec.granularity == "per_channel" else None
            low, high = weight.min(axis=axis), weight.max(axis=axis)
        if self.log_factor is not None:
            factor = _factor(self.log_factor)
            factor = factor if self.spec.granularity == "per_channel" else float(factor[0])
            low, high = low * factor, high * factor
        return choose_qparams(low, high, self.spec)

    def __call__(self, weight: ag.Tensor, ctx: Context, rows: str | None) -> ag.Tensor:
        if self.observer is not None and ctx.observe:
            self.observer.update(weight.data)
        if not ctx.rounding:
            return weight
        rounded = _fake_quantize(weight, self.qparams(weight.data), self.gradient, None, log_factor=self.log_factor)
        if not ctx.training or self.noise is None:
            return rounded
        chosen = (ctx.rng.random(weight.shape, dtype=np.float32) < self.noise).astype(weight.dtype)
        return rounded * chosen + weight * (1 - chosen)


class GridRounder:
    """Rounds to multiples of a fixed step, half up as the integer runtime does; the gradient passes unchanged."""

    def __init__(self, name: str, bits: int) -> None:
        self.name, self.step = name, 2.0**-bits
        self.state = np.empty(0)

    def __call__(self, x: ag.Tensor, ctx: Context, rows: str | None) -> ag.Tensor:
        rounded = (np.floor(x.data / self.step + 0.5) * self.step).astype(x.dtype)
        return ag.record(rounded, (x,), lambda grad: (grad,))


class BiasRounder:
    """Rounds a bias to the grid of the int32 accumulators it starts: scale_in * scale_w per output channel.

    The official code leaves biases in float, which no accumulator can. The gradient passes unchanged.

    Parameters
    ----------
    name : str
    source : ActivationQuantizer
        Of the product's input.
    weight : WeightQuantizer
    values : callable
        Gives the weight as the product sees it, (K, M).
    """

    def __init__(self, name: str, source: ActivationQuantizer, weight: WeightQuantizer, values: Callable) -> None:
        self.name, self.source, self.weight, self.values = name, source, weight, values
        self.state = np.empty(0)

    def step(self) -> Any:
        """Distance of two neighbours on the grid, float64: a number, or one an output channel."""
        return self.source.qparams().scale * np.asarray(self.weight.qparams(self.values()).scale, np.float64)

    def __call__(self, bias: ag.Tensor, ctx: Context, rows: str | None) -> ag.Tensor:
        if self.source.observer.is_empty or not ctx.rounding:  # an all-protected first batch: no grid yet
            return bias
        step = self.step()
        rounded = (np.floor(bias.data.astype(np.float64) / step + 0.5) * step).astype(bias.dtype)
        return ag.record(rounded, (bias,), lambda grad: (grad,))


def _log_factor(size: int) -> ag.Tensor:
    return ag.Tensor(np.zeros(size, np.float32), requires_grad=True)


def _factor(log_factor: ag.Tensor) -> NDArray[np.float64]:
    """The factor of a range, within bounds that no useful range leaves."""
    return np.exp(np.clip(log_factor.data.astype(np.float64), *LOG_FACTOR_BOUNDS))


def _messages_sent(ctx: Context, rows: str | None) -> NDArray[np.int64] | None:
    """How many messages each node's row stands for, int64 (N,); None where a row stands for itself alone."""
    loops = {"source": "keep", "source_without_loops": "remove"}.get(rows)
    return None if loops is None else np.diff(ctx.graph.adjacency(loops).transposed[0])


def _fake_quantize(
    x: Any, qparams: QParams, gradient: str, protected: NDArray[np.bool_] | None, *, last_use: bool = False,
    log_factor: ag.Tensor | None = None,
) -> ag.Tensor:  # fmt: skip
    x = x if isinstance(x, ag.Tensor) else ag.Tensor(x)
    spec = qparams.spec
    if log_factor is not None and ag.is_recording():
        return ag.fake_quantize_learned(
            x, log_factor, qparams.scale, qparams.zero_point, spec.qmin, spec.qmax, protected=protected, rule=gradient
        )
    return ag.fake_quantize(
        x, qparams.scale, qparams.zero_point, spec.qmin, spec.qmax, protected=protected, rule=gradient,
        last_use=last_use,
    )  # fmt: skip
