"""Compiled code on disk: Numba's cache, in a form that never raises, with keys that are the same in every process.

Numba finds the folder, and serializes and loads the code. What differs here:

* The folder is looked for when a function is compiled for the first time, not when it is decorated: importing kernels
  touches no file, and where nothing can be written (a read-only container, no home directory) functions are compiled
  anew in each process, without an error. A NUMBA_CACHE_DIR that was filled before is read even so.
* A function made by a factory closes over values and over other compiled functions. Numba hashes the pickle of those,
  which differs from process to process; here they are described by what they do.
* One file an entry, named by its key, so that processes for different CPUs can share a folder; its last 32 bytes are
  the SHA-256 of its name and content. A file that is cut off, changed, or foreign is compiled anew and overwritten.

All of this stands on internals of Numba. With a Numba whose inside has changed there is no cache, and a debug message.
"""

from __future__ import annotations

import contextlib
import glob
import hashlib
import io
import logging
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from types import CodeType, FunctionType
from typing import Any

import numba
from numba.core.caching import (
    CompileResultCacheImpl,
    FunctionCache,
    IndexDataCacheFile,
    UserProvidedCacheLocator,
    _Cache,
)
from numba.core.runtime import rtsys
from numba.core.types import Type
from numba.extending import _Intrinsic

from ..files import remove_leftovers, whole_file

__all__ = ["KernelCache", "cache_folder", "counts", "describe"]

_log = logging.getLogger("dqnumba")
_SEAL = 32

counts = {"compiled": 0, "loaded": 0}
"""Functions of this process that were compiled, and that came from disk."""


class KernelCache(_Cache):
    """What Numba asks for the compiled form of one function, and gives it to keep.

    Parameters
    ----------
    function : function
        The Python source.
    stamp : function or None
        Returns a text that changes when the source changes; None for Numba's own, which looks at the file of
        ``function`` alone.
    plain : bool
        The function needs nothing of Numba but its memory management: its code is loaded without Numba's
        libraries for compiling (and SciPy's linear algebra, which those import), a third of a warm start.
    """

    def __init__(self, function: FunctionType, stamp: Callable[[], str] | None = None, *, plain: bool = False) -> None:
        self._function, self._stamp, self._plain = function, stamp, plain
        self._inner: _Sealed | None = None
        self._looked = False
        self.enabled = True

    def _found(self) -> _Sealed | None:
        """The cache in a folder that can be written, looked for once; None if there is none."""
        if not self._looked:
            self._looked = True
            try:
                self._inner = _Sealed(self._function, self._stamp)
            except Exception as error:
                _log.debug("no cache of compiled kernels (%s); set NUMBA_CACHE_DIR to a writable folder", error)
        return self._inner if self.enabled else None

    @property
    def cache_path(self) -> str | None:
        """Folder of the files; None where none can be written."""
        found = self._found()
        return None if found is None else found.cache_path

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        """The compiled form for a signature, or None."""
        found = self._found()
        if found is None:
            return None
        try:
            if self._plain:
                rtsys.initialize(target_context)
                loaded = found._load_overload(sig, target_context)
            else:
                loaded = found.load_overload(sig, target_context)
        except Exception as error:  # what a foreign file makes of unpickling is open
            _log.debug("compiling %s anew: its file in the cache cannot be used (%s)", self._function.__name__, error)
            return None
        counts["loaded"] += loaded is not None
        return loaded

    def save_overload(self, sig: Any, data: Any) -> None:
        """Keep a compiled form; without an error if that fails."""
        counts["compiled"] += 1
        found = self._found()
        if found is None:
            return
        try:
            found.save_overload(sig, data)
        except Exception as error:  # the disk is full, the folder is gone
            _log.debug("%s is not kept on disk: %s", self._function.__name__, error)

    def enable(self) -> None:
        """Use the cache."""
        self.enabled = True

    def disable(self) -> None:
        """Do not use the cache."""
        self.enabled = False

    def flush(self) -> None:
        """Remove the files of this function."""
        found = self._found()
        if found is not None:
            found.flush()


class _Filled(UserProvidedCacheLocator):
    """A folder NUMBA_CACHE_DIR that holds kernels but cannot be written, such as that of a container image: Numba would
    pass it by."""

    @classmethod
    def from_function(cls, py_func: FunctionType, py_file: str) -> UserProvidedCacheLocator | None:
        if not numba.config.CACHE_DIR:
            return None
        found = cls(py_func, py_file)
        return found if any(Path(found.get_cache_path()).glob("*.nbc")) else None

    def ensure_cache_path(self) -> None:
        raise PermissionError(f"{self.get_cache_path()} cannot be written")


class _Finder(CompileResultCacheImpl):
    _locator_classes = (UserProvidedCacheLocator, _Filled, *CompileResultCacheImpl._locator_classes[1:])


class _Sealed(FunctionCache):
    """Numba's cache of one function with the keys and files of this module."""

    _impl_class = _Finder

    def __init__(self, function: FunctionType, stamp: Callable[[], str] | None) -> None:
        super().__init__(function)
        self._described = describe(function)
        self._cache_file = _Files(
            cache_path=self._cache_path,
            filename_base=re.sub(r"-\d+(?=\.py)", "", self._impl.filename_base),  # the line does not matter
            source_stamp=self._impl.locator.get_source_stamp() if stamp is None else stamp(),
        )

    def _index_key(self, sig: Any, codegen: Any) -> str:
        flags = (numba.config.OPT, numba.config.BOUNDSCHECK, numba.config.DEBUGINFO_DEFAULT)
        return repr((str(sig), codegen.magic_tuple(), flags, self._described))


class _Files(IndexDataCacheFile):
    """One sealed file for each key: function, digest of the key, digest of the source's stamp."""

    def flush(self) -> None:
        self._remove(lambda stamp: True)

    def load(self, key: str) -> Any:
        name = self._name(key)
        try:
            content = Path(self._data_path(name)).read_bytes()
        except OSError:
            return None
        if _seal(name, content[:-_SEAL]) != content[-_SEAL:]:
            _log.debug("%s is damaged: compiling anew", self._data_path(name))
            return None
        return self._load_data(name)  # unpickling stops before the seal

    def save(self, key: str, data: Any) -> None:
        self._save_data(self._name(key), data)
        current = self._stamp()
        self._remove(lambda stamp: stamp != current)  # code of an earlier source
        remove_leftovers(Path(self._cache_path), re.escape(self._base()) + r"\.\w+\.\w+\.nbc")

    def _remove(self, condition: Callable[[str], bool]) -> None:
        for path in Path(self._cache_path).glob(glob.escape(self._base()) + ".*.*.nbc"):
            if condition(path.name.split(".")[-2]):
                path.unlink(missing_ok=True)

    def _base(self) -> str:
        return self._index_name.removesuffix(".nbi")

    def _stamp(self) -> str:
        return _short(repr((self._source_stamp, self._version)))

    def _name(self, key: str) -> str:
        return f"{self._base()}.{_short(key)}.{self._stamp()}.nbc"

    @contextlib.contextmanager
    def _open_for_write(self, filepath: str) -> Iterator[io.BytesIO]:
        content = io.BytesIO()
        yield content
        with whole_file(filepath, durable=False) as file:
            file.write(content.getvalue() + _seal(Path(filepath).name, content.getvalue()))


def _short(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _seal(name: str, content: bytes) -> bytes:
    return hashlib.sha256(name.encode() + b"\0" + content).digest()


def describe(value: Any) -> Any:
    """A value that a compiled function closes over, as plain tuples and texts that are equal in every process.

    Raises
    ------
    TypeError
        If the value is of a kind that this does not know.
    """
    if isinstance(value, _Intrinsic):
        return ("intrinsic", describe(value._defn))
    function = getattr(value, "py_func", value)  # of a dispatcher
    if isinstance(function, FunctionType):
        cells = tuple(describe(cell.cell_contents) for cell in function.__closure__ or ())
        return (function.__module__, function.__qualname__, _describe_code(function.__code__), cells)
    if value is None or isinstance(value, int | float | str | bytes | Type):  # bool among them
        return (type(value).__name__, repr(value))
    if isinstance(value, tuple | list):
        return (type(value).__name__, *(describe(item) for item in value))
    if isinstance(value, dict):
        return ("dict", *((describe(key), describe(item)) for key, item in value.items()))
    if hasattr(value, "dtype") and getattr(value, "ndim", 1) == 0:  # a NumPy scalar
        return (str(value.dtype), repr(value))
    if isinstance(value, type):
        return ("type", value.__module__, value.__qualname__)
    raise TypeError(f"{type(value).__name__} {value!r} in the closure of a compiled function")


def _describe_code(code: CodeType) -> tuple:
    constants = tuple(_describe_code(c) if isinstance(c, CodeType) else repr(c) for c in code.co_consts)
    return (code.co_code.hex(), code.co_names, constants)


def cache_folder(function: FunctionType | None = None) -> tuple[Path | None, str]:
    """Where compiled functions of the folder of ``function`` (by default this one) are kept, and an empty text; or None
    and the reason that they are not."""
    try:
        return Path(_Finder(function or describe).locator.get_cache_path()), ""
    except Exception as error:
        chosen = numba.config.CACHE_DIR
        return None, f"NUMBA_CACHE_DIR={chosen}: {error}" if chosen else f"no folder can be written: {error}"
