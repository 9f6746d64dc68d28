"""The exception tree.

Every message says what was given, what is allowed and what to do. Errors are raised at the boundary of the library
(graph construction, configuration, prepare, convert, load, bind), never inside a kernel.
"""

from __future__ import annotations

__all__ = [
    "ConfigError",
    "ConversionError",
    "DQError",
    "DataError",
    "GraphError",
    "MemoryRiskError",
    "MissingExtraError",
    "ModelFormatError",
    "NotCalibratedError",
    "OverflowRiskError",
]


class DQError(Exception):
    """Root of all errors that dqnumba raises on purpose."""


class ConfigError(DQError, ValueError):
    """An option, a quantizer specification or a recipe that cannot be used."""


class GraphError(DQError, ValueError):
    """A graph that is not well formed, or that does not fit the model it is given to."""


class DataError(DQError, ValueError):
    """A data file that is missing, has another checksum than registered, or cannot be read."""


class NotCalibratedError(DQError, ValueError):
    """A quantizer was asked for its scale before it had seen any value."""


class ConversionError(DQError, ValueError):
    """A float model that the integer program cannot express exactly."""


class OverflowRiskError(DQError, ValueError):
    """A program whose accumulators could overflow on the graph it is bound to."""


class MemoryRiskError(DQError, MemoryError):
    """A graph whose tables and buffers do not fit into the memory that is free."""


class ModelFormatError(DQError, ValueError):
    """A file that is no dqnumba model, is damaged, or has a newer format version."""


class MissingExtraError(DQError, ImportError):
    """An optional dependency is needed and not installed; the message names the exact ``pip install``."""
