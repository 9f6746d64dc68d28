"""Checked downloads through pooch (the extra ``data``).

Everything on its way lies in the folder ``downloads`` of the cache. A file gets its place and name in a data set only
when all its bytes are there and are the registered ones, in one step. So a killed download leaves nothing that could be
taken for a data file, and the next one goes on with what it left.
"""

from __future__ import annotations

import hashlib
import logging
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from .. import locks
from ..errors import DataError, MissingExtraError
from ..files import whole_file
from ..formats import open_regular, open_zip, read_tar_member
from .registry import cache_folder, verify_file
from .resume import Meter, ResumingDownloader

__all__ = ["download", "extract_member"]

_log = logging.getLogger("dqnumba")
_LIMIT = 1 << 30  # no registered file comes near 1 GiB; an archive or a member beyond it is refused
_MOST_UNPACKED = 2 << 30  # bytes to go through in search of a member; the largest registered archive has 0.2 GiB


def download(entry: dict[str, Any], target: Path, *, meter: Meter | None = None) -> None:
    """Fetch one registered file, check it, and only then put it to ``target``.

    What an earlier download left is used; another process that fetches from the same address is waited for.

    Raises
    ------
    MissingExtraError
        If pooch is not installed.
    DataError
        If the address cannot be reached, the bytes are not the registered ones, or nothing can be written.
    """
    try:
        import pooch
    except ImportError:
        raise MissingExtraError(
            f'Downloading {target.name} needs pooch: pip install "dqnumba[data]"\n'
            "or set DQNUMBA_DATA to a folder that holds the files."
        ) from None
    import requests

    url, folder = entry["url"], cache_folder() / "downloads"
    stem = f"{hashlib.sha256(url.encode()).hexdigest()[:12]}-{url.rsplit('/', 1)[-1]}"
    try:
        for needed in (folder, target.parent):
            needed.mkdir(parents=True, exist_ok=True)
        with _alone(folder / f"{stem}.lock", target.name) as alone:
            if target.is_file():  # another process has fetched it while we waited
                return verify_file(target, entry)
            most = _LIMIT if "member" in entry else entry.get("bytes", _LIMIT)
            mine = stem if alone else f"{stem}.{os.getpid()}"
            downloader = ResumingDownloader(folder / f"{mine}.part", most=most, meter=meter, name=target.name)
            fetched = folder / mine
            _retrieve(pooch, url, fetched, downloader)
            return _settle(fetched, entry, target, keep=alone and "member" in entry)
    except requests.RequestException as error:
        reason = str(error).splitlines()[0][:200] if str(error) else type(error).__name__
        raise DataError(
            f"{target.name}: download from {url} failed: {reason}\n"
            "Check the network and try again (what has arrived is kept), or set DQNUMBA_DATA to a folder that holds "
            "the files."
        ) from error
    except OSError as error:
        raise DataError(
            f"{target.name} cannot be written to {target.parent} through {folder}: {error.strerror or error}\n"
            "Check the permissions and the free space, or set DQNUMBA_CACHE_DIR to another folder."
        ) from error


def _retrieve(pooch: Any, url: str, fetched: Path, downloader: ResumingDownloader) -> None:
    """Through a folder beside ``fetched``, which nobody else uses: pooch's own passing file stays after a kill."""
    passing = fetched.with_name(f"{fetched.name}.new")
    if passing.is_dir():  # the last process was killed
        for path in passing.iterdir():
            if path.stat().st_size:  # the downloader has moved there what it had fetched whole
                os.replace(path, fetched)
        shutil.rmtree(passing)
    if fetched.is_file():
        return downloader.forget()  # the note of what has come, if the kill was before its removal
    _log.info("downloading %s from %s", downloader.name, url)
    talk = pooch.get_logger()
    level = talk.level
    talk.setLevel("WARNING")  # it would print every address and hash; what matters is raised
    passing.mkdir()
    try:
        pooch.retrieve(url, known_hash=None, fname=fetched.name, path=passing, downloader=downloader)
        os.replace(passing / fetched.name, fetched)
    finally:
        talk.setLevel(level)
        shutil.rmtree(passing, ignore_errors=True)


def _settle(fetched: Path, entry: dict[str, Any], target: Path, *, keep: bool) -> None:
    """Check what was fetched and write ``target``; archives are kept, for several files can come from one."""
    try:
        if "member" in entry:
            content = extract_member(fetched, entry["member"], entry.get("first_bytes"))
        else:
            content = fetched.read_bytes()
        _check(content, entry, target.name)
    except DataError:
        fetched.unlink(missing_ok=True)  # it must not stand in the way of the next try
        raise
    if not keep and "member" not in entry:
        with suppress(OSError):  # the cache may be a link to another disk
            os.replace(fetched, target)
            return
    with whole_file(target) as stream:
        stream.write(content)
    if not keep:
        fetched.unlink(missing_ok=True)


def _check(content: bytes, entry: dict[str, Any], name: str) -> None:
    expected = entry.get("sha256")
    if expected is None:
        _log.warning("%s has no registered checksum; it is used unchecked", name)
        return
    got = hashlib.sha256(content).hexdigest()
    if got != expected:
        raise DataError(
            f"{name}: what {entry['url']} sends is not the registered file; nothing was kept\n"
            f"SHA-256 is {got} ({len(content):,} bytes), expected {expected} ({entry['bytes']:,} bytes)\n"
            "Try again later, or put the file into a folder that DQNUMBA_DATA names."
        )


@contextmanager
def _alone(path: Path, name: str) -> Iterator[bool]:
    """Hold the lock ``path`` while the block runs; the system drops it when a process ends, however it ends.

    Gives False where there are no such locks: then files must have names of their own.
    """
    with path.open("ab") as file:
        held = locks.take(file)
        if held is False:
            _log.info("another process fetches %s; waiting for it", name)
            held = locks.take(file, wait=True)
        yield bool(held)


def extract_member(archive: Path, member: str, first_bytes: int | None = None) -> bytes:
    """Return the bytes of the archive member whose path ends with ``member``; nothing is unpacked to disk."""
    limit = _LIMIT if first_bytes is None else first_bytes
    wanted = [part for part in member.split("/") if part]
    content: bytes | None = None

    def matches(name: str) -> bool:
        return [part for part in name.split("/") if part][-len(wanted) :] == wanted

    try:
        with open_regular(archive, _LIMIT) as stream:
            is_zip = stream.read(4) == b"PK\3\4"
        if is_zip:
            with open_zip(archive, None, matches) as (opened, infos):
                if infos:
                    with opened.open(infos[0]) as packed:
                        content = packed.read(limit + 1)
        else:
            with open_regular(archive, _LIMIT) as stream:
                content = read_tar_member(stream, matches, limit + 1, _MOST_UNPACKED)
    except Exception as error:  # of zipfile, zlib and the system: the ways of a damaged archive are many
        raise DataError(f"{archive}: not a readable archive ({error}); delete it and fetch it again") from error
    if content is None:
        raise DataError(f"{archive}: holds no member {member}; delete it and fetch it again")
    if first_bytes is None and len(content) > limit:
        raise DataError(f"{archive}: member {member} is larger than {limit} bytes; this is not the registered file")
    return content[:limit]
