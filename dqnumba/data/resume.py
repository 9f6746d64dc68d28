"""A downloader for pooch that goes on where an earlier one broke off.

pooch fetches into a file that it throws away when anything goes wrong. Here what has arrived is kept in a file of its
own, with a note of what the server called that version (its ETag or Last-Modified). The next try asks for the rest on
the condition that the version is still the same (Range and If-Range, RFC 9110). A server that has another version by
now, or that knows no ranges, sends the whole, and the file begins anew.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ..errors import DataError
from ..formats import parse_json, read_bytes

__all__ = ["Meter", "ResumingDownloader"]

Meter = Callable[..., Any]
"""``meter(desc=, total=, initial=)`` gives an object with ``update(bytes)`` and ``close()``, as ``tqdm`` does."""

_WAITS = (0.5, 2.0, 5.0)  # seconds before each further try
_ENOUGH = 1 << 20  # bytes that must have arrived for the count of tries to begin again
_MOST_TRIES = 1000
_LONGEST_NOTE = 1 << 16  # bytes
_TIMEOUT = 30.0  # seconds without a byte
_CHUNK = 1 << 14  # what a broken connection can lose
_PASSING = frozenset({408, 425, 429, 500, 502, 503, 504})


class ResumingDownloader:
    """What ``pooch.retrieve(..., downloader=...)`` calls; HTTP and HTTPS.

    Parameters
    ----------
    partial : path
        Holds what has arrived. It stays after a failure, and after the process was killed; nobody else may write it.
    most : int
        A file of more bytes is refused.
    meter : callable, optional
        Progress in bytes, see `Meter`.
    name : str
        Shown by the meter.
    """

    def __init__(self, partial: Path, *, most: int, meter: Meter | None = None, name: str = "") -> None:
        self.partial, self.most, self.meter, self.name = partial, most, meter, name
        self._note = partial.with_name(partial.name + ".json")

    def __call__(self, url: str, output_file: str | os.PathLike[str], pooch: Any = None) -> None:
        """Fetch ``url`` into ``output_file``; tries again after faults that may pass.

        Raises
        ------
        requests.RequestException
            If the server cannot be reached, breaks off again and again, or does not have the file.
        DataError
            If the file is larger than ``most``.
        OSError
            If nothing can be written.
        """
        import requests

        waits = iter(_WAITS)
        for _ in range(_MOST_TRIES):
            before = self._size()
            try:
                self._fetch(url)
                break
            except requests.RequestException as error:
                if not _may_pass(error):
                    raise
                if self._size() - before >= _ENOUGH:
                    waits = iter(_WAITS)
                wait = next(waits, None)
                if wait is None:
                    raise
                time.sleep(wait)
        os.replace(self.partial, output_file)
        self.forget()

    def forget(self) -> None:
        """Drop what has arrived."""
        self._note.unlink(missing_ok=True)
        self.partial.unlink(missing_ok=True)

    def _fetch(self, url: str) -> None:
        """One request: the rest, or all; returns when the file is whole."""
        import requests

        have, version, whole = self._begun()
        if have and have == whole:  # the process ended between the last byte and the renaming
            return
        headers = {"Accept-Encoding": "identity"}  # else ranges would count compressed bytes
        if have:
            headers |= {"Range": f"bytes={have}-", "If-Range": version}
        with requests.get(url, headers=headers, stream=True, timeout=_TIMEOUT) as response:
            if response.status_code == 416:  # what we have fits no version of the file
                self.forget()
                raise requests.ConnectionError("the server refused the range; the next try fetches all of it")
            response.raise_for_status()
            given = response.headers
            if response.status_code == 206:
                sent = given.get("Content-Range", "none")
                if not have or not sent.startswith(f"bytes {have}-"):
                    self.forget()
                    raise requests.ConnectionError(f"the server sent the range {sent!r}; the next try fetches all")
            else:
                have = 0
            encoded = given.get("Content-Encoding", "identity") != "identity"
            length = given.get("Content-Length", "")
            total = have + int(length) if length.isdigit() and not encoded else None
            self._allow(total or 0)
            if not have:
                self._begin(None if encoded else _version(given), total)
            self._receive(response, have, total)

    def _receive(self, response: Any, have: int, total: int | None) -> None:
        import requests

        bar = self.meter(desc=self.name, total=total, initial=have) if self.meter is not None else None
        try:
            with self.partial.open("ab") as file:
                for chunk in response.iter_content(_CHUNK):
                    have += len(chunk)
                    self._allow(have)
                    file.write(chunk)
                    if bar is not None:
                        bar.update(len(chunk))
                file.flush()
                os.fsync(file.fileno())
        finally:
            if bar is not None:
                bar.close()
        if total is not None and have < total:  # older urllib3 takes an early end for the end
            raise requests.ConnectionError(f"the server broke off after {have:,} of {total:,} bytes")

    def _allow(self, size: int) -> None:
        if size > self.most:
            self.forget()
            raise DataError(
                f"{self.name}: the server sends more than the {self.most:,} bytes that are registered; nothing was kept"
            )

    def _size(self) -> int:
        return self.partial.stat().st_size if self.partial.is_file() else 0

    def _begin(self, version: str | None, total: int | None) -> None:
        """An empty file, and the note of its version: first the note goes, so that it never speaks of other bytes."""
        self.forget()
        self.partial.touch()
        if version is not None:
            self._note.write_text(json.dumps({"version": version, "bytes": total}), encoding="utf-8")

    def _begun(self) -> tuple[int, str, int | None]:
        """How many bytes have arrived, of which version, and how many there are in all; 0 where we must begin anew."""
        try:
            note = parse_json(read_bytes(self._note, _LONGEST_NOTE).decode("utf-8"), most_values=_LONGEST_NOTE)
            version, whole = note["version"], note["bytes"]
            have = self._size()
            if isinstance(version, str) and (whole is None or (isinstance(whole, int) and have <= whole)):
                return have, version, whole
        except (OSError, ValueError, KeyError, TypeError):
            pass
        return 0, "", None


def _version(headers: Any) -> str | None:
    """What If-Range takes: a strong ETag, else the date; None for a server that says neither."""
    tag: str = headers.get("ETag", "")
    date: str | None = headers.get("Last-Modified")
    return tag if tag.startswith('"') else date


def _may_pass(error: Exception) -> bool:
    """Whether another try may do better: a broken connection, a busy server; not a missing file or a wrong address."""
    import requests

    if isinstance(error, requests.HTTPError):
        return error.response is not None and error.response.status_code in _PASSING
    return isinstance(
        error, requests.ConnectionError | requests.Timeout | requests.exceptions.ChunkedEncodingError
    ) and not isinstance(error, requests.exceptions.SSLError)
