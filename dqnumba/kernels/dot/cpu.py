"""Which instruction sets (ISAs) the vector kernels may use: those that Numba compiles for, not those of the processor.

An instruction that LLVM was not told about ends the process, so the features are read from Numba's code generator; they
follow ``NUMBA_CPU_NAME`` and ``NUMBA_CPU_FEATURES``. That is an internal of Numba: whatever goes wrong there leaves the
portable kernels. AMX also needs the operating system's permission, one system call a process.

``DQNUMBA_ISA`` forces one of :data:`ISAS`; one that cannot run here is a ConfigError.
"""

from __future__ import annotations

import ctypes
import functools
import logging
import os
import platform
import sys

import numba

from dqnumba.errors import ConfigError

__all__ = [
    "ISAS",
    "amx_permitted",
    "available_isas",
    "choose_isa",
    "explain",
    "features",
    "require",
    "target",
    "why_not",
]

_log = logging.getLogger("dqnumba")

_NEEDS = {
    "amx": ("x86_64", {"amx-tile", "amx-int8", "avx512f", "avx512bw"}),
    "avx512vnni": ("x86_64", {"avx512f", "avx512bw", "avx512vnni"}),
    "avxvnni": ("x86_64", {"avx2", "avxvnni"}),
    "avx2": ("x86_64", {"avx2"}),
    "sdot": ("aarch64", {"dotprod"}),
    "portable": ("", set()),
}

ISAS = tuple(_NEEDS)
"""All instruction sets, the preferred first."""

_VARIABLE = "DQNUMBA_ISA"

# Linux on x86-64: arch_prctl, "get" and "request" permission for a state component, the one of the tile registers.
_ARCH_PRCTL, _GET_PERMISSION, _REQUEST_PERMISSION, _TILE_DATA = 158, 0x1022, 0x1023, 18


@functools.cache
def target() -> tuple[str, str, str]:
    """Triple, processor name and feature string that Numba compiles for; three empty strings if it does not say."""
    try:
        from numba.core.registry import cpu_target

        triple, name, feature_string = cpu_target.target_context.codegen().magic_tuple()
        return str(triple), str(name), str(feature_string)
    except Exception as error:
        _log.debug("Numba does not tell its target (%s): portable kernels", error)
        return "", "", ""


@functools.cache
def features() -> frozenset[str]:
    """LLVM features that Numba compiles for."""
    triple, name, feature_string = target()
    found = {item[1:] for item in feature_string.split(",") if item.startswith("+")}
    if _architecture(triple) == "aarch64" and "dotprod" not in found and _selects_sdot(triple, name, feature_string):
        found.add("dotprod")
    return frozenset(found)


def _architecture(triple: str) -> str:
    first = triple.split("-")[0]
    return {"arm64": "aarch64", "amd64": "x86_64"}.get(first, first)


_SIGNED_DOT = """
declare <4 x i32> @llvm.vector.partial.reduce.add.v4i32.v16i32(<4 x i32>, <16 x i32>)
define <4 x i32> @dot(<4 x i32> %acc, <16 x i8> %a, <16 x i8> %b) {
  %x = sext <16 x i8> %a to <16 x i32>
  %y = sext <16 x i8> %b to <16 x i32>
  %p = mul <16 x i32> %x, %y
  %r = call <4 x i32> @llvm.vector.partial.reduce.add.v4i32.v16i32(<4 x i32> %acc, <16 x i32> %p)
  ret <4 x i32> %r
}
"""


def _selects_sdot(triple: str, name: str, feature_string: str) -> bool:
    """Whether LLVM picks ``sdot`` by itself: a processor's name implies features that the feature string leaves out."""
    try:
        from llvmlite import binding

        module = binding.parse_assembly(_SIGNED_DOT)
        machine = binding.Target.from_triple(triple).create_target_machine(cpu=name, features=feature_string)
        return "sdot" in machine.emit_assembly(module)
    except Exception as error:  # an LLVM without this reduction, say
        _log.debug("no probe for sdot: %s", error)
        return False


@functools.cache
def amx_permitted() -> bool:
    """Ask Linux, once a process, to let its threads use the AMX tile registers; whether it does."""
    if not sys.platform.startswith("linux") or platform.machine().lower() not in ("x86_64", "amd64"):
        return False
    if ctypes.sizeof(ctypes.c_void_p) != 8:
        return False
    try:
        syscall = ctypes.CDLL(None, use_errno=True).syscall
        syscall.restype = ctypes.c_long
        number, get, request = (ctypes.c_long(k) for k in (_ARCH_PRCTL, _GET_PERMISSION, _REQUEST_PERMISSION))
        if syscall(number, request, ctypes.c_ulong(_TILE_DATA)) != 0:
            return False
        granted = ctypes.c_uint64(0)
        if syscall(number, get, ctypes.byref(granted)) != 0:
            return False
        return bool(granted.value >> _TILE_DATA & 1)
    except (OSError, AttributeError):
        return False


def why_not(isa: str) -> str:
    """Why an ISA cannot be used here; empty if it can."""
    if numba.config.DISABLE_JIT:
        return "NUMBA_DISABLE_JIT is set, and these kernels exist as machine code only"
    architecture, needs = _NEEDS[isa]
    triple, name, _ = target()
    if architecture and _architecture(triple) != architecture:
        return f"it is for {architecture}, and Numba compiles for {triple or 'an unknown target'}"
    missing = sorted(needs - features())
    if missing:
        return f"Numba compiles for {name or 'this processor'} without {', '.join(missing)}"
    if isa == "amx" and not amx_permitted():
        return "the operating system does not permit the tile registers"
    return ""


@functools.cache
def available_isas() -> tuple[str, ...]:
    """The ISAs that can run here, the preferred first; empty under NUMBA_DISABLE_JIT."""
    return tuple(isa for isa in ISAS if not why_not(isa))


def choose_isa() -> str | None:
    """The ISA to use: that of ``DQNUMBA_ISA``, else the best available; None if there is none at all.

    Raises
    ------
    ConfigError
        If ``DQNUMBA_ISA`` names an ISA that is unknown or cannot run here.
    """
    forced = os.environ.get(_VARIABLE, "").strip().lower()
    if not forced:
        return next(iter(available_isas()), None)
    require(forced, f"{_VARIABLE}={forced}")
    return forced


def require(isa: str, asked: str | None = None) -> None:
    """ConfigError unless an ISA can run here: its machine code would end the process. ``asked`` names the wish."""
    asked = asked or f"instruction set {isa!r}"
    if isa not in ISAS:
        raise ConfigError(f"{asked} does not exist: allowed are {', '.join(ISAS)}")
    if isa not in available_isas():
        allowed = ", ".join(available_isas()) or "none"
        raise ConfigError(f"{asked} cannot run here: {why_not(isa)}; available: {allowed}")


def explain() -> str:
    """One line for people: the ISA, and why not a better one."""
    try:
        isa = choose_isa()
    except ConfigError as error:
        return str(error)
    if isa is None:
        return f"no vector kernels: {why_not('portable')}"
    if os.environ.get(_VARIABLE, "").strip():
        return f"{isa}, forced by {_VARIABLE}"
    architecture = _architecture(target()[0])
    better = [k for k in ISAS[: ISAS.index(isa)] if _NEEDS[k][0] == architecture]
    return "; ".join([f"{isa}, the best available", *(f"{k}: {why_not(k)}" for k in better)])
