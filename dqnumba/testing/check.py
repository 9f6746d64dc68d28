"""`check`: a quantizer against every property that applies to it, and a report with the smallest counterexamples."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import hypothesis
import numpy as np
from hypothesis import HealthCheck, Phase, Verbosity, given, settings

from ..errors import ConfigError
from .named import PROPERTIES, Property
from .quantizer import Quantizer

__all__ = ["Failure", "QuantizerFault", "Report", "check"]


@dataclass(frozen=True)
class Failure:
    """A property that does not hold.

    Attributes
    ----------
    name, says : str
        The property.
    message : str
        What was found in the smallest case.
    case : dict
        The smallest counterexample that hypothesis found: names and values.
    examples : int
        How many cases were drawn until the first failing one, that one included.
    """

    name: str
    says: str
    message: str
    case: dict[str, Any]
    examples: int

    def __str__(self) -> str:
        values = ", ".join(f"{name}={_shown(value)}" for name, value in self.case.items())
        return f"{self.name}: {self.says}\n    found: {self.message}\n    smallest case: {values}"


@dataclass(frozen=True)
class Report:
    """Outcome of `check`; true if nothing failed.

    Attributes
    ----------
    quantizer : str
        Its name.
    failures : list of Failure
    held : dict of str to int
        Property -> cases drawn without a failure.
    left_out : dict of str to str
        Property -> why it does not apply.
    """

    quantizer: str
    failures: list[Failure] = field(default_factory=list)
    held: dict[str, int] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)

    @property
    def passed(self) -> bool:
        """Whether every property that applies holds."""
        return not self.failures

    @property
    def failed(self) -> list[str]:
        """Names of the properties that do not hold."""
        return [failure.name for failure in self.failures]

    def __bool__(self) -> bool:
        return self.passed

    def __str__(self) -> str:
        asked = len(self.held) + len(self.failures)
        lines = [f"quantizer {self.quantizer!r}: {len(self.held)} of {asked} properties hold"]
        lines += [f"  FAILED {failure}" for failure in self.failures]
        if self.held:
            lines.append(f"  held: {', '.join(self.held)}")
        lines += [f"  left out: {name} ({why})" for name, why in self.left_out.items()]
        return "\n".join(lines)


class QuantizerFault(AssertionError):
    """A quantizer broke a property; ``report`` is the whole `Report`, the message its text."""

    def __init__(self, report: Report) -> None:
        super().__init__(str(report))
        self.report = report


def check(
    quantizer: Quantizer,
    *,
    max_examples: int = 100,
    properties: Iterable[str] | None = None,
    seed: int | None = 0,
    raises: bool = True,
    shrink: bool = True,
) -> Report:
    """Hold a quantizer to every named property that its claims call for.

    Parameters
    ----------
    quantizer : Quantizer
    max_examples : int
        Cases drawn for each property.
    properties : names of `PROPERTIES`, optional
        Only these.
    seed : int or None
        The same seed draws the same cases; None draws new ones at each call.
    raises : bool
        Raise QuantizerFault if a property fails. With False the report is returned either way.
    shrink : bool
        Look for the smallest counterexample. With False the first one is reported: enough where only names count.

    Returns
    -------
    Report

    Raises
    ------
    QuantizerFault
        An AssertionError, so that a test needs nothing but the call.
    ConfigError
        For a name that is no property.

    Notes
    -----
    An exception out of the quantizer is a failure of the property that called it. NumPy's floating point warnings are
    silenced meanwhile: an overflow on the way to an end code is no fault.
    """
    chosen, left_out = _chosen(properties), {}
    for each in chosen:
        why = each.missing(quantizer)
        if why is not None:
            left_out[each.name] = why
    asked = [each for each in chosen if each.name not in left_out]
    # Most of the time goes into drawing, so properties with the same cases are first held on the same draws; where one
    # of them fails, each is held alone, for a smallest case of its own.
    groups: dict[Any, list[Property]] = {}
    for each in asked:
        groups.setdefault(each.draws, []).append(each)
    outcomes: dict[str, int | Failure] = {}
    run = _Run(max_examples, seed, shrink)
    for group in groups.values():
        outcome = _hold(group, quantizer, run)
        for each in group:
            again = isinstance(outcome, Failure) and len(group) > 1
            outcomes[each.name] = _hold([each], quantizer, run) if again else outcome
    report = Report(quantizer.name, left_out=left_out)
    for each in asked:
        outcome = outcomes[each.name]
        if isinstance(outcome, Failure):
            report.failures.append(outcome)
        else:
            report.held[each.name] = outcome
    if raises and not report.passed:
        raise QuantizerFault(report)
    return report


def _chosen(names: Iterable[str] | None) -> Sequence[Property]:
    if names is None:
        return list(PROPERTIES.values())
    names = list(names)
    unknown = [name for name in names if name not in PROPERTIES]
    if unknown:
        raise ConfigError(f"no property is named {unknown[0]!r}; there are {', '.join(PROPERTIES)}")
    return [PROPERTIES[name] for name in names]


class _Run(NamedTuple):
    max_examples: int
    seed: int | None
    shrink: bool


def _hold(group: list[Property], quantizer: Quantizer, run: _Run) -> int | Failure:
    """Number of cases on which all properties of the group hold, or the failure of the first that does not."""
    count, first = 0, 0
    last: tuple[Property, Exception, dict[str, Any]] | None = None

    def test(case: dict[str, Any]) -> None:
        nonlocal count, first, last
        count += 1
        for each in group:
            try:
                each.holds(quantizer, **case)
            except Exception as error:
                first = first or count
                last = (each, error, case)
                raise

    call = settings(
        max_examples=run.max_examples, database=None, deadline=None, derandomize=False, report_multiple_bugs=False,
        suppress_health_check=list(HealthCheck), verbosity=Verbosity.quiet, print_blob=False,
        phases=(Phase.generate, Phase.shrink) if run.shrink else (Phase.generate,),
    )(given(group[0].draws(quantizer))(test))  # fmt: skip
    if run.seed is not None:
        call = hypothesis.seed(run.seed)(call)
    try:
        with np.errstate(all="ignore"):
            call()
    except Exception:
        if last is None:  # no case failed: the drawing did, which is no fault of the quantizer
            raise
        each, error, case = last  # hypothesis runs the smallest case last
        kind = "" if isinstance(error, AssertionError) else f"{type(error).__name__}: "
        return Failure(each.name, each.says, f"{kind}{error}".split("\n")[0], case, first)
    return count


def _shown(value: Any) -> str:
    return repr(value.tolist()) if isinstance(value, np.ndarray) else repr(value)
