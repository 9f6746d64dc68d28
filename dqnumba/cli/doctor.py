"""``dqnumba doctor``: what this machine and installation offer, what runs here, and why."""

from __future__ import annotations

import argparse
import importlib.metadata
import os
import platform
from typing import Any

from .common import emit, table
from .options import add_output_options

HELP = "Show versions, processor, instruction sets, backend, threads, and where data and compiled kernels are kept."
EXAMPLES = ("dqnumba doctor",)
_PACKAGES = ("numpy", "numba", "llvmlite", "scipy", "networkx", "safetensors", "tqdm", "pooch", "scikit-image",
             "matplotlib", "threadpoolctl")  # fmt: skip
# Of the features that Numba compiles for, those that the kernels or people care for.
_SHOWN = ("sse4.2", "avx", "avx2", "fma", "f16c", "avx512f", "avx512bw", "avx512vnni", "avxvnni", "amx-tile",
          "amx-int8", "neon", "dotprod", "i8mm", "sve")  # fmt: skip
_SETTINGS = ("DQNUMBA_BACKEND", "DQNUMBA_ISA", "DQNUMBA_DATA", "NUMBA_CACHE_DIR", "NUMBA_CPU_NAME",
             "NUMBA_CPU_FEATURES", "NUMBA_NUM_THREADS", "NUMBA_THREADING_LAYER", "NUMBA_DISABLE_JIT",
             "OMP_NUM_THREADS", "OMP_WAIT_POLICY", "OPENBLAS_NUM_THREADS", "OPENBLAS_THREAD_TIMEOUT",
             "MKL_NUM_THREADS", "MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_THRESHOLD_")  # fmt: skip


def configure(parser: argparse.ArgumentParser) -> None:
    add_output_options(parser)


def run(args: argparse.Namespace) -> int:
    content = _look()
    emit(args, content, lambda: _text(content))
    return 0


def _look() -> dict[str, Any]:
    import numba

    from .. import __version__
    from ..data.registry import cache_folder
    from ..errors import DataError
    from ..infer import BACKENDS
    from ..kernels.dot import cpu
    from .warmup import cache_state

    triple, processor, _ = cpu.target()
    try:
        place = os.environ.get("DQNUMBA_DATA") or str(cache_folder() / "data")
    except DataError as error:
        place = "none: " + "; ".join(str(error).splitlines())
    return {
        "dqnumba": __version__,
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "target": triple,
        "processor": processor,
        "features": [name for name in _SHOWN if name in cpu.features()],
        **_instruction_sets(),
        "backends": list(BACKENDS),
        **_backend(),
        "cores": os.cpu_count(),
        "threads": numba.get_num_threads(),
        "threading_layer": _threading_layer(),
        "kernel_cache": cache_state(),
        "data": place,
        "settings": {name: os.environ[name] for name in _SETTINGS if name in os.environ},
        "huge_pages": _huge_pages(),
        "packages": {name: _version(name) for name in _PACKAGES},
    }


def _instruction_sets() -> dict[str, Any]:
    from ..errors import ConfigError
    from ..kernels.dot import cpu

    try:
        chosen, why = cpu.choose_isa(), cpu.explain().split("; ")[0]
    except ConfigError as error:
        chosen, why = None, str(error)
    return {"isa": chosen, "isa_reason": why, "isas": {isa: cpu.why_not(isa) or "available" for isa in cpu.ISAS}}


def _backend() -> dict[str, Any]:
    import numba

    from ..errors import ConfigError
    from ..infer.backend import choose_backend

    try:
        name = choose_backend().__name__.split(".")
    except ConfigError as error:
        return {"backend": None, "backend_reason": str(error)}
    backend = "dot" if "dot" in name else "numba" if name[-1] == "integer" else name[-1]
    if os.environ.get("DQNUMBA_BACKEND"):
        why = "DQNUMBA_BACKEND asks for it"
    elif numba.config.DISABLE_JIT:
        why = "NUMBA_DISABLE_JIT is set"
    else:
        why = "the fastest; a program that its kernels do not cover runs on numba"
    return {"backend": backend, "backend_reason": why}


def _threading_layer() -> str:
    """Numba tells only after a parallel kernel has run, so one does."""
    import numba

    from ..kernels.integer_threads import threads_for

    if numba.config.DISABLE_JIT:
        return "none: NUMBA_DISABLE_JIT is set"
    if threads_for(1 << 40) < 2:
        return "none: one thread"
    try:
        return str(numba.threading_layer())
    except ValueError:
        from numba.np.ufunc import parallel

        library = getattr(parallel, "_lib", None) or getattr(parallel, "lib", None)
        return getattr(library, "__name__", "unknown").rsplit(".", 1)[-1].removesuffix("pool")


def _huge_pages() -> str | None:
    """Linux: whether large arrays get pages of 2 MB, which saves most of the page faults of fresh memory."""
    try:
        with open("/sys/kernel/mm/transparent_hugepage/enabled", encoding="ascii") as file:
            text = file.read()
    except OSError:
        return None
    return text[text.find("[") + 1 : text.find("]")] if "[" in text else None


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _text(content: dict[str, Any]) -> str:
    cache = content["kernel_cache"]
    state = f"{cache['kernels']} compiled, {cache['bytes'] / 1e6:.1f} MB" if cache["cache"] else "none"
    rows = [["", "found"]]
    for key, value in content.items():
        if key == "kernel_cache":
            rows += [["kernel cache", state], *(["", folder] for folder in cache["cache"])]
            rows += [["", cache["problem"]]] if cache["problem"] else []
        elif key in ("isa_reason", "backend_reason"):
            rows[-1][1] = f"{rows[-1][1] or 'none'}: {value.removeprefix(f'{rows[-1][1]}, ')}"
        elif key == "isas":
            rows += [[f"  {isa}", text] for isa, text in value.items()]
        elif isinstance(value, dict):
            rows += [[f"  {name}", "not installed" if found is None else found] for name, found in value.items()]
        else:
            rows.append([key.replace("_", " "), ", ".join(value) if isinstance(value, list) else value])
    return table(rows, left=2)
