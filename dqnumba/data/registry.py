"""Where the raw files of a data set are: a given folder, the folder ``DQNUMBA_DATA``, or a per-user cache
that downloads fill.

``registry.toml`` beside this file is the only home of addresses and checksums.
"""

from __future__ import annotations

import hashlib
import logging
import os
import tomllib
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

from ..errors import DataError

__all__ = ["cache_folder", "fetch", "raw_folder", "registry", "verify_file"]

_log = logging.getLogger("dqnumba")
# A file is hashed once a process; a changed file has another time or size and is hashed again.
_verified: set[tuple[str, int, int]] = set()


@cache
def registry() -> dict[str, dict[str, Any]]:
    """Return the parsed ``registry.toml``: name of the set -> title, format, licence, homepage, files."""
    return tomllib.loads((Path(__file__).parent / "registry.toml").read_text(encoding="utf-8"))


def cache_folder() -> Path:
    """Return the per-user cache: ``DQNUMBA_CACHE_DIR``, else the platform's; not created here.

    Raises
    ------
    DataError
        If it would be in a home directory and there is none (a container that runs under a number, say).
    """
    given = os.environ.get("DQNUMBA_CACHE_DIR")
    if given:
        return _expanded("DQNUMBA_CACHE_DIR", given)
    if os.name == "nt" and os.environ.get("LOCALAPPDATA"):
        return Path(os.environ["LOCALAPPDATA"]) / "dqnumba" / "cache"
    base = os.environ.get("XDG_CACHE_HOME")
    if base:
        return Path(base) / "dqnumba"
    try:
        return Path.home() / ".cache" / "dqnumba"
    except RuntimeError:
        raise DataError(
            "no home directory, so there is no cache\n"
            "set DQNUMBA_CACHE_DIR to a writable folder, or DQNUMBA_DATA to one that holds the files"
        ) from None


def _expanded(variable: str, given: str | os.PathLike[str]) -> Path:
    """A path of a user, whose ``~`` may stand for a home directory that is not there."""
    try:
        return Path(given).expanduser()
    except RuntimeError as error:
        raise DataError(f"{variable} is {given}: {error}; write the folder without ~") from None


def raw_folder(name: str, root: str | os.PathLike[str] | None = None) -> tuple[Path, bool]:
    """Return the folder of the raw files of a set, and whether it is ours to download into.

    ``root``, else ``DQNUMBA_DATA``, is a folder of the user: nothing is ever written there.
    """
    given = root if root is not None else os.environ.get("DQNUMBA_DATA") or None
    if given is not None:
        return _expanded("root" if root is not None else "DQNUMBA_DATA", given) / name / "raw", False
    return cache_folder() / "data" / name / "raw", True


def fetch(
    name: str,
    filename: str,
    *,
    root: str | os.PathLike[str] | None = None,
    verify: bool = True,
    meter: Callable[..., Any] | None = None,
) -> Path:
    """Return the path of one raw file of a set, downloaded if need be and checked.

    Parameters
    ----------
    name, filename : str
        As in the registry.
    root : path, optional
        Folder laid out as ``<name>/raw/<filename>``; default ``DQNUMBA_DATA``, else the per-user cache.
    verify : bool
        Compare the SHA-256 with the registered one (once a process and file). A download is always compared.
    meter : callable, optional
        Called as ``meter(desc=..., total=..., initial=...)`` when bytes come, as ``tqdm`` can be.

    Raises
    ------
    DataError
        If the file is missing and cannot be fetched, or has another checksum.
    MissingExtraError
        If it must be downloaded and pooch is not installed.
    """
    entry = next(file for file in registry()[name]["files"] if file["name"] == filename)
    folder, ours = raw_folder(name, root)
    path = folder / filename
    if not _is_file(path):
        if not ours:
            source = "root" if root is not None else "DQNUMBA_DATA"
            remedy = f"put it there, or unset {source} to download it to the cache" if "url" in entry else (
                "put it there; it has no public address (see the card in datasets/README.md)")
            raise DataError(f"{name}: no file {path}\nthe folder was given by {source}: {remedy}")
        if "url" not in entry:
            raise DataError(
                f"{name}: no file {path}, and it has no public address\n"
                f"put the file there, or set DQNUMBA_DATA to a folder that holds {name}/raw/{filename}"
            )
        from .download import download

        download(entry, path, meter=meter)
    elif verify:
        verify_file(path, entry)
    return path


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError as error:
        raise DataError(
            f"{path} cannot be looked at: {error.strerror}; check the permissions of its folders, or set "
            "DQNUMBA_CACHE_DIR or DQNUMBA_DATA to another one"
        ) from error


def verify_file(path: Path, entry: dict[str, Any]) -> None:
    """Compare a file with its registered SHA-256; ``DataError`` if they differ."""
    expected = entry.get("sha256")
    if expected is None:
        _log.warning("%s has no registered checksum; it is used unchecked", path.name)
        return
    status = path.stat()
    key = (str(path.resolve()), status.st_mtime_ns, status.st_size)
    if key in _verified:
        return
    with path.open("rb") as stream:
        got = hashlib.file_digest(stream, "sha256").hexdigest()
    if got != expected:
        raise DataError(
            f"{path}: SHA-256 is {got} ({status.st_size} bytes),\n"
            f"expected {expected} ({entry['bytes']} bytes)\n"
            "delete the file and fetch it again, or pass verify=False if you mean to use this one"
        )
    _verified.add(key)
