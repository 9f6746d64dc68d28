"""Faults in gradients, and in which scale belongs to which channel."""

from __future__ import annotations

import numpy as np

from .base import Planted, ends, faulty

__all__ = ["FAULTS"]

_LOW, _HIGH = ends()


def _codes(x, scale, zero_point):
    return np.rint(x * np.float32(1 / scale) + np.float32(zero_point))


def _gradient(name: str, fault: str, gradient, rule: str = "clip") -> Planted:
    return faulty(name, fault, "gradient")(lambda: {"gradient": gradient, "gradient_rule": rule})


def _masked(passes, upstream):
    return np.where(passes, upstream, 0)


def _inside(codes, low=_LOW, high=_HIGH):
    return (codes >= low) & (codes <= high)


def _by_rows(x, scale, zero_point):
    """Right for one channel and, where the shapes happen to fit, wrong in silence."""
    columns = (np.reshape(scale, (-1, 1)), np.reshape(zero_point, (-1, 1)))
    grid = x * (1 / columns[0]).astype(np.float32) + columns[1].astype(np.float32)
    return np.clip(np.rint(grid), _LOW, _HIGH).astype(np.int32)


def _first_scale(x, scale, zero_point):
    grid = np.rint(x * np.float32(1 / scale[0]) + zero_point.astype(np.float32))
    return np.clip(grid, _LOW, _HIGH).astype(np.int32)


FAULTS = (
    _gradient("gradient_everywhere", "passes at clipped values (straight through) though clip is claimed",
              lambda x, u, s, z: u.copy()),
    _gradient("gradient_not_at_ends", "no gradient at the end codes though clip is claimed",
              lambda x, u, s, z: _masked(_inside(_codes(x, s, z), _LOW + 1, _HIGH - 1), u)),
    _gradient("gradient_at_ends", "passes at the end codes though clip_inclusive is claimed",
              lambda x, u, s, z: _masked(_inside(_codes(x, s, z)), u), "clip_inclusive"),
    _gradient("gradient_after_clamp", "the mask is taken from clamped codes: it is true everywhere",
              lambda x, u, s, z: _masked(_inside(np.clip(_codes(x, s, z), _LOW, _HIGH)), u)),
    _gradient("gradient_without_zero_point", "the mask forgets the zero point",
              lambda x, u, s, z: _masked(_inside(np.rint(x * np.float32(1 / s))), u)),
    _gradient("gradient_of_rounding", "the derivative of the rounding itself: 0",
              lambda x, u, s, z: np.zeros_like(u)),
    _gradient("gradient_scaled", "the gradient of the codes: divided by the scale",
              lambda x, u, s, z: _masked(_inside(_codes(x, s, z)), u / np.float32(s))),
    _gradient("gradient_one_sided", "the lower end is not masked",
              lambda x, u, s, z: _masked(_codes(x, s, z) <= _HIGH, u)),
    _gradient("gradient_forgets_upstream", "1 where it passes, whatever comes from above",
              lambda x, u, s, z: _masked(_inside(_codes(x, s, z)), np.ones_like(u))),
    faulty("channels_on_rows", "per channel, the scales run along the rows", "channels")(
        lambda: {"quantize": _by_rows, "per_channel": True, "gradient": None, "gradient_rule": None}),
    faulty("first_channel_for_all", "per channel, the first scale serves every channel", "channels")(
        lambda: {"quantize": _first_scale, "per_channel": True, "gradient": None, "gradient_rule": None}),
)  # fmt: skip
