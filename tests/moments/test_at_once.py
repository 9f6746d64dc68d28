"""Several processes at the same work: caches are filled by all, whole; an output is written by one at a time."""

from __future__ import annotations

import os
import signal
import time

import numpy as np
import pytest

from bench.reliability.steps import watching
from dqnumba import locks
from dqnumba.data import superpixel_sets
from dqnumba.errors import DataError
from dqnumba.files import whole_file
from dqnumba.kernels import _cache, _jit
from dqnumba.train.output import claimed

pytestmark = [
    pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork"),
    pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning"),
]


def together(*works, meanwhile=lambda: None):
    """Each in a process of its own, all let go at the same moment; their exit codes, 0 where nothing was raised."""
    reading, writing = os.pipe()
    pids = []
    for work in works:
        pid = os.fork()
        if pid == 0:
            code = 1
            try:
                os.close(writing)
                os.read(reading, 1)  # ends when the parent has closed its side
                work()
                code = 0
            finally:
                os._exit(code)
        pids.append(pid)
    os.close(reading), os.close(writing)
    meanwhile()
    return [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in pids]


def test_a_reader_sees_whole_files_of_one_writer_or_the_other(tmp_path, left):
    path, size = tmp_path / "m.bin", 100_000
    path.write_bytes(b"o" * size)

    def write(letter):
        for _ in range(20):
            with whole_file(path, durable=False) as stream:
                for _ in range(10):
                    stream.write(letter * (size // 10))
                    stream.flush()

    seen = []

    def look():
        end = time.monotonic() + 20
        while time.monotonic() < end and len(seen) < 200:
            content = path.read_bytes()
            seen.append((len(content), len(set(content))))

    assert together(*(lambda letter=letter: write(letter) for letter in (b"a", b"b", b"c")), meanwhile=look) == [0] * 3
    assert set(seen) == {(size, 1)}
    assert left(tmp_path) == ["m.bin"]


def test_many_prepare_the_same_data(tmp_path, left, monkeypatch):
    images, labels = np.zeros((40, 8, 8), np.uint8), np.arange(40) % 10
    images[:, 0, 0] = np.arange(40)
    monkeypatch.setattr(superpixel_sets, "_RUN", 4)
    monkeypatch.setattr(superpixel_sets, "build_graphs", built)

    def prepare():
        return superpixel_sets.make_dataset("mnist", images, labels, images[:2], labels[:2], num_val=4).union.x

    wanted = prepare()
    cache = tmp_path / "cache"
    whole = {name: (cache / name).read_bytes() for name in left(cache)}
    for name in whole:
        (cache / name).unlink()

    def check():
        for _ in range(2):
            assert np.array_equal(prepare(), wanted)

    assert together(*[check] * 4) == [0] * 4
    assert {name: (cache / name).read_bytes() for name in left(cache)} == whole


def built(images, **_):
    count = len(images)
    return superpixel_sets.PackedGraphs(
        size=np.full(count, 2, np.uint8), x=np.repeat(images[:, 0, 0], 6).astype(np.float32).reshape(-1, 3),
        in_degree=np.ones(2 * count, np.uint8), source=np.tile(np.array([1, 0], np.uint8), count),
    )  # fmt: skip


def _quadrupled(x):
    return 4 * x


def test_many_fill_the_same_cache_of_kernels(tmp_path, left, monkeypatch):
    import numba

    if numba.config.DISABLE_JIT:
        pytest.skip("nothing is compiled")
    monkeypatch.setattr("numba.core.config.CACHE_DIR", str(tmp_path / "kernels"))

    def fill():
        for _ in range(3):
            assert _jit.kernel(_quadrupled)(10) == 40

    assert together(*[fill] * 4) == [0] * 4
    assert len(left(tmp_path / "kernels")) == 1
    before = _cache.counts["compiled"]
    assert _jit.kernel(_quadrupled)(11) == 44
    assert _cache.counts["compiled"] == before, "what was written together can be loaded"


@pytest.mark.skipif(not locks.available(), reason="this system has no locks that end with a process")
def test_two_runs_into_one_output_are_refused_with_the_number_of_the_first(call, place, left, graph_file):
    out, other = place / "m.safetensors", place / "n.safetensors"
    argv = ("train", "--graph", graph_file, "--hidden", 4, "--epochs", 1, "--quiet", "--out")
    with claimed(out):
        refused = call(*argv, out)
        assert (refused.code, refused.out) == (2, "")
        assert f"{out} is being made by process {os.getpid()}" in refused.err and "another --out" in refused.err
        with pytest.raises(DataError, match="is being made by process"), claimed(place / "m.train.safetensors"):
            pass
        assert call(*argv, other).code == 0
        assert left(place) == [".m.train.safetensors.lock", "n.safetensors", "n.train.safetensors"]
    assert call(*argv, out).code == 0
    assert left(place) == ["m.safetensors", "m.train.safetensors", "n.safetensors", "n.train.safetensors"]


def test_a_claim_that_cannot_be_written_is_told(place):
    (place / ".m.train.safetensors.lock").mkdir()
    with pytest.raises(DataError, match=r"Cannot write .*Is a directory"), claimed(place / "m.safetensors"):
        pass


@pytest.mark.skipif(not locks.available(), reason="this system has no locks that end with a process")
def test_a_killed_run_leaves_no_claim(call, place, left, graph_file):
    out = place / "m.safetensors"

    def die():
        claim = claimed(out)
        claim.__enter__()
        os.kill(os.getpid(), signal.SIGKILL)

    assert together(die) == [-signal.SIGKILL]
    assert left(place) == [".m.train.safetensors.lock"]
    done = call("train", "--graph", graph_file, "--hidden", 4, "--epochs", 1, "--quiet", "--out", out)
    assert done.code == 0, done.err
    assert left(place) == ["m.safetensors", "m.train.safetensors"]


def test_leftovers_in_the_cache_of_kernels_go_with_the_next_kernel_of_that_function(tmp_path, left, monkeypatch):
    import numba

    if numba.config.DISABLE_JIT:
        pytest.skip("nothing is compiled")
    monkeypatch.setattr("numba.core.config.CACHE_DIR", str(tmp_path / "kernels"))

    def kill(step):
        if step.kind == "half":
            os.kill(os.getpid(), signal.SIGKILL)

    def die():
        with watching(tmp_path, kill):
            _jit.kernel(_quadrupled)(10)

    assert together(die) == [-signal.SIGKILL]
    (part,) = left(tmp_path / "kernels")
    assert part.endswith(".part")
    assert _jit.kernel(_quadrupled)(2.5) == 10.0  # another signature, so another file
    (whole,) = left(tmp_path / "kernels")
    assert whole.endswith(".nbc")
