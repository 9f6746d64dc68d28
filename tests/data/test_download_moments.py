"""Downloads at hostile moments: a full disk, Ctrl-C, SIGKILL at every step; the next call clears all away."""

from __future__ import annotations

import errno
import hashlib
import os

import numpy as np
import pytest
from web import serving

pytest.importorskip("bench.reliability.steps", reason="bench/ stands beside the package, in a checkout only")
pytest.importorskip("pooch", reason='downloads need pooch: pip install "dqnumba[data]"')
from bench.reliability.children import in_child
from bench.reliability.steps import failing, killing, recording, watching
from dqnumba.data import download
from dqnumba.errors import DataError

CONTENT = np.random.default_rng(0).bytes(40_000)
SHA = hashlib.sha256(CONTENT).hexdigest()
FAULTS = {
    "full": (errno.ENOSPC, ("make", "write", "half", "mkdir"), False),
    "full for a moment": (errno.ENOSPC, ("make", "write", "half", "mkdir"), True),
    "no flush": (errno.EIO, ("flush",), False),
    "no rename": (errno.EROFS, ("rename",), False),
}


@pytest.fixture
def cache(monkeypatch, tmp_path):
    monkeypatch.delenv("DQNUMBA_DATA", raising=False)
    monkeypatch.setenv("DQNUMBA_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("NO_PROXY", "*")
    (tmp_path / "cache").mkdir()
    return tmp_path / "cache"


@pytest.fixture
def fetch(cache):
    """Fetches the file; returns its place."""
    with serving(CONTENT) as site:
        entry = {"name": "f", "url": site.url, "bytes": len(CONTENT), "sha256": SHA}
        target = cache / "data" / "set" / "raw" / "f"

        def run():
            download.download(entry, target)
            return target

        yield run, target


def left(cache):
    names = (os.path.relpath(os.path.join(root, name), cache) for root, _, names in os.walk(cache) for name in names)
    return sorted(name for name in names if not name.endswith(".lock"))


def steps_of(cache, fetch):
    """Steps of a download where the folders are there."""
    steps, run = [], fetch[0]
    run().unlink()
    with watching(cache, recording(steps)):
        run()
    return steps


def whole(run, target, cache):
    assert run().read_bytes() == CONTENT
    assert left(cache) == ["data/set/raw/f"]


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_told_and_the_next_call_goes_on(fetch, cache, fault):
    code, kinds, once = FAULTS[fault]
    run, target = fetch
    number = sum(step.kind in kinds for step in steps_of(cache, fetch))
    for at in range(1, number + 1):
        target.unlink()
        with watching(cache, failing(at, code, kinds=kinds, once=once)):
            try:
                run()
            except DataError as error:
                assert not target.exists()
                assert "free space" in str(error) and len(str(error).splitlines()) <= 3
            else:  # the last renaming has another way, and a new name need not be flushed
                assert once or "make" not in kinds
                assert target.read_bytes() == CONTENT
        whole(run, target, cache)


def test_an_interruption_at_any_step_is_taken_up(fetch, cache):
    run, target = fetch
    for step in steps_of(cache, fetch):

        def stop(here, at=step.number):
            if here.number == at:
                raise KeyboardInterrupt

        target.unlink(missing_ok=True)
        with pytest.raises(KeyboardInterrupt), watching(cache, stop):
            run()
        assert not target.exists() or target.read_bytes() == CONTENT
        whole(run, target, cache)


def test_a_part_that_is_longer_than_the_file_is_not_gone_on_with(fetch, cache):
    run, target = fetch

    def stop(step):
        if step.kind == "flush":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), watching(cache, stop):
        run()
    (part,) = cache.glob("downloads/*.part")
    with part.open("ab") as file:
        file.write(b"more")
    whole(run, target, cache)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_kill_at_any_step_is_taken_up_and_its_leftovers_go(fetch, cache):
    """Before, pooch's own passing file stayed for ever."""
    run, target = fetch
    steps = steps_of(cache, fetch)
    assert len(steps) > 20
    for step in steps:
        target.unlink(missing_ok=True)

        def work(at=step.number):
            with watching(cache, killing(at)):
                run()

        assert in_child(work).killed
        assert not target.exists() or target.read_bytes() == CONTENT
        whole(run, target, cache)
