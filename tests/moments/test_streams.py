"""Standard streams that nobody reads, that are full, or that were never open."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

LIST = [sys.executable, "-m", "dqnumba", "data", "list"]


def run(argv, **streams):
    return subprocess.run(argv, stderr=subprocess.PIPE, text=True, timeout=120, **streams)


@pytest.mark.parametrize("argv", [LIST, [sys.executable, "-m", "dqnumba", "--help"]], ids=["list", "help"])
def test_a_reader_that_has_gone_is_no_error(argv):
    """``dqnumba data list | head -1``."""
    reading, writing = os.pipe()
    os.close(reading)
    done = run(argv, stdout=writing)
    os.close(writing)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
def test_a_full_disk_behind_stdout(call):
    with open("/dev/full", "w") as full:
        done = run(LIST, stdout=full)
    assert done.returncode == 2
    assert "No space left on device" in done.stderr and len(done.stderr.splitlines()) == 1


@pytest.mark.skipif(os.name == "nt", reason="needs a shell of POSIX")
def test_streams_that_were_never_open(place, program, graph_file):
    """Without care the model file would be opened as the standard output."""
    program.save(place / "m.safetensors")
    argv = [*LIST[:3], "run", str(place / "m.safetensors"), "--graph", str(graph_file), "--backend", "reference",
            "--out", str(place / "p.npz")]  # fmt: skip
    done = run(["sh", "-c", 'exec "$@" <&- >&-', "sh", *argv])
    assert (done.returncode, done.stderr.replace(f"dqnumba: {graph_file}", "")[:1]) in ((0, ":"), (0, "")), done.stderr
    assert "Traceback" not in done.stderr
    assert sorted(os.listdir(place)) == ["m.safetensors", "p.npz"]
    assert (place / "p.npz").read_bytes()[:2] == b"PK"


def test_messages_that_nobody_reads_end_the_work_but_not_as_done(call, monkeypatch, place, graph_file):
    """``dqnumba train ... 2>&1 | head -1`` did not train to the end, so its exit code is not 0."""

    class Gone:
        encoding = "utf-8"

        def write(self, text):
            raise BrokenPipeError(32, "Broken pipe")

        def flush(self):
            pass

        def isatty(self):
            return False

    monkeypatch.setattr(sys, "stderr", Gone())
    done = call("train", "--graph", graph_file, "--hidden", 4, "--epochs", 1, "--out", place / "m.safetensors")
    assert (done.code, done.out) == (141, "")
