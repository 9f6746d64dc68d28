"""Assembling a program: lazy values, and the one place where a value becomes codes.

A :class:`Value` is a register together with the real numbers it stands for,

    real = relu?( scale_c * row_i * (register - zero) + bias_c ),

so that scales, row factors, biases, batch norms and ReLUs cost nothing until a site rounds.
:meth:`Builder.round_at` then emits one ``requantize`` with as few stages as exactness allows.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import ConfigError, ConversionError
from ..infer import Program, Step
from ..qat import ActivationQuantizer, QuantizedModel
from ..quant import QParams, quantize, to_storage
from ..quant.fixed_point import INT32_MAX, INT32_MIN
from .stages import GUARD_BITS, MOST_GUARD_BITS, ROW_GUARD_BITS, collect, guard_bits, stage

__all__ = ["Builder", "Value"]


@dataclass(frozen=True)
class Value:
    """A register and what it means; see the head of this module.

    Attributes
    ----------
    register : str
    rows : str
        ``"node"``, ``"edge"`` or ``"graph"``.
    channels : int
    scale : float or ndarray (channels,)
    zero : int
    row : str or None
        Row factor still to be applied.
    bias : ndarray (channels,) or None
    relu : bool
    codes : tuple of int or None
        Lowest and highest code, where the register holds the codes of a site.
    entry : bool
        The graph's float features (or, with ``table``, rows of an embedding).
    step : float or None
        The code step that a sum with extra fraction bits was made of; None where ``scale`` itself is it.
    plus : Value or None
        Codes that the next site adds to these codes (a residual).
    reach : ndarray (channels,) or None
        Largest absolute value of a product's sums, where it does not depend on the graph.
    """

    register: str
    rows: str
    channels: int
    scale: Any = 1.0
    zero: int = 0
    row: str | None = None
    bias: NDArray[np.float64] | None = None
    relu: bool = False
    codes: tuple[int, int] | None = None
    entry: bool = False
    table: NDArray[np.float32] | None = None
    step: float | None = None
    plus: Value | None = None
    reach: NDArray[np.float64] | None = None

    def with_relu(self) -> Value:
        """max(0, .) of this value."""
        return replace(self, relu=True)

    def affine(self, scale: NDArray[np.float64], shift: NDArray[np.float64]) -> Value:
        """scale * . + shift per channel: a batch norm that has not met a ReLU merges here."""
        if self.relu:
            raise ConversionError(
                "A batch norm behind a ReLU needs a site of its own before it. "
                "Prepare the model again with this version."
            )
        bias = shift if self.bias is None else self.bias * scale + shift
        return replace(self, scale=self.scale * scale, bias=bias)


class Builder:
    """Collects steps and constants of a program.

    Parameters
    ----------
    qmodel : QuantizedModel
    """

    def __init__(self, qmodel: QuantizedModel) -> None:
        self.qmodel = qmodel
        self.steps: list[Step] = []
        self.tensors: dict[str, NDArray] = {}
        self.scales: dict[str, float | list[float]] = {}

    def emit(
        self,
        op: str,
        inputs: tuple[str, ...],
        rows: str,
        channels: int,
        *,
        site: str | None = None,
        label: str | None = None,
        tensors: dict[str, NDArray] | None = None,
        **attributes: Any,
    ) -> str:
        """Append a step; its output register (named after its place and its site, ``label`` or operation) is
        returned.
        """
        output = f"r{len(self.steps)}:{site or label or op}"
        names = {}
        for role, tensor in (tensors or {}).items():
            names[role] = f"{output}.{role}"
            self.tensors[names[role]] = np.ascontiguousarray(tensor)
        self.steps.append(Step(op, output, inputs, rows, int(channels), attributes, names, site))
        return output

    def qparams(self, site: str) -> QParams:
        """Scale and zero point of an activation's site."""
        quantizer = self.qmodel.quantizers[site]
        if not isinstance(quantizer, ActivationQuantizer):
            raise ConversionError(f"Site {site} is no activation; the table of sites and the lowering rules disagree.")
        return quantizer.qparams()

    def weight_codes(self, site: str, weight: NDArray[np.float32]) -> tuple[NDArray, NDArray[np.float64], int]:
        """Stored codes of a weight, its scale (scalar or per output channel, float64) and its stored zero point."""
        qparams = self.qmodel.quantizers[site].qparams(weight)
        self.scales[site] = np.asarray(qparams.scale).tolist()
        zero = np.asarray(qparams.stored_zero_point)
        return (
            to_storage(quantize(weight, qparams), qparams.spec),
            np.asarray(qparams.scale),
            int(zero if zero.ndim == 0 else zero[0]),
        )

    def round_at(self, site: str, value: Value, *, row: str | None = None, name: str | None = None) -> Value:
        """Round ``value``, times row factor ``row``, to the codes of ``site``; recorded as site ``name`` (default
        ``site``).
        """
        qparams = self.qparams(site)
        spec, name = qparams.spec, name or site
        scale, zero = float(qparams.scale), int(qparams.stored_zero_point)
        self.scales[name] = scale
        low, high = spec.qmin - spec.storage_offset, spec.qmax - spec.storage_offset
        if value.plus is not None:
            if row is not None or value.relu:
                raise ConversionError(
                    f"{site}: a residual sum cannot be scaled by rows where it is rounded; the plan is wrong."
                )
            return self.add(name, value, value.plus)
        if value.entry:
            register = self._enter(name, value, qparams, row)
        else:
            try:
                stages, tensors = self._stages(value, scale, spec.bits, row)
            except ConfigError as error:
                raise ConversionError(
                    f"{name}: its scale {scale:.3g} cannot be reached from the values before it ({error}). "
                    "Calibrate on more data, or prepare with collapse_fallback=True if this site's range collapsed."
                ) from error
            register = self.emit(
                "requantize", (value.register,), value.rows, value.channels, site=name, tensors=tensors,
                zero_in=value.zero, zero_point=zero, low=max(low, zero) if value.relu else low, high=high,
                bits=spec.bits, stages=stages,
            )  # fmt: skip
        return Value(register, value.rows, value.channels, scale=scale, zero=zero, codes=(low, high))

    def add(self, site: str, first: Value, second: Value, *, gain: float = 1.0) -> Value:
        """gain * first + second, two sets of codes, rounded once to the codes of ``site``."""
        qparams = self.qparams(site)
        spec, scale, zero = qparams.spec, float(qparams.scale), int(qparams.stored_zero_point)
        self.scales[site] = scale
        factors = np.array([gain * first.scale / scale, second.scale / scale])
        shift = int(np.clip(30 - np.ceil(np.log2(np.abs(factors).max())), 1, 62))
        m1, m2 = (int(m) for m in np.floor(np.ldexp(factors, shift) + 0.5))
        if max(abs(m1), abs(m2)) >= 1 << 31:
            raise ConversionError(
                f"{site}: its scale is too small for the two values that meet there. Train or calibrate longer."
            )
        low, high = spec.qmin - spec.storage_offset, spec.qmax - spec.storage_offset
        register = self.emit(
            "add", (first.register, second.register), first.rows, first.channels, site=site, zero1=first.zero,
            multiplier1=m1, zero2=second.zero, multiplier2=m2, shift=shift, zero_point=zero, low=low, high=high,
            bits=spec.bits,
        )  # fmt: skip
        return Value(register, first.rows, first.channels, scale=scale, zero=zero, codes=(low, high))

    def _enter(self, name: str, value: Value, qparams: QParams, row: str | None) -> str:
        spec = qparams.spec
        if value.table is not None:
            if row is not None:
                raise ConversionError(
                    "An embedding cannot be scaled by rows at the entry; the plan of the first layer is wrong."
                )
            zero, offset = int(qparams.stored_zero_point), spec.storage_offset
            return self.emit(
                "lookup", (value.register,), "node", value.channels, site=name, zero_point=zero, low=spec.qmin - offset,
                high=spec.qmax - offset, tensors={"table": to_storage(quantize(value.table, qparams), spec)},
            )  # fmt: skip
        return self.emit(
            "quantize", (value.register,), "node", value.channels, site=name, scale=float(qparams.scale),
            zero_point=int(qparams.zero_point), qmin=spec.qmin, qmax=spec.qmax, offset=spec.storage_offset,
            row_factor=row,
        )  # fmt: skip

    def clamped(self, value: Value) -> Value:
        """A value of codes with its pending ReLU carried out; exact, because a ReLU of codes is a maximum with the
        zero.
        """
        if not value.relu:
            return value
        low, high = value.codes
        register = self.emit(
            "requantize", (value.register,), value.rows, value.channels, zero_in=value.zero, zero_point=value.zero,
            low=max(low, value.zero), high=high, bits=8 if high - low < 256 else 16, stages=[stage(1.0)],
        )  # fmt: skip
        return replace(value, register=register, relu=False, codes=(max(low, value.zero), high))

    def _stages(self, value: Value, scale: float, bits: int, row: str | None) -> tuple[list[dict], dict[str, NDArray]]:
        """The roundings from ``value`` to a scale: one where row and channel factors and biases do not meet, else
        with guard bits.
        """
        factor = np.asarray(value.scale) / scale
        if value.bias is None and (value.row is None or row is None or (value.row, row) == ("gcn", "gcn")):
            rows = "gcn2" if value.row and row else value.row or row
            if rows is None or factor.ndim == 0:
                return collect([(factor, rows, None)])
        offset = None if value.bias is None else value.bias / scale
        most = min(MOST_GUARD_BITS, 30 - bits) if row is None else GUARD_BITS
        guard = 2.0 ** guard_bits(factor, offset, most, value.reach)
        bias = None if offset is None else offset * guard
        if value.row is not None and factor.ndim:
            row_guard = 2.0**ROW_GUARD_BITS
            stages = [(row_guard, value.row, None), (factor * guard / row_guard, None, bias)]
        else:
            stages = [(factor * guard, value.row, bias)]
        return collect([*stages, (1.0 / guard, row, None)])

    def matmul(self, site: str, value: Value, weight: NDArray[np.float32], bias: NDArray | None = None) -> Value:
        """value @ weight + bias with the weight's codes at ``site``; the bias is int32 at scale_in * scale_w."""
        codes, weight_scale, weight_zero = self.weight_codes(site, weight)
        return self.matmul_codes(value, codes, weight_scale, weight_zero, bias, site)

    def matmul_codes(
        self, value: Value, codes: NDArray, weight_scale: Any, weight_zero: int, bias: NDArray | None, site: str
    ) -> Value:
        """:meth:`matmul` with codes at hand."""
        if value.codes is None or value.relu:
            raise ConversionError(
                f"{site}: a product reads codes; its input has no site. The lowering rules are wrong."
            )
        scale = value.scale * weight_scale
        integers = np.zeros(codes.shape[1])
        if bias is not None:
            integers = np.floor(np.asarray(bias, np.float64) / scale + 0.5)
            if (np.abs(integers) > INT32_MAX).any():
                worst = int(np.argmax(np.abs(integers)))
                raise ConversionError(
                    f"{site}: the bias of channel {worst} is {integers[worst]:.3g} steps of its scale, beyond int32. "
                    "Train with a smaller weight decay or a larger weight range for this layer."
                )
        register = self.emit(
            "matmul", (value.register,), value.rows, codes.shape[1], label=site, zero_in=value.zero,
            weight_zero=int(weight_zero), tensors={"weight": codes, "bias": integers.astype(np.int32)},
        )  # fmt: skip
        low, high = value.codes
        span = max(high - value.zero, value.zero - low)
        reach = np.abs(np.subtract(codes, weight_zero, dtype=np.float64)).sum(axis=0) * span + np.abs(integers)
        return Value(register, value.rows, codes.shape[1], scale=scale, reach=reach)

    def finish(self, value: Value) -> Program:
        """Append the exit: what is pending becomes an int32 sum with guard bits, then one float product an entry."""
        if value.row is not None or value.bias is not None or value.relu:
            step = np.asarray(value.scale if value.step is None else value.step)
            unit = step / 2.0 ** guard_bits(
                np.asarray(value.scale) / step, None if value.bias is None else value.bias / step, reach=value.reach
            )
            bias = None if value.bias is None else value.bias / unit
            stages, tensors = collect([(np.asarray(value.scale) / unit, value.row, bias)])
            register = self.emit(
                "requantize", (value.register,), value.rows, value.channels, zero_in=value.zero, zero_point=0,
                low=0 if value.relu else INT32_MIN, high=INT32_MAX, bits=32, stages=stages, tensors=tensors,
            )  # fmt: skip
            value = Value(register, value.rows, value.channels, scale=unit)
        scale = np.asarray(value.scale).astype(np.float32)
        self.emit(
            "dequantize", (value.register,), value.rows, value.channels, zero_in=int(value.zero), scale=scale.tolist()
        )
        model = self.qmodel.model
        meta = {
            "model": dict(model.config), "quantization": self.qmodel.config.to_dict(),
            "num_features": model.config["in_channels"], "out_channels": model.config["out_channels"],
            "task_rows": "graph" if model.config["readout"] else "node", "embedding": bool(model.config["embedding"]),
            "scales": self.scales,
        }  # fmt: skip
        return Program(tuple(self.steps), self.tensors, meta)
