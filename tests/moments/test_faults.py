"""A disk that is full, that cannot flush, or that cannot rename, at every step of everything that writes: a documented
error, the old file as it was, and no rubbish. What is only kept for later is then not kept, without an error.
"""

from __future__ import annotations

import errno
import json
import logging
from pathlib import Path

import numpy as np
import pytest

import dqnumba as dq
from bench import report
from bench.reliability.steps import failing, recording, watching
from dqnumba.data import superpixel_sets
from dqnumba.errors import DataError, ModelFormatError
from dqnumba.graph import load_npz, save_npz
from dqnumba.train.checkpoint import read_checkpoint, write_atomic

FAULTS = {
    "full": (errno.ENOSPC, ("make", "write", "half", "mkdir"), False),
    "full for a moment": (errno.ENOSPC, ("make", "write", "half", "mkdir"), True),
    "no flush": (errno.EIO, ("flush",), False),
    "no rename": (errno.EROFS, ("rename",), False),
}
SMALL = dq.Graph.from_edge_index(np.zeros((2, 0), int), x=np.ones((3, 2), np.float32))


def counted(folder, work, kinds):
    """How many steps of these kinds the work takes."""
    steps = []
    with watching(folder, recording(steps)):
        work()
    return sum(step.kind in kinds for step in steps)


WRITERS = {
    "model": (lambda program, path: program.save(path), dq.load, ModelFormatError),
    "graph": (lambda program, path: save_npz(SMALL, path), load_npz, OSError),
    "text": (lambda program, path: write_atomic(path, b"{}" * 9000), lambda path: path.read_text(), DataError),
    "results": (lambda program, path: report.save(path, {"a": 1}), report.load, OSError),
}


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("kind", WRITERS)
def test_what_is_written_fails_as_documented_and_leaves_the_old_file(place, left, program, kind, fault):
    write, read, expected = WRITERS[kind]
    code, kinds, once = FAULTS[fault]
    path = place / "file"
    number = counted(place, lambda: write(program, path), kinds)
    assert number >= 1
    read(path)
    path.write_bytes(b"old")
    happened = 0
    for at in range(1, number + 1):
        with watching(place, failing(at, code, kinds=kinds, once=once)):
            try:
                write(program, path)
            except expected as error:
                happened += 1
                assert path.read_bytes() == b"old"
                if expected is not OSError:  # says what to do
                    assert str(path) in str(error) and "folder" in str(error)
            else:  # the new name could not be flushed, or the rest of a short write went well: the file is there
                assert once or kinds == ("flush",)
                read(path)
                path.write_bytes(b"old")
        assert left(place) == ["file"]
    assert happened >= number // 2
    write(program, path)
    read(path)


@pytest.mark.parametrize("fault", ["full", "no flush", "no rename"])
def test_training_ends_with_an_error_and_goes_on_from_its_checkpoint(call, place, left, graph_file, every_epoch, fault):
    code, kinds, once = FAULTS[fault]
    out = place / "m.safetensors"
    argv = ("train", "--graph", graph_file, "--hidden", 4, "--epochs", 2, "--out", out, "--json")
    found = []
    number = counted(place, lambda: found.append(call(*argv)), kinds)
    assert found[0].code == 0 and number > 3
    stride = 1 if kinds == ("rename",) else 3
    wanted, names = out.read_bytes(), left(place)
    assert names == ["m.safetensors", "m.train.safetensors"]
    for at in range(1, number + 1, stride):
        for name in left(place):
            (place / name).unlink()
        with watching(place, failing(at, code, kinds=kinds, once=once)):
            failed = call(*argv)
        assert set(left(place)) <= set(names)
        if failed.code == 0:  # flushing the new name
            assert kinds == ("flush",)
            continue
        assert failed.code == 2 and failed.out == "" and len(failed.err.splitlines()) <= 3, failed.err
        assert "space" in failed.err or "writable" in failed.err, failed.err
        if (place / names[1]).exists():
            read_checkpoint(place / names[1])
            assert call("train", "--resume", "--out", out, "--json").code == 0
            assert out.read_bytes() == wanted
            assert left(place) == names


@pytest.mark.parametrize("fault", FAULTS)
def test_prepared_data_are_right_though_they_cannot_be_kept(tmp_path, left, monkeypatch, caplog, fault):
    pytest.importorskip("skimage", reason="superpixels need scikit-image")
    monkeypatch.setattr(superpixel_sets, "_RUN", 4)
    monkeypatch.setattr(superpixel_sets, "build_graphs", lambda images, **_: packed(len(images)))
    code, kinds, once = FAULTS[fault]
    cache = tmp_path / "cache"
    cache.mkdir()
    images, labels = np.zeros((12, 8, 8), np.uint8), np.arange(12) % 10

    def prepare():
        return superpixel_sets.make_dataset("mnist", images, labels, images[:2], labels[:2], num_val=4).union.x

    wanted = prepare()
    for path in sorted(cache.rglob("*.npz")):
        path.unlink()
    (cache / "superpixels").rmdir()
    for at in range(1, 1 + counted(cache, prepare, kinds), 1 if len(kinds) == 1 else 6):
        for path in cache.rglob("*.npz"):
            path.unlink()
        if (cache / "superpixels").exists():
            (cache / "superpixels").rmdir()
        with watching(cache, failing(at, code, kinds=kinds, once=once)):
            assert np.array_equal(prepare(), wanted)
        assert all(name.endswith(".npz") for name in left(cache))
        assert np.array_equal(prepare(), wanted)
    assert any("not kept" in message for message in caplog.messages) or kinds == ("flush",)


def packed(count):
    return superpixel_sets.PackedGraphs(
        size=np.full(count, 2, np.uint8), x=np.arange(6 * count, dtype=np.float32).reshape(-1, 3),
        in_degree=np.ones(2 * count, np.uint8), source=np.tile(np.array([1, 0], np.uint8), count),
    )  # fmt: skip


def _tripled(x):
    return 3 * x


@pytest.mark.parametrize("fault", ["full", "no rename"])
def test_kernels_run_though_they_cannot_be_kept(tmp_path, left, monkeypatch, caplog, fault):
    import numba

    from dqnumba.kernels import _jit

    if numba.config.DISABLE_JIT:
        pytest.skip("nothing is compiled")
    code, kinds, once = FAULTS[fault]
    caplog.set_level(logging.DEBUG, logger="dqnumba")
    monkeypatch.setattr("numba.core.config.CACHE_DIR", str(tmp_path / "kernels"))
    number = counted(tmp_path, lambda: _jit.kernel(_tripled)(2), kinds)
    for at in range(1, number + 1, 2):
        for path in sorted((tmp_path / "kernels").rglob("*"), reverse=True):
            path.unlink() if path.is_file() else path.rmdir()
        with watching(tmp_path, failing(at, code, kinds=kinds, once=once)):
            assert _jit.kernel(_tripled)(14) == 42
        assert all(name.endswith(".nbc") for name in left(tmp_path / "kernels"))
        assert _jit.kernel(_tripled)(15) == 45
    assert len(left(tmp_path / "kernels")) == 1


def test_the_record_of_steps_is_what_the_library_does(place):
    """That the tests above see the writing at all: the steps of one file, in order."""
    steps = []
    with watching(place, recording(steps)):
        write_atomic(place / "m", json.dumps(list(range(10))).encode())
    assert [step.kind for step in steps] == ["make", "write", "half", "flush", "rename", "flush", "remove"]
    assert {step.name for step in steps if step.name} == {steps[0].name}
    assert Path(steps[0].name).suffix == ".part"
