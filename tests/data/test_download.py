"""Downloads from a server on this machine: resumed, refused, broken off, lied to, killed, by two at once."""

from __future__ import annotations

import hashlib
import io
import json
import os
import signal
import subprocess
import sys
import tarfile
import time
import zipfile

import numpy as np
import pytest
from web import serving

from dqnumba import locks
from dqnumba.data import download, registry, resume
from dqnumba.errors import DataError

pytest.importorskip("pooch", reason='downloads need pooch: pip install "dqnumba[data]"')
CONTENT = np.random.default_rng(0).bytes(300_000)
PART = 6 << 14  # bytes after which a connection breaks: whole chunks, of which nothing is lost


@pytest.fixture(autouse=True)
def folders(monkeypatch, tmp_path):
    """A cache of its own, no waiting between tries, and no proxy before this machine."""
    monkeypatch.delenv("DQNUMBA_DATA", raising=False)
    monkeypatch.setenv("DQNUMBA_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("NO_PROXY", "*")
    monkeypatch.setattr(resume, "_WAITS", (0.0, 0.0, 0.0))


@pytest.fixture
def target(tmp_path):
    return tmp_path / "cache" / "data" / "set" / "raw" / "f.bin"


def entry_of(site, content=CONTENT, **more):
    known = {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    return {"name": "f.bin", "url": site.url, **known, **more}


def left(tmp_path):
    """Names of the files in the folder of downloads, but for the lock."""
    return sorted(path.name for path in (tmp_path / "cache" / "downloads").iterdir() if path.suffix != ".lock")


def test_a_plain_download_leaves_the_file_alone(target, tmp_path):
    with serving(CONTENT) as site:
        download.download(entry_of(site), target)
    assert target.read_bytes() == CONTENT
    assert [path.name for path in target.parent.iterdir()] == ["f.bin"]
    assert target.stat().st_mode & 0o777 == 0o666 & ~_umask()
    assert left(tmp_path) == []
    assert "Range" not in site.asked[0]


def _umask():
    mask = os.umask(0)
    os.umask(mask)
    return mask


@pytest.mark.parametrize("ranges", [True, False])
def test_a_connection_that_breaks_off_is_taken_up(target, ranges):
    second = 3 * PART // 2 if ranges else PART // 2
    with serving(CONTENT, ranges=ranges, breaks=[PART, PART // 2]) as site:
        download.download(entry_of(site), target)
    assert target.read_bytes() == CONTENT
    assert [asked.get("Range") for asked in site.asked] == [None, f"bytes={PART}-", f"bytes={second}-"]
    assert site.sent == (len(CONTENT) if ranges else len(CONTENT) + 3 * PART // 2)


def test_what_broke_off_for_good_is_kept_for_the_next_time(target, tmp_path):
    with serving(CONTENT, breaks=[PART, 1 << 14, 0, 0]) as site:
        with pytest.raises(DataError, match=r"(?s)download from http.*failed.*kept") as caught:
            download.download(entry_of(site), target)
        assert len(str(caught.value).splitlines()) <= 3
        assert len(site.asked) == 4
        assert not target.exists()
        assert not list(target.parent.iterdir())
        assert any(name.endswith(".part") for name in left(tmp_path))
        download.download(entry_of(site), target)
    assert site.asked[-1]["Range"] == f"bytes={PART + (1 << 14)}-"
    assert site.sent == len(CONTENT)
    assert target.read_bytes() == CONTENT
    assert left(tmp_path) == []


def test_another_version_on_the_server_is_not_mixed_with_the_first(target):
    other = CONTENT[::-1]
    with serving(CONTENT, breaks=[PART, 0, 0, 0]) as site:
        with pytest.raises(DataError, match="failed"):
            download.download(entry_of(site, other), target)
        site.content, site.tag = other, '"two"'
        download.download(entry_of(site, other), target)
    assert site.asked[-1]["If-Range"] == '"one"'
    assert target.read_bytes() == other


def test_without_a_version_nothing_is_resumed(target):
    with serving(CONTENT, tag=None, breaks=[PART]) as site:
        download.download(entry_of(site), target)
    assert all("Range" not in asked for asked in site.asked)
    assert target.read_bytes() == CONTENT


@pytest.mark.parametrize("fault", ["wrong_start", "refuse_ranges"])
def test_a_server_that_gets_ranges_wrong_is_asked_for_all(target, fault):
    with serving(CONTENT, breaks=[PART], **{fault: True}) as site:
        download.download(entry_of(site), target)
    assert [asked.get("Range") for asked in site.asked] == [None, f"bytes={PART}-", None]
    assert target.read_bytes() == CONTENT


def test_a_server_that_says_no_length(target):
    with serving(CONTENT, length=False) as site:
        download.download(entry_of(site), target)
        assert target.read_bytes() == CONTENT
        target.unlink()
        site.breaks = [1000]  # an early end is then the end, and the checksum tells
        with pytest.raises(DataError, match=r"1,000 bytes\), expected"):
            download.download(entry_of(site), target)
    assert not target.exists()


def test_a_busy_server_is_asked_again_and_a_missing_file_is_not(target):
    with serving(CONTENT, status=[503, 429]) as site:
        download.download(entry_of(site), target)
        assert len(site.asked) == 3
        target.unlink()
        site.status = [404]
        with pytest.raises(DataError, match="404"):
            download.download(entry_of(site), target)
        assert len(site.asked) == 4


def test_wrong_bytes_are_refused_and_not_kept(target, tmp_path):
    wrong = bytes([CONTENT[0] ^ 1]) + CONTENT[1:]
    with serving(wrong) as site:
        with pytest.raises(DataError, match="SHA-256") as caught:
            download.download(entry_of(site), target)
        lines = str(caught.value).splitlines()
        assert len(lines) == 3 and site.url in lines[0] and "DQNUMBA_DATA" in lines[2]
        assert not target.exists() and left(tmp_path) == []
        site.content = CONTENT
        download.download(entry_of(site), target)
    assert target.read_bytes() == CONTENT


@pytest.mark.parametrize("length", [True, False])
def test_more_bytes_than_registered_are_not_even_fetched(target, tmp_path, length):
    with serving(CONTENT + bytes(10_000_000), length=length) as site:
        with pytest.raises(DataError, match="300,000 bytes that are registered"):
            download.download(entry_of(site), target)
    assert site.sent < 10_000_000
    assert not target.exists() and left(tmp_path) == []


def test_an_unreachable_server(target):
    with serving(CONTENT) as site:
        pass
    with pytest.raises(DataError, match=r"(?s)failed: .*network") as caught:
        download.download(entry_of(site), target)
    assert len(str(caught.value).splitlines()) == 2


def test_a_place_that_cannot_be_written(target, tmp_path, monkeypatch):
    (tmp_path / "cache").write_bytes(b"a file where the folder should be")
    with serving(CONTENT) as site:
        with pytest.raises(DataError, match=r"(?s)cannot be written.*DQNUMBA_CACHE_DIR"):
            download.download(entry_of(site), target)
        assert site.asked == []
        monkeypatch.setenv("DQNUMBA_CACHE_DIR", str(tmp_path / "other"))
        elsewhere = tmp_path / "other" / "raw" / "f.bin"
        real = resume.Path.open

        def read_only(path, mode="r", *rest, **more):
            if path.suffix == ".part":
                raise OSError(30, "Read-only file system", str(path))
            return real(path, mode, *rest, **more)

        monkeypatch.setattr(resume.Path, "open", read_only)
        with pytest.raises(DataError, match="Read-only file system"):
            download.download(entry_of(site), elsewhere)
    assert not elsewhere.exists()


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="this user may write anywhere")
def test_a_cache_without_permission(target, tmp_path):
    (tmp_path / "cache").mkdir(mode=0o500)
    with serving(CONTENT) as site, pytest.raises(DataError, match="Permission denied"):
        download.download(entry_of(site), target)


def archive(kind: str) -> bytes:
    packed = io.BytesIO()
    parts = {"set//other/f": b"no", "set/sub//f": b"right and more", "set/sub/g": b"the other member"}
    if kind == "zip":
        with zipfile.ZipFile(packed, "w") as opened:
            for name, content in parts.items():
                opened.writestr(name, content)
    else:
        with tarfile.open(fileobj=packed, mode="w:gz") as opened:
            for name, content in parts.items():
                info = tarfile.TarInfo(name)
                info.size = len(content)
                opened.addfile(info, io.BytesIO(content))
    return packed.getvalue()


@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_members_of_an_archive_that_is_fetched_once(target, kind):
    with serving(archive(kind)) as site:
        download.download(entry_of(site, b"right", member="sub/f", first_bytes=5), target)
        assert target.read_bytes() == b"right"
        with pytest.raises(DataError, match="no member sub/h"):
            download.download(entry_of(site, b"right", member="sub/h"), target.with_name("h"))
        download.download(entry_of(site, b"the other member", member="sub/g"), target.with_name("g"))
        assert len(site.asked) == 2  # the archive without the member was not trusted any more
        download.download(entry_of(site, b"right and more", member="sub/f"), target.with_name("f"))
        assert len(site.asked) == 2


def test_a_damaged_archive_is_fetched_again_the_next_time(target):
    good = archive("zip")
    with serving(good[: len(good) // 2]) as site:
        with pytest.raises(DataError, match=r"not a readable archive|not the registered"):
            download.download(entry_of(site, b"right", member="sub/f", first_bytes=5), target)
        site.content = good
        download.download(entry_of(site, b"right", member="sub/f", first_bytes=5), target)
    assert target.read_bytes() == b"right"


CODE = """
import json, sys
from pathlib import Path
from dqnumba.data import download
download.download(json.loads(sys.argv[1]), Path(sys.argv[2]))
"""


def start(entry, target):
    argv = [sys.executable, "-c", CODE, json.dumps(entry), str(target)]
    return subprocess.Popen(argv, stderr=subprocess.PIPE, text=True)


def wait_for(condition, seconds=60.0):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.01)


def test_a_killed_download_leaves_nothing_that_looks_whole_and_is_taken_up(target, tmp_path):
    with serving(CONTENT, pause=0.2) as site:
        process = start(entry_of(site), target)
        try:
            wait_for(lambda: site.sent >= 2 << 16)
            wait_for(lambda: any(p.stat().st_size for p in (tmp_path / "cache" / "downloads").glob("*.part")))
        finally:
            process.send_signal(signal.SIGKILL if hasattr(signal, "SIGKILL") else signal.SIGTERM)
            process.communicate()
        assert not target.exists()
        assert all(name.endswith((".part", ".part.json", ".new")) for name in left(tmp_path))
        site.pause = 0.0
        download.download(entry_of(site), target)
        assert int(site.asked[-1]["Range"].removeprefix("bytes=").rstrip("-")) >= 1 << 14
    assert target.read_bytes() == CONTENT
    assert left(tmp_path) == []


def test_two_processes_fetch_at_once(target, tmp_path):
    with serving(CONTENT, pause=0.1) as site:
        processes = [start(entry_of(site), target) for _ in range(2)]
        for process in processes:
            assert process.wait(60) == 0, process.stderr.read()
            process.stderr.close()
    assert target.read_bytes() == CONTENT
    assert left(tmp_path) == []
    if locks.available():
        assert len(site.asked) == 1


def test_without_locks_each_process_has_files_of_its_own(target, tmp_path, monkeypatch):
    monkeypatch.setattr(locks, "fcntl", None)
    seen = []
    real = resume.ResumingDownloader.__call__
    monkeypatch.setattr(resume.ResumingDownloader, "__call__",
                        lambda self, *rest: seen.append(self.partial.name) or real(self, *rest))  # fmt: skip
    with serving(CONTENT) as site:
        download.download(entry_of(site), target)
    assert str(os.getpid()) in seen[0]
    assert target.read_bytes() == CONTENT and left(tmp_path) == []


@pytest.fixture
def set_of_two(monkeypatch):
    """A registered set whose two files come from a server here."""
    with serving(CONTENT) as site:
        files = [entry_of(site), {"name": "free", "url": site.url}]
        entry = {"title": "two files", "format": "tu", "licence": "none", "homepage": "https://example.org"}
        monkeypatch.setitem(registry.registry(), "two", entry | {"files": files})
        yield site


def test_data_fetch_and_list(call, set_of_two, tmp_path):
    before = next(e for e in call("data", "list", "--json").json["datasets"] if e["name"] == "two")
    assert (before["present"], before["bytes"], before["licence"]) == (False, None, "none")
    first = call("data", "fetch", "two", "--json")
    assert first.code == 0
    assert [(f["name"], f["downloaded"], f["checked"]) for f in first.json["files"]] == [
        ("f.bin", True, True), ("free", True, False)
    ]  # fmt: skip
    assert "downloading f.bin" in first.err and "no registered checksum" in first.err
    again = call("data", "fetch", "two", "--json", "--quiet")
    assert [f["downloaded"] for f in again.json["files"]] == [False, False] and len(set_of_two.asked) == 2
    after = next(e for e in call("data", "list", "--json").json["datasets"] if e["name"] == "two")
    assert after["present"] and after["folder"] == str(tmp_path / "cache" / "data" / "two" / "raw")
    text = call("data", "fetch", "two").out
    assert "was there" in text and "none known" in text
    (tmp_path / "cache" / "data" / "two" / "raw" / "f.bin").unlink()
    assert "1 of 2" in call("data", "list").out


def test_data_fetch_that_fails(call, set_of_two):
    set_of_two.status = [404]
    failed = call("data", "fetch", "two")
    assert (failed.code, failed.out) == (2, "")
    assert "404" in failed.err and "Traceback" not in failed.err


def test_progress_in_bytes(target, monkeypatch):
    seen = []

    class Meter:
        def __init__(self, **look):
            seen.append(look)

        def update(self, count):
            seen.append(count)

        def close(self):
            seen.append("closed")

    with serving(CONTENT, breaks=[PART]) as site:
        download.download(entry_of(site), target, meter=Meter)
    looks = [each for each in seen if isinstance(each, dict)]
    assert [look["initial"] for look in looks] == [0, PART]
    assert {look["total"] for look in looks} == {len(CONTENT)}
    assert sum(each for each in seen if isinstance(each, int)) == len(CONTENT)
    assert seen.count("closed") == 2
