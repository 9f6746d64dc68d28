"""Faulty quantizers, each a mistake that people make: what a test of quantizers has to find.

`PLANTED` names them. The faults in rounding and clamping stand in :mod:`.codes`, those in gradients and in the layout
of channels in :mod:`.training`, those in scale and zero point in :mod:`.ranges`, those in integers in :mod:`.integers`;
the right one that they all start from in :mod:`.base`.
"""

from __future__ import annotations

from . import codes, integers, ranges, training
from .base import Planted, right

__all__ = ["PLANTED", "Planted", "right"]

PLANTED = {each.name: each for each in (*codes.FAULTS, *training.FAULTS, *ranges.FAULTS, *integers.FAULTS)}
"""Name -> `Planted`."""
