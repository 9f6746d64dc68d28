"""Bytes from outside come in through ``dqnumba/formats``: what opens files in another way is listed here, and why."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import dqnumba

ROOT = Path(dqnumba.__file__).parent
FILES = [path for path in sorted(ROOT.rglob("*.py")) if path.parent.name != "formats"]
#: Calls that read a file whole, map it, or trust what it announces.
CALLS = {"read_bytes", "read_text", "fromfile", "memmap", "loadtxt", "genfromtxt", "load_file", "safe_open"}
MODULES = {"gzip", "bz2", "lzma", "tarfile", "mmap", "shelve", "marshal"}
OWN = {
    "data/download.py",  # what was fetched, of a size that was bounded, to be compared with its checksum
    "data/registry.py",  # registry.toml of the package
    "infer/free_memory.py",  # /proc/meminfo and the like
    "kernels/_cache.py",  # code that Numba compiled, in the user's own cache
    "kernels/dot/micro.py",  # our own source
    "report/page.py",  # style sheets of the package
    "report/speed.py",  # /proc/cpuinfo
    "report/svg.py",
    "train/recipe.py",  # recipes of the package
}


def reads(path):
    tree = ast.parse(path.read_text(encoding="utf-8"))
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            name = getattr(node.func, "attr", getattr(node.func, "id", ""))
            of = ast.unparse(node.func)
            # formats.read_bytes takes a limit, a path's own method none
            if (name in CALLS and not (name == "read_bytes" and of == name)) or of in ("np.load", "numpy.load"):
                found.add(of)
            if of.endswith("ZipFile"):
                found.add(of)
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names} & MODULES
        elif isinstance(node, ast.ImportFrom) and node.module in MODULES:
            found.add(node.module)
    return found


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_nothing_else_reads_files_of_others(path):
    name = str(path.relative_to(ROOT))
    assert name in OWN or not reads(path)


def test_the_list_is_no_longer_than_it_must_be():
    assert {str(path.relative_to(ROOT)) for path in FILES if reads(path)} == OWN
