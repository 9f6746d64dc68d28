from __future__ import annotations

import ctypes
import os
import subprocess
import sys
import textwrap

import numpy as np
import pytest

from dqnumba.kernels.dot import micro as module
from dqnumba.kernels.dot.micro import (
    FIELDS,
    LOCAL,
    Micro,
    driver,
    folder_digest,
    micro,
    new_op,
    place,
    put_place,
    stride,
)
from dqnumba.kernels.dot.simd import set_i64


@micro
def note_addresses(op, start, stop, scratch):
    """Address of rows start .. stop of the place in fields 1 to 3, into the table in field 4."""
    for i in range(start, stop):
        set_i64(op + 8 * (10 + i - start), place(op, 1, start, scratch) + i * stride(op, 1))


def addresses(op, start, stop, scratch):
    function = ctypes.CFUNCTYPE(None, *(ctypes.c_int64,) * 4)(note_addresses.address)
    function(op.ctypes.data, start, stop, scratch)
    return op[10 : 10 + stop - start].tolist()


def test_a_record():
    op = new_op(note_addresses)
    assert op.shape == (FIELDS,) and op.dtype == np.int64 and op[0] == note_addresses.address != 0
    put_place(op, 1, 1000, 48)
    assert op[1:4].tolist() == [1000, 48, 0]
    put_place(op, 1, 64, 16, local=True)
    assert op[1:4].tolist() == [64, 16, LOCAL] and not op[4:].any()


@pytest.mark.parametrize("start", [0, 7, 10**6])
def test_places(start):
    """A shared place counts rows from the first of all, a local one from the first of the block."""
    op = new_op(note_addresses)
    put_place(op, 1, 4096, 48)
    assert addresses(op, start, start + 3, 1 << 40) == [4096 + 48 * (start + k) for k in range(3)]
    put_place(op, 1, 128, 48, local=True)
    assert addresses(op, start, start + 3, 1 << 40) == [(1 << 40) + 128 + 48 * k for k in range(3)]


def test_compiled_once_and_not_before_it_is_needed():
    kernel = Micro(note_addresses.function)
    assert kernel._compiled is None and not kernel.was_cached
    assert kernel.address == kernel.address and kernel.__name__ == "note_addresses"


def test_the_digest_is_that_of_every_file(tmp_path, monkeypatch):
    for name in ("a.py", "b.py"):
        (tmp_path / name).write_text(f"# {name}\n")
    monkeypatch.setattr(module, "__file__", str(tmp_path / "micro.py"))
    digest = folder_digest.__wrapped__
    first = digest()
    (tmp_path / "b.py").write_text("# changed\n")
    second = digest()
    (tmp_path / "c.py").write_text("")
    third = digest()
    assert len({first, second, third}) == 3 and digest() == third
    (tmp_path / "notes.txt").write_text("of no concern")
    assert digest() == third


def test_a_cache_entry_of_other_sources_is_not_used(monkeypatch):
    """The stamp on disk is the digest: with another one, the kernel is compiled anew."""
    monkeypatch.setattr(module, "folder_digest", lambda: "sources that were never there")
    kernel = Micro(note_addresses.function)
    assert kernel.address and not kernel.was_cached


def test_found_on_disk_by_the_next_process(tmp_path):
    """Kernels of a factory too."""
    program = textwrap.dedent("""
        import numpy as np
        from dqnumba.kernels.dot.combine import head_sum
        from dqnumba.kernels.dot.requantize import _kernel
        kernel = _kernel("int32", ("tensor",), "int8", False, False, (), "")
        kernel.address, head_sum.address
        print(kernel.was_cached, head_sum.was_cached)
    """)
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path)}
    found = [
        subprocess.run(
            [sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True
        ).stdout.split()
        for _ in range(2)
    ]
    assert found == [["False", "False"], ["True", "True"]]


def test_helpers_of_one_factory_stay_apart(tmp_path):
    """Compiled in two processes, loaded by a third: each kernel keeps its own, though it is too long to be inlined."""
    lines = "\n".join("        x = (x * factor) ^ (x >> 3)" for _ in range(100))
    (tmp_path / "made.py").write_text(
        textwrap.dedent("""
        import ctypes, sys
        import numpy as np
        from dqnumba.kernels.dot.micro import helper, micro
        from dqnumba.kernels.dot.simd import i64_at, set_i64


        def make(factor):
            @helper
            def work(x):
        LINES
                return x

            def kernel(op, start, stop, scratch):
                for i in range(start, stop):
                    set_i64(op + 8 * i, work(work(i64_at(op + 8 * i)) + i))

            kernel.__name__ = kernel.__qualname__ = f"kernel_{factor}"
            return micro(kernel)


        for factor in map(int, sys.argv[1:]):
            kernel, op = make(factor), np.arange(3)
            ctypes.CFUNCTYPE(None, *(ctypes.c_int64,) * 4)(kernel.address)(op.ctypes.data, 0, 3, 0)
            print(factor, kernel.was_cached, *op)
    """).replace("LINES", lines)
    )
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path / "cache")}

    def run(*factors):
        command = [sys.executable, str(tmp_path / "made.py"), *factors]
        lines = subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout.split("\n")
        return [line.split() for line in lines if line]

    apart = run("3") + run("5")
    both = run("3", "5")
    assert [found[1] for found in both] == ["True", "True"], "not what this test is about"
    assert [found[2:] for found in both] == [found[2:] for found in apart] and apart[0][2:] != apart[1][2:]


def test_helpers_release_the_lock_and_do_not_count_references():
    options = module.helper(lambda x: x).targetoptions
    assert options["nogil"] and not options["_nrt"] and options["error_model"] == "numpy"
    assert driver()(lambda x: x).targetoptions["nogil"]
