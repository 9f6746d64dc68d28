"""The table of exponentials of the integer softmax."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..quant import QParams

__all__ = ["exponential_table"]


def exponential_table(qparams: QParams, negative_slope: float) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """exp(LeakyReLU(logit)) of every code of a logit, as mantissa * 2**(exponent - 30) with mantissa in [2**30, 2**31).

    The leaky ReLU costs nothing here: it is monotone and folded into the table. With ln x = e ln 2 + f, the mantissa is
    exp(f) 2**30 and the exponent e, so no logit is too large for the table.

    Parameters
    ----------
    qparams : QParams
        Of the logits, per tensor.
    negative_slope : float

    Returns
    -------
    mantissa, exponent : int64 arrays (2**bits,)
        Index 0 is the lowest code.
    """
    spec = qparams.spec
    logits = (np.arange(spec.qmin, spec.qmax + 1) - int(qparams.zero_point)) * float(qparams.scale)
    logits = np.where(logits < 0, negative_slope * logits, logits)
    # Logits that no range produces in earnest (2**60 and beyond) keep their order; the fraction has no meaning there.
    exponent = np.clip(np.floor(logits / np.log(2.0)), -(2.0**60), 2.0**60)
    fraction = np.exp(np.clip(logits - exponent * np.log(2.0), 0.0, np.log(2.0)))  # in [1, 2]
    mantissa = np.floor(np.ldexp(fraction, 30) + 0.5).astype(np.int64)
    return np.minimum(mantissa, (1 << 31) - 1), exponent.astype(np.int64)
