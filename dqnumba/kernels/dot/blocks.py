"""Blocks of rows of about equal work: what the executor's threads take from their common counter."""

from __future__ import annotations

import numpy as np

__all__ = ["row_blocks"]


def row_blocks(indptr: np.ndarray, rows: int = 64, edges: int | None = None) -> np.ndarray:
    """Bounds of blocks of at most ``rows`` rows and about at most ``edges`` edges, a row of more edges alone.

    Parameters
    ----------
    indptr : (N + 1,) int64
        Edges of row i: ``indptr[i] .. indptr[i + 1]``.
    rows : int
    edges : int, optional
        By default four times what ``rows`` rows have on average, at least 1,024.

    Returns
    -------
    (blocks + 1,) int64, from 0 to N; ``[0]`` if there is no row.
    """
    if rows < 1 or (edges is not None and edges < 1):
        raise ValueError(f"a block needs at least one row and one edge, got rows={rows}, edges={edges}")
    count = len(indptr) - 1
    if count < 1:
        return np.zeros(1, np.int64)
    indptr = np.asarray(indptr, np.int64)
    if edges is None:
        edges = max(1024, 4 * rows * int(indptr[-1] - indptr[0]) // count)
    bounds = np.arange(0, count + rows, rows)
    bounds[-1] = count
    work = np.diff(indptr[bounds])
    if not (work > edges).any():
        return bounds
    pieces, done = [], 0
    for block in np.flatnonzero(work > edges):
        pieces.append(bounds[done:block])
        row, last = int(bounds[block]), int(bounds[block + 1])
        cuts = []
        while row < last:
            cuts.append(row)
            fits = int(np.searchsorted(indptr[row + 1 : last + 1], indptr[row] + edges, side="right"))
            row += max(1, fits)
        pieces.append(np.array(cuts, np.int64))
        done = block + 1
    pieces.append(bounds[done:])
    return np.concatenate(pieces)
