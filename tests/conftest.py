"""Hypothesis profiles and checks that hold for every test.

The default profile draws the same examples every time, so that a red test is red for everybody;
``HYPOTHESIS_PROFILE=nightly`` draws new ones, and many more.
"""

from __future__ import annotations

import json
import os
from types import SimpleNamespace

import numba
import numpy as np
import pytest
from hypothesis import Phase, settings

from dqnumba.errors import ConfigError

settings.register_profile("default", deadline=None, derandomize=True, max_examples=100)
settings.register_profile("nightly", deadline=None, max_examples=2000, print_blob=True)
# For mutation testing: the same examples every time, few, and no search for the smallest one that fails.
_FAST = {"max_examples": 25, "phases": (Phase.explicit, Phase.generate)}
settings.register_profile("mutation", deadline=None, derandomize=True, **_FAST)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))


def pytest_collection_modifyitems(items):
    if numba.config.DISABLE_JIT:
        for item in items:
            if item.get_closest_marker("compiled"):
                item.add_marker(pytest.mark.skip(reason="NUMBA_DISABLE_JIT: this is about compiled code"))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item):
    """Without a compiler (``.ci/leg interpreted``) a test that asks for the vector kernels has nothing to run."""
    try:
        return (yield)
    except (ConfigError, NotImplementedError) as error:
        missing = ("needs Numba's compiler", "not usable in pure-python")
        if numba.config.DISABLE_JIT and any(text in str(error) for text in missing):
            pytest.skip(f"NUMBA_DISABLE_JIT: {error}")
        raise


@pytest.fixture(autouse=True)
def process_state_unchanged():
    """The library draws from generators that it is given and restores the number of threads it found."""
    before, threads = np.random.get_state(legacy=False), numba.get_num_threads()  # noqa: NPY002
    yield
    after = np.random.get_state(legacy=False)  # noqa: NPY002
    assert before["state"]["pos"] == after["state"]["pos"], "the global NumPy generator was used"
    assert np.array_equal(before["state"]["key"], after["state"]["key"]), (
        "the global NumPy generator was used"
    )
    assert numba.get_num_threads() == threads, "the number of threads was changed and not restored"


@pytest.fixture
def call(capsys):
    """Run the command; returns code, stdout, stderr and, where stdout is one JSON object, that."""

    from dqnumba.cli.main import main  # here, so that tests of arrays alone do not load the command line

    def run(*argv):
        capsys.readouterr()
        code = main([str(a) for a in argv])
        captured = capsys.readouterr()
        content = json.loads(captured.out) if "--json" in argv and captured.out else None
        return SimpleNamespace(code=code, out=captured.out, err=captured.err, json=content)

    return run
