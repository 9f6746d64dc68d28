"""Choice of the kernels that run a program; all backends give the same bits."""

from __future__ import annotations

import os
from types import ModuleType

from ..errors import ConfigError

__all__ = ["BACKENDS", "choose_backend"]

BACKENDS = ("reference", "numba", "dot")


def choose_backend(name: str | None = None) -> ModuleType:
    """The kernels of backend ``name``.

    Parameters
    ----------
    name : str or None
        ``"reference"`` (NumPy, normative), ``"numba"`` (compiled loops, step by step) or ``"dot"`` (vector kernels;
        what they do not do runs on ``numba``). None takes the environment variable ``DQNUMBA_BACKEND``, or
        ``"dot"`` where Numba compiles, else ``"reference"``.

    Raises
    ------
    ConfigError
        If there is no backend of that name, or it cannot run here.
    """
    name = name or os.environ.get("DQNUMBA_BACKEND") or ("reference" if _jit_disabled() else "dot")
    if name not in BACKENDS:
        raise ConfigError(
            f"Backend {name!r} is not known; use one of {', '.join(BACKENDS)} (or unset DQNUMBA_BACKEND)."
        )
    if name == "reference":
        from ..kernels import reference

        return reference
    if name == "numba":
        from ..kernels import integer

        return integer
    if _jit_disabled():
        raise ConfigError(
            "Backend 'dot' needs Numba's compiler, which NUMBA_DISABLE_JIT turns off. Unset it, or use 'reference'."
        )
    from ..kernels.dot import functions
    from ..kernels.dot.cpu import choose_isa

    choose_isa()  # refuses a DQNUMBA_ISA that does not exist, or cannot run here
    return functions


def _jit_disabled() -> bool:
    import numba

    return bool(numba.config.DISABLE_JIT)
