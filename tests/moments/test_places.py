"""Places that are not there or cannot be written: no home directory, folders of others, full and read-only disks."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import dqnumba
from dqnumba.data import superpixel_sets
from dqnumba.data.registry import cache_folder
from dqnumba.errors import DataError

ROOT = Path(dqnumba.__file__).parents[1]


@pytest.fixture
def homeless(monkeypatch):
    """No home directory, as in a container that runs under a number: neither HOME nor an entry of passwd."""
    for name in ("HOME", "XDG_CACHE_HOME", "DQNUMBA_DATA", "DQNUMBA_CACHE_DIR", "LOCALAPPDATA"):
        monkeypatch.delenv(name, raising=False)

    def none():
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", none)


def test_without_a_home_directory_errors_say_what_to_set(call, homeless):
    for argv in (("data", "list"), ("train", "--dataset", "cora"), ("data", "fetch", "cora")):
        refused = call(*argv)
        assert (refused.code, refused.out) == (2, "")
        assert "no home directory" in refused.err and "DQNUMBA_CACHE_DIR" in refused.err
        assert len(refused.err.splitlines()) <= 3
    found = call("doctor", "--json")
    assert found.code == 0 and found.json["data"].startswith("none: no home directory")
    assert call("data", "info", "synthetic", "--json").code == 0


def test_without_a_home_directory_superpixels_are_built_each_time(homeless, monkeypatch, caplog):
    monkeypatch.setattr(superpixel_sets, "build_graphs", lambda images, **_: superpixel_sets.PackedGraphs(
        size=np.ones(len(images), np.uint8), x=np.ones((len(images), 3), np.float32),
        in_degree=np.zeros(len(images), np.uint8), source=np.zeros(0, np.uint8)))  # fmt: skip
    images, labels = np.zeros((4, 8, 8), np.uint8), np.arange(4)
    data = superpixel_sets.make_dataset("mnist", images, labels, images[:2], labels[:2], num_val=2)
    assert len(data) == 6
    assert any("not kept" in message and "DQNUMBA_CACHE_DIR" in message for message in caplog.messages)


def test_a_missing_file_is_told_as_such_without_a_home_directory(call, homeless, monkeypatch, tmp_path):
    monkeypatch.setenv("DQNUMBA_DATA", str(tmp_path))
    refused = call("train", "--dataset", "cora")
    assert refused.code == 2 and "no file" in refused.err and "DQNUMBA_DATA" in refused.err


def test_training_needs_no_folder_for_temporary_files(call, graph_file, monkeypatch, place):
    def none(*_, **__):
        raise FileNotFoundError(2, "No usable temporary directory found")

    for name in ("TemporaryDirectory", "NamedTemporaryFile", "TemporaryFile", "mkstemp"):
        monkeypatch.setattr(f"tempfile.{name}", none)
    argv = ("train", "--graph", graph_file, "--hidden", 4, "--epochs", 1, "--json")
    without = call(*argv)
    assert without.code == 0, without.err
    assert call(*argv, "--out", place / "m.safetensors").code == 0
    assert without.json["file_bytes"] == (place / "m.safetensors").stat().st_size


@pytest.mark.parametrize("name", ["DQNUMBA_CACHE_DIR", "DQNUMBA_DATA"])
def test_a_home_directory_of_nobody(monkeypatch, name):
    monkeypatch.delenv("DQNUMBA_DATA", raising=False)
    monkeypatch.setenv(name, "~no-such-user-here/data")
    with pytest.raises(DataError, match=f"{name} is ~no-such-user-here"):
        dqnumba.data.load("cora")


def test_folders_that_may_not_be_looked_into(monkeypatch, call):
    """Root may look everywhere, so the refusal is made."""
    real, hidden = os.stat, str(cache_folder() / "data")

    def refusing(path, *rest, **more):
        if str(path).startswith(hidden):
            raise PermissionError(13, "Permission denied", str(path))
        return real(path, *rest, **more)

    monkeypatch.delenv("DQNUMBA_DATA", raising=False)
    monkeypatch.setattr(os, "stat", refusing)
    refused = call("train", "--dataset", "cora")
    assert refused.code == 2 and "cannot be looked at: Permission denied" in refused.err


SCRIPT = """
import contextlib, io, json, os, sys
from dqnumba.cli.main import main
from dqnumba.kernels import _jit

def call(*argv):
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = main([*argv])
    return [code, out.getvalue(), err.getvalue()]

model, graph, place = sys.argv[1:]
def doubled(x):
    return 2 * x
kernel = _jit.kernel(doubled)
print(json.dumps({
    "run": call("run", model, "--graph", graph, "--backend", "reference", "--json"),
    "out": call("run", model, "--graph", graph, "--backend", "reference", "--out", os.path.join(place, "p.npz")),
    "convert": call("convert", model.replace(".safetensors", ".train.safetensors"), "--out",
                    os.path.join(place, "m.safetensors")),
    "kernel": kernel(21), "cache": kernel._cache.cache_path,
    "left": sorted(os.listdir(place)),
}))
"""


@pytest.fixture(scope="module")
def given(tmp_path_factory, graph_file):
    """A script, a model file with its train file beside it, and a graph file."""
    from dqnumba.cli.main import main

    folder = tmp_path_factory.mktemp("given")
    model, script = folder / "given.safetensors", folder / "script.py"
    argv = ["train", "--graph", str(graph_file), "--hidden", "4", "--epochs", "1", "--quiet", "--out", str(model)]
    assert main(argv) == 0
    script.write_text(SCRIPT)
    return script, model, graph_file


def run(given, place, *, before=(), **more):
    variables = {name: value for name, value in os.environ.items() if not name.startswith(("DQNUMBA", "XDG", "HOME"))}
    variables |= {"PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"} | more.pop("variables", {})
    argv = [*before, sys.executable, *map(str, given), str(place)]
    done = subprocess.run(argv, env=variables, capture_output=True, text=True, timeout=300, **more)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def in_mount(place, options):
    """Command line that runs the rest with a small memory disk at ``place``; skips where that is not allowed."""
    if shutil.which("unshare") is None or not hasattr(os, "geteuid"):
        pytest.skip("needs unshare")
    fill = '(head -c 4096 /dev/zero > "$0/full") 2>/dev/null'
    script = f'mount -t tmpfs -o {options} none "$0" && {{ {fill}; exec "$@"; }}'
    before = ["unshare", "-m", "sh", "-c", script, str(place)]
    if subprocess.run([*before, "true"], capture_output=True, timeout=60).returncode:
        pytest.skip("may not mount a disk")
    return before


@pytest.mark.parametrize("options, reason", [("size=4k", "No space left"), ("ro", "Read-only file system")])
def test_a_disk_that_is_really_full_or_read_only(given, place, options, reason):
    cache = {"NUMBA_CACHE_DIR": str(place / "kernels"), "DQNUMBA_CACHE_DIR": str(place / "data")}
    found = run(given, place, before=in_mount(place, options), variables=cache)
    assert found["run"][0] == 0 and json.loads(found["run"][1])["items"] == 60
    for name in ("out", "convert"):
        code, out, err = found[name]
        assert code == 2 and not out and "Traceback" not in err
        assert reason in err and str(place) in err, err
    assert found["kernel"] == 42
    assert set(found["left"]) <= ({"full", "kernels"} if options != "ro" else set())


def without_privileges():
    """Command line that runs the rest as a user who may not write where the permissions forbid it."""
    if not hasattr(os, "geteuid"):
        pytest.skip("needs permissions of POSIX")
    if os.geteuid() != 0:
        return []
    before = ["setpriv", "--bounding-set=-dac_override,-dac_read_search", "--inh-caps=-dac_override,-dac_read_search"]
    if shutil.which("setpriv") is None or subprocess.run([*before, "true"], capture_output=True).returncode:
        pytest.skip("root may write anywhere, and setpriv cannot change that here")
    return before


def test_folders_without_permission_and_no_home(given, place, tmp_path):
    """The usual container: HOME that is not there, a package that belongs to somebody else."""
    package = tmp_path / "package"
    shutil.copytree(given[0].parent, package, ignore=shutil.ignore_patterns("__pycache__"))
    here = (package / given[0].name, package / given[1].name, given[2])
    closed = {"HOME": "/nonexistent", "XDG_CACHE_HOME": str(place / "none"), "DQNUMBA_CACHE_DIR": str(place / "none")}
    for folder in (package, place):
        folder.chmod(0o555)
    try:
        found = run(here, place, before=without_privileges(), variables=closed)
    finally:
        for folder in (package, place):
            folder.chmod(0o755)
    assert found["run"][0] == 0
    for name in ("out", "convert"):
        assert found[name][0] == 2 and "Permission denied" in found[name][2], found[name]
    assert found["kernel"] == 42 and found["cache"] is None and found["left"] == []


def test_a_limit_on_the_size_of_files(given, place):
    """What a quota does: the write ends in the middle."""
    pytest.importorskip("resource", reason="needs limits of POSIX")
    import resource

    def limit():
        resource.setrlimit(resource.RLIMIT_FSIZE, (600, 600))

    cache = {"NUMBA_CACHE_DIR": str(place / "kernels"), "DQNUMBA_CACHE_DIR": str(place / "data")}
    found = run(given, place, variables=cache, preexec_fn=limit)
    for name in ("out", "convert"):
        assert found[name][0] == 2 and "File too large" in found[name][2], found[name]
    assert found["kernel"] == 42
    assert [name for name in found["left"] if name != "kernels"] == []
