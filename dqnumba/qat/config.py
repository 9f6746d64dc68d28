"""What a quantization-aware training does: one frozen record, and the presets with their names."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, fields, replace
from numbers import Integral, Real
from typing import Any

import numpy as np

from ..errors import ConfigError

__all__ = ["METHODS", "QuantConfig"]

METHODS = ("ptq", "qat", "nqat", "dq", "dq-plus")
_CHOICES = {
    "method": METHODS,
    "sites": ("fused", "paper"),
    "range_rule": ("minmax", "ema", "percentile", "percentile_ema", "mse"),
    "weight_range": ("current", "minmax", "ema", "percentile"),
    "weight_granularity": ("per_tensor", "per_channel"),
    "gradient": ("ste", "clip", "clip_inclusive"),
    "dropout_order": ("inside", "before"),
}
_FLAGS = ("weight_symmetric", "weight_narrow", "mask_mlp", "mask_per_layer", "collapse_fallback", "learned_range")


@dataclass(frozen=True)
class QuantConfig:
    """Every choice of a quantized model; build it with a preset and override what differs.

    Attributes
    ----------
    method : str
        ``"ptq"``, ``"qat"``, ``"nqat"``, ``"dq"`` or ``"dq-plus"``: which preset this started from.
    weight_bits, activation_bits : int
        2 to 8.
    sites : str
        ``"fused"``: the places where the fast integer kernels round. ``"paper"``: every quantizer of the official code.
    range_rule : str
        Activations: ``"minmax"`` (running extremum), ``"ema"`` (moving average of the extremum), ``"percentile"``
        (running extremum of order statistics, the paper's rule), ``"percentile_ema"`` (moving average of order
        statistics), ``"mse"`` (moving average of the range that rounds with the least squared error).
    percentile : float or None
        Share cut off at each end; None takes the official 0.001 above 4 bits and 0.01 at 4 bits and below.
    momentum : float
        Of the moving averages; 0.01 in the official code.
    weight_range, weight_granularity, weight_symmetric, weight_narrow
        ``"current"`` takes the range of the weights as they are now; the other rules are those of the activations.
    gradient : str
        ``"ste"`` passes every gradient, ``"clip"`` those of values in range, ``"clip_inclusive"`` cuts the two end
        codes too (the official code).
    mask_low, mask_high : float or None
        Probability of protecting a node at the lowest and the highest in-degree rank; None for no mask.
    mask_until : float
        The share of the training passes, counted from the first, that draw a mask. After it every node is rounded, as
        it will be on the device, and weights and batch norms settle on that; 1 draws to the end (the official code).
    mask_mlp : bool
        The mask reaches GIN's MLP (the official code: no).
    mask_per_layer : bool
        A fresh mask for every layer instead of one for the whole pass.
    weight_noise : float or None
        nQAT: the share of weights that are quantized in a training pass, drawn anew each time; None quantizes all.
    dropout_order : str
        ``"inside"``: after a layer's input quantizer; ``"before"``: the order of the official code.
    input_bits : int or None
        Width of the first quantizer; None takes ``activation_bits``, or 16 for a single input channel, whose codes
        must tell all values of a whole distribution apart (the official code leaves that layer in float).
    collapse_fallback : bool
        A percentile range that collapses to zero although the tensor does not falls back to minimum and maximum. The
        official rule has no fallback.
    learned_range : bool
        Each range, of activations and of weights (per output channel where they have a scale each), is multiplied by a
        factor that is trained along with the weights (LSQ; Esser et al., ICLR 2020). Not the features' range, nor those
        of the wide sites. The gradient rule must then be ``"clip"`` or ``"ste"``.
    delay : int
        Training passes in which nothing is rounded and the ranges are only watched (Jacob et al., CVPR 2018).
    """

    method: str = "dq"
    weight_bits: int = 8
    activation_bits: int = 8
    sites: str = "fused"
    range_rule: str = "percentile"
    percentile: float | None = None
    momentum: float = 0.01
    weight_range: str = "current"
    weight_granularity: str = "per_channel"
    weight_symmetric: bool = True
    weight_narrow: bool = True
    gradient: str = "clip"
    mask_low: float | None = None
    mask_high: float | None = None
    mask_until: float = 1.0
    mask_mlp: bool = False
    mask_per_layer: bool = False
    weight_noise: float | None = None
    dropout_order: str = "inside"
    input_bits: int | None = None
    collapse_fallback: bool = True
    learned_range: bool = False
    delay: int = 0

    def __post_init__(self) -> None:
        for name, allowed in _CHOICES.items():
            if getattr(self, name) not in allowed:
                raise ConfigError(f"{name}={getattr(self, name)!r} is not known; use one of {', '.join(allowed)}.")
        self._check_bits("weight_bits", 8)
        self._check_bits("activation_bits", 8)
        if self.input_bits is not None:
            self._check_bits("input_bits", 16)
        for name in _FLAGS:
            if not isinstance(getattr(self, name), bool | np.bool_):
                raise ConfigError(f"{name}={getattr(self, name)!r} is not possible; use True or False.")
            object.__setattr__(self, name, bool(getattr(self, name)))
        if isinstance(self.delay, bool) or not isinstance(self.delay, Integral) or self.delay < 0:
            raise ConfigError(f"delay={self.delay!r} is not possible; use a number of training passes, 0 or more.")
        object.__setattr__(self, "delay", int(self.delay))
        self._check_number("mask_until", "a share in [0, 1]", lambda p: 0.0 <= p <= 1.0)
        if self.learned_range and self.gradient == "clip_inclusive":
            raise ConfigError(
                'learned_range=True needs gradient="clip" or "ste": clip_inclusive cuts the gradient of the end codes, '
                "which a range learns from."
            )
        if (self.mask_low is None) != (self.mask_high is None):
            raise ConfigError("mask_low and mask_high go together; give both or neither.")
        if self.mask_low is not None:
            self._check_number("mask_low", "a probability in [0, 1]", lambda p: 0.0 <= p <= 1.0)
            self._check_number("mask_high", "a probability in [mask_low, 1]", lambda p: self.mask_low <= p <= 1.0)
        if self.percentile is not None:
            self._check_number("percentile", "a share in [0, 0.5)", lambda p: 0.0 <= p < 0.5)
        self._check_number("momentum", "a share in (0, 1]", lambda p: 0.0 < p <= 1.0)
        if self.weight_noise is not None:
            self._check_number("weight_noise", "a share in (0, 1]", lambda p: 0.0 < p <= 1.0)
        if self.weight_granularity == "per_channel" and (not self.weight_symmetric or self.weight_range != "current"):
            raise ConfigError(
                "Weights per channel are symmetric and take their current range; use "
                f'weight_granularity="per_tensor" for weight_symmetric={self.weight_symmetric}, '
                f"weight_range={self.weight_range!r}."
            )

    def _check_bits(self, name: str, most: int) -> None:
        value = getattr(self, name)
        if isinstance(value, bool) or not isinstance(value, Integral) or not 2 <= value <= most:
            raise ConfigError(f"{name}={value!r} is not possible; use a whole number from 2 to {most}.")
        object.__setattr__(self, name, int(value))

    def _check_number(self, name: str, allowed: str, fits: Callable[[float], bool]) -> None:
        value = getattr(self, name)
        if isinstance(value, bool) or not isinstance(value, Real) or not fits(value):
            raise ConfigError(f"{name}={value!r} is not possible; use {allowed}.")
        object.__setattr__(self, name, float(value))

    @property
    def cut(self) -> float:
        """The share that the percentile rule cuts off at each end."""
        if self.percentile is not None:
            return self.percentile
        return 0.001 if self.activation_bits > 4 else 0.01

    @property
    def masked(self) -> bool:
        """Whether training draws degree masks."""
        return self.mask_high is not None and self.mask_high > 0.0

    def to_dict(self) -> dict[str, Any]:
        """All fields as JSON types."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> QuantConfig:
        """The inverse of :meth:`to_dict`; unknown names are a ConfigError."""
        unknown = sorted(values.keys() - {f.name for f in fields(cls)})
        if unknown:
            allowed = sorted(f.name for f in fields(cls))
            raise ConfigError(f"Unknown quantization option {unknown[0]!r}; allowed are {allowed}.")
        return cls(**values)

    @classmethod
    def preset(
        cls,
        method: str,
        bits: int = 8,
        *,
        weight_bits: int | None = None,
        activation_bits: int | None = None,
        sites: str = "fused",
        **overrides: Any,
    ) -> QuantConfig:
        """The preset called ``method``, one of ``METHODS``.

        With ``sites="paper"`` it is the official code: weights per tensor and asymmetric with the range rule of the
        activations, dropout before the quantizers, end codes without gradient. With ``sites="fused"`` the rules for
        ranges and masks stay and weights are symmetric per output channel, which costs nothing at inference.
        """
        if method not in METHODS:
            raise ConfigError(f"Method {method!r} is not known; use one of {', '.join(METHODS)}.")
        paper = sites == "paper"
        options: dict[str, Any] = {"method": method, "sites": sites}
        options["weight_bits"] = bits if weight_bits is None else weight_bits
        options["activation_bits"] = bits if activation_bits is None else activation_bits
        low_bits = options["activation_bits"] in (2, 3, 4)
        if method in ("qat", "nqat"):
            options.update(range_rule="ema", gradient="ste")  # STE-MOM, the shipped baseline
            if method == "nqat":
                options["weight_noise"] = 0.5
        elif method == "ptq":
            options.update(range_rule="percentile_ema", momentum=0.1, gradient="ste")
        else:
            # p_low and p_low + change of the official runs: 0 and 0.1 at INT8, 0.1 and 0.2 at INT4.
            options.update(range_rule="percentile", gradient="clip_inclusive" if paper else "clip")
            options.update(mask_low=0.1 if low_bits else 0.0, mask_high=0.2 if low_bits else 0.1)
            if method == "dq-plus":
                options.update(gradient="clip", learned_range=True, mask_until=0.5)
        if paper:
            options.update(
                weight_granularity="per_tensor", weight_symmetric=False, weight_narrow=False, dropout_order="before",
                weight_range=options["range_rule"].removesuffix("_ema") if method != "ptq" else "minmax",
                collapse_fallback=False,
            )  # fmt: skip
        options.update(overrides)
        return cls.from_dict(options)

    @classmethod
    def degree_quant(cls, bits: int = 8, **options: Any) -> QuantConfig:
        """Degree-Quant: percentile ranges, clipped gradient, degree mask (paper, section 4)."""
        return cls.preset("dq", bits, **options)

    @classmethod
    def degree_quant_plus(cls, bits: int = 8, **options: Any) -> QuantConfig:
        """Our best: Degree-Quant whose ranges are learned, and whose mask ends half way through training."""
        return cls.preset("dq-plus", bits, **options)

    @classmethod
    def qat(cls, bits: int = 8, **options: Any) -> QuantConfig:
        """Plain quantization-aware training: moving average of the extremum, straight-through gradient."""
        return cls.preset("qat", bits, **options)

    @classmethod
    def nqat(cls, bits: int = 8, **options: Any) -> QuantConfig:
        """Quantization noise (Fan et al., ICLR 2021): as ``qat``, a random half of the weights quantized in a pass."""
        return cls.preset("nqat", bits, **options)

    @classmethod
    def ptq(cls, bits: int = 8, **options: Any) -> QuantConfig:
        """Post-training quantization: ranges from ``calibrate``, no training."""
        return cls.preset("ptq", bits, **options)

    def with_options(self, **changes: Any) -> QuantConfig:
        """A copy with some fields changed."""
        return replace(self, **changes)
