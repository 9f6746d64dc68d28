"""Timing of contenders against each other: one run, round robin, warm-up outside, medians and spread."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

__all__ = ["interleave", "ratio", "summary"]

SHORTEST_SAMPLE = 0.05
"""Seconds that one sample takes at least: shorter calls are repeated inside the sample."""

SLOW = 1.0

PAUSE = 0.02
"""Seconds between two contenders: idle threads of OpenMP and BLAS spin for a while on cores that the next one needs."""


def interleave(
    contenders: Mapping[str, Callable[[], Any]], *, repeats: int = 15, budget: float = 10.0, least: int = 3
) -> dict[str, dict[str, Any]]:
    """Time all contenders in turns, sample after sample, so that a disturbance of the machine hits them alike.

    Parameters
    ----------
    contenders : mapping of name to callable without arguments
    repeats : int
        Samples of each contender.
    budget : float
        Seconds for all samples together, roughly; where it does not hold ``repeats`` rounds, fewer are made.
    least : int
        Rounds that are made in any case.

    Returns
    -------
    dict
        For each name what :func:`summary` gives, and ``calls``, the calls in one sample.
    """
    calls: dict[str, int] = {}
    for name, run in contenders.items():  # warm-up: compilation, lazy tables, caches; then how long one call takes
        once = _sample(run, 1)
        for _ in range(3):
            if once < SLOW:  # of a slow one the first call is warm-up enough
                once = min(once, _sample(run, 1))
        calls[name] = max(1, int(SHORTEST_SAMPLE / max(once, 1e-7)))
        if calls[name] > 1:
            calls[name] = max(1, int(SHORTEST_SAMPLE * calls[name] / max(_sample(run, calls[name]), 1e-7)))
    samples: dict[str, list[float]] = {name: [] for name in contenders}
    started = time.perf_counter()
    collecting = gc.isenabled()
    gc.disable()
    try:
        for done in range(repeats):
            spent = time.perf_counter() - started
            if done >= least and spent * (done + 1) / done > budget:
                break
            for name, run in contenders.items():
                time.sleep(PAUSE)
                if calls[name] > 1:  # what the others left in the caches is not this contender's business
                    run()
                samples[name].append(_sample(run, calls[name]) / calls[name])
    finally:
        if collecting:
            gc.enable()
    return {name: summary(values) | {"calls": calls[name]} for name, values in samples.items()}


def _sample(run: Callable[[], Any], calls: int) -> float:
    started = time.perf_counter()
    for _ in range(calls):
        run()
    return time.perf_counter() - started


def summary(seconds: list[float]) -> dict[str, Any]:
    """Median, quartiles and extremes of samples in seconds, as milliseconds."""
    ms = np.asarray(seconds, np.float64) * 1e3
    low, middle, high = np.percentile(ms, [25, 50, 75])
    return {
        "median_ms": float(middle), "q1_ms": float(low), "q3_ms": float(high),
        "min_ms": float(ms.min()), "max_ms": float(ms.max()), "samples": len(ms),
    }  # fmt: skip


def ratio(slow: Mapping[str, Any] | None, fast: Mapping[str, Any] | None) -> float | None:
    """How many times faster ``fast`` is, by medians; None where one of the two is absent."""
    if not slow or not fast or "median_ms" not in slow or "median_ms" not in fast:
        return None
    return slow["median_ms"] / fast["median_ms"]
