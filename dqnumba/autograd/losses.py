"""Losses: one number from predictions and targets."""

from __future__ import annotations

import numpy as np

from .tensor import Tensor, record

__all__ = ["cross_entropy", "l1_loss"]


def cross_entropy(logits: Tensor, targets: np.ndarray, index: np.ndarray | None = None) -> Tensor:
    """Mean over the rows ``index`` of -log softmax(logits[row])[targets[row]].

    Parameters
    ----------
    logits : Tensor (N, C)
    targets : int (N,)
        Class of every row of ``logits``; only those in ``index`` are looked at.
    index : int (K,) or bool (N,), optional
        The rows that count; all if None.
    """
    targets = np.asarray(targets)
    rows = np.arange(logits.shape[0]) if index is None else np.asarray(index)
    rows = np.flatnonzero(rows) if rows.dtype == np.bool_ else rows
    if targets.shape != logits.shape[:1] or rows.size == 0:
        raise ValueError(
            f"cross_entropy got logits {logits.shape}, targets {targets.shape} and {rows.size} rows; "
            "give one class for every row of the logits, and at least one row"
        )
    chosen = targets[rows]
    if chosen.min() < 0 or chosen.max() >= logits.shape[1]:
        raise ValueError(
            f"cross_entropy got classes from {chosen.min()} to {chosen.max()}; allowed are 0 to {logits.shape[1] - 1}"
        )
    picked = logits.data[rows]
    shifted = picked - picked.max(axis=1, keepdims=True)
    log_probability = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    each = np.arange(rows.size)
    loss = -log_probability[each, chosen].mean(dtype=np.float64)

    def backward(grad):
        share = np.exp(log_probability)
        share[each, chosen] -= 1
        share *= grad.reshape(()) / logits.dtype.type(rows.size)
        if index is None:
            return (share,)
        result = np.zeros(logits.shape, logits.dtype)
        np.add.at(result, rows, share)  # a row may be named twice
        return (result,)

    return record(np.asarray(loss, dtype=logits.dtype), (logits,), backward)


def l1_loss(prediction: Tensor, target: np.ndarray) -> Tensor:
    """Mean of ``|prediction - target|``; equal shapes, since broadcasting (N,) against (N, 1) would hide a mistake."""
    target = np.asarray(target.data if isinstance(target, Tensor) else target, dtype=prediction.dtype)
    if target.shape != prediction.shape or target.size == 0:
        raise ValueError(
            f"l1_loss got prediction {prediction.shape} and target {target.shape}; give equal, non-empty shapes"
        )
    difference = prediction.data - target

    def backward(grad):
        return (np.sign(difference) * (grad.reshape(()) / prediction.dtype.type(difference.size)),)

    return record(np.asarray(np.abs(difference).mean(), dtype=prediction.dtype), (prediction,), backward)
