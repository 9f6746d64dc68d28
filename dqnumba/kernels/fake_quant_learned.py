"""The backward pass of fake quantization with a learned range: gradients of the values and of the scale in one go.

Nothing is kept from the forward pass but its input: codes are made again, in the float32 arithmetic of `fake_quant`.
"""

from __future__ import annotations

import numpy as np
from numba import prange

from ._twin import twin

__all__ = ["CHUNK_ROWS", "learned_gradient"]

CHUNK_ROWS = 256


@twin(lambda grad, x, scale, inverse, zero_point, qmin, qmax, protected, everywhere, out, sums: 2 * x.size)
def learned_gradient(grad, x, scale, inverse, zero_point, qmin, qmax, protected, everywhere, out, sums):
    """Gradients of x^ = (clip(rint(x / scale + zero_point), qmin, qmax) - zero_point) * scale.

    Parameters
    ----------
    grad, x : float32 (N, C)
    scale, inverse, zero_point, qmin, qmax : float32
    protected : bool (N,), or (0,) if no row is
        Their gradient passes unchanged, and they say nothing about the scale.
    everywhere : int
        1 passes the gradient of clipped values too (straight-through), 0 does not.
    out : float32 (N, C), overwritten
        Gradient of x.
    sums : float64 (ceil(N / 256),), overwritten
        Sum over a chunk of rows of grad * dx^ / dlog(scale), which is x^ - x within the range and x^ where it was
        clipped (LSQ; Esser et al., ICLR 2020). Chunks do not depend on the number of threads.
    """
    zero = np.float32(0)
    channels = x.shape[1]
    for chunk in prange(sums.shape[0]):
        part = np.empty(channels, np.float32)
        total = 0.0
        for i in range(chunk * CHUNK_ROWS, min(x.shape[0], (chunk + 1) * CHUNK_ROWS)):
            g, row, here = grad[i], x[i], out[i]
            if protected.size > 0 and protected[i]:
                for j in range(channels):
                    here[j] = g[j]
                continue
            for j in range(channels):
                q = np.rint(row[j] * inverse + zero_point)
                inside = (q >= qmin) & (q <= qmax)
                rounded = ((qmin if q < qmin else (qmax if q > qmax else q)) - zero_point) * scale
                part[j] = g[j] * (rounded - row[j] if inside else rounded)
                here[j] = g[j] if inside or everywhere == 1 else zero
            s0, s1, s2, s3 = 0.0, 0.0, 0.0, 0.0
            for j in range(channels // 4):
                s0 += np.float64(part[4 * j])
                s1 += np.float64(part[4 * j + 1])
                s2 += np.float64(part[4 * j + 2])
                s3 += np.float64(part[4 * j + 3])
            for j in range(channels - channels % 4, channels):
                s0 += np.float64(part[j])
            total += (s0 + s1) + (s2 + s3)
        sums[chunk] = total
