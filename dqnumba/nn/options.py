"""Checks of a model's options: what was given, what is allowed."""

from __future__ import annotations

from numbers import Integral, Real
from typing import Any

from ..errors import ConfigError

__all__ = ["layer_options", "probability", "whole_number"]

#: Options of single layers, and the models that have them.
_LAYER = {"channels": None, "heads": "GAT", "concat": "GAT", "mlp": "GIN"}


def whole_number(owner: str, name: str, value: Any, least: int) -> int:
    """``value`` as an int; a ConfigError unless it is a whole number of at least ``least``."""
    if isinstance(value, bool) or not isinstance(value, Integral) or value < least:
        raise ConfigError(f"{owner}: {name}={value!r}; it must be a whole number, at least {least}.")
    return int(value)


def probability(owner: str, name: str, value: Any) -> float:
    """``value`` as a float; a ConfigError unless it is a number in [0, 1)."""
    if isinstance(value, bool) or not isinstance(value, Real) or not 0.0 <= value < 1.0:
        raise ConfigError(f"{owner}: {name}={value!r}; it must be a number in [0, 1).")
    return float(value)


def layer_options(owner: str, layers: Any, count: int) -> list[dict[str, Any]]:
    """A copy of ``layers``; a ConfigError unless it is a list of ``count`` mappings of options of single layers."""
    if not isinstance(layers, list | tuple) or len(layers) != count or not all(isinstance(own, dict) for own in layers):
        raise ConfigError(f"{owner}: layers must be a list of {count} mappings, one a convolution; {{}} for no change.")
    allowed = sorted(name for name, kind in _LAYER.items() if kind in (None, owner))
    for own in layers:
        unknown = sorted(own.keys() - set(allowed))
        if unknown:
            raise ConfigError(f"{owner}: layers has the option {unknown[0]!r}; allowed are {', '.join(allowed)}.")
        if own.get("concat", True) not in (True, False):
            raise ConfigError(f"{owner}: concat={own['concat']!r} in layers; use True or False.")
    return [
        {name: bool(value) if name == "concat" else whole_number(owner, f"{name} in layers", value, 1)
         for name, value in own.items()}
        for own in layers
    ]  # fmt: skip
