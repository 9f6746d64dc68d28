"""Which instruction sets may run: what Numba says, what the user forces, what the operating system permits."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from dqnumba.errors import ConfigError
from dqnumba.kernels.dot import cpu


def in_a_process(code, **environment):
    """Standard output of Python code in a process with environment variables of its own."""
    variables = {key: value for key, value in os.environ.items() if not key.startswith(("NUMBA_", "DQNUMBA_ISA"))}
    command = [sys.executable, "-c", f"from dqnumba.kernels.dot import cpu\n{code}"]
    done = subprocess.run(command, env=variables | environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.fixture
def pretend(monkeypatch):
    """Let the module believe in another target."""

    def change(triple="x86_64-unknown-linux-gnu", name="some", features="", permitted=False):
        for function in (cpu.features, cpu.available_isas):
            function.cache_clear()
        monkeypatch.setattr(cpu, "target", lambda: (triple, name, features))
        monkeypatch.setattr(cpu, "amx_permitted", lambda: permitted)

    monkeypatch.delenv("DQNUMBA_ISA", raising=False)
    yield change
    for function in (cpu.features, cpu.available_isas):
        function.cache_clear()


_AMX = "+amx-tile,+amx-int8,+avx512f,+avx512bw,+avx512vnni,+avxvnni,+avx2"


@pytest.mark.parametrize(
    ("features", "permitted", "expected"),
    [
        (_AMX, True, ("amx", "avx512vnni", "avxvnni", "avx2", "portable")),
        (_AMX, False, ("avx512vnni", "avxvnni", "avx2", "portable")),
        ("+avx2,+avxvnni,-avx512vnni", False, ("avxvnni", "avx2", "portable")),
        ("+avx512vnni", False, ("portable",)),
        ("+avx2", True, ("avx2", "portable")),
        ("", True, ("portable",)),
    ],
)
def test_order_on_x86(pretend, features, permitted, expected):
    pretend(features=features, permitted=permitted)
    assert cpu.available_isas() == expected
    assert cpu.choose_isa() == expected[0]
    assert cpu.explain().startswith(f"{expected[0]}, the best available")
    if expected[0] != "amx":
        assert "amx: " in cpu.explain()


def test_other_processors(pretend):
    pretend("aarch64-unknown-linux-gnu", "generic", "+dotprod,+neon")
    assert cpu.available_isas() == ("sdot", "portable")
    pretend("aarch64-unknown-linux-gnu", "generic", "+neon")
    assert cpu.available_isas() == ("portable",)
    pretend("riscv64-unknown-linux-gnu")
    assert cpu.available_isas() == ("portable",)
    pretend("", "", "")
    assert cpu.available_isas() == ("portable",)


def test_a_processors_name_implies_features():
    """Numba gives no features where it was given a name only: on AArch64, LLVM is asked what it would select."""
    from llvmlite import binding

    binding.initialize_all_targets()
    binding.initialize_all_asmprinters()
    triple = "aarch64-unknown-linux-gnu"
    assert cpu._selects_sdot(triple, "cortex-a76", "") and cpu._selects_sdot(triple, "generic", "+dotprod")
    assert not cpu._selects_sdot(triple, "cortex-a72", "") and not cpu._selects_sdot("no-such-target", "", "")


def test_forcing(pretend, monkeypatch):
    pretend(features="+avx2")
    monkeypatch.setenv("DQNUMBA_ISA", " Portable ")
    assert cpu.choose_isa() == "portable"
    assert cpu.explain() == "portable, forced by DQNUMBA_ISA"
    monkeypatch.setenv("DQNUMBA_ISA", "amx")
    with pytest.raises(ConfigError, match=r"DQNUMBA_ISA=amx cannot run here.*amx-int8.*available: avx2, portable"):
        cpu.choose_isa()
    assert "cannot run here" in cpu.explain()
    monkeypatch.setenv("DQNUMBA_ISA", "sse9")
    with pytest.raises(ConfigError, match="does not exist: allowed are amx"):
        cpu.choose_isa()
    pretend(features=_AMX)
    monkeypatch.setenv("DQNUMBA_ISA", "amx")
    with pytest.raises(ConfigError, match="does not permit the tile registers"):
        cpu.choose_isa()


def test_without_a_compiler(pretend, monkeypatch):
    pretend(features=_AMX, permitted=True)
    monkeypatch.setattr(cpu.numba.config, "DISABLE_JIT", 1)
    assert cpu.available_isas() == () and cpu.choose_isa() is None
    assert "NUMBA_DISABLE_JIT" in cpu.explain()


def test_a_numba_that_does_not_tell_its_target(pretend, monkeypatch):
    pretend()
    monkeypatch.undo()
    from numba.core.registry import cpu_target

    monkeypatch.setattr(type(cpu_target.target_context), "codegen", lambda self: None)
    assert cpu.target.__wrapped__() == ("", "", "")


def test_numbas_variables_are_followed():
    assert in_a_process("print(cpu.available_isas())", NUMBA_CPU_NAME="generic") == "('portable',)"
    assert in_a_process("print(cpu.choose_isa())", NUMBA_DISABLE_JIT="1") == "None"
    assert in_a_process("print(cpu.choose_isa())", DQNUMBA_ISA="portable") == "portable"


def test_asking_for_the_tiles_is_harmless():
    assert cpu.amx_permitted() in (True, False)
    assert cpu.amx_permitted.__wrapped__() == cpu.amx_permitted()
