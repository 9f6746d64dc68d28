"""Compiled kernels on disk: found by the next process, never wrong, never in the way; one form of each."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import numpy as np
import pytest
from small_models import random_graph, trained

from dqnumba.graph import save_npz
from dqnumba.kernels import _cache

RUN = """
import gc, hashlib, json, logging, sys
lines = []
handler = logging.Handler()
handler.emit = lambda record: lines.append(record.getMessage())
logging.getLogger("dqnumba").addHandler(handler)
logging.getLogger("dqnumba").setLevel(logging.DEBUG)
import dqnumba.infer
from dqnumba.graph import load_npz
from dqnumba.kernels._cache import counts
from dqnumba.kernels.dot.micro import Micro
bound = dqnumba.infer.load(sys.argv[1]).bind(load_npz(sys.argv[2]))
logits = bound()
from dqnumba.kernels.dot import executor
micros = [m for m in gc.get_objects() if isinstance(m, Micro) and m._compiled is not None]
drivers = [d for d in (executor.run_serial, executor.run_parallel) if d.signatures]
print(json.dumps({
    **counts, "backend": bound.backend, "logits": hashlib.sha256(logits.tobytes()).hexdigest(), "log": lines,
    "cached": [m.was_cached for m in micros] + [sum(d.stats.cache_hits.values()) == 1 for d in drivers],
}))
"""


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """Files of a small model and of a graph, and the digest of the right logits."""
    folder = tmp_path_factory.mktemp("model")
    graph = random_graph(3)
    _, program = trained(graph, epochs=0)
    program.save(folder / "model.safetensors")
    save_npz(graph, folder / "graph.npz")
    from hashlib import sha256

    wanted = sha256(program(graph, backend="reference").tobytes()).hexdigest()
    return [str(folder / "model.safetensors"), str(folder / "graph.npz")], wanted


def run(model, **environment):
    """Bind and run the model in a process of its own; what it found in the cache."""
    variables = {key: value for key, value in os.environ.items() if not key.startswith(("NUMBA_", "DQNUMBA_"))}
    done = subprocess.run([sys.executable, "-c", RUN, *model[0]], env=variables | environment, capture_output=True,
                          text=True, timeout=300)  # fmt: skip
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["logits"] == model[1]
    assert found["backend"] == "dot"
    return found


@pytest.fixture(scope="module")
def filled(model, tmp_path_factory):
    """A cache folder after a first run, and how many kernels that compiled."""
    folder = tmp_path_factory.mktemp("cache")
    first = run(model, NUMBA_CACHE_DIR=str(folder))
    assert first["loaded"] == 0
    assert not any(first["cached"])
    assert first["compiled"] == len(list(folder.rglob("*.nbc"))) > 3
    return folder, first["compiled"]


def test_the_second_process_compiles_nothing(model, filled):
    folder, kernels = filled
    before = sorted(folder.rglob("*"))
    second = run(model, NUMBA_CACHE_DIR=str(folder))
    assert (second["compiled"], second["loaded"]) == (0, kernels)
    assert second["cached"]
    assert all(second["cached"])
    assert sorted(folder.rglob("*")) == before


def test_damaged_files_are_compiled_anew_and_replaced(model, filled):
    folder, kernels = filled
    files = sorted(folder.rglob("*.nbc"))
    content = files[0].read_bytes()
    damaged = [content[: len(content) // 2], b"", b"cos\nsystem\n", files[1].read_bytes()]
    flipped = bytearray(content)
    flipped[len(content) // 2] ^= 4
    for bad in (*damaged, bytes(flipped)):
        files[0].write_bytes(bad)
        found = run(model, NUMBA_CACHE_DIR=str(folder))
        assert (found["compiled"], found["loaded"]) == (1, kernels - 1)
        assert any("damaged" in line for line in found["log"])
    assert run(model, NUMBA_CACHE_DIR=str(folder))["compiled"] == 0
    assert sorted(folder.rglob("*.nbc")) == files


def test_without_a_writable_folder_each_process_compiles(model, tmp_path):
    nowhere = tmp_path / "file"
    nowhere.write_text("no folder")
    # Left alone, Numba goes on to __pycache__ and to the home directory: a read-only container without one has neither.
    found = run(model, NUMBA_CACHE_DIR=str(nowhere / "cache"), NUMBA_CACHE_LOCATOR_CLASSES="UserProvidedCacheLocator")
    assert found["loaded"] == 0
    assert found["compiled"] > 3
    assert any("NUMBA_CACHE_DIR" in line for line in found["log"])


def test_a_filled_folder_that_cannot_be_written_is_read(tmp_path, monkeypatch):
    """Pretended, for root may write everywhere."""
    from dqnumba.kernels.dot import micro

    @micro.micro
    def _idle(op, start, stop, scratch):
        pass

    @micro.micro
    def _other(op, start, stop, scratch):
        pass

    def refuse(self):
        raise PermissionError(13, "read-only")

    monkeypatch.setattr("numba.core.config.CACHE_DIR", str(tmp_path))
    assert not micro.Micro(_idle.function).was_cached
    assert micro.Micro(_idle.function).address
    monkeypatch.setattr("numba.core.caching.UserProvidedCacheLocator.ensure_cache_path", refuse)
    again, new = micro.Micro(_idle.function), micro.Micro(_other.function)
    assert again.address
    assert again.was_cached
    assert new.address
    assert not new.was_cached
    assert len(list(tmp_path.rglob("*.nbc"))) == 1


def test_other_processors_have_files_of_their_own(model, filled):
    folder, _ = filled
    other = run(model, NUMBA_CACHE_DIR=str(folder), NUMBA_CPU_NAME="generic")
    assert other["compiled"] > 3
    assert run(model, NUMBA_CACHE_DIR=str(folder))["compiled"] == 0


def test_a_changed_source_is_compiled_anew_and_its_old_code_removed(tmp_path, monkeypatch):
    from numba.core.registry import cpu_target

    from dqnumba.kernels.dot import micro

    monkeypatch.setattr("numba.core.config.CACHE_DIR", str(tmp_path))

    @micro.micro
    def _nothing(op, start, stop, scratch):
        pass

    def names(stamp):
        cache = _cache.KernelCache(_nothing.function, lambda: stamp)
        compiled = micro.CFunc(_nothing.function, micro._SIGNATURE, {}, {"nopython": True, "_nrt": False})
        compiled._cache = cache
        compiled.compile()
        assert cpu_target is not None
        return compiled.cache_hits, {path.name for path in tmp_path.rglob("*.nbc")}

    first, second, again, back = names("a"), names("b"), names("b"), names("a")
    assert [hits for hits, _ in (first, second, again, back)] == [0, 0, 1, 0]
    assert [len(files) for _, files in (first, second, again, back)] == [1, 1, 1, 1]
    assert not first[1] & second[1]


def test_the_digest_follows_every_file_of_the_folder(tmp_path, monkeypatch):
    from dqnumba.kernels.dot import micro

    (tmp_path / "a.py").write_text("x = 1")
    monkeypatch.setattr(micro, "__file__", str(tmp_path / "micro.py"))
    digest = micro.folder_digest.__wrapped__
    before = digest()
    assert digest() == before
    (tmp_path / "a.py").write_text("x = 2")
    changed = digest()
    (tmp_path / "b.py").write_text("")
    assert len({before, changed, digest()}) == 3


def make(value):
    def function(x):
        return x + value

    return function


def test_closures_are_told_apart_by_what_they_hold():
    import numba

    described = [
        _cache.describe(make(value)) for value in (1, 2, "1", (1, 2), None, True, np.int64(1), make(1), make(2))
    ]
    described.append(_cache.describe(make(numba.njit(make(3)))))
    assert len({repr(d) for d in described}) == len(described)
    assert _cache.describe(make(numba.njit(make(3)))) == described[-1]
    assert " at 0x" not in repr(described)
    with pytest.raises(TypeError, match="closure"):
        _cache.describe(make(object()))
