"""Mean, spread and standard error of the runs of a cell."""

from __future__ import annotations

import math
import statistics
from dataclasses import dataclass

__all__ = ["Sample"]


@dataclass(frozen=True)
class Sample:
    """The test metric of the runs of one cell, in the unit of the table."""

    values: tuple[float, ...]

    @property
    def count(self) -> int:
        return len(self.values)

    @property
    def mean(self) -> float:
        return statistics.fmean(self.values)

    @property
    def spread(self) -> float:
        """Standard deviation, unbiased; 0 of one run."""
        return statistics.stdev(self.values) if self.count > 1 else 0.0

    @property
    def error(self) -> float:
        """Standard error of the mean; 0 of one run, about which nothing is known."""
        return self.spread / math.sqrt(self.count) if self.count else 0.0
