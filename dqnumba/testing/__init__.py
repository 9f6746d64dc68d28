"""For people who write quantizers and want to know whether they are right.

`check` holds a `Quantizer` (callables and what they claim) to the named `PROPERTIES` on cases that hypothesis draws,
and reports the smallest counterexamples; :mod:`.strategies` has the drawing for tests of your own, :mod:`.properties`
plain assertions for arrays at hand, :mod:`.planted` faulty quantizers to test a test with. ``docs/testing.md`` is the
guide.
"""

from ..errors import MissingExtraError

try:
    import hypothesis  # noqa: F401
except ImportError as error:
    raise MissingExtraError(
        'dqnumba.testing needs hypothesis, which is not installed: pip install "dqnumba[testing]"'
    ) from error

from . import properties, strategies
from .check import Failure, QuantizerFault, Report, check
from .named import PROPERTIES, Property
from .quantizer import Quantizer

__all__ = [
    "PROPERTIES",
    "Failure",
    "Property",
    "Quantizer",
    "QuantizerFault",
    "Report",
    "check",
    "properties",
    "strategies",
]
