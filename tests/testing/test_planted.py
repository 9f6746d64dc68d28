"""Every planted fault is caught by the properties that are stated for it."""

from __future__ import annotations

import pytest

from dqnumba.testing import PROPERTIES, check
from dqnumba.testing.planted import PLANTED


@pytest.mark.parametrize("name", PLANTED)
def test_fault_is_caught_by_name(name):
    planted = PLANTED[name]
    report = check(planted.quantizer, properties=planted.caught_by, max_examples=1000, raises=False, shrink=False)
    assert set(report.failed) == set(planted.caught_by), planted.fault


def test_hardly_a_property_without_a_fault():
    """What breaks `monotone` breaks `clamp` or `codes_kept` as well, and stands there."""
    used = {name for planted in PLANTED.values() for name in planted.caught_by}
    assert set(PROPERTIES) - used == {"monotone"}
    assert len(PLANTED) >= 20
    assert all(planted.name == name for name, planted in PLANTED.items())
